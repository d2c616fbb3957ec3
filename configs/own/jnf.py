"""JNF on a data set of your own; its shapes choose networks and likelihoods.

    python -m jnf_jax.train --config own/jnf --config.data.path=x.npz --workdir runs/a
    python -m jnf_jax.train --config own/jnf:runs/a/data --workdir runs/b

``data.path`` names files of views (``data/view_files.py``), which are converted into
the run's folder, as ``jnf_jax.fit`` does; ``data.labels``, ``data.id_column`` and
``data.scaling.VIEW`` say how. The folder after the colon is one that was converted, or
that ``jnf_jax.data.record_files.write`` wrote. What ``RULES`` choose has a field for
every view, as in ``--config.model.likelihoods.assay.scale=0.3``. A copy of this file is
a good start for rules of your own: ``fit(…, config="mine.py")``.

Bool and integers have likelihoods of their own, by ``LIKELIHOODS``; which of them a
view is, ``fit`` finds out by the rules in ``jnf_jax.data.own.KINDS``. Angles, in
radians, and data with outliers are yours to name::

    --config.model.likelihoods.heading.name=von_mises \\
    --config.model.networks.heading.reads=angle --config.data.scaling.heading=none
    --config.model.likelihoods.assay.name=student_t

One flow infers z from every subset of the views. The product of one flow a view, by
chains, as JNF was published, is ``--config.subset_posterior.name=product
--config.stages=joint,unimodal``.

A standard deviation of a likelihood is what the model need not explain. For vectors and
sequences it is three tenths of the data's own, in the units that the model sees: those
that ``fit`` standardised have 1. There it starts, and is learnt, feature by feature;
that of pictures is fixed.

Sizes are chosen for small tables, by ``sizes_of``. On 1,120 rows of six linear views
with four causes, 24 numbers, the validation loss of stage ``joint`` ended at 18.6 nats
with a rate of 1e-3, at 16.5 with 3e-3 and at 15.4 with 1e-2; of the law that they were
drawn from it is 15.0, on other rows. Seed 0, on the way to this file.
"""

import math

import ml_collections

from jnf_jax.configs import base
from jnf_jax.data import manifest
from jnf_jax.runtime.files import user_path

RELATIVE_SCALE = 0.3
"""Standard deviation of a normal likelihood over that of the data."""

MOST_COLUMNS = 200
"""Of all views together, up to which the joint stage learns at the rate that learnt
scales want, and half of the loss of stage ``subsets`` is on rows that the decoders
draw. A picture has more."""

FEW_ROWS, MORE_ROWS = 200, 500
"""Below how many rows to train on weights are narrower a priori than N(0, 1): below the
first N(0, 1/n), n the inputs of a layer, and then, in stage ``joint``, N(0, 1/8).

Numbers here are R², and the cover of 90 % intervals, of ``python -m
benchmarks.imputation --cases random.3``, by hand. Wine, 100 rows, seeds 0 and 1, at
6908d24: .30 and .77 with N(0, 1), .33 and .84 with N(0, 1/n). At 9ccf711, seed 0, with
``joint.weight_decay``: diabetes, 250 rows, .348 and .855, .391 and .884 with .03;
breast_cancer, 320 rows, .763 and .841, .757 and .886 with .025; nonlinear, 1,120 rows,
.616, and .601 with .007. Of covariates a decoder learns less by N(0, 1/n), and z
carries more of them."""

ROWS_A_LATENT = 32
"""Below ``FEW_ROWS`` there is one latent for so many. By hand at 9ccf711, as above: R²
of wine, seeds 0 and 1, .357 with 3 latents, .333 with 13; with more rows fewer latents
lost, breast_cancer .718 with 9 and .757 with 15."""

RULES = {
    "picture": "u8 or in [0, 1], [H, W, 1 or 3], sides that 4 divides, 16 and more",
    "vector": "[F]",
    "sequence": "[T, C]",
    "array": "[H, W, C], whatever else",
}


def rule_of(shape: tuple[int, ...], is_unit: bool) -> str:
    """The rule in ``RULES`` for events of ``shape``; ``is_unit``: values in [0, 1]."""
    if len(shape) < 3:
        return {1: "vector", 2: "sequence"}[len(shape)]
    sides, channels = shape[:2], shape[2]
    convolves = all(side >= 16 and side % 4 == 0 for side in sides)
    return "picture" if is_unit and convolves and channels in (1, 3) else "array"


def network_of(
    rule: str, is_unit: bool, is_partial: bool = False, width: int = 256
) -> dict:
    """Encoder trunk and mirrored decoder: a field of ``model.networks``.

    ``is_partial``: rows may lack single entries. A linear map goes beside dense layers.
    """
    activation = "sigmoid" if is_unit and rule in ("picture", "array") else "identity"
    return dict(
        kind="conv" if rule == "picture" else "mlp",
        features=(32, 64) if rule == "picture" else (),
        kernel_size=4,
        hidden_sizes=(256 if rule == "picture" else width,),
        activation=activation,
        reads="values",
        partial_entries=is_partial,
        linear_path=rule != "picture",
    )


