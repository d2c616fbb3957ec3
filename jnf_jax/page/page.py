"""One page of HTML about runs: it needs no network, no library and no model.

Pictures and sounds lie in it as data: URLs; what would make it larger than
``embedding.MAX_BYTES`` is left out, and named. Whatever comes from a run is escaped.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jnf_jax.page import sections
from jnf_jax.page.embedding import explored_json, sheets, that_fit
from jnf_jax.page.runs import PAGE, Run, read_runs
from jnf_jax.runtime.files import write_whole

_HERE = Path(__file__).parent


def write_page(folders: Sequence[Path], out: Path) -> Path:
    """Writes the page about the runs in these folders.

    Raises:
        ValueError: As ``read_runs``.
        OSError: ``out`` cannot be written.
    """
    return write_whole(out, page(read_runs(folders)))


def write_own(workdir: Path, say: Callable[[str], None]) -> None:
    """Writes the page of one run into its folder, and says where; or why it cannot.

    All that matters of a run is written before: no fault of its page stops it.
    """
    path = Path(workdir) / PAGE
    try:
        write_page([workdir], path)
    except (OSError, ValueError) as error:
        say(f"warning: {path} was not written: {error}")
    else:
        say(f"Page: {path}")


def page(runs: Sequence[Run]) -> str:
    """The page about these runs."""
    embedded = that_fit(runs)
    parts = {
        "runs": ("What was trained", sections.what_was_trained(runs)),
        "results": ("Results", sections.results(runs)),
        "explore": ("Any view from any others", sections.explorer(runs, embedded)),
        "samples": ("Samples", sections.samples(runs, embedded)),
        "latents": ("Latent space", sections.latents(runs)),
        "training": ("Training", sections.training(runs)),
        "diagnostics": ("Diagnostics", sections.diagnostics(runs)),
        "configs": ("Configs", sections.configs(runs)),
        "again": ("Run it again", sections.commands(runs)),
    }
    links = "".join(
        f'<li><a href="#{name}">{head}</a></li>' for name, (head, _) in parts.items()
    )
    body = "".join(
        f'<section id="{name}" aria-labelledby="h-{name}">'
        f'<h2 id="h-{name}">{head}</h2>{inner}</section>\n'
        for name, (head, inner) in parts.items()
    )
    title, told = sections.title(runs)
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    style += sheets(runs, embedded)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><h1>{title}</h1><p class="soft">{told}</p></header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="main">
{body}</main>
<footer><p class="soft">Written by jnf_jax from the folders of the runs; it needs no \
network.</p></footer>
<script type="application/json" id="explored">{explored_json(runs, embedded)}</script>
<script type="module">
{script}</script>
</body>
</html>
"""
