"""The Python front door: fit arrays, generate any view from any others, save, load.

::

    model = jnf_jax.fit({"photo": photos, "assay": assays}, labels=classes)
    drawn = model.generate({"assay": new_assays}, num_samples=8)["photo"]
    model.save("runs/mine")

The programs take the same steps: what ``fit`` writes to a ``workdir`` is the folder of
a run, which ``evaluate --workdir`` and ``sample --workdir`` open, and ``load`` opens
what ``train`` wrote. ``jnf_jax/data/own.py`` tells what arrays may be, and how they are
converted; values come back in the units that they were given in, bytes as x / 255.
"""

import dataclasses
import json
import shutil
import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jnf_jax import checkpoint
from jnf_jax.checkpoint import owner
from jnf_jax.data import own
from jnf_jax.data.covariates import columns
from jnf_jax.data.dataset import Split, checksum
from jnf_jax.data.rendering import fetch_stored
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.experiments import (
    exported,
    imputation,
    logs,
    new_rows,
    own_data,
    records,
    run_folder,
)
from jnf_jax.experiments.evaluate import evaluate
from jnf_jax.experiments.experiment import Setup, open_experiment, stage_path
from jnf_jax.experiments.run import check_evaluation, train_and_evaluate
from jnf_jax.methods.method import check_prior_name, check_subset, shared_latent
from jnf_jax.runtime import switches
from jnf_jax.runtime.files import new_folder, read_json, user_path


def fit(
    views: Mapping[str, Any] | str | Path,
    labels: Any = None,
    config: str = "own/jnf",
    workdir: str | Path | None = None,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    covariates: Mapping[str, Any] | Sequence[str] | None = None,
) -> "Model":
    """Trains a model of all views of the same things, from arrays or files of them.

    A tenth of the rows validates, another tenth is left for ``evaluate --workdir``;
    ``seed`` decides which. Run again with the same ``workdir`` it goes on where it
    stopped.

    Args:
        views: {name: array [N, features], [N, tokens, channels], or pictures
            u8[N, height, width, channels]}, two or more; a row that is all NaN lacks
            the view. See ``data/own.py``. Or files of them: a .npz, a folder of .npy,
            .csv files that share ids, a .h5mu (``data/view_files.py``); or a folder
            that ``record_files.write`` wrote.
        labels: N integers from 0, which training does not read; None: none. Of files
            the name of the array or the column that holds them.
        config: The name or the file of a config whose ``get_config`` takes the folder
            of the data: "own/jnf", "own/jnf_shared:cl", "own/jnf_shared:dcca".
        workdir: The folder of the run; None: a temporary one, which lasts as long as
            the model and which ``Model.save`` copies.
        seed: Of the splits, of initial parameters and of the order of the data.
        overrides: {dotted field of the config: value}, as {"joint.num_steps": 100} or
            {"model.likelihoods.assay.scale": 0.3}; and, of how the views are read,
            {"data.scaling.assay": "log1p"}, see ``experiments/own_data.py``.
        covariates: {name: N values}, what the rows come with that is no view, as batch
            or age (``data/covariates.py``); of files the names of the arrays or columns
            that hold them. Encoders and decoders read them.

    Raises:
        ValueError: Before anything is trained, with the argument's name: arrays that
            are no numbers, not finite, of different lengths, too few; labels that are
            no integers from 0; an unknown config or field; another run's ``workdir``.

    Example::

        model = jnf_jax.fit({"a": a, "b": b}, overrides={"joint.num_steps": 500})
        model.generate({"a": new_a}, num_samples=8)["b"].shape  # (8, N, …)
    """
    switches.check()
    temporary = None
    if workdir is None:
        temporary = tempfile.TemporaryDirectory(prefix="jnf_jax-")
    folder = user_path(temporary.name if temporary else workdir, "workdir")
    changes = {"seed": seed, **(overrides or {})}
    command = f"jnf_jax.fit(views, labels, {config!r}, seed={seed})"
    about = dict(config_name=config, command=command)
    given = views, labels, seed, changes, covariates
    with own_data.removed_if_refused(folder):
        chosen = own_data.open_config(config, folder, *given)
        train_and_evaluate(chosen, folder, **about, with_evaluation=False)
    return dataclasses.replace(load(folder), temporary=temporary)


