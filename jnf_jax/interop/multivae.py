"""Reads what MultiVae trained with its default networks; needs neither it nor torch.

::

    multivae.convert("theirs/final_model", "mine")    # jnf_jax.load("mine")
    multivae.write_joint("theirs/final_model", "mine.py", "joint")
        # which that config reads with --config.init.joint=joint

Nothing of their folder is run. ``model_config.json`` is JSON; of ``model.pt`` raw
storages are read, and the pickle that says how they make tensors is taken apart by
``data/torch_file.py`` and never loaded. Models whose networks were pickled beside it
(``custom_architectures``) are therefore refused.

==================  ====================================================================
their class         read as
==================  ====================================================================
JMVAE               ``jmvae``
JNF                 ``jnf``, the joint VAE alone: their flows are of another kind
MVAE                ``mvae``, K = k
MoPoE               ``mopoe``; of all subsets, one latent space
MVTCAE              ``mvtcae``
MMVAE, MMVAEPlus    ``mmvae``, ``mmvae_plus``; of "laplace_with_softmax". MMVAE has
                    β = 1: its loss does not read the β of its config
==================  ====================================================================

Encoders, decoders and prior are theirs, exactly. Given some views a method infers as it
does here: JMVAE divides by the prior, MoPoE mixes the products of all that is given.
Their default decoder has one layer less than our mirror image of the encoder: the layer
between is the identity, which after ReLU changes nothing. A view of three axes is a
picture, [C, H, W] there and [H, W, C] here; values have to be what they were there.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from jnf_jax import api, checkpoint
from jnf_jax.checkpoint import key_paths
from jnf_jax.data import torch_file
from jnf_jax.data.dataset import Dataset
from jnf_jax.experiments import config_files, exported, logs, options, run_folder
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.experiment import (
    Setup,
    build_setup,
    open_experiment,
    stage_identity,
)
from jnf_jax.methods.registry import stages_of
from jnf_jax.names import check_names
from jnf_jax.runtime.files import new_folder, read_json, user_path
from jnf_jax.types import Params, Shapes

METHODS = {
    "JMVAE": "jmvae",
    "JNF": "jnf",
    "MVAE": "mvae",
    "MoPoE": "mopoe",
    "MVTCAE": "mvtcae",
    "MMVAE": "mmvae",
    "MMVAEPlus": "mmvae_plus",
}
"""Their class -> our method."""

_MIXTURES = ("mmvae", "mmvae_plus")
_LIKELIHOODS = ("normal", "laplace")

SUPPORTED = (
    f"supported are {', '.join(METHODS)} with default MLPs (no "
    "`custom_architectures`), `decoders_dist` normal or laplace, one latent space and "
    "all subsets (MoPoE), and `prior_and_posterior_dist` laplace_with_softmax (MMVAE, "
    "MMVAEPlus)"
)

State = dict[str, np.ndarray]
"""Their state_dict; what is read is taken out."""


class Found(NamedTuple):
    """A model that was read.

    Attributes:
        config: All settings, as those of a run; what only training asks for is made up.
        setup: The same, checked, and the method; its ``dataset`` knows shapes alone.
        params: {"joint": parameters}.
    """

    config: ml_collections.ConfigDict
    setup: Setup
    params: dict[str, Params]


def read(folder: str | Path) -> Found:
    """Reads ``model_config.json`` and ``model.pt`` of a folder that MultiVae saved.

    Raises:
        ValueError: In one line: no such folder; what is not supported, and what is; a
            file that is damaged; a tensor that is missing or has no place here.
    """
    folder = user_path(folder, "folder")
    for name in ("model_config.json", "model.pt"):
        if not (folder / name).is_file():
            raise ValueError(f"`folder` {folder} has no {name}, which MultiVae saves")
    path = folder / "model_config.json"
    about = read_json(path, name=str, n_modalities=int, latent_dim=int)
    if fault := _fault(about):
        raise ValueError(f"{path}: {fault}; {SUPPORTED}")
    method = METHODS[about["name"].removesuffix("Config")]
    theirs = {m: tuple(shape) for m, shape in about["input_dims"].items()}
    check_names(theirs, f"{path}: `input_dims`")
    state = torch_file.load_tensors(folder / "model.pt", within="model_state_dict")
    try:
        sizes = {m: _widths(state, f"encoders.{m}.layers") for m in theirs}
        joint = _widths(state, "joint_encoder.enc")
        params = _params(method, dict(state), theirs)
    except KeyError as error:
        raise ValueError(
            f"{folder / 'model.pt'} has no tensor {error}; {SUPPORTED}"
        ) from error
    try:
        config = _config(method, about, theirs, sizes, joint)
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}; {SUPPORTED}") from error
    dataset = Dataset(
        name="multivae",
        shapes={m: _ours(shape) for m, shape in theirs.items()},
        splits={},
        fetch=run_folder.no_rows,
        num_classes=None,
        record={"checksums": {}, "sizes": {}},
    )
    setup = build_setup(resolve(config), dataset)
    _check(f"{folder / 'model.pt'}", params, setup)
    return Found(config, setup, {"joint": params})


def convert(folder: str | Path, to: str | Path) -> api.Model:
    """Writes a model to a new folder ``to``, which ``jnf_jax.load`` opens; opens it.

    It is in the form of ``Model.export``. Rows and draws are in the units that the
    model was trained in.

    Raises:
        ValueError: As ``read``; a JNF, of which a part would be missing; ``to`` is
            there and not empty.
    """
    found, to = read(folder), new_folder(to, "to")
    if found.setup.experiment.method == "jnf":
        raise ValueError(
            f"`folder` {folder} is a JNF, of which the joint VAE alone can be read: "
            "expected JMVAE or another, or `write_joint`, whose stage a config goes "
            "on from"
        )
    command = f"jnf_jax.interop.multivae.convert({str(folder)!r}, …)"
    logs.write_config(to, found.config.to_dict(), "MultiVae", command)
    run_folder.write_views(found.setup.dataset, to)
    identity = key_paths.digest_tree(found.params["joint"])[:16]
    model = exported.Exported(found.params, {"joint": identity}, 0.0, {})
    exported.write(to, to, found.setup, model, None)
    return api.load(to)


def write_joint(folder: str | Path, config: str, directory: str | Path) -> Path:
    """Writes a model as the checkpoint of a config's stage "joint".

    The config reads it by ``init.joint`` and trains the other stages, on its own data:
    these, in the units that MultiVae saw, and likelihoods are the config's.

    Args:
        folder: That of a JNF, or of another model.
        config: Name or file of one, whose networks are the same.
        directory: Of the checkpoint.

    Raises:
        ValueError: As ``read``; faults of the config or its data; parameters of other
            names or shapes, which are listed.
    """
    found, setup = read(folder), open_experiment(config_files.load_config(config))
    params, (stage, *_) = found.params["joint"], setup.method.stages
    _check(f"`folder` {folder} as stage {stage.name!r} of {config}", params, setup)
    about = {"config": stage_identity(setup, stage, {}), "settings": {"num_steps": 0}}
    return checkpoint.save(
        user_path(directory, "directory"), 0, params, {"step": np.zeros((), np.int32)},
        {"identity": about, "seconds": 0.0},
    )  # fmt: skip


def _check(what: str, params: Params, setup: Setup) -> None:
    """Raises ValueError where the parameters are not those of the first stage."""
    like = jax.eval_shape(setup.method.stages[0].init, jax.random.key(0))
    trees = (key_paths.flatten_tree(tree) for tree in (params, like))
    key_paths.check_leaves(what, *trees)


def _fault(about: Mapping[str, Any]) -> str | None:
    """The first field that is not supported."""
    kind = about["name"].removesuffix("Config")
    if kind not in METHODS:
        return f"it is a {kind}"
    if names := about.get("custom_architectures"):
        return f"`custom_architectures` is {names}"
    if not isinstance(about.get("input_dims"), dict):
        return f"`input_dims` is {about.get('input_dims')!r}"
    for m, name in (about.get("decoders_dist") or {}).items():
        if name not in _LIKELIHOODS:
            return f"`decoders_dist.{m}` is {name!r}"
    if kind == "MoPoE":
        if about.get("modalities_specific_dim") is not None:
            return "it has private latents"
        given = about.get("subsets")
        given = given.values() if isinstance(given, dict) else given
        if given is not None:
            num = len({tuple(sorted(subset)) for subset in given if subset})
            if num < 2 ** about["n_modalities"] - 1:
                return f"it has {num} subsets"
    if METHODS[kind] in _MIXTURES:
        family = about.get("prior_and_posterior_dist")
        if family != "laplace_with_softmax":
            return f"`prior_and_posterior_dist` is {family!r}"
        if about.get("learn_shared_prior"):
            return "`learn_shared_prior` is True"
    return None


# --- settings -------------------------------------------------------------------------


def _config(
    method: str,
    about: Mapping[str, Any],
    theirs: Shapes,
    sizes: Mapping[str, tuple[int, ...]],
    joint: tuple[int, ...],
) -> ml_collections.ConfigDict:
    """Their settings in our words."""
    factors = dict.fromkeys(theirs, 1.0)
    if about.get("uses_likelihood_rescaling"):
        dims = {m: math.prod(shape) for m, shape in theirs.items()}
        by_size = {m: max(dims.values()) / dim for m, dim in dims.items()}
        factors = about.get("rescale_factors") or by_size
    names, params = (
        about.get(field) or {} for field in ("decoders_dist", "decoder_dist_params")
    )
    config = options.base().unlock()
    config.method, config.stages = method, "joint"
    config.data = dict(name="records", placement="auto", records_dir="", cache_dir="")
    config.model = dict(
        latent_dim=about["latent_dim"],
        beta=1.0 if method == "mmvae" else float(about["beta"]),
        joint_hidden_sizes=joint or (512, 512),
        head_size=0,
        networks={
            m: dict(kind="mlp", hidden_sizes=sizes[m], activation="sigmoid")
            for m in theirs
        },
        likelihoods={
            m: dict(
                name=names.get(m, "normal"),
                scale=float(params.get(m, {}).get("scale", 1.0)),
                weight=float(factors[m]),
            )
            for m in theirs
        },
    )
    for stage in stages_of(method, "product"):
        config[stage] = dict(num_steps=1, batch_size=64)
    if method == "jmvae":
        config.model.alpha, config.flow.num_blocks = float(about["alpha"]), 0
    if method == "mvae":
        is_full = about["n_modalities"] > 2 and about.get("use_subsampling", True)
        config.mvae = dict(num_subsets=about["k"] if is_full else 0)
    if method == "mvtcae":
        config.mvtcae = dict(alpha=float(about["alpha"]))
    if method in _MIXTURES:
        kind = dict(family="laplace", scale="softmax", num_importance_samples=1)
        kind["num_importance_samples"] = about["K"]
    if method == "mmvae":
        is_dreg = about["loss"] == "dreg_looser"
        how = "dreg_published" if is_dreg else "plain"
        config.mmvae = kind | dict(bound="looser", gradient=how)
        config.model.prior = dict(name="learnable_scale", kind="laplace")
    if method == "mmvae_plus":
        config.experts = kind | dict(private_dim=about["modalities_specific_dim"])
        config.model.prior = dict(name="laplace")
    return config.lock()


# --- parameters -----------------------------------------------------------------------


def _params(method: str, state: State, theirs: Shapes) -> Params:
    """Their tensors, all of them, as the parameters of our stage "joint".

    Raises:
        KeyError: A tensor is missing.
        ValueError: One is left over.
    """
    names = sorted(theirs)
    params = {"decoders": {m: _decoder(state, m, theirs[m]) for m in names}}
    if method in ("jnf", "jmvae"):
        params["encoder"] = _joint_encoder(state, theirs)
    if method == "jmvae":
        params["experts"] = {
            m: {"encoder": _encoder(state, f"encoders.{m}", theirs[m]), "flow": {}}
            for m in names
        }
    elif method != "jnf":
        scale = "scale_logits" if method in _MIXTURES else "log_variance"
        params["experts"] = {
            m: _encoder(state, f"encoders.{m}", theirs[m], scale) for m in names
        }
    if method == "mmvae":
        params["prior"] = {"logits": state.pop("prior_log_var")[0]}
    if method == "mmvae_plus":
        params["experts"] = {
            m: {
                "shared": shared,
                "private": {"trunk": shared["trunk"]}
                | _heads(state, f"encoders.{m}.style_", "scale_logits"),
            }
            for m, shared in params["experts"].items()
        }
        params["auxiliary"] = {
            m: {"logits": state.pop(f"logvars_priors.{m}")[0]} for m in names
        }
    _check_rest(method, state)
    return params


def _check_rest(method: str, state: State) -> None:
    """Refuses tensors that were not read, but for those that nothing reads."""
    # Log-variances of the joint encoder's heads; fixed parameters of priors, zero.
    unread = ["mean_priors.", "prior_mean", "logvars_priors.shared"]
    unread += ["encoders.", "flows."] if method == "jnf" else []
    rest = [name for name in state if not name.startswith(tuple(unread))]
    rest = [
        name
        for name in rest
        if not (name.startswith("joint_encoder.encoders.") and ".log_var." in name)
    ]
    if rest:
        raise ValueError(f"MultiVae's model has tensors {rest}; {SUPPORTED}")
    for name in (n for n in state if n.startswith(tuple(unread[:3]))):
        if np.any(state[name]):
            raise ValueError(f"MultiVae's model has {name!r} ≠ 0; {SUPPORTED}")


def _ours(shape: tuple[int, ...]) -> tuple[int, ...]:
    """[C, H, W] -> [H, W, C]; other shapes are the same."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _order(theirs: tuple[int, ...]) -> np.ndarray:
    """Their position of each of our pixels, both flattened."""
    position = np.arange(math.prod(theirs)).reshape(theirs)
    return (np.moveaxis(position, 0, -1) if len(theirs) == 3 else position).ravel()


