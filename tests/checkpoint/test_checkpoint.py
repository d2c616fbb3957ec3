"""Checkpoints: exact round trip, strictness, damage, pruning, a full disk."""

import errno
import json
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import checkpoint
from jnf_jax.checkpoint import manifest


class Moments(NamedTuple):
    """Stands for the state of an optimiser."""

    count: Any
    mean: Any
    unused: Any = None


@jax.tree_util.register_pytree_with_keys_class
class Colliding:
    """A node whose two children have keys that are the same as text."""

    def __init__(self, *children):
        self.children = children

    def tree_flatten_with_keys(self):
        keys = (jax.tree_util.DictKey(1), jax.tree_util.DictKey("1"))
        return list(zip(keys, self.children, strict=True)), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def make_trees():
    params = {
        "encoder": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)},
        "scale": jnp.float32(0.1),
    }
    state = (Moments(jnp.int32(7), params), {"half": jnp.ones(4, jnp.bfloat16)})
    return params, state


def shapes(tree):
    return jax.eval_shape(lambda: tree)


def save(directory, step, **options):
    params, state = make_trees()
    params = jax.tree.map(lambda x: x + step, params)
    return checkpoint.save(directory, step, params, state, {"of": step}, **options)


def data_files(path):
    """Files that hold parameters, largest first."""
    files = [f for f in path.rglob("*") if f.is_file() and "params/d/" in str(f)]
    return sorted(files, key=lambda file: -file.stat().st_size)


def flip_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_round_trip_is_exact_and_keeps_the_structure(tmp_path):
    params, state = make_trees()
    path = save(tmp_path, 0)
    assert path.name == "00000000"
    for got, expected in (
        (checkpoint.restore_params(path, shapes(params)), params),
        (checkpoint.restore_train_state(path, shapes(state)), state),
    ):
        assert jax.tree.structure(got) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            assert isinstance(a, jax.Array) and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert checkpoint.read_metadata(path) == {"of": 0}
    assert checkpoint.read_step(path) == 0


