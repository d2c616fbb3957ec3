"""Inference on new rows: bounds against closed forms, draws that rows do not share."""

import dataclasses

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax.experiments import new_rows
from jnf_jax.methods.method import SubsetInfo, propose_from
from jnf_jax.priors.normal import NormalPrior

TRUTH = linear_gaussian({"a": 2, "b": 3, "c": 2}, 2, seed=3)
NUM = 40
VIEWS = {m: np.float32(x) for m, x in TRUTH.sample(seed=4, num=NUM)[1].items()}


@dataclasses.dataclass(frozen=True)
class Exact:
    """Posteriors of ``TRUTH`` itself, and its decoders."""

    normalised: bool = True
    modalities = tuple(sorted(TRUTH.weights))
    prior_names = ("normal",)

    def posterior(self, views, subset):
        covariance = np.linalg.inv(TRUTH.precision(subset))
        mean = sum(
            (views[m] - TRUTH.offsets[m]) @ TRUTH.weights[m] / TRUTH.noises[m] ** 2
            for m in subset
        )
        factor = jnp.asarray(np.linalg.cholesky(covariance))
        return distrax.MultivariateNormalTri(mean @ covariance, factor)

    def propose(self, params, rng_key, views, subset, num_samples):
        posterior = self.posterior(views, subset)
        return propose_from([posterior], NormalPrior(2), rng_key, num_samples)

    def infer(self, params, rng_key, views, subset, step_size=None):
        assert set(views) == set(subset)
        return self.posterior(views, subset).sample(seed=rng_key), None

    def decode(self, params, z):
        return {
            m: distrax.MultivariateNormalDiag(
                z @ TRUTH.weights[m].T + TRUTH.offsets[m],
                jnp.full((len(z), len(TRUTH.offsets[m])), TRUTH.noises[m]),
            )
            for m in self.modalities
        }

    def adapt(self, params, rng_key, views, subset):
        total = sum(x.sum() for x in views.values())
        return total + jax.random.uniform(rng_key)

    def diagnose(self, params, rng_key, views, subset, step_size):
        return None

    def joint_log_prob(self, params, views, z):
        return self.posterior(views, self.modalities).log_prob(z)

    def unimodal_log_probs(self, params, views, z):
        return {m: self.posterior(views, (m,)).log_prob(z) for m in views}

    def sample_prior(self, params, rng_key, num_samples, name=None):
        return NormalPrior(2).sample(rng_key, num_samples)

    def prior_of(self, params, name):
        class Prior(NormalPrior):
            is_normalised = self.normalised

        return Prior(2)


def generate(given, num_samples=2, seed=0, noise=False, targets=("b", "c")):
    return new_rows.generate(
        Exact(), {}, given, targets, step_size=None, num_samples=num_samples,
        seed=seed, noise=noise,
    )[0]  # fmt: skip


def log_p(*names):
    return TRUTH.log_marginal({m: VIEWS[m] for m in names})


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
def test_the_bound_is_log_p_where_the_posterior_is_exact(names):
    """All weights are equal, so that any number of samples gives log p(x_S)."""
    views = {m: VIEWS[m] for m in names}
    found = new_rows.log_bound(Exact(), {}, views, (), num_samples=3)
    np.testing.assert_allclose(found, log_p(*names), rtol=1e-4, atol=1e-3)


def test_the_bound_of_some_views_given_others():
    found = new_rows.log_bound(Exact(), {}, VIEWS, ("a", "b"), num_samples=4_000)
    truth = log_p("a", "b", "c") - log_p("a", "b")
    # 4,000 samples: a relative error of p of about 0.03, at most 0.1 here.
    assert np.abs(found - truth).max() < 0.2 and np.abs((found - truth).mean()) < 0.02


def test_the_bound_of_all_needs_a_normalised_prior():
    with pytest.raises(ValueError, match="`given` is empty.*'normal' is not normal"):
        new_rows.log_bound(Exact(False), {}, VIEWS, (), num_samples=1)


