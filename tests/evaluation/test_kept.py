"""An evaluation that was stopped goes on, with the same draws, on the same terms."""

import numpy as np
import pytest

from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.protocol import SubsetDraws

RNG = np.random.default_rng(0)
FOUND = SubsetDraws(
    {"a": RNG.integers(0, 9, 5).astype(np.int32), "b": np.arange(5, dtype=np.int32)},
    RNG.standard_normal((5, 3)).astype(np.float32),
    {"acceptance": 0.75, "ess_min": None, "warnings": ["mean acceptance 0.75"]},
)


def never():
    raise AssertionError("it was to be read")


def test_what_was_kept_is_read_bit_for_bit(tmp_path):
    lines = []
    assert Kept(tmp_path, {"seed": 0}).remember("a+b", lambda: FOUND) is FOUND
    again = Kept(tmp_path, {"seed": 0}, lines.append)
    read = again.remember("a+b", never)
    assert read.quality == FOUND.quality and list(read.predicted) == ["a", "b"]
    pairs = [(read.z, FOUND.z)]
    pairs += [(read.predicted[m], labels) for m, labels in FOUND.predicted.items()]
    for got, kept in pairs:
        np.testing.assert_array_equal(got, kept)
        assert got.dtype == kept.dtype
    assert again.seconds >= 0 and "given a+b: read from" in lines[0]
    assert [p.suffix for p in tmp_path.rglob("*") if p.is_file()] == [".npz"]


def test_other_terms_other_draws(tmp_path):
    Kept(tmp_path, {"seed": 0}).remember("a+b", lambda: FOUND)
    for about, name in (({"seed": 1}, "a+b"), ({"seed": 0}, "a+c")):
        with pytest.raises(AssertionError, match="it was to be read"):
            Kept(tmp_path, about).remember(name, never)


def test_draws_without_chains_are_not_kept(tmp_path):
    closed = FOUND._replace(quality=None)
    assert Kept(tmp_path, {}).remember("a", lambda: closed) is closed
    assert list(tmp_path.iterdir()) == []


def test_half_a_file_does_not_count_and_a_record_ends_it(tmp_path, monkeypatch):
    kept = Kept(tmp_path / "evaluation", {})

    def write_half(file, *arguments, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", write_half)
        with pytest.raises(KeyboardInterrupt):
            kept.remember("a+b", lambda: FOUND)
    assert kept.remember("a+b", lambda: FOUND) is FOUND  # found anew, not read
    kept.discard()
    assert list(tmp_path.iterdir()) == []
