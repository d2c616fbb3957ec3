"""A whole evaluation: protocol v1, measures and pictures of one run, and its record."""
