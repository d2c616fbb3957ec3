"""One of several processes that read their share of every batch; prints what came."""

import json
from pathlib import Path

import jax
import numpy as np

from jnf_jax.data import record_files
from jnf_jax.runtime import parallel
from jnf_jax.training import feed
from jnf_jax.training.trainer import Stage, TrainSettings

NUM_STEPS, BATCH_SIZE = 6, 16


def main(port: int, num_processes: int, process_id: int, records: Path) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes, process_id)
    split = record_files.open_dataset(records).splits["train"]
    read = []

    def recorded(indices):
        read.append(indices.tolist())
        return split.read(indices)

    stage = Stage(
        name="toy", init=None, loss=None, fetch=None,
        train_arrays={}, train_size=split.size, train_read=recorded,
    )  # fmt: skip
    mesh = parallel.make_mesh()
    settings = TrainSettings(num_steps=NUM_STEPS, batch_size=BATCH_SIZE)
    rows = feed.open_feed(stage, settings, mesh, 0, None)
    whole = jax.jit(lambda x: x, out_shardings=parallel.replicated(mesh))
    batches = []
    for step in range(NUM_STEPS):
        indices, pictures = rows.take(step, 1)
        assert len(indices.sharding.device_set) == jax.device_count()
        # The first byte of a picture spells its row: pixels arrive with their indices.
        shown = np.asarray(whole(pictures["a"]))[:, 0, 0, 0]
        np.testing.assert_array_equal(shown, np.asarray(whole(indices)))
        batches.append(shown.tolist())
    rows.close()
    # Threads make batches in any order, and some that nobody takes.
    print(json.dumps({"batches": batches, "read": sorted(read)}))
