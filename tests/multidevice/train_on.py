"""Trains a small convolutional stage on a mesh of N devices; prints losses as JSON."""

import json
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.runtime import parallel
from jnf_jax.training.stage_run import compile_programs
from jnf_jax.training.trainer import Stage, TrainSettings, train


def make_stage() -> Stage:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(326, 8, 8, 1), dtype=np.uint8)

    def init(rng_key):
        first, second = jax.random.split(rng_key)
        return {
            "filter": jax.random.normal(first, (3, 3, 1, 4)) / 3,
            "dense": jax.random.normal(second, (4 * 16, 2)) / 8,
        }

    def loss(params, frozen, rng_key, batch):
        features = jax.lax.conv_general_dilated(
            batch["x"],
            params["filter"],
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        features = jnp.tanh(features).reshape(features.shape[0], -1)
        z = features @ params["dense"]
        z = z + frozen * jax.random.normal(rng_key, z.shape)
        target = jnp.stack([batch["x"].mean((1, 2, 3)), batch["x"].std((1, 2, 3))], 1)
        error = jnp.mean((z - target) ** 2)
        return error, {"error": error}

    def fetch(arrays, indices):
        """Noise that is a datum's own, as the crops of rendered pictures are."""
        own = jax.vmap(lambda index: jax.random.fold_in(arrays["key"], index))(indices)
        noise = jax.vmap(lambda key: jax.random.uniform(key, (8, 8, 1)))(own)
        return {"x": arrays["images"][indices].astype(jnp.float32) / 255 + 0.1 * noise}

    arrays = {"key": jax.random.key(3)}
    return Stage(
        name="joint",
        init=init,
        loss=loss,
        fetch=fetch,
        train_arrays=arrays | {"images": images[:256]},
        train_size=256,
        validation_arrays=arrays | {"images": images[256:]},
        validation_size=70,  # three batches of 23: eight devices do not divide them
        frozen=np.float32(0.1),
    )


def share_of_first_device(settings, mesh) -> float:
    """Of the elements of parameters and moments."""
    programs = compile_programs(make_stage(), settings, mesh)
    leaves = jax.tree.leaves(programs.init(jax.random.key(0)))
    held = sum(leaf.addressable_shards[0].data.size for leaf in leaves)
    return held / sum(leaf.size for leaf in leaves)


def main(
    num_devices: int,
    directory: Path,
    batch_size: int = 32,
    stop_after: int = -1,
    parameters: str = "replicated",
) -> None:
    """Takes 40 steps, or SIGTERM after the step ``stop_after``."""
    losses, validation = [], []

    def log(record):
        if record["event"] == "train":
            losses.append(record["loss"])
        if record["event"] == "validation":
            validation.append(record["loss"])
        if record["event"] == "train" and record["step"] == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    settings = TrainSettings(
        num_steps=40,
        batch_size=batch_size,
        learning_rate=1e-2,
        gradient_clip=1.0,
        checkpoint_every=40,
        evaluate_every=20,
        log_every=5,
        parameters=parameters,
    )
    mesh = parallel.make_mesh(num_devices)
    result = train(
        make_stage(),
        settings,
        directory=directory,
        metadata={},
        mesh=mesh,
        log=log,
        show_progress=False,
    )
    leaves = jax.tree.leaves(result.params)
    print(
        json.dumps(
            {
                "losses": losses,
                "validation": validation,
                "params": np.concatenate([np.ravel(x) for x in leaves]).tolist(),
                "devices_of_params": len(leaves[0].sharding.device_set),
                "resumed_from": result.resumed_from,
                "share_of_first_device": share_of_first_device(settings, mesh),
            }
        )
    )