def test_identifier_depends_on_the_parameters_alone(tmp_path):
    params, state = make_trees()
    one = checkpoint.save(tmp_path / "a", 1, params, state, {})
    same = checkpoint.save(tmp_path / "b", 2, params, {"x": jnp.ones(1)}, {"other": 1})
    params["scale"] = params["scale"] + 1e-6
    other = checkpoint.save(tmp_path / "c", 1, params, state, {})
    ids = [checkpoint.checkpoint_id(path) for path in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 16 and int(ids[0], 16) >= 0


def test_restore_lists_every_difference(tmp_path):
    params, _ = make_trees()
    path = save(tmp_path, 1)
    wanted = shapes(params)
    wanted["encoder"]["kernel"] = jax.ShapeDtypeStruct((3, 2), jnp.float32)
    wanted["decoder"] = jax.ShapeDtypeStruct((5,), jnp.float32)
    wanted["scale"] = jax.ShapeDtypeStruct((), jnp.float16)
    del wanted["encoder"]["bias"]
    with pytest.raises(ValueError, match="does not fit") as error:
        checkpoint.restore_params(path, wanted)
    text = str(error.value)
    assert "+ decoder float32[5]" in text
    assert "- encoder/bias float32[3]" in text
    assert "≠ encoder/kernel: got float32[2, 3], expected float32[3, 2]" in text
    assert "≠ scale: got float32[], expected float16[]" in text


@pytest.mark.parametrize("change", ["missing", "superfluous", "shape", "dtype"])
def test_restore_of_the_train_state_is_as_strict(tmp_path, change):
    # Orbax alone is silent about each of these (a placeholder, or what was stored).
    _, state = make_trees()
    path = save(tmp_path, 1)
    moments, rest = shapes(state)
    if change == "missing":
        rest["more"] = jax.ShapeDtypeStruct((), jnp.float32)
    elif change == "superfluous":
        moments = moments._replace(mean=None)
    elif change == "shape":
        moments = moments._replace(count=jax.ShapeDtypeStruct((2,), jnp.int32))
    else:
        rest["half"] = jax.ShapeDtypeStruct((4,), jnp.float32)
    with pytest.raises(ValueError, match="train_state of .*does not fit"):
        checkpoint.restore_train_state(path, (moments, rest))


def test_bare_array_and_colliding_names_are_refused(tmp_path):
    state = {"x": jnp.ones(1)}
    with pytest.raises(ValueError, match="bare leaf"):
        checkpoint.save(tmp_path, 1, jnp.ones(2), state, {})
    with pytest.raises(ValueError, match="differ as text"):
        checkpoint.save(tmp_path, 1, {"a": Colliding(0.0, 1.0)}, state, {})


def test_keeps_the_newest_and_only_after_the_new_one_is_whole(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000002", "00000003"]


def test_pruning_does_not_count_truncated_ones(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    data_files(tmp_path / "00000003")[0].write_bytes(b"")
    save(tmp_path, 4, keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000002", "00000004"]


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda path: flip_bit(data_files(path)[0]), "SHA-256"),
        (lambda path: data_files(path)[0].write_bytes(b"short"), "has 5 bytes"),
        (lambda path: data_files(path)[0].unlink(), "is missing"),
        (lambda path: (path / "manifest.json").unlink(), "interrupted"),
        (lambda path: (path / "manifest.json").write_text('{"st'), "manifest.json is"),
        (lambda path: flip_bit(path / "metadata.json"), "SHA-256 of metadata.json"),
    ],
    ids=["bit", "truncated", "lost", "unfinished", "manifest", "metadata"],
)
def test_damage_is_named_and_passed_over(tmp_path, damage, reason):
    params, state = make_trees()
    older, newest = save(tmp_path, 1), save(tmp_path, 2)
    damage(newest)
    found, damaged = checkpoint.newest_intact(tmp_path)
    assert found == older
    assert [path for path, _ in damaged] == [newest]
    assert reason in damaged[0][1] and str(newest) in damaged[0][1]
    # An explicit path has no fallback, whether it names the checkpoint or the stage.
    for path in (newest, tmp_path):
        with pytest.raises(checkpoint.DamagedCheckpointError, match=reason):
            checkpoint.resolve(path)
    with pytest.raises(ValueError, match=reason):
        checkpoint.restore_params(newest, shapes(params))
    with pytest.raises(ValueError, match=reason):
        checkpoint.restore_train_state(newest, shapes(state))


def test_parameters_are_read_without_the_train_state(tmp_path):
    params, state = make_trees()
    path = save(tmp_path, 1)
    shutil.rmtree(path / "train_state")
    assert checkpoint.resolve(tmp_path) == path
    read = checkpoint.restore_params(path, shapes(params))
    np.testing.assert_array_equal(read["encoder"]["bias"], np.full(3, 2.0))
    assert checkpoint.newest_intact(tmp_path)[0] is None  # nothing to go on from
    with pytest.raises(
        checkpoint.DamagedCheckpointError, match="train_state/.*missing"
    ):
        checkpoint.restore_train_state(path, shapes(state))


def test_any_altered_field_of_the_manifest_is_noticed(tmp_path):
    path = save(tmp_path, 3)
    body = json.loads((path / "manifest.json").read_text())
    for key in ("step", "params_sha256"):
        changed = json.dumps(body | {key: 4})
        (path / "manifest.json").write_text(changed)
        with pytest.raises(manifest.DamagedCheckpointError, match="altered"):
            manifest.read_manifest(path)


def test_what_a_killed_writer_left_is_unfinished_and_then_removed(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "00000002.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    (tmp_path / "00000003").mkdir()
    found, damaged = checkpoint.newest_intact(tmp_path)
    assert found == tmp_path / "00000001"
    assert [path.name[:8] for path, _ in damaged] == ["00000003", "00000002"]
    save(tmp_path, 2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000001", "00000002"]


def test_resolve(tmp_path):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    assert checkpoint.resolve(tmp_path) == newest
    assert checkpoint.resolve(tmp_path / "00000001").name == "00000001"
    for nothing in (tmp_path / "absent", tmp_path / "00000009"):
        with pytest.raises(ValueError, match="no checkpoint at"):
            checkpoint.resolve(nothing)
    assert checkpoint.newest_intact(tmp_path / "absent") == (None, [])


def test_full_disk_leaves_the_last_good_one_and_says_so(tmp_path, monkeypatch):
    good = save(tmp_path, 1)

    def write_manifest(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.store, "write_manifest", write_manifest)
        with pytest.raises(OSError, match="last good one is .*00000001.*No space"):
            save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    checkpoint.resolve(good)
    save(tmp_path, 2)
    assert checkpoint.newest_intact(tmp_path)[0].name == "00000002"


def test_a_process_lost_while_saving_is_no_full_disk(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def lost(*_):
        raise jax.errors.JaxRuntimeError("UNAVAILABLE: another task died")

    monkeypatch.setattr(checkpoint.store, "_save_items", lost)
    with pytest.raises(OSError, match="is the disk full.*another task died"):
        save(tmp_path, 2)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(checkpoint.store.processes, "on_first", lambda action: action())
    monkeypatch.setattr(checkpoint.store.processes, "to_host", jax.device_get)
    with pytest.raises(jax.errors.JaxRuntimeError, match="another task died"):
        save(tmp_path, 2)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="`keep` is 0 .*expected `keep` >= 1"):
        save(tmp_path, 1, keep=0)
