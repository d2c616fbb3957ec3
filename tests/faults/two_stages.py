"""To be killed in a process: trains two dense stages and prints what it ended with.

The second stage reads the first one's parameters as frozen.
"""

import json
import resource
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.checkpoint.key_paths import digest_tree
from jnf_jax.experiments.logs import MetricsLog
from jnf_jax.training.trainer import Stage, TrainSettings, train

SETTINGS = TrainSettings(
    num_steps=160,
    batch_size=32,
    learning_rate=0.01,
    ema_decay=0.9,
    checkpoint_every=8,
    evaluate_every=20,
    log_every=4,
)
WIDTH = 300  # parameters large enough for the writing of a checkpoint to take a while


def make_stage(name: str, frozen) -> Stage:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)).astype(np.float32)
    arrays = {"x": x, "y": np.sin(x @ rng.normal(size=(8, 2))).astype(np.float32)}

    def init(rng_key):
        first, second, third = jax.random.split(rng_key, 3)
        return {
            "a": jax.random.normal(first, (8, WIDTH)) / 3,
            "b": jax.random.normal(second, (WIDTH, WIDTH)) / WIDTH**0.5,
            "c": jax.random.normal(third, (WIDTH, 2)) / WIDTH**0.5,
        }

    def apply(params, x):
        return jnp.tanh(jnp.tanh(x @ params["a"]) @ params["b"]) @ params["c"]

    def loss(params, frozen, rng_key, batch):
        target = batch["y"] + 0.1 * jax.random.normal(rng_key, batch["y"].shape)
        if frozen is not None:
            target = target - apply(frozen, batch["x"])
        error = jnp.mean((apply(params, batch["x"]) - target) ** 2)
        return error, {"error": error}

    return Stage(
        name=name,
        init=init,
        loss=loss,
        fetch=lambda arrays, indices: jax.tree.map(lambda x: x[indices], arrays),
        train_arrays=jax.tree.map(lambda x: x[:400], arrays),
        train_size=400,
        validation_arrays=jax.tree.map(lambda x: x[400:], arrays),
        validation_size=100,
        frozen=frozen,
        has_convolutions=False,
    )


def main(directory: Path, limit_after: int = -1) -> None:
    """Trains and prints digests of the parameters.

    No file grows beyond 20 kB once the checkpoint of the step ``limit_after`` of the
    first stage is written, which is what a full disk looks like from inside.
    """
    write = MetricsLog(directory)

    def log(record):
        write(record)
        if record["event"] == "checkpoint" and record["step"] == limit_after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    digests, frozen = {}, None
    for name in ("joint", "unimodal"):
        result = train(
            make_stage(name, frozen),
            SETTINGS,
            directory=directory / "checkpoints" / name,
            metadata={"program": "two_stages"},
            log=log,
        )
        if frozen is not None:
            digests["joint afterwards"] = digest_tree(frozen)
        frozen = result.params
        digests[name] = digest_tree(result.params)
    print(json.dumps(digests))