def test_draws_have_the_moments_of_the_posterior():
    """Predictive draws of c given a, of one row, against the closed form."""
    one = {"a": VIEWS["a"][:1]}
    drawn = generate(one, num_samples=4_000, noise=True, targets=("c",))["c"][:, 0]
    mean, covariance = TRUTH.posterior({"a": VIEWS["a"][:1]})
    a, noise = TRUTH.weights["c"], TRUTH.noises["c"]
    expected = a @ covariance @ a.T + noise**2 * np.eye(2)
    scale = np.sqrt(np.diag(expected))
    error = (drawn.mean(0) - (mean[0] @ a.T + TRUTH.offsets["c"])) / scale
    assert np.abs(error).max() < 4 / np.sqrt(4_000)  # four standard errors
    ratio = np.cov(drawn.T) / np.outer(scale, scale) - expected / np.outer(scale, scale)
    assert np.abs(ratio).max() < 5 * np.sqrt(2 / 4_000)


@pytest.mark.parametrize("noise", [False, True])
def test_a_row_is_drawn_alike_whatever_is_drawn_beside_it(noise):
    """Other rows, another number of them, another batch size, more draws."""
    whole = generate({"a": VIEWS["a"]}, num_samples=9, noise=noise)
    others = np.concatenate([VIEWS["a"][:3], -VIEWS["a"][3:7]])
    few = generate({"a": others}, num_samples=2, noise=noise)
    for t, x in whole.items():
        np.testing.assert_allclose(few[t][:, :3], x[:2, :3], rtol=1e-5, atol=1e-5)
        assert not np.allclose(x[0], x[1]) and not np.allclose(few[t][0, 3:], x[0, 3:7])


