"""Fills in what rows lack, with a trained workdir: numbers in, numbers out.

    python -m jnf_jax.impute --workdir runs/wine --input partial.npz \\
        --out completed.npz --num_samples 100

``partial.npz`` holds an array [N, ...] under the name of each view, in the units of the
training data; a row that is all NaN lacks the view, and a view that is not in the file
is missing in all rows. It may be any file or folder that ``train`` reads, of .npy or
.csv files, or a .h5mu, to which the completed cells can go back (``--out cells.h5mu``,
a copy of it: see ``row_files.impute_file``). ``completed.npz`` has every view under its
name, complete; where one had holes, NAME.missing says where, and NAME.mean, .sd,
.quantiles (5, 50 and 95 %) and .draws say how sure it is. Draws have the likelihood's
noise; ``--nonoise`` leaves it out.

``--latent z.npz`` also writes the mean and the sd of z of every row, f32[N, D].
That is ``jnf_jax.load(workdir).impute(rows)`` and ``.latent(rows)``, the same numbers
for the same ``--seed``, and the data need not be there.
"""

from absl import flags

from jnf_jax import programs

_WORKDIR = programs.define_path("workdir", "Of a finished training run.")
_INPUT = programs.define_path("input", "Rows with holes: files of views, as .npz.")
_LABELS = flags.DEFINE_string("labels", "", "What holds labels there, if anything.")
_ID_COLUMN = flags.DEFINE_string("id_column", "", "Of .csv files; '' is the first.")
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", 100, "Draws for each row.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
_NOISE = flags.DEFINE_bool("noise", True, "Draw the likelihood's noise as well.")
_LATENT = programs.define_path("latent", "Also write z of every row to this .npz.")
_OUT = programs.define_path("out", ".npz to write; or .h5mu, of a .h5mu.")


def main(argv: list[str]) -> None:
    """Flags, then one file of numbers, or two."""
    from jnf_jax import row_files

    del argv
    row_files.impute_file(
        _WORKDIR.value,
        row_files.RowFiles(_INPUT.value, _LABELS.value, _ID_COLUMN.value),
        _OUT.value,
        latent=_LATENT.value,
        num_samples=_NUM_SAMPLES.value,
        seed=_SEED.value,
        noise=_NOISE.value,
    )
    print(*filter(None, [_OUT.value, _LATENT.value]), sep="\n")


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "input", "out"])
    programs.run(main)
