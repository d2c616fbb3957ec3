"""Two processes of two devices each read their halves of every batch, from one set.

python -m pytest -m multihost
"""

import json
import socket

import pytest
import stored_tuples
from forked import Forked
from multihost import stream_on

from jnf_jax.training import batches

pytestmark = pytest.mark.multihost


def run(num_processes, records):
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    processes = [
        Forked(
            stream_on.main, port, num_processes, number, records, jax_num_cpu_devices=2
        )
        for number in range(num_processes)
    ]
    found = []
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
        found.append(json.loads(out.splitlines()[-1]))
    return found


def test_processes_read_disjoint_halves_of_the_same_batches(tmp_path):
    records = stored_tuples.write(tmp_path / "numbered")
    expected = batches.batch_indices(0, 6, name="toy", size=70, batch_size=16, seed=0)
    (alone,) = run(1, records)
    assert alone["batches"] == expected.tolist()
    both = run(2, records)
    for process, half in zip(both, (slice(0, 8), slice(8, 16)), strict=True):
        assert process["batches"] == expected.tolist()
        assert process["read"] == sorted(expected[:, half].tolist())