def test_the_seed_decides_and_rows_are_not_drawn_with_one_key():
    same = {"a": np.repeat(VIEWS["a"][:1], 5, axis=0)}
    first, again, other = (generate(same, seed=s)["b"] for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert np.unique(first.reshape(10, -1), axis=0).shape[0] == 10


def test_decoding_what_encode_gives_is_what_generate_shows():
    z = new_rows.encode(
        Exact(), {}, {"a": VIEWS["a"]}, step_size=None, num_samples=2, seed=0
    )
    shown = generate({"a": VIEWS["a"]}, targets=("c",))["c"]
    decoded = z @ TRUTH.weights["c"].T + TRUTH.offsets["c"]
    np.testing.assert_allclose(shown, decoded, rtol=1e-5, atol=1e-5)


def test_the_number_of_a_row_decides_its_draws_wherever_it_stands():
    options = dict(step_size=None, num_samples=3, seed=5)
    whole = new_rows.encode(Exact(), {}, {"a": VIEWS["a"]}, **options)
    numbers = np.array([7, 2, 30])
    few = new_rows.encode(
        Exact(), {}, {"a": VIEWS["a"][numbers]}, numbers=numbers, **options
    )
    np.testing.assert_allclose(few, whole[:, numbers], rtol=1e-5, atol=1e-5)


def test_given_nothing_rows_are_drawn_from_the_prior():
    """Their moments are those of p(x): 6,000 draws, five standard errors."""
    drawn, chains = new_rows.generate(
        Exact(), {}, {}, ("b",), step_size=None, num_samples=3_000, seed=0,
        noise=True, numbers=np.array([4, 9]),
    )  # fmt: skip
    assert chains is None and drawn["b"].shape == (3_000, 2, 3)
    assert not np.allclose(drawn["b"][:, 0], drawn["b"][:, 1])
    x, weights = drawn["b"].reshape(-1, 3), TRUTH.weights["b"]
    expected = weights @ weights.T + TRUTH.noises["b"] ** 2 * np.eye(3)
    scale = np.sqrt(np.diag(expected))
    error = (x.mean(axis=0) - TRUTH.offsets["b"]) / scale
    assert np.abs(error).max() < 5 / np.sqrt(6_000)
    ratio = (np.cov(x.T) - expected) / np.outer(scale, scale)
    assert np.abs(ratio).max() < 5 * np.sqrt(2 / 6_000)


class Multiplied(Exact):
    """Says how drawing went; two of its four rows are drawn far away, or diverge."""

    def infer(self, params, rng_key, views, subset, step_size=None):
        z, _ = super().infer(params, rng_key, views, subset)
        is_far = views["a"][:, 0] > 100
        has_diverged = views["b"][:, 0] > 100
        info = SubsetInfo(
            jnp.ones(()), 0.8 * jnp.ones(len(z)), 3 * has_diverged.astype(int), None
        )
        return jnp.where(is_far[:, None], 50.0, jnp.zeros_like(z)), info

    def posteriors(self, params, views, subset):
        """N(0, 2²), and one at 7 that is never the nearest."""
        return [
            distrax.MultivariateNormalDiag(jnp.full((1, 2), mean), jnp.full((1, 2), sd))
            for mean, sd in ((0.0, 2.0), (7.0, 0.1))
        ]


def test_each_draw_of_a_product_says_how_it_came_about():
    rows = {m: np.zeros((4, TRUTH.weights[m].shape[0]), np.float32) for m in "ab"}
    rows["a"][1], rows["b"][3] = 200, 200
    options = dict(step_size=None, num_samples=3, seed=0, noise=False)
    shown, chains = new_rows.generate(Multiplied(), {}, rows, ("c",), **options)
    assert shown["c"].shape == (3, 4, 2)
    np.testing.assert_allclose(chains.acceptance, 0.8)
    np.testing.assert_array_equal(chains.divergences, [[0, 0, 0, 3]] * 3)
    np.testing.assert_allclose(chains.distance, [[0, 25, 0, 0]] * 3)
    np.testing.assert_array_equal(chains.is_suspect, [[False, True, False, True]] * 3)
    assert chains.warning().startswith(
        "6 of 12 draws are not to be trusted, of rows 1, 3: their chains diverged"
    )
    well = chains._replace(divergences=0 * chains.divergences, distance=np.ones((3, 4)))
    assert well.warning() is None
    stuck = well._replace(acceptance=np.full((3, 4), 0.05))
    assert stuck.is_suspect.all()
    assert well._replace(distance=np.full((3, 4), np.nan)).is_suspect.all()


def test_no_program_is_compiled_for_another_number_of_rows(num_compiled):
    def run(num, num_samples):
        views = {m: x[:num] for m, x in VIEWS.items()}
        generate({"a": views["a"]}, num_samples)
        new_rows.sample(Exact(), {}, "normal", num_samples=num, seed=0)
        new_rows.log_bound(Exact(), {}, views, (), num_samples=3)

    run(3, 2), run(40, 9)
    before = num_compiled()
    for num, num_samples in [(1, 1), (5, 3), (16, 1), (17, 1), (40, 7), (39, 20)]:
        run(num, num_samples)
    assert num_compiled() == before > 0


def test_joint_draws_do_not_depend_on_how_many_there_are():
    many, few = (
        new_rows.sample(Exact(), {}, "normal", num_samples=n, seed=1) for n in (50, 4)
    )
    np.testing.assert_allclose(many["a"][:4], few["a"], rtol=1e-5, atol=1e-5)
    assert many["b"].shape == (50, 3)


def test_step_sizes_come_from_the_stored_tuples_alone():
    first, again = (new_rows.step_size_of(Exact(), {}, VIEWS, ("a",)) for _ in range(2))
    assert first == again and first - VIEWS["a"].sum() == pytest.approx(0.5, abs=0.5)
    assert new_rows.step_size_of(Exact(), {}, {}, ("a",)) is None


def test_many_draws_of_few_numbers_are_made_at_once(monkeypatch):
    """They are those of small batches; rows of many numbers are not."""
    sizes, map_batches = [], new_rows.map_batches

    def watched(program, size, batch_size):
        sizes.append(batch_size)
        return map_batches(program, size, batch_size)

    monkeypatch.setattr(new_rows, "map_batches", watched)
    given = {"a": VIEWS["a"][:30]}
    many = generate(given, num_samples=140)
    few = generate(given, num_samples=7)
    for most in (6, 1):  # two are given and five are drawn
        monkeypatch.setattr(new_rows, "MOST_NUMBERS", most)
        generate(given, num_samples=140)
    generate({"a": VIEWS["a"][:3]}, num_samples=5)
    assert sizes == [4_096, 256, 256, 256, 16]
    for m, x in few.items():
        np.testing.assert_allclose(many[m][:7], x, rtol=1e-5, atol=1e-6)
