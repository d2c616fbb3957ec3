"""The embedded digits: sound splits, fixed pixels, and a task that is not a toy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.data import digits, load
from jnf_jax.data.dataset import checksum


@pytest.fixture(scope="module")
def data():
    return load("digits")


def test_shapes_and_sizes(data):
    assert data.name == "digits" and data.num_classes == 10
    assert data.shapes == {m: (16, 16, 3) for m in ("m0", "m1", "m2")}
    assert data.record["sizes"] == {"train": 20128, "validation": 1440, "test": 1436}
    for split in data.splits.values():
        assert split.labels.shape == (split.size,)
        assert split.arrays["pairing"].shape == (split.size, 3)


def test_splits_share_no_image(data):
    parts = [
        {picture.tobytes() for picture in split.arrays["ink"]}
        for split in data.splits.values()
    ]
    sizes = [len(split.arrays["ink"]) for split in data.splits.values()]
    assert sum(sizes) == 1797
    assert sizes == [1258, 180, 359]
    # Two writers may draw the very same 256 pixels; images themselves are split.
    assert all(len(a & b) <= 1 for a in parts for b in parts if a is not b)


def test_tuples_follow_index_only(data):
    split = data.splits["train"]
    indices = jnp.array([5, 20_000, 7])
    batch = data.fetch(split.arrays, indices)
    jitted = jax.jit(data.fetch)
    jax.tree.map(np.testing.assert_array_equal, batch, jitted(split.arrays, indices))
    turned = jitted(split.arrays, indices[::-1])
    for name, pictures in batch.items():
        assert pictures.shape == (3, 16, 16, 3) and pictures.dtype == jnp.float32
        assert float(pictures.min()) >= 0.0 and float(pictures.max()) <= 1.0
        np.testing.assert_array_equal(pictures, turned[name][::-1])


def test_pixels_are_background_off_the_ink_and_inverted_on_it(data):
    split = data.splits["test"]
    position = 1
    batch = data.fetch(split.arrays, jnp.arange(20))
    ink = split.arrays["ink"][split.arrays["pairing"][:20, position]]
    pixels = np.round(np.asarray(batch["m1"]) * 255).astype(int)
    plain = np.where(ink[..., None], 255 - pixels, pixels)
    background = split.arrays["backgrounds"]["m1"].astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(background, (16, 16, 3))[:, :, 0]
    for picture in plain:
        assert (windows == picture).all(axis=(-3, -2, -1)).sum() == 1


def test_other_seeds_give_other_tuples(data):
    other = load("digits", seed=7)
    ours, theirs = (d.record["checksums"] for d in (data, other))
    assert ours["images"] == theirs["images"]
    for name in ("pairing_train", "pairing_validation", "pairing_test", "backgrounds"):
        assert ours[name] != theirs[name]


def test_the_pixels_are_what_they_were(data):
    # Results are quoted for these pixels. A change must be meant: give it a new name.
    batch = data.fetch(data.splits["test"].arrays, jnp.arange(100))
    assert data.record["checksums"]["images"].startswith("d4778397f523bb99")
    assert [checksum(np.asarray(x))[:12] for x in batch.values()] == [
        "a86558c1bf2e",
        "be319b95cd3b",
        "161db1d725a8",
    ]


def test_settings_change_shapes():
    data = load("digits", num_modalities=5, image_size=20, repeats=1)
    assert data.shapes == {f"m{m}": (20, 20, 3) for m in range(5)}
    assert data.splits["train"].size == 1258


def test_interpolation_reproduces_constants_lines_and_samples():
    weights = digits.cubic_weights(16, 8)
    centres = (np.arange(16) + 0.5) / 2 - 0.5
    inside = slice(3, 13)  # two samples on either side
    np.testing.assert_allclose(weights[inside].sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(
        (weights @ np.arange(8.0))[inside], centres[inside], atol=1e-12
    )
    np.testing.assert_allclose(digits.cubic_weights(8, 8), np.eye(8), atol=1e-12)


def test_the_greys_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    greys, labels = digits.read_greys()
    expected = load_digits()
    np.testing.assert_array_equal(greys, expected.images)
    np.testing.assert_array_equal(labels, expected.target)


def test_ink_stays_clear_of_rounding():
    source, _ = digits.read_greys()
    for size in (16, 20, 24, 28):
        weights = digits.cubic_weights(size, 8)
        greys = weights @ source @ weights.T
        assert np.abs(greys - digits.THRESHOLD).min() > 1e-7


def test_bad_settings_are_all_named():
    with pytest.raises(ValueError) as caught:
        load("digits", num_modalities=0, image_size=4, repeats=0)
    for line in (
        "`data.num_modalities` is 0, expected 2 to 100",
        "`data.image_size` is 4, expected 8 to 64",
        "`data.repeats` is 0, expected 1 to 1000",
    ):
        assert line in str(caught.value)


def _convolutional_accuracy(train, test, num_steps=700):
    """Test accuracy of three small convolutions and a hidden layer, Adam."""

    def convolve(x, w, stride):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, w, (stride, stride), "SAME", dimension_numbers=dims
        )

    sizes = [(3, 3, 3, 24), (3, 3, 24, 48), (3, 3, 48, 48), (768, 128), (128, 10)]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    params = [
        jax.random.normal(key, size) * np.sqrt(2 / np.prod(size[:-1]))
        for key, size in zip(keys, sizes, strict=True)
    ]

    def logits(params, x, rng_key=None):
        for w, stride in zip(params[:3], (1, 2, 2), strict=True):
            x = jax.nn.relu(convolve(x, w, stride))
        x = jax.nn.relu(x.reshape(len(x), -1) @ params[3])
        if rng_key is not None:
            x = x * jax.random.bernoulli(rng_key, 0.5, x.shape) * 2.0
        return x @ params[4]

    def loss(params, x, y, rng_key):
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits(params, x, rng_key), y
        )
        return losses.mean()

    optimiser = optax.adam(optax.cosine_decay_schedule(2e-3, num_steps))

    @jax.jit
    def step(params, state, x, y, rng_key):
        updates, state = optimiser.update(jax.grad(loss)(params, x, y, rng_key), state)
        return optax.apply_updates(params, updates), state

    rng, state = np.random.default_rng(0), optimiser.init(params)
    for i in range(num_steps):
        rows = rng.integers(0, len(train[0]), 64)
        params, state = step(
            params, state, train[0][rows], train[1][rows], jax.random.key(i)
        )
    return float((logits(params, test[0]).argmax(-1) == test[1]).mean())


def _linear_accuracy(train, test):
    """Best test accuracy of logistic regressions on raw pixels, two penalties."""
    from sklearn.linear_model import LogisticRegression

    (x, y), (x_test, y_test) = (
        (x.reshape(len(x), -1) - 0.5, y) for x, y in (train, test)
    )
    return max(
        LogisticRegression(C=strength, max_iter=200, tol=1e-3)
        .fit(x, y)
        .score(x_test, y_test)
        for strength in (0.1, 0.5)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("fully_optimised")
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_a_small_cnn_reads_the_digits_and_a_linear_classifier_does_not(data):
    train, test = (
        (data.fetch(split.arrays, jnp.arange(split.size)), split.labels)
        for split in (data.splits["train"], data.splits["test"])
    )
    for name in data.shapes:
        pair = [(np.asarray(views[name]), labels) for views, labels in (train, test)]
        convolutional = _convolutional_accuracy(*pair)
        linear = _linear_accuracy(*pair)
        assert convolutional >= 0.935, name
        assert linear <= convolutional - 0.06, name