def _dense(state: State, name: str) -> dict[str, np.ndarray]:
    weight, bias = state.pop(f"{name}.weight"), state.pop(f"{name}.bias")
    return {"kernel": np.ascontiguousarray(weight.T), "bias": bias}


def _widths(state: State, layers: str) -> tuple[int, ...]:
    """Sizes of an MLP's layers; () where there is none of the name."""
    found: list[int] = []
    while (bias := state.get(f"{layers}.{len(found)}.0.bias")) is not None:
        found.append(len(bias))
    return tuple(found)


def _mlp(state: State, layers: str) -> dict[str, Params]:
    num = max(len(_widths(state, layers)), 1)
    return {f"Dense_{i}": _dense(state, f"{layers}.{i}.0") for i in range(num)}


def _trunk(state: State, name: str, theirs: tuple[int, ...]) -> dict[str, Params]:
    trunk = _mlp(state, f"{name}.layers")
    trunk["Dense_0"]["kernel"] = trunk["Dense_0"]["kernel"][_order(theirs)]
    return trunk


def _heads(state: State, prefix: str, scale: str) -> dict[str, Params]:
    return {
        "mean": _dense(state, f"{prefix}embedding"),
        scale: _dense(state, f"{prefix}log_var"),
    }


def _encoder(
    state: State, name: str, theirs: tuple[int, ...], scale: str = "log_variance"
) -> Params:
    heads = _heads(state, f"{name}.", scale)
    return {"trunk": _trunk(state, name, theirs), **heads}


