"""InfoNCE against mutual information that is known; NT-Xent against its definition."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import losses

info_nce = jax.jit(losses.info_nce)
nt_xent = jax.jit(losses.nt_xent, static_argnums=1)
symmetric_info_nce = jax.jit(losses.symmetric_info_nce, static_argnums=1)

RHO = 0.9
INFORMATION = -0.5 * np.log(1 - RHO**2)
BATCHES = 60


def optimal_critic(x, y):
    """log p(y_j|x_i) − log p(y_j) of a bivariate normal with correlation RHO."""
    conditional = -0.5 * (y - RHO * x[:, None]) ** 2 / (1 - RHO**2)
    return conditional - 0.5 * np.log(1 - RHO**2) + 0.5 * y**2


def unit_embeddings(seed, names="abc", num=6, size=4):
    h = np.random.default_rng(seed).standard_normal((len(names), num, size))
    h /= np.linalg.norm(h, axis=-1, keepdims=True)
    return dict(zip(names, jnp.asarray(h, jnp.float32), strict=True))


@pytest.mark.parametrize("batch", [2, 16, 128, 1024])
def test_info_nce_bounds_the_information_and_a_large_batch_reaches_it(batch):
    @jax.jit
    @jax.vmap
    def bounds_of(rng_key):
        x, noise = jax.random.normal(rng_key, (2, batch))
        y = RHO * x + jnp.sqrt(1 - RHO**2) * noise
        return jnp.log(batch) - info_nce(optimal_critic(x, y)).mean()

    keys = jax.random.split(jax.random.key(0), BATCHES)
    bounds = np.asarray(bounds_of(keys), np.float64)
    error = bounds.std(ddof=1) / np.sqrt(BATCHES)  # 0.004 nats at 1,024
    assert bounds.mean() <= INFORMATION + 3 * error
    assert bounds.max() <= np.log(batch) + 1e-6
    if batch == 1024:
        assert abs(bounds.mean() - INFORMATION) <= 0.02


def test_uniform_similarities_give_the_loss_of_chance():
    np.testing.assert_allclose(info_nce(jnp.full((7, 7), 3.0)), np.log(7), rtol=1e-6)
    same = {m: jnp.ones((7, 3)) / jnp.sqrt(3.0) for m in "abc"}
    # Three pairs of modalities.
    np.testing.assert_allclose(nt_xent(same, 0.1), 3 * np.log(13), rtol=1e-5)
    np.testing.assert_allclose(symmetric_info_nce(same, 0.1), 3 * np.log(7), rtol=1e-5)


def test_info_nce_reads_anchors_in_rows():
    similarity = np.float32(np.random.default_rng(0).standard_normal((5, 5)))
    of_anchor = np.arange(5, dtype=np.float32)
    by_row = info_nce(similarity + of_anchor[:, None])
    np.testing.assert_allclose(by_row, info_nce(similarity), atol=1e-5)
    by_column = info_nce(similarity + of_anchor)
    assert np.abs(by_column - info_nce(similarity)).max() > 0.1


def test_matched_orthogonal_embeddings_cost_nothing_when_cold():
    matched = {m: jnp.eye(5) for m in "ab"}
    assert float(nt_xent(matched, 0.02).max()) < 1e-6
    assert float(symmetric_info_nce(matched, 0.02).max()) < 1e-6


def test_nt_xent_is_its_definition():
    embeddings, tau = unit_embeddings(0), 0.3
    expected = np.zeros(6)
    for a, b in itertools.combinations("abc", 2):
        members = np.concatenate([embeddings[a], embeddings[b]]).astype(np.float64)
        similarity = np.exp(members @ members.T / tau)
        others = similarity.sum(1) - np.diag(similarity)
        for i in range(12):
            positive = similarity[i, (i + 6) % 12]
            expected[i % 6] += -0.5 * np.log(positive / others[i])
    np.testing.assert_allclose(nt_xent(embeddings, tau), expected, rtol=1e-5)


def test_symmetric_info_nce_is_the_sum_over_ordered_pairs():
    embeddings, tau = unit_embeddings(1), 0.3
    expected = sum(
        0.5 * info_nce(np.asarray(embeddings[a]) @ np.asarray(embeddings[b]).T / tau)
        for a, b in itertools.permutations("abc", 2)
    )
    np.testing.assert_allclose(symmetric_info_nce(embeddings, tau), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", [nt_xent, symmetric_info_nce])
def test_order_of_data_and_of_modalities_does_not_matter(loss):
    embeddings, order = unit_embeddings(2), np.array([3, 0, 5, 1, 2, 4])
    terms = loss(embeddings, 0.2)
    shuffled = loss({m: np.asarray(h)[order] for m, h in embeddings.items()}, 0.2)
    np.testing.assert_allclose(shuffled, np.asarray(terms)[order], rtol=1e-5)
    renamed = loss(dict(zip("cab", embeddings.values(), strict=True)), 0.2)
    np.testing.assert_allclose(renamed, terms, rtol=1e-5)


@pytest.mark.parametrize("loss", [losses.nt_xent, losses.symmetric_info_nce])
def test_gradients_are_finite_where_all_embeddings_agree(loss):
    same = {m: jnp.ones((4, 3)) / jnp.sqrt(3.0) for m in "ab"}
    gradient = jax.jit(jax.grad(lambda h, tau: loss(h, tau).mean(), (0, 1)))
    gradients = gradient(same, 0.1)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_faults():
    with pytest.raises(ValueError, match=r"`similarity` has shape \(3, 2\), expected"):
        info_nce(jnp.zeros((3, 2)))
    for loss in (nt_xent, symmetric_info_nce):
        with pytest.raises(ValueError, match="expected one shape .* two or more"):
            loss({"a": jnp.zeros((3, 2))}, 0.1)
        with pytest.raises(ValueError, match="`embeddings` has shapes"):
            loss({"a": jnp.zeros((3, 2)), "b": jnp.zeros((4, 2))}, 0.1)
        for bad in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match=f"`temperature` is {bad}, expected >"):
                loss(unit_embeddings(0), bad)
