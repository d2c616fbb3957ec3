"""Draws from a trained workdir, as a picture or as numbers.

    python -m jnf_jax.sample --workdir runs/digits --given m0,m2 --num 64 --out grid.png

Without ``--given`` the draws are from the prior: the model's own, or the one that
``--prior`` names, as in ``--prior gmm_after``. Given tuples are of the test split.

    python -m jnf_jax.sample --workdir runs/wine --given-file rows.npz \\
        --out generated.npz --num_samples 8

Rows that the model has never seen: ``rows.npz`` holds an array [N, ...] under the name
of each view that is given, in the units of the training data (or it is another file or
folder that ``train`` reads); ``generated.npz`` one
[num_samples, N, ...] of every other view. These are decoder means, with ``--noise``
draws of the likelihood too; that is ``jnf_jax.load(workdir).generate(rows)``, the same
numbers for the same ``--seed``, and the data need not be there.
"""

from absl import flags

from jnf_jax import programs
from jnf_jax.options import names

_WORKDIR = programs.define_path("workdir", "Of a finished training run.")
_GIVEN = flags.DEFINE_string("given", None, "Given modalities, separated by commas.")
_PRIOR = flags.DEFINE_string("prior", None, "To draw from where nothing is given.")
_NUM = flags.DEFINE_integer(
    "num", 64, "Tuples or draws in the picture.", lower_bound=1, upper_bound=1_000
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
_DIFFUSED = flags.DEFINE_bool(
    "diffused", False, "Draws of the diffusion decoder instead of decoder means."
)
_FILE = programs.define_path("given-file", "New rows: files of views, as .npz.")
_LABELS = flags.DEFINE_string("labels", "", "What holds labels there, if anything.")
_ID_COLUMN = flags.DEFINE_string("id_column", "", "Of .csv files; '' is the first.")
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", 8, "Draws for each row of --given-file.", lower_bound=1
)
_NOISE = flags.DEFINE_bool("noise", False, "Draw the likelihood's noise as well.")
_OUT = programs.define_path("out", "PNG to write; .npz with --given-file.")


def main(argv: list[str]) -> None:
    """Flags, then one picture, or a file of numbers."""
    from jnf_jax import row_files

    del argv
    if _FILE.value is None:
        return _draw_picture()
    if _GIVEN.value is not None or _PRIOR.value is not None:
        raise ValueError("`--given-file` goes with neither `--given` nor `--prior`")
    row_files.generate_file(
        _WORKDIR.value,
        row_files.RowFiles(_FILE.value, _LABELS.value, _ID_COLUMN.value),
        _OUT.value,
        num_samples=_NUM_SAMPLES.value,
        seed=_SEED.value,
        noise=_NOISE.value,
    )
    print(_OUT.value)


def _draw_picture() -> None:
    """Of test tuples, or of draws from a prior."""
    import jax
    import numpy as np

    from jnf_jax.evaluation.energy_report import checked_draws
    from jnf_jax.evaluation.samples import Drawn, save
    from jnf_jax.experiments.draws import draw_conditional, show
    from jnf_jax.experiments.experiment import load_stages, open_experiment
    from jnf_jax.methods.method import check_prior_name, check_subset

    workdir, num, seed = _WORKDIR.value, _NUM.value, _SEED.value
    setup = open_experiment(programs.config_of(workdir)[0])
    inference = setup.method.inference
    size = setup.dataset.complete.splits["test"].size
    if _GIVEN.value is not None:
        subset = tuple(sorted(names(_GIVEN.value)))
        check_subset(subset, inference.modalities, name="--given")
        if _PRIOR.value is not None:
            raise ValueError(
                f"`--prior` is {_PRIOR.value!r}, expected none beside `--given`"
            )
    prior = check_prior_name(_PRIOR.value, inference.prior_names, argument="--prior")
    params, _, _ = load_stages(setup, workdir)
    if _GIVEN.value is None:
        print(f"drawing {num:,} times from the prior {prior!r}…", flush=True)
        z = checked_draws(inference, params, prior, jax.random.key(seed), num)
        drawn = Drawn({}, show(setup, params, z, seed, diffused=_DIFFUSED.value))
    else:
        print(f"drawing {num:,} tuples given {', '.join(subset)}…", flush=True)
        if num > size:
            print(f"the test split has {size:,} tuples: they are drawn given again")
        drawn = draw_conditional(
            setup, params, subset, np.arange(num), seed, diffused=_DIFFUSED.value,
            report=print,
        )  # fmt: skip
    for path in save(setup.dataset, drawn, _OUT.value):
        print(path)


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "out"])
    programs.run(main)