def sizes_of(num_rows: int, num_numbers: int) -> tuple[int, int, float]:
    """Latent size, width of dense layers, weight decay; a run prints them.

    ::

        D = F/2, of few rows at most N/32, from 2 to 16;   λ = 1/N
        width: N/8 as a power of two, 32 to 256

    N rows to train on have F numbers in all of their views together; see ``FEW_ROWS``
    and ``ROWS_A_LATENT``.
    """
    most = num_rows // ROWS_A_LATENT if num_rows < FEW_ROWS else 16
    latent = max(min(-(-num_numbers // 2), most, 16), 2)
    width = 2 ** min(max(num_rows.bit_length() - 4, 5), 8)
    return latent, width, 1 / num_rows


LIKELIHOODS = {
    "boolean": dict(name="bernoulli", scale=1.0),
    "classes": dict(name="categorical", scale=1.0),
    "scores": dict(name="ordinal", scale=1.0, learns_scale=True),
    "counts": dict(name="negative_binomial", scale=1.0, learns_scale=True),
}
"""Of bool and integers. Cut points and dispersions are learnt; encoders read counts as
log(1 + x), likelihoods the counts themselves."""


def likelihood_of(
    spread: float | None,
    kind: str | None = None,
    high: float | int = 0,
    learns_scale: bool = False,
) -> dict:
    """p(x_m|z), a field of ``model.likelihoods``; arguments as the manifest has them.

    ``high`` is the largest value, which tells how many scores there are. The scale of a
    normal likelihood stays what it is unless ``learns_scale``.
    """
    if kind is not None:
        own = dict(num_classes=int(high) + 1) if kind == "scores" else {}
        return LIKELIHOODS[kind] | own | dict(weight=1.0)
    scale = 0.2 if spread is None else max(RELATIVE_SCALE * spread, 1e-3)
    return dict(name="normal", scale=scale, learns_scale=learns_scale, weight=1.0)


def manifest_of(folder: str) -> dict:
    """What the data set in ``folder`` says of itself."""
    return manifest.read(user_path(folder, "data.records_dir"))


def get_config(folder: str = "") -> ml_collections.ConfigDict:
    """Sizes, networks and likelihoods of the views in ``folder``.

    Without a folder every view is taken for a vector.
    """
    config = base.get_config()
    config.data = dict(
        name="records", placement="auto", records_dir=folder, cache_dir=""
    )
    networks = {"default": network_of("vector", is_unit=False)}
    likelihoods, size = {"default": likelihood_of(None, learns_scale=True)}, 512
    is_partial, latent_dim, width, decay = False, 16, 256, 0.0
    num_numbers = 0
    num_covariates = 0
    if folder:
        about = manifest_of(folder)
        files = [name for of in about["splits"].values() for name in of["files"]]
        is_partial = any(name.endswith("-present.npy") for name in files)
        num_covariates = manifest.num_covariates(about)
        size = about["splits"]["train"]["size"]
        num_numbers = sum(math.prod(shape) for shape in about["shapes"].values())
        latent_dim, width, decay = sizes_of(size, num_numbers)
        for m, shape in about["shapes"].items():
            low, high = about["floats"].get(m, (0, 1))
            is_unit = 0 <= low and high <= 1
            rule = rule_of(tuple(shape), is_unit)
            kind = about["kinds"].get(m)
            networks[m] = network_of(rule, is_unit, m in about["partial"], width)
            if kind is not None:  # outputs of their likelihoods are not bounded
                networks[m]["activation"] = "identity"
                networks[m]["reads"] = "log1p" if kind == "counts" else "values"
            spread, learns_scale = about["spread"].get(m), len(shape) < 3
            likelihoods[m] = likelihood_of(spread, kind, high, learns_scale)
    config.model = dict(
        compute_dtype="float32",
        latent_dim=latent_dim,
        beta=1.0,
        joint_hidden_sizes=(width,),
        head_size=64,
        likelihood_rescaling=False,
        partial_rows=is_partial,
        linear_path=True,
        num_covariates=num_covariates,
        networks=networks,
        likelihoods=likelihoods,
    )
    batch_size = min(64, size)
    config.flow.max_log_scale = 2.0
    config.optimizer.schedule = "cosine"
    config.stages = "joint,subsets"
    config.joint = dict(
        num_steps=2_000,
        batch_size=batch_size,
        # A step of Adam moves what a layer gives by the rate times its inputs: at 1e-2
        # a table of 20,000 columns diverged.
        learning_rate=1e-2 if num_numbers <= MOST_COLUMNS else 1e-3,
        gradient_clip=50.0,
    )
    config.optimizer.update(weight_decay=decay, decay_by_inputs=size < FEW_ROWS)
    if FEW_ROWS <= size < MORE_ROWS:
        config.joint.weight_decay = 8 * decay
    config.subset_posterior.update(
        name="amortised",
        hidden_sizes=(width, width),
        linear_path=True,
        simulated_share=0.5 if 0 < num_numbers <= MOST_COLUMNS else 0.0,
    )
    config.flow.update(
        num_blocks=2, hidden_sizes=(64, 64), context_size=64, num_posterior_samples=2
    )
    config.subsets = dict(
        num_steps=2_000,
        batch_size=min(256, size),
        learning_rate=3e-3,
        gradient_clip=50.0,
        ema_decay=0.995,
    )
    config.unimodal = dict(num_steps=1_000, batch_size=batch_size)  # of "product"
    config.evaluation.classifier = dict(
        num_steps=500, batch_size=batch_size, select="last"
    )
    config.lock()
    return config
