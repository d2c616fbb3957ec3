"""To be killed in a process: trains a stage on streamed tuples; prints its digest."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import stored_tuples

from jnf_jax.checkpoint.key_paths import digest_tree
from jnf_jax.data import record_files
from jnf_jax.experiments.logs import MetricsLog
from jnf_jax.training.trainer import Stage, TrainSettings, train

WIDTH = 300  # parameters large enough for the writing of a checkpoint to take a while


def make_stage(folder: Path) -> Stage:
    if not folder.exists():
        stored_tuples.write(folder)
    data = record_files.open_dataset(folder)

    def init(rng_key):
        first, second = jax.random.split(rng_key)
        return {
            "a": jax.random.normal(first, (12, WIDTH)) / 3,
            "b": jax.random.normal(second, (WIDTH, WIDTH)) / WIDTH**0.5,
        }

    def loss(params, frozen, rng_key, batch):
        x = batch["b"].reshape(-1, 12)
        target = x.mean(1) + 0.1 * jax.random.normal(rng_key, (len(x),))
        y = jnp.tanh(jnp.tanh(x @ params["a"]) @ params["b"]).mean(1)
        return jnp.mean((y - target) ** 2), {}

    splits = data.splits
    return Stage(
        name="joint",
        init=init,
        loss=loss,
        fetch=data.fetch,
        train_arrays={},
        train_size=splits["train"].size,
        train_read=splits["train"].read,
        validation_arrays={},
        validation_size=splits["validation"].size,
        validation_read=splits["validation"].read,
        has_convolutions=False,
    )


def main(directory: Path) -> None:
    settings = TrainSettings(
        num_steps=160,
        batch_size=16,
        learning_rate=0.01,
        checkpoint_every=7,
        evaluate_every=20,
        log_every=4,
    )
    result = train(
        make_stage(directory / "records"),
        settings,
        directory=directory / "checkpoints" / "joint",
        metadata={"program": "streamed"},
        log=MetricsLog(directory),
    )
    print(json.dumps({"joint": digest_tree(result.params)}))
