"""A stage that is fitted in one go: saved, read and refused as trained ones are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import checkpoint
from jnf_jax.training.trainer import Stage, TrainSettings, train

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(40, 3)).astype(np.float32)
TARGETS = (INPUTS @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=40)).astype(np.float32)
SETTINGS = TrainSettings(num_steps=1, batch_size=8, select="last")


def least_squares(rng_key):
    return {"w": np.linalg.lstsq(INPUTS, TARGETS, rcond=None)[0]}


def make_stage(fit=least_squares):
    def loss(params, frozen, rng_key, batch):
        return jnp.mean(jnp.square(batch[0] @ params["w"] - batch[1])), {}

    return Stage(
        name="toy",
        init=lambda rng_key: {"w": jnp.zeros(3)},
        loss=loss,
        fetch=lambda arrays, indices: jax.tree.map(lambda x: x[indices], arrays),
        train_arrays=(INPUTS, TARGETS),
        train_size=40,
        validation_arrays=(INPUTS, TARGETS),
        validation_size=40,
        fit=fit,
        has_convolutions=False,
    )


def run(directory, stage, settings=SETTINGS, **options):
    return train(
        stage, settings, directory=directory, metadata={}, show_progress=False,
        **options,
    )  # fmt: skip


def test_it_is_fitted_once_validated_saved_and_read_again(tmp_path):
    calls, events = [], []

    def fit(rng_key):
        calls.append(rng_key)
        return least_squares(rng_key)

    log = lambda record: events.append(record["event"])  # noqa: E731
    done = run(tmp_path, make_stage(fit), log=log)
    assert len(calls) == 1 and events == ["start", "validation", "checkpoint"]
    expected = least_squares(None)["w"]
    np.testing.assert_array_equal(done.params["w"], expected)
    np.testing.assert_allclose(
        done.validation_loss, np.mean((INPUTS @ expected - TARGETS) ** 2), rtol=1e-5
    )
    assert (done.step, checkpoint.read_step(done.checkpoint)) == (1, 1)

    again = run(tmp_path, make_stage(fit))
    assert len(calls) == 1 and again.resumed_from == 1
    np.testing.assert_array_equal(again.params["w"], expected)
    assert again.checkpoint_id == done.checkpoint_id
    assert again.validation_loss == done.validation_loss


@pytest.mark.parametrize(
    "params", [{"w": np.zeros(4, np.float32)}, {"w": np.zeros(3)}, {}]
)
def test_another_shape_than_that_of_init_is_refused(params, tmp_path):
    with pytest.raises(ValueError, match="stage 'toy': `fit` gave .* expected"):
        run(tmp_path, make_stage(lambda rng_key: params))


def test_what_is_not_finite_is_not_saved(tmp_path):
    stage = make_stage(lambda rng_key: {"w": np.full(3, np.nan, np.float32)})
    with pytest.raises(FloatingPointError, match="validation loss after step 1 is nan"):
        run(tmp_path, stage)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes", [dict(num_steps=2), dict(select="best"), dict(ema_decay=0.9)]
)
def test_settings_of_training_by_gradient_are_refused(changes, tmp_path):
    (field,) = changes
    settings = TrainSettings(
        **{"num_steps": 1, "batch_size": 8, "select": "last"} | changes
    )
    with pytest.raises(ValueError, match=f"{field}` is .* fitted in one go"):
        run(tmp_path, make_stage(), settings)
