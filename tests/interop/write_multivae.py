"""Writes what MultiVae makes of given weights, data and noise: losses and folders.

    RIVAL/bin/python tests/interop/write_multivae.py DIR --width 6

Runs in MultiVae's own environment (``benchmarks/rival.sh RIVAL``), without JAX and
without this package; ``multivae.zip`` is DIR, packed. Models, networks and losses are
MultiVae's, but for a number and two functions:

- its default MLPs are 512 wide and its flows 128: ``--width`` replaces both where they
  are built, so that what is committed is small;
- ``rsample`` of normal and Laplace distributions is ``loc + scale * noise``, of noise
  that is written, in the order in which it was asked for;
- of MVAE's random subsets the second one is taken.

Each class has a folder, as MultiVae saves it; what has the same name in two
of them has the same weights. ``losses.npz`` holds

===============  =======================================================================
data/VIEW        f32[8, ...] in [0, 1], pictures as [C, H, W]
CASE/loss        of each case: the loss, divided by the rows where MultiVae adds them up
CASE/noise/I     what was drawn, f32
CASE/slope/PART  Σ θ ∂loss/∂θ over the parameters whose names begin with PART
encoded/VIEW     mean of its encoder; of all views' encoder encoded/joint
decoded/VIEW     reconstructions of these, z = encoded/joint
===============  =======================================================================
"""

import argparse
import importlib
import importlib.machinery
import logging
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

SHAPES = {"photo": (2, 3, 2), "assay": (5,), "caption": (4,)}  # not in sorted order
ROWS, LATENT = 8, 3
COMMON = dict(
    n_modalities=3,
    latent_dim=LATENT,
    input_dims=SHAPES,
    uses_likelihood_rescaling=True,
    decoders_dist={"photo": "laplace", "assay": "normal", "caption": "normal"},
    decoder_dist_params={"photo": {"scale": 0.75}, "assay": {"scale": 0.5}},
)
CASES = {
    "jmvae": ("JMVAE", dict(alpha=0.3, beta=2.0, warmup=1)),
    "mvae": ("MVAE", dict(k=1, beta=2.0, warmup=1)),
    "mopoe": ("MoPoE", dict(beta=2.0)),
    "mvtcae": ("MVTCAE", dict(alpha=0.6, beta=2.0)),
    "mmvae": ("MMVAE", dict(K=3, loss="iwae_looser")),
    "mmvae_dreg": ("MMVAE", dict(K=3, loss="dreg_looser")),
    "mmvae_plus": (
        "MMVAEPlus",
        dict(K=2, beta=2.0, modalities_specific_dim=2, loss="iwae_looser"),
    ),
    "jnf_joint": ("JNF", dict(beta=2.0, warmup=1)),
    "jnf_unimodal": ("JNF", dict(beta=2.0, warmup=0)),
}
ADDS_ROWS = ("mmvae", "mmvae_dreg", "mmvae_plus")


def import_without_torchvision() -> None:
    """MultiVae imports torchvision, which none of this needs and which may be absent or
    built for another torch."""
    try:
        import torchvision  # noqa: F401
    except (RuntimeError, ImportError):
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        globals()["library"] = library  # its definitions last as long as it does


def make_narrow(width: int) -> None:
    """Default MLPs and flows of that width instead of 512 and of 128."""
    default = importlib.import_module("multivae.models.nn.default_architectures")
    jnf = importlib.import_module("multivae.models.jnf.jnf_model")

    def linear(inputs: int, outputs: int) -> nn.Linear:
        sizes = (width if size == 512 else size for size in (inputs, outputs))
        return nn.Linear(*map(int, sizes))

    narrow = types.SimpleNamespace(**vars(nn))
    narrow.Linear = linear
    default.nn = narrow
    config = jnf.MAFConfig
    jnf.MAFConfig = lambda input_dim: config(
        input_dim=input_dim, n_hidden_in_made=2, hidden_size=width
    )