def load(folder: str | Path) -> "Model":
    """Opens the run that ``Model.save``, ``fit`` or ``train`` wrote, and needs no data.

    Raises:
        ValueError: There is no run in ``folder``, or it is not finished or damaged.
    """
    folder = user_path(folder, "folder")
    return Model(folder, run_folder.open_model(folder))


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained model; made by ``fit`` and ``load``.

    Draws depend on ``seed`` and on the number of the row, not on the other rows.

    Attributes:
        folder: Of its run.
        trained: Settings, method and parameters.
        temporary: Removes ``folder`` when the model goes; None: it stays.
    """

    folder: Path
    trained: run_folder.Trained = dataclasses.field(repr=False)
    temporary: Any = dataclasses.field(default=None, repr=False)
    _step_sizes: dict = dataclasses.field(default_factory=dict, repr=False)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the views, sorted."""
        return self.trained.setup.method.inference.modalities

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """{view: shape of one row}."""
        return dict(self.trained.setup.dataset.shapes)

    @property
    def covariates(self) -> dict[str, tuple[str, ...]]:
        """{covariate: its categories, () of a number}."""
        known = self.trained.setup.dataset.covariates
        return {covariate.name: covariate.categories for covariate in known}

    def generate(
        self,
        given: Mapping[str, Any],
        targets: Sequence[str] | None = None,
        num_samples: int = 8,
        seed: int = 0,
        noise: bool = False,
        covariates: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Draws of views given others, for rows that the model need not have seen.

        ::

            z ~ q(z|x_S),    x_t = E[x_t|z], or x_t ~ p(x_t|z) with ``noise``

        Args:
            given: {name: array [N, ...]} of one or more views, in the units of the
                training data; bytes of pictures or floats in [0, 1]. Of a model with
                covariates also those of the rows, {name: values [N], or one for all}.
            targets: Names of the views to generate; None: all that are not given, or
                all where all are.
            num_samples: K, draws a row.
            seed: Of the draws; draw k of row i depends on (seed, k, i) alone.
            noise: Whether the likelihood's noise is drawn too (predictive draws).
            covariates: {name: values [N], or one for all} that rows are decoded as, so
                that {"batch": "B"} draws what they would be in batch B; of others, and
                for None, the rows' own.

        Returns:
            {target: f32[K, N, ...]}, in the units of the training data.

        Raises:
            ValueError: Unknown names, wrong shapes, values that are not finite;
                covariates that the rows lack; a category that training had none of.

        It warns of draws that are not to be trusted; ``generate_and_judge`` has them.
        """
        options = dict(num_samples=num_samples, seed=seed, noise=noise)
        options |= {"covariates": covariates}
        return self.generate_and_judge(given, targets, **options)[0]

    def generate_and_judge(
        self,
        given: Mapping[str, Any],
        targets: Sequence[str] | None = None,
        num_samples: int = 8,
        seed: int = 0,
        noise: bool = False,
        covariates: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, np.ndarray], new_rows.Chains | None]:
        """What ``generate`` gives, and how each draw came about, arrays [K, N].

        None where no posteriors had to be multiplied: given one view, or all, or where
        one flow serves every subset.
        """
        read = self._read(given, "given")
        own_views = new_rows.names_of(read)
        names = coherence.targets_of(own_views, self.modalities)
        if targets is not None:
            names = tuple(targets)
            check_subset(names, self.modalities, name="targets")
        found, chains = new_rows.generate(
            *self._model, read, tuple(sorted(names)), noise=noise,
            step_size=self._step_size(own_views), **_draws(num_samples, seed),
            covariates=self._as_if(covariates, given),
        )  # fmt: skip
        if chains is not None and (told := chains.warning()):
            warnings.warn(told, stacklevel=3)
        return self._shown(found, clips=not noise), chains

    def impute(
        self,
        partial: Mapping[str, Any],
        num_samples: int = 100,
        seed: int = 0,
        noise: bool = True,
    ) -> imputation.Imputed:
        """Fills in what each row lacks, given what it has, and says how sure that is.

        ::

            z ~ q(z|x_O),    x_t ~ p(x_t|z) of all that is not in O, what the row has

        Any row may lack any views; one that has none is drawn from the prior. Where
        rows lacked single entries of a view in training, they may lack some here.

        Args:
            partial: {name: array [N, ...]} in the units of the training data, NaN, or
                masked in a NumPy masked array, where something is missing; a view that
                is left out is missing in every row.
            num_samples: K, draws a row. The mean of K draws has a standard error of
                sd / √K.
            seed: Of the draws; draw k of row i depends on (seed, k, i) and on what
                this row has, on no other row.
            noise: Whether the likelihood's noise is drawn too. Without it intervals
                tell where the decoder's mean may lie, and are too narrow for data.

        Returns:
            The completed rows, and mean, sd, quantiles and draws of all that was
            missing; see ``imputation.Imputed``.

        Raises:
            ValueError: As ``generate``; a row that has a part of a view of which every
                training row had all or nothing.

        It warns of draws that are not to be trusted.
        """
        rows = imputation.read(self.trained.setup.dataset, partial, "partial")
        options = _draws(num_samples, seed)
        groups = []
        for given, numbers in rows.patterns():
            holes = {m for m, x in rows.missing.items() if x[numbers].any()}
            if targets := tuple(sorted(holes)):
                drawn, chains = new_rows.generate(
                    *self._model, rows.take(given, numbers),
                    targets, noise=noise, numbers=numbers,
                    step_size=self._step_size(given), **options,
                )  # fmt: skip
                shown = self._shown(drawn, clips=not noise)
                groups.append(imputation.Group(numbers, shown, chains))
        found = imputation.complete(rows, groups, num_samples)
        if found.chains is not None and (told := found.chains.warning()):
            warnings.warn(told, stacklevel=2)
        return found

    def latent(
        self, partial: Mapping[str, Any], num_samples: int = 100, seed: int = 0
    ) -> imputation.Latent:
        """Mean and sd of z ~ q(z|x_O) for each row, f32[N, D]: for maps, classifiers.

        O are the views that the row has; of a row without any it is p(z). Rows are as
        ``impute`` takes them, and with the same seed z is of the same draws. Of a model
        with private latents it is the shared one.
        """
        rows = imputation.read(self.trained.setup.dataset, partial, "partial")
        options, parts = _draws(num_samples, seed), []
        for given, numbers in rows.patterns():
            z = new_rows.encode(
                *self._model, rows.take(given, numbers),
                step_size=self._step_size(given), numbers=numbers, **options,
            )  # fmt: skip
            parts.append((numbers, np.asarray(shared_latent(z), np.float64)))
        order = np.argsort(np.concatenate([numbers for numbers, _ in parts]))
        z = np.concatenate([drawn for _, drawn in parts], axis=1)[:, order]
        return imputation.Latent(np.float32(z.mean(axis=0)), np.float32(z.std(axis=0)))

    def sample(
        self,
        num_samples: int,
        seed: int = 0,
        prior: str | None = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Joint draws of all views, decoder means at z ~ p(z): f32[num_samples, …].

        Draw i depends on (seed, i) alone. ``prior`` is the name of a prior of the
        model; None is its own. ``covariates`` {name: values [num_samples], or one for
        all} are all that the model has; None: each draw has those of a training row,
        which is drawn at random.

        Raises:
            ValueError: An unknown prior; draws that are not finite; as ``generate``.
        """
        known = self._model[0].prior_names
        name = check_prior_name(prior, known, argument="prior")
        options = _draws(num_samples, seed)
        columns = None
        if covariates is not None:
            columns = self._columns(covariates, num_samples)
        found = new_rows.sample(*self._model, name, **options, covariates=columns)
        return self._shown(found)

    def encode(
        self, given: Mapping[str, Any], num_samples: int = 1, seed: int = 0
    ) -> Any:
        """Draws z ~ q(z|x_S): f32[num_samples, N, D], or a struct of such arrays.

        ``generate`` with the same seed decodes these very draws. Arguments and errors
        are those of ``generate``.
        """
        read = self._read(given, "given")
        step_size = self._step_size(new_rows.names_of(read))
        options = dict(step_size=step_size, **_draws(num_samples, seed))
        return new_rows.encode(*self._model, read, **options)

    def log_likelihood_bound(
        self,
        views: Mapping[str, Any],
        given: Sequence[str] | None = None,
        num_samples: int = 1_000,
        seed: int = 0,
    ) -> np.ndarray:
        """log p(views) or log p(views − given | given) of each row, in nats: f32[N].

        Estimated by importance sampling with ``num_samples`` a row
        (``new_rows.log_bound``): without ``given``, names out of ``views``, a lower
        bound on average, tighter the more samples; with it a quotient of two, of either
        sign. Densities are per unit of the arrays as they were given, pictures in
        [0, 1].

        Raises:
            ValueError: As ``generate``; ``given`` not out of ``views``, or all of them;
                nothing given under a prior that is not normalised.
        """
        read = self._read(views, "views")
        given = () if given is None else tuple(sorted(given))
        own_views = new_rows.names_of(read)
        targets = [m for m in own_views if m not in given]
        if given:
            check_subset(given, own_views, name="given")
        if not targets:
            raise ValueError(f"`given` is {list(given)}, expected fewer than `views`")
        options = _draws(num_samples, seed)
        found = new_rows.log_bound(*self._model, read, given, **options)
        judged = {m: read[m] for m in targets}
        volume = own.log_volume(self.trained.setup.dataset, judged)
        return found - volume.astype(np.float32)

    def evaluate(self, views: Mapping[str, Any], labels: Any = None) -> dict[str, Any]:
        """The record that the program ``evaluate`` writes, of these rows of all views.

        With labels, integers of the classes that were fit, it trains classifiers on the
        training split, which must still be there; without them it measures what needs
        none.

        Raises:
            ValueError: As ``generate``; a view is missing; labels of a model that was
                fit without; training data that are gone; sizes of the config's
                measures that these rows do not reach.
        """
        read = self._read(views, "views")
        if missing := sorted(set(self.modalities) - set(read)):
            raise ValueError(f"`views` lacks {missing}, expected all views")
        setup = _on_rows(self.trained.setup, self.folder, read, labels)
        check_evaluation(setup)
        trained, provenance = self.trained, logs.provenance(self.folder)
        return evaluate(
            setup, trained.params, trained.checkpoint_ids, provenance=provenance,
            training_seconds=trained.seconds, report=print,
        )  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Copies the run to ``folder``, which ``load`` and the programs open.

        Stages that were read from elsewhere are copied as well.

        Raises:
            ValueError: ``folder`` is there and not empty.
        """
        folder = new_folder(folder, "folder")
        left = shutil.ignore_patterns(owner.FILE)
        shutil.copytree(self.folder, folder, ignore=left, dirs_exist_ok=True)
        setup = self.trained.setup
        for stage in setup.experiment.init:
            path = checkpoint.resolve(stage_path(setup, self.folder, stage))
            shutil.copytree(path, folder / "checkpoints" / stage / path.name)
        config = read_json(folder / "config.json", config=dict)
        config["config"]["init"] = {}
        if (data := run_folder.data_folder(folder)).exists():
            config["config"]["data"]["records_dir"] = str(data)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        return folder

    def export(
        self, folder: str | Path, record: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes the model to pass on: safetensors, JSON and a card, and no data.

        ``load`` opens ``folder`` in any process, and draws what this model draws.

        Args:
            folder: A new or empty one.
            record: Its numbers go into the card, as ``evaluate`` gives them; None:
                those of the run's own evaluation, if there was one.

        Raises:
            ValueError: ``folder`` is there and not empty; the package safetensors is
                missing.
        """
        folder = new_folder(folder, "folder")
        if record is None and (self.folder / "results.json").exists():
            record = records.read(self.folder / "results.json")
        subsets = [*coherence.subsets(self.modalities), self.modalities]
        found = exported.Exported(
            *(self.trained.params, self.trained.checkpoint_ids, self.trained.seconds),
            {subset: self._step_size(subset) for subset in subsets},
        )
        exported.write(folder, self.folder, self.trained.setup, found, record)
        return folder

    @property
    def _model(self) -> tuple[Any, dict[str, Any]]:
        """Inference and parameters, as ``new_rows`` takes them."""
        return self.trained.setup.method.inference, self.trained.params

    def _read(self, views: Mapping[str, Any], argument: str) -> dict[str, np.ndarray]:
        return own.to_model(self.trained.setup.dataset, views, argument)

    def _columns(self, covariates: Mapping[str, Any], num_rows: int) -> np.ndarray:
        """f32[N, K] of all covariates."""
        known = self.trained.setup.dataset.covariates
        if not isinstance(covariates, Mapping) or not known:
            what = "None: the model has none" if not known else "{name: values}"
            raise ValueError(f"`covariates` is {covariates!r}, expected {what}")
        return columns(known, covariates, num_rows, "covariates")

    def _as_if(
        self, covariates: Mapping[str, Any] | None, given: Mapping[str, Any]
    ) -> np.ndarray | None:
        """f32[N, K] that rows are decoded as: ``covariates``, else those in ``given``.

        None: the rows' own.
        """
        if covariates is None:
            return None
        if isinstance(covariates, Mapping):
            own_of_rows = {name: given[name] for name in self.covariates}
            covariates = own_of_rows | dict(covariates)
        size = len(next(x for m, x in given.items() if m in self.modalities))
        return self._columns(covariates, size)

    def _shown(
        self, values: dict[str, np.ndarray], clips: bool = True
    ) -> dict[str, np.ndarray]:
        dataset = self.trained.setup.dataset
        values = dataset.clip(values) if clips else values
        return own.to_user(dataset, values)

    def _step_size(self, given: Collection[str]) -> Any:
        """Adapted when first asked for, to the tuples that the run keeps."""
        subset, known = tuple(sorted(given)), self._step_sizes
        if subset in self.trained.step_sizes:
            return self.trained.step_sizes[subset]
        if subset and subset not in known:
            calibration = self.trained.calibration
            known[subset] = new_rows.step_size_of(*self._model, calibration, subset)
        return known.get(subset)


def _draws(num_samples: Any, seed: int) -> dict[str, int]:
    """The options of draws, once they are known to be some."""
    is_number = isinstance(num_samples, int) and not isinstance(num_samples, bool)
    if not is_number or num_samples < 1:
        raise ValueError(f"`num_samples` is {num_samples!r}, expected an integer >= 1")
    return {"num_samples": num_samples, "seed": seed}


def _on_rows(setup: Setup, folder: Path, read: dict[str, Any], labels: Any) -> Setup:
    """The setup with these rows as its test split, and others only where needed."""
    dataset, num_classes = setup.dataset, None
    if labels is not None:
        if dataset.num_classes is None:
            raise ValueError("`labels` are given, expected None: fit had none")
        size = len(next(iter(read.values())))
        labels, num_classes = own.as_labels(labels, size, dataset.num_classes)
        try:
            dataset = open_experiment(run_folder.read_config(folder)[0]).dataset
        except FileNotFoundError as error:
            raise ValueError(
                f"`labels` need classifiers, and the training data are gone: {error}"
            ) from error
    fetch_own = dataset.fetch

    def fetch(arrays: Any, rows: Any) -> Any:
        if isinstance(arrays, dict) and "new rows" in arrays:
            return fetch_stored(arrays["new rows"], rows)
        return fetch_own(arrays, rows)

    size, record = len(next(iter(read.values()))), dict(dataset.record)
    sums = {n: x for n, x in record["checksums"].items() if not n.endswith("test")}
    record["checksums"] = sums | {f"{m}_test": checksum(x) for m, x in read.items()}
    record["sizes"] = record["sizes"] | {"test": size}
    splits = {split: Split({}, 0, None) for split in ("train", "validation")}
    splits |= dataset.splits | {"test": Split({"new rows": read}, size, labels)}
    about = dict(splits=splits, fetch=fetch, num_classes=num_classes, record=record)
    return setup._replace(dataset=dataclasses.replace(dataset, **about))