def _joint_encoder(state: State, theirs: Shapes) -> Params:
    """Their heads are concatenated in an order of their own."""
    inner = "joint_encoder.encoders."
    order = list(dict.fromkeys(
        name.removeprefix(inner).partition(".")[0]
        for name in state if name.startswith(inner)
    ))  # fmt: skip
    found: Params = {}
    for i, m in enumerate(sorted(theirs)):
        found[f"heads_{i}_1"] = _trunk(state, inner + m, theirs[m])
        found[f"head_{m}"] = _dense(state, f"{inner}{m}.embedding")
    found["MlpTrunk_0"] = _mlp(state, "joint_encoder.enc")
    first = found["MlpTrunk_0"]["Dense_0"]
    parts = np.split(first["kernel"], len(order))
    chosen = [parts[order.index(m)] for m in sorted(theirs)]
    first["kernel"] = np.concatenate(chosen)
    mean, log_variance = (_dense(state, f"joint_encoder.fc{i}") for i in (1, 2))
    return found | {"body": {"mean": mean, "log_variance": log_variance}}


def _decoder(state: State, m: str, theirs: tuple[int, ...]) -> Params:
    """Their one layer, identities for the others of the encoder's mirror, the last."""
    trunk = {"Dense_0": _dense(state, f"decoders.{m}.layers.0.0")}
    last = _dense(state, f"decoders.{m}.layers.1.0")
    width = len(last["kernel"])
    for i in range(1, len(_widths(state, f"encoders.{m}.layers"))):
        identity = np.eye(width, dtype=np.float32)
        bias = np.zeros(width, np.float32)
        trunk[f"Dense_{i}"] = {"kernel": identity, "bias": bias}
    order = _order(theirs)
    last = {"kernel": last["kernel"][:, order], "bias": last["bias"][order]}
    return {"MlpTrunk_0": trunk, "Dense_0": last}
