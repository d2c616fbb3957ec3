"""Views of one's own become the data of a run, for ``fit`` and for ``train``.

They are converted into the run's folder, and the config is asked for networks and
likelihoods that suit them. Options of the conversion are ``data.path`` and the others
of ``Source``; the run's own config has the folder of the converted data in their place.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from jnf_jax.data import own, view_files
from jnf_jax.experiments import config_files, run_folder
from jnf_jax.experiments.options import override
from jnf_jax.options import names, option, read
from jnf_jax.runtime import processes
from jnf_jax.runtime.files import user_path


@dataclasses.dataclass(frozen=True)
class Source:
    """The section `data` of a run whose views are converted."""

    path: str = option("", "File or folder of the views, see data/view_files.py.")
    labels: str = option("", "What the labels are called there; '' for none.")
    id_column: str = option("", "Of CSV files, the column of ids; '' for the first.")
    scaling: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """{view: one of own.SCALINGS}, as `data.scaling.assay`; of others a rule's."""
    covariates: str = option(
        "", "What covariates are called there, separated by commas; '' for none."
    )


def take(changes: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
    """The options of ``Source`` out of {dotted field: value}, and the other changes.

    Raises:
        ValueError: One of them has another type than is expected.
    """
    section: dict[str, Any] = {}
    names = {field.name for field in dataclasses.fields(Source)}
    rest = {}
    for field, value in changes.items():
        above, _, name = field.partition(".")
        first, _, view = name.partition(".")
        if above != "data" or first not in names:
            rest[field] = value
        elif bool(view) != (first == "scaling"):
            expected = (
                "`data.scaling.VIEW`" if first == "scaling" else f"`data.{first}`"
            )
            raise ValueError(f"`{field}` is {value!r}, expected {expected}")
        elif view:
            section.setdefault("scaling", {})[view] = value
        else:
            section[first] = value
    source, faults = read(Source, section, "data")
    if faults:
        raise ValueError("\n".join(faults))
    return source, rest


def of_flags(
    named: str,
    workdir: Path,
    config: ml_collections.ConfigDict,
    changes: Mapping[str, Any],
) -> ml_collections.ConfigDict:
    """``open_config`` of the path in ``changes``, for the config ``named``, loaded.

    Raises:
        ValueError: ``config`` is of another data set, or has data already; or as
            ``open_config``.
    """
    data = config.get("data", {})
    if data.get("name") != "records" or data.get("records_dir"):
        raise ValueError(
            f"`data.path` is {changes['data.path']!r}, which goes with own/jnf or "
            f"another config of views of one's own, without a folder; got {named!r}"
        )
    config = config.copy_and_resolve_references()
    override(config, {"seed": changes.get("seed", config.seed)})
    return open_config(named, workdir, None, None, config.seed, changes)


def open_config(
    named: str,
    workdir: Path,
    views: Any,
    labels: Any,
    seed: int,
    changes: Mapping[str, Any],
    covariates: Mapping[str, Any] | Sequence[str] | None = None,
) -> ml_collections.ConfigDict:
    """Converts views into the run's folder, and loads the config for them, changed.

    Args:
        named: A config whose ``get_config`` takes the folder of the data.
        workdir: Of the run.
        views: Arrays by name; or a path, or paths by name (``view_files.read``); a
            folder that ``record_files.write`` wrote is left where it is. None is the
            path that ``changes`` have.
        labels: Integers; the name of what files call labels; None for none.
        seed: Of the splits.
        changes: {dotted field: value}, of ``Source`` and of the config.
        covariates: {name: values [N]} beside arrays; the names of what files call so.

    Raises:
        ValueError: As ``view_files.read``, ``own.write``, ``config_files.load_config``
            and ``override``; labels, scalings or covariates of data that are not
            converted.
    """
    source, changes = take(changes)
    argument = "views" if views is not None else "data.path"
    views = source.path if views is None else views
    labels = source.labels or labels
    covariates = names(source.covariates) or covariates
    if not isinstance(views, Mapping) and view_files.are_files(views):
        if view_files.is_data_set(views):
            if labels is not None or covariates or source.id_column or source.scaling:
                raise ValueError(
                    f"`{argument}` is {str(views)!r}, which is converted already: "
                    "expected neither labels nor covariates nor an id column nor "
                    "scalings"
                )
            return _changed(named, user_path(views, argument), changes)
    folder = run_folder.data_folder(workdir)
    others = labels, covariates, seed, source, argument
    processes.on_first(lambda: _convert(folder, views, *others))
    return _changed(named, folder, changes)


def _convert(
    folder: Path,
    views: Any,
    labels: Any,
    covariates: Any,
    seed: int,
    source: Source,
    argument: str,
) -> None:
    classes, are_named = (), not isinstance(covariates, Mapping | None)
    if view_files.are_files(views):
        name = labels if isinstance(labels, str) else ""
        columns = tuple(covariates) if are_named else ()
        given = view_files.read(views, argument, name, source.id_column, columns)
        if name:
            labels, classes = given.labels, given.classes
        if are_named:
            covariates = given.covariates
        views = given.views
    elif isinstance(labels, str):
        raise ValueError(f"`labels` is {labels!r}, expected integers with arrays")
    elif are_named:
        raise ValueError(
            f"`covariates` is {covariates!r}, expected {{name: values [N]}} with arrays"
        )
    own.write(folder, views, labels, seed, source.scaling, classes, covariates)


def _changed(
    named: str, data: Path, changes: Mapping[str, Any]
) -> ml_collections.ConfigDict:
    config = config_files.load_config(f"{named}:{data}")
    override(config, changes)
    return config.lock()


@contextlib.contextmanager
def removed_if_refused(workdir: Path) -> Iterator[None]:
    """Removes what was converted for a run that is refused before its first step."""
    folder = run_folder.data_folder(workdir)
    made = [path for path in (folder, workdir) if not path.exists()]
    try:
        yield
    except (ValueError, OSError):
        if folder in made and not any(workdir.rglob("config.json")):
            shutil.rmtree(folder, ignore_errors=True)
            if workdir in made and workdir.is_dir() and not any(workdir.iterdir()):
                workdir.rmdir()
        raise