class Noise:
    """Draws of NumPy in place of torch's, kept in the order of their use."""

    def __init__(self, name: str):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.drawn: list[np.ndarray] = []

    def patch(self) -> None:
        normal, laplace = torch.distributions.Normal, torch.distributions.Laplace
        normal.rsample = self.sampler(self.rng.standard_normal)
        laplace.rsample = self.sampler(lambda shape: self.rng.laplace(size=shape))

    def sampler(self, draw):
        def rsample(distribution, sample_shape=()):
            shape = distribution._extended_shape(torch.Size(sample_shape))
            self.drawn.append(draw(tuple(shape)).astype(np.float32))
            noise = torch.from_numpy(self.drawn[-1])
            return distribution.loc + distribution.scale * noise

        return rsample


def set_weights(model: nn.Module) -> None:
    """Weights that depend on their names and shapes alone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "prior_mean" or name.startswith("mean_priors"):
                continue
            if name == "logvars_priors.shared":
                continue
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            fan_in = parameter.shape[-1] if parameter.ndim > 1 else 4
            values = rng.standard_normal(parameter.shape) / fan_in**0.5
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def build(case: str) -> nn.Module:
    """The model of a case, with its weights."""
    models = importlib.import_module("multivae.models")
    name, own = CASES[case]
    config = getattr(models, f"{name}Config")(**COMMON, **own)
    model = getattr(models, name)(config)
    set_weights(model)
    return model.train()


def slopes(model: nn.Module, loss: torch.Tensor) -> dict[str, float]:
    """Σ θ ∂loss/∂θ by part, as "encoders.photo"."""
    loss.backward()
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        first, second, *_ = name.split(".") + [""]
        is_one = first in ("joint_encoder", "prior_log_var")
        part = first if is_one else f"{first}.{second}"
        inner = (parameter.double() * parameter.grad.double()).sum().item()
        found[part] = found.get(part, 0.0) + inner
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=512)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    import_without_torchvision()
    from multivae.data.datasets.base import MultimodalBaseDataset

    if flags.width != 512:
        make_narrow(flags.width)
    mvae = importlib.import_module("multivae.models.mvae.mvae_model")
    mvae.choice = lambda values, size, replace: values[1 : 1 + size]
    rng = np.random.default_rng(0)
    data = {
        m: rng.random((ROWS, *shape), np.float32) for m, shape in sorted(SHAPES.items())
    }
    views = {m: torch.from_numpy(data[m]) for m in SHAPES}
    arrays = {f"data/{m}": x for m, x in data.items()}
    flags.out.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        model, noise = build(case), Noise(case)
        noise.patch()
        if case == "jnf_unimodal":  # as after the stage's first step
            model._set_torch_no_grad_on_joint_vae()
        loss = model(MultimodalBaseDataset(views), epoch=1).loss
        if case in ADDS_ROWS:
            loss = loss / ROWS
        arrays[f"{case}/loss"] = np.float64(loss.item())
        arrays |= {f"{case}/noise/{i}": x for i, x in enumerate(noise.drawn)}
        arrays |= {f"{case}/slope/{p}": s for p, s in slopes(model, loss).items()}
        folder = flags.out / CASES[case][0]
        if not folder.exists():  # cases of a class have one model
            model.save(str(folder))
        if case == "jnf_joint":
            arrays |= shown(model, views)
    np.savez_compressed(flags.out / "losses.npz", **arrays)


@torch.no_grad()
def shown(model: nn.Module, views: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What encoders and decoders give, those of all models but MMVAE+'s."""
    z = model.joint_encoder(views).embedding
    found = {f"encoded/{m}": model.encoders[m](x).embedding for m, x in views.items()}
    found["encoded/joint"] = z
    for m, decoder in model.decoders.items():
        found[f"decoded/{m}"] = decoder(z).reconstruction
    return {name: x.numpy() for name, x in found.items()}


if __name__ == "__main__":
    main()
