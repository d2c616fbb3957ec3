"""Draws from a trained workdir as a picture.

    python -m jnf_jax.sample --workdir runs/digits --given m0,m2 --num 64 --out grid.png

Without ``--given`` the draws are from the prior: the model's own, or the one that
``--prior`` names, as in ``--prior gmm_after``. Given tuples are of the test split.
"""

from pathlib import Path

import jax
from absl import flags

from jnf_jax import programs
from jnf_jax.evaluation.samples import save
from jnf_jax.experiments.energy_report import checked_draws
from jnf_jax.experiments.evaluate import draw_conditional, show_unconditional
from jnf_jax.experiments.experiment import load_stages, open_experiment
from jnf_jax.methods.method import check_prior_name, check_subset

_WORKDIR = flags.DEFINE_string("workdir", None, "Of a finished training run.")
_GIVEN = flags.DEFINE_string("given", None, "Given modalities, separated by commas.")
_PRIOR = flags.DEFINE_string("prior", None, "To draw from where nothing is given.")
_NUM = flags.DEFINE_integer("num", 64, "Number of tuples or draws.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
_DIFFUSED = flags.DEFINE_bool(
    "diffused", False, "Draws of the diffusion decoder instead of decoder means."
)
_OUT = flags.DEFINE_string("out", None, "PNG to write.")


def main(argv: list[str]) -> None:
    """Flags, then one picture."""
    del argv
    workdir = Path(_WORKDIR.value)
    setup = open_experiment(programs.config_of(workdir)[0])
    inference = setup.method.inference
    if _GIVEN.value is not None:
        subset = tuple(sorted(name for name in _GIVEN.value.split(",") if name))
        check_subset(subset, inference.modalities, name="--given")
        if _PRIOR.value is not None:
            raise ValueError(
                f"`--prior` is {_PRIOR.value!r}, expected none beside `--given`"
            )
    prior = check_prior_name(_PRIOR.value, inference.prior_names, argument="--prior")
    params, _, _ = load_stages(setup, workdir)
    if _GIVEN.value is None:
        key = jax.random.key(_SEED.value)
        z = checked_draws(inference, params, prior, key, _NUM.value)
        drawn = show_unconditional(
            setup, params, z, _SEED.value, diffused=_DIFFUSED.value
        )
    else:
        drawn = draw_conditional(
            setup, params, subset, _NUM.value, _SEED.value, diffused=_DIFFUSED.value
        )
    for path in save(setup.dataset, drawn, Path(_OUT.value)):
        print(path)


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "out"])
    programs.run(main)
