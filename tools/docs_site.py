"""Adds to the site whatever pages of docs/ link, the examples, and the reference.

MkDocs calls the functions ``on_…`` below. Pages in docs/ are plain markdown and link
files of the repository as GitHub wants it. What lies outside docs/ is carried along
under ``source/``: markdown as it is, code as a highlighted page, a folder as a list,
scripts of cells (``# %%``) as prose and code, anything else as a file. A link that
leads nowhere is left for MkDocs to complain of.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
LINK = re.compile(r"(?<=\]\()([^()\s#]+)(?=(?:#[^()\s]*)?\))")
LANGUAGES = {".py": "python", ".sh": "bash", ".sbatch": "bash", ".toml": "toml"}
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Any, config: Any) -> Any:
    """Adds the reference, then all that any page links, and what that links."""
    reference = [p for p in _nav(config["nav"]) if p.startswith("reference/")]
    for uri in reference:
        name = "jnf_jax." + uri.removeprefix("reference/").removesuffix(".md")
        text = f"# {name}\n\n::: {name}\n"
        files.append(File.generated(config, uri, content=text))
    examples = sorted(EXAMPLES.glob("*.py"))
    queue = [(DOCS / f.src_uri).resolve() for f in files.documentation_pages()]
    queue = [path for path in queue if path.exists()] + examples
    for path in queue:  # it grows
        if (uri := _uri(path)) not in files.src_uris:
            text = _page(path)
            content = {"abs_src_path": str(path)} if text is None else {"content": text}
            files.append(File.generated(config, uri, **content))
        if _has_links(path):
            linked = [_linked(path, link) for link in LINK.findall(_markdown(path))]
            queue += [p for p in linked if p and p not in queue]
    config["sources"] = {_uri(path): path for path in queue}
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links as they are on the site."""
    path = config["sources"].get(page.file.src_uri)
    if path is None or not _has_links(path):
        return markdown

    def on_site(match: re.Match) -> str:
        linked = _linked(path, match[0])
        here = posixpath.dirname(page.file.src_uri)
        return posixpath.relpath(_uri(linked), here) if linked else match[0]

    return LINK.sub(on_site, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Docstrings end a line with "::" before what is set as it stands."""
    return html.replace("<p>::</p>", "").replace("::</p>", ":</p>")


def _nav(entry: Any) -> list[str]:
    """All paths of a navigation."""
    if isinstance(entry, dict):
        entry = list(entry.values())
    return [entry] if isinstance(entry, str) else [p for e in entry for p in _nav(e)]


def _linked(path: Path, link: str) -> Path | None:
    """The file or folder that a page links; None where there is none."""
    if ":" in link:
        return None
    base = path if path.is_dir() else path.parent
    found = (base / link).resolve()
    if not found.exists() or not found.is_relative_to(ROOT) or found == DOCS:
        return None
    return found / "README.md" if (found / "README.md").is_file() else found


def _uri(path: Path) -> str:
    """Where a file of the repository is on the site."""
    if path.is_relative_to(DOCS) and path.is_file():
        return path.relative_to(DOCS).as_posix()
    uri = "source/" + path.relative_to(ROOT).as_posix()
    if path.is_dir():
        return f"{uri}/index.md"
    return f"{uri}.md" if path.suffix in LANGUAGES else uri


def _has_links(path: Path) -> bool:
    """Whether it is prose: code may have what looks like a link, and is none."""
    is_example = path.parent == EXAMPLES and path.suffix == ".py"
    return path.is_dir() or path.suffix == ".md" or is_example


def _markdown(path: Path) -> str:
    """A file or a folder as markdown."""
    if path.is_dir():
        inside = [p for p in sorted(path.iterdir()) if p.suffix in (".py", ".md")]
        rows = "\n".join(f"- [{p.name}]({p.name})" for p in inside)
        return f"# {path.relative_to(ROOT).as_posix()}\n\n{rows}\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix not in LANGUAGES:
        return text
    if path.parent == EXAMPLES:
        return "\n\n".join(map(_cell, re.split(r"^# %%", text, flags=re.M)[1:]))
    name = path.relative_to(ROOT).as_posix()
    return f"# {name}\n\n````{LANGUAGES[path.suffix]}\n{text}````\n"


def _cell(cell: str) -> str:
    """A cell of a script: prose, or code in a fence."""
    kind, _, body = cell.partition("\n")
    if "[markdown]" in kind:
        return re.sub(r"^# ?", "", body.rstrip(), flags=re.M)
    return f"```python\n{body.strip()}\n```" if body.strip() else ""


def _page(path: Path) -> str | None:
    """Markdown of what is carried along; None: it is no text to show as a page."""
    if path.is_file() and path.suffix not in {".md", *LANGUAGES}:
        return None
    return ("" if path.parent == EXAMPLES else UNSEARCHED) + _markdown(path)
