"""The sections of the page, one function each: runs in, markup out."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jnf_jax.experiments.text import format_duration
from jnf_jax.names import split_names
from jnf_jax.page import comparison, findings
from jnf_jax.page.charts import Line, Number, class_colour, cloud, line_chart
from jnf_jax.page.embedding import data_url, explorable, views_of
from jnf_jax.page.runs import ABSENT, Run, config_of, differences

_KEEPS = "<code>python -m jnf_jax.evaluate</code> on its folder keeps them."

MAX_LEGEND = 20
"""Classes that a legend names."""

Html = str
"""Markup; what is not ours in it is escaped already."""


def title(runs: Sequence[Run]) -> tuple[Html, Html]:
    """What the page is called, and the line below."""
    data = sorted({_data_name(run) for run in runs})
    methods = sorted({str(run.about["config"].get("method", "?")) for run in runs})
    called = f"{', '.join(methods)} on {', '.join(data)}"
    names = ", ".join(run.name for run in runs)
    told = f"{len(runs)} runs: {names}" if len(runs) > 1 else f"The run {names}"
    return escape(called), escape(told)


def _data_name(run: Run) -> str:
    own = run.model.get("name") or (run.record or {}).get("dataset")
    return str(own or run.about["config"].get("data", {}).get("name", "unknown data"))


def _table(
    header: Sequence[Html], rows: Sequence[Sequence[Html]], caption: Html = "",
    kind: str = "",
) -> Html:  # fmt: skip
    """A table that scrolls by itself; the first cell of a row is its head."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td>{cell}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    told = f"<caption>{caption}</caption>" if caption else ""
    named = f' class="{kind}"' if kind else ""
    return (
        f'<div class="scroll" tabindex="0"><table{named}>{told}<thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _header(runs: Sequence[Run]) -> list[Html]:
    return ["", *(escape(run.name) for run in runs)]


def what_was_trained(runs: Sequence[Run]) -> Html:
    """A row a fact, a column a run."""
    facts = [_facts(run) for run in runs]
    rows = [
        [escape(name), *(escape(str(of.get(name, ABSENT))) for of in facts)]
        for name in dict.fromkeys(name for of in facts for name in of)
    ]
    return _table(_header(runs), rows, kind="names")


def _facts(run: Run) -> dict[str, Any]:
    config, record, model = run.about["config"], run.record or {}, run.model
    shapes = model.get("shapes") or {}
    sizes = (model.get("record") or record.get("data") or {}).get("sizes") or {}
    views = (f"{m} {'×'.join(map(str, of))}" for m, of in shapes.items())
    splits = (f"{of:,} {split}" for split, of in sizes.items())
    seeds = record.get("seeds") or [config.get("seed")]
    seconds = record.get("wall_seconds")
    commit = str(record.get("commit") or run.about.get("commit") or "")
    versions = record.get("versions") or run.about.get("versions") or {}
    facts = {
        "data": _data_name(run),
        "views": ", ".join(views),
        "tuples": ", ".join(splits),
        "classes": model and (model.get("num_classes") or "no labels"),
        "method": config.get("method"),
        "config": record.get("config") or run.about.get("config_file"),
        "stages": str(config.get("stages", "")).replace(",", ", "),
        "seeds": ", ".join(map(str, seeds)),
        "training and evaluation": format_duration(seconds) if seconds else "",
        "protocol": record.get("protocol") or "not evaluated",
        "test tuples": record.get("num_tuples", ""),
        "hardware": record.get("hardware") or run.about.get("hardware"),
        "commit": re.sub("[0-9a-f]{40}", lambda at: at[0][:12], commit),
        "jax": versions.get("jax"),
        "folder": run.folder,
    }
    if "continued" in record:
        facts["continued"] = ", ".join(
            f"{of['stage']} from step {of['step']:,}" for of in record["continued"]
        )
    return {k: v for k, v in facts.items() if v not in (None, "", {})}


def results(runs: Sequence[Run]) -> Html:
    """Tables of what was measured, a column a run."""
    lacking = [run.name for run in runs if not run.record]
    parts = []
    if lacking:
        parts.append(f"<p>Not evaluated: {escape(', '.join(lacking))}.</p>")
    if len(lacking) == len(runs):
        return "".join(parts)
    why = comparison.why_incomparable(runs)
    compares = len(runs) - len(lacking) > 1
    if compares:
        said = "Bold is the best of a row, as far as digits are shown."
        parts.append(f"<p>{escape(why or said)}</p>")
    is_bold = compares and why is None
    parts.append(
        '<p class="soft">± is the standard deviation over seeds; of a single seed '
        "[low, high] is the 95 % bootstrap interval over test tuples.</p>"
    )
    if judged := comparison.protocol(runs):
        parts.append(_quantities(runs, judged, "", is_bold))
    else:
        parts.append("<p>Nothing was judged: the data have no labels.</p>")
    if apart := comparison.paired_with_first(runs):
        said = (
            "Differences of coherence on the same test tuples, with their 95 % "
            "intervals, which are narrower than those above: a hard tuple is hard for "
            "every run"
        )
        parts.append(_quantities(runs, apart, said, False))
    if each := comparison.directions(runs):
        inner = _quantities(runs, each, "Given → generated, coherence", is_bold)
        parts.append(f"<details><summary>Every direction</summary>{inner}</details>")
    for measure, said, numbers in comparison.measured(runs):
        parts.append(f"<h3>{escape(measure.replace('_', ' '))}</h3>")
        parts.append(_quantities(runs, numbers, said, is_bold))
    return "".join(parts)


def _quantities(
    runs: Sequence[Run], of: Sequence[comparison.Quantity], said: str, is_bold: bool
) -> Html:
    rows = []
    for quantity in of:
        cells = [escape(quantity.text(i)) for i in range(len(runs))]
        if is_bold:
            cells = [
                f"<strong>{cell}</strong>" if quantity.is_best(i) else cell
                for i, cell in enumerate(cells)
            ]
        rows.append([escape(quantity.heading), *cells])
    return _table(_header(runs), rows, escape(said))


def explorer(runs: Sequence[Run], embedded: frozenset[Path]) -> Html:
    """Where the script shows draws given what a reader chooses."""
    shown = explorable(runs, embedded)
    parts = []
    known = {run.name for run in shown}
    if lacking := [run.name for run in runs if run.name not in known]:
        parts.append(
            f"<p>No draws to explore of {escape(', '.join(lacking))}: none "
            f"were kept, or they would not fit into the page. {_KEEPS}</p>"
        )
    if not shown:
        return "".join(parts)
    parts.append(
        "<p>Choose which views are given. Every draw is the decoders' mean at another "
        "z from the posterior of what is given; it was kept when the run was "
        "evaluated.</p><noscript><p>Choosing needs JavaScript; the grids below show "
        "the same draws.</p></noscript>"
    )
    parts.append('<div id="explorer">')
    if len(shown) > 1:
        options = "".join(
            f'<option value="{i}">{escape(run.name)}</option>'
            for i, run in enumerate(shown)
        )
        parts.append(
            f'<label for="run">Run</label> <select id="run">{options}</select>'
        )
    parts.append(
        '<div id="choose"></div><p id="told" aria-live="polite"></p>'
        '<div id="views" class="views"></div></div>'
    )
    return "".join(parts)


def samples(runs: Sequence[Run], embedded: frozenset[Path]) -> Html:
    """Sample grids, each behind its name."""
    parts = []
    for run in runs:
        name = escape(run.name)
        if not run.samples:
            parts.append(f"<p>{name}: no sample grids; it was not evaluated.</p>")
            continue
        parts.append(f"<h3>{name}</h3>" if len(runs) > 1 else "")
        left_out = []
        for path in run.samples:
            if path not in embedded:
                left_out.append(path.name)
                continue
            said = escape(_said_of(path.stem))
            is_open = " open" if path == run.samples[0] and len(runs) == 1 else ""
            parts.append(
                f'<details class="pages"{is_open}><summary>{said}</summary>'
                f'<div class="wide scroll" tabindex="0"><img '
                f'src="{data_url(path)}" alt="{said}"></div></details>'
            )
        if left_out:
            told = f"Too large for this page, in samples/: {', '.join(left_out)}."
            parts.append(f'<p class="soft">{escape(told)}</p>')
    return "".join(parts)


def _said_of(stem: str) -> str:
    """What a sample grid shows, from the name of its file.

    >>> _said_of("given_m0+m2"), _said_of("unconditional_amortised")
    ('given m0, m2', 'drawn from the prior: amortised')
    """
    if stem == "any_to_any":
        return "every view from each subset"
    if stem.startswith("given_"):
        return f"given {', '.join(split_names(stem[6:]))}"
    if stem.startswith("unconditional"):
        own = stem.removeprefix("unconditional").strip("_").replace("_", " ")
        return f"drawn from the prior{f': {own}' if own else ''}"
    return stem.replace("_", " ")


def latents(runs: Sequence[Run]) -> Html:
    """Maps of z, a figure a run."""
    of_runs = {run.name: (run.shown or {}).get("latents") for run in runs}
    parts, figures = [], []
    if lacking := [name for name, kept in of_runs.items() if not kept]:
        parts.append(
            f"<p>No latents were kept of {escape(', '.join(lacking))}. {_KEEPS}</p>"
        )
    for name, kept in of_runs.items():
        if not kept:
            continue
        name = escape(name)
        labels, shares = kept["labels"], kept["shares"]
        told = f"z of {len(kept['points']):,} test tuples given all views"
        if labels is None:
            told += "; the data have no labels"
        share = f"{sum(shares):.0%} of the variance of {kept['dimensions']} dimensions"
        figures.append(
            "<figure>"
            + cloud(kept["points"], labels, kept["priors"], title=f"{told}: {name}")
            + _classes(labels)
            + f"<figcaption>{name}: {escape(told)}. The plane holds {share}."
            "</figcaption></figure>"
        )
    if figures:
        parts.append(
            "<p>Each dot is a test tuple, projected on the two directions in which z "
            "varies most; crosses are draws from the prior. Colours that lie apart are "
            "classes that the latent tells apart; crosses where no dots are, a prior "
            "that draws where no data were encoded.</p>"
            f'<div class="clouds">{"".join(figures)}</div>'
        )
    return "".join(parts)


def _classes(labels: Sequence[int] | None) -> Html:
    known = sorted(set(labels or ()))
    entries = [
        (f"background:{class_colour(i, len(known))}", str(label))
        for i, label in enumerate(known)
    ]
    rest = [("display:none", f"… {len(known):,} classes")] * (len(known) > MAX_LEGEND)
    return _legend(entries[:MAX_LEGEND] + rest) if entries else ""


def _legend(entries: Sequence[tuple[str, str]]) -> Html:
    """Of (style of the mark, name)."""
    items = "".join(
        f'<li><i style="{style}"></i>{escape(name)}</li>' for style, name in entries
    )
    return f'<ul class="legend">{items}</ul>'


def training(runs: Sequence[Run]) -> Html:
    """Curves of each stage, and where they ended."""
    marks = [(f"background:var(--c{i % 8})", run.name) for i, run in enumerate(runs)]
    parts = [_legend(marks)] if len(runs) > 1 else []
    stages = [
        *dict.fromkeys(
            line["stage"]
            for run in runs
            for lines in run.metrics.values()
            for line in lines
            if "stage" in line
        )
    ]
    if not stages:
        return "<p>No metrics.jsonl: nothing was trained here.</p>"
    parts.append(
        '<p class="soft">Lines are training, dashed lines with dots validation; the '
        "steepest part of the start may lie above the frame.</p>"
    )
    charts, terms = [], []
    for stage in stages:
        charts.append(_chart(runs, stage, "loss"))
        terms += [_chart(runs, stage, term) for term in _terms(runs, stage)]
    parts.append(f'<div class="charts">{"".join(charts)}</div>')
    if terms:
        parts.append(
            "<details><summary>Terms of the loss</summary>"
            f'<div class="charts">{"".join(terms)}</div></details>'
        )
    rows = [row for run in runs for row in _stage_rows(run, stages)]
    header = ["run, stage", "steps", "training loss", "validation loss", "samples / s"]
    return "".join(parts) + _table(header, rows, "As training ended")


def _terms(runs: Sequence[Run], stage: str) -> list[str]:
    """Names of what a stage logs beside its loss."""
    apart = ("event", "stage", "step", "loss", "samples_per_second")
    return [
        *dict.fromkeys(
            name
            for run in runs
            for lines in run.metrics.values()
            for line in lines
            if line.get("stage") == stage and line.get("event") == "train"
            for name, value in line.items()
            if name not in apart and isinstance(value, int | float)
        )
    ]


def _chart(runs: Sequence[Run], stage: str, name: str) -> Html:
    lines = [
        Line(f"{run.name} {seed} {event}", *zip(*points, strict=True), i, dashed)
        for i, run in enumerate(runs)
        for seed, logged in run.metrics.items()
        for event, dashed in (("train", False), ("validation", True))
        if (points := _points(logged, stage, event, name))
    ]
    said = f"stage {stage}: {name}"
    chart = line_chart(lines, title=f"{said} over training steps")
    caption = f"<figcaption>{escape(said)}</figcaption>"
    return f"<figure>{caption}{chart}</figure>" if chart else ""


def _points(
    lines: Sequence[Any], stage: str, event: str, name: str
) -> list[tuple[int, Number]]:
    return [
        (line["step"], line[name])
        for line in lines
        if line.get("stage") == stage and line.get("event") == event
        if isinstance(line.get(name), int | float)
    ]


def _stage_rows(run: Run, stages: Sequence[str]) -> Iterator[list[Html]]:
    for seed, lines in run.metrics.items():
        for stage in stages:
            logged = [line for line in lines if line.get("stage") == stage]
            if not logged:
                continue
            found = [
                _points(lines, stage, event, name)[-1:]
                for event, name in (
                    *(("train", "loss"), ("validation", "loss")),
                    ("train", "samples_per_second"),
                )
            ]
            texts = [f"{of[0][1]:,.4g}" if of else ABSENT for of in found]
            if found[2]:
                texts[2] = f"{found[2][0][1]:,.0f}"
            step = max(line.get("step", 0) for line in logged)
            named = f"{run.name}{f', seed {seed}' if seed else ''}: {stage}"
            yield [escape(named), f"{step:,}", *texts]


def diagnostics(runs: Sequence[Run]) -> Html:
    """Findings of each run."""
    parts = []
    for run in runs:
        items = "".join(
            f'<li class="{of.level}"><span class="level">{of.level}</span> '
            f"<b>{_with_code(of.said)}</b> {_with_code(of.means)}</li>"
            for of in findings.findings(run)
        )
        head = f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else ""
        parts.append(f'{head}<ul class="findings">{items}</ul>')
    return "".join(parts)


def configs(runs: Sequence[Run]) -> Html:
    """What differs, and all of each."""
    parts = []
    if len(runs) > 1:
        found = differences(runs)
        rows = [
            [_code(name), *(_code(_value(v)) for v in values)]
            for name, values in found.items()
        ]
        said = "What differs between the runs; everything else is the same."
        parts.append(
            _table(_header(runs), rows, said, "names")
            if rows
            else "<p>The configs of the runs are the same.</p>"
        )
    for run in runs:
        rows = [[_code(k), _code(_value(v))] for k, v in config_of(run).items()]
        parts.append(
            f"<details><summary>The whole config of {escape(run.name)}</summary>"
            f"{_table(['field', 'value'], rows)}</details>"
        )
    return "".join(parts)


def _value(value: Any) -> str:
    is_text = isinstance(value, str) and value
    return value if is_text else json.dumps(value, ensure_ascii=False)


def _code(text: str) -> Html:
    return f"<code>{escape(text)}</code>"


def _with_code(text: str) -> Html:
    """Text whose `words` are code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def commands(runs: Sequence[Run]) -> Html:
    """How each run, and this page, is made again."""
    parts = []
    for run in runs:
        record, folder = run.record or {}, shlex.quote(str(run.folder))
        trained = record.get("command") or run.about.get("command")
        commit = record.get("commit") or run.about.get("commit")
        lines = [f"git checkout {commit}"] if commit and commit != "unknown" else []
        lines += str(trained).split(" && ") if trained else []
        if again := record.get("evaluation_command"):
            lines.append(again)
        lines += [
            "",
            "# the same model again",
            f"python -m jnf_jax.evaluate --workdir {folder}",
        ]
        view = next(iter(views_of(run)), None)
        given = f" --given {shlex.quote(view)}" if view else ""
        lines.append(
            f"python -m jnf_jax.sample --workdir {folder}{given} --out more.png"
        )
        head = f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else ""
        code = escape("\n".join(lines))
        parts.append(f'{head}<pre tabindex="0">{code}</pre>')
    places = " ".join(shlex.quote(str(run.folder)) for run in runs)
    told = escape(f"python -m jnf_jax.report {places} --out report.html")
    return "".join(parts) + f'<p>This page:</p><pre tabindex="0">{told}</pre>'
