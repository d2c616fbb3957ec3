"""Models of other packages, read into this one's parameters; a module a package."""
