"""One flow for every subset, against the posteriors of a linear-Gaussian model."""

import functools
import itertools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import random_like

from jnf_jax.losses import SubsetModel, proper_subsets, subset_nll
from jnf_jax.methods.amortised import SubsetPosterior, SubsetPosteriorSettings
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.jnf_shared import ProjectorSettings
from jnf_jax.methods.method import Batch, ImportanceInference, SubsetDensity
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.networks.made import made_stack
from jnf_jax.networks.subset import SubsetEncoder
from jnf_jax.runtime import parallel
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2), "c": (5,)}


def make(
    name="jnf", num_blocks=2, context_size=4, linear_path=False, share=0.0, **options
):
    method = build_method(
        name,
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            joint_hidden_sizes=(8,),
            head_size=4,
        ),
        flow=FlowSettings(num_blocks, (8,), context_size),
        sampler=ChainSettings(),
        subset_posterior=SubsetPosteriorSettings(
            "amortised", 3, (8,), linear_path, share
        ),
        **options,
    )
    params = {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), seed)
        for seed, stage in enumerate(method.stages)
    }
    return method, params


def make_views(num, seed=0):
    rng = np.random.default_rng(seed)
    return {
        m: jnp.asarray(rng.standard_normal((num, *shape)), jnp.float32)
        for m, shape in SHAPES.items()
    }


# x_m = A_m z + noise of variance 0.5, z ~ N(0, I) in the plane.
LOADINGS = {
    "a": np.array([[1.0, 0.3]]),
    "b": np.array([[-0.4, 0.8], [0.2, 0.5]]),
    "c": np.array([[0.9, -0.7]]),
}
NOISE = 0.5
SUBSETS = [s for k in range(4) for s in itertools.combinations("abc", k)]


def exact(subset, views):
    """Mean f64[B, 2] and covariance f64[2, 2] of p(z|x_S)."""
    precision, weighted = np.eye(2), np.zeros((len(views["a"]), 2))
    for m in subset:
        precision += LOADINGS[m].T @ LOADINGS[m] / NOISE
        weighted = weighted + np.asarray(views[m], np.float64) @ LOADINGS[m] / NOISE
    covariance = np.linalg.inv(precision)
    return weighted @ covariance, covariance


@pytest.fixture(scope="module")
def fitted():
    """The posterior fitted to the exact q(z|X), which is frozen; and its parameters."""
    posterior = SubsetPosterior(
        tuple((m, a.shape[0]) for m, a in LOADINGS.items()),
        SubsetEncoder(2, num_components=2, hidden_sizes=(32,), context_size=8),
        made_stack(2, (16,), 1),
        2.0,
    )
    _, covariance = exact("abc", data(1)[1])
    factor = jnp.asarray(np.linalg.cholesky(covariance), jnp.float32)
    gain = {
        m: jnp.asarray(a @ covariance / NOISE, jnp.float32) for m, a in LOADINGS.items()
    }
    model = SubsetModel(
        lambda _, views: distrax.MultivariateNormalTri(
            sum(views[m] @ gain[m] for m in gain), factor
        ),
        lambda params, views, given: posterior.distribution(
            params, posterior.encode(params, views, given)
        ),
    )
    num_steps, batch = 1_500, 512
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, num_steps))

    @jax.jit
    def train(params):
        def step(carry, key):
            params, state = carry
            z_key, x_key, mask_key, draw_key = jax.random.split(key, 4)
            z = jax.random.normal(z_key, (batch, 2))
            noise = jax.random.normal(x_key, (batch, 4))
            views = observe(z, noise[:, :1], noise[:, 1:3], noise[:, 3:])
            given = proper_subsets(mask_key, {m: jnp.ones(batch, bool) for m in views})

            def loss(params):
                nll = subset_nll(params, None, draw_key, views, given, model=model)
                return nll.mean()

            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(jax.random.key(1), num_steps)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return params

    return posterior, train(posterior.init(jax.random.key(0)))


def observe(z, *noise):
    return {
        m: z @ a.T.astype(np.float32) + NOISE**0.5 * e
        for (m, a), e in zip(LOADINGS.items(), noise, strict=True)
    }


def data(num, seed=3):
    z, *noise = (
        jnp.asarray(np.random.default_rng((seed, i)).standard_normal((num, size)), "f4")
        for i, size in enumerate((2, 1, 2, 1))
    )
    return z, observe(z, *noise)


def given_to(subset, num):
    return {m: jnp.full(num, m in subset) for m in "abc"}


@functools.partial(jax.jit, static_argnums=(0, 4))
def draw(posterior, params, views, given, num):
    code = posterior.encode(params, views, given)
    law = posterior.distribution(params, code)
    return law.sample(seed=jax.random.key(0), sample_shape=num)


@functools.partial(jax.jit, static_argnums=0)
def log_prob(posterior, params, views, given, z):
    code = posterior.encode(params, views, given)
    return posterior.distribution(params, code).log_prob(z)


@pytest.mark.parametrize("subset", SUBSETS[:-1], ids="".join)
def test_every_subset_has_its_exact_posterior(fitted, subset):
    """Means within 0.12 prior sd and covariances within 0.1 of the prior's."""
    posterior, params = fitted
    _, views = data(40)
    draws = draw(posterior, params, views, given_to(subset, 40), 4_000)
    mean, covariance = exact(subset, views)
    # Monte-Carlo errors: 0.016 of a mean, 0.022 of a variance.
    error = np.sqrt(np.mean((np.asarray(draws).mean(0) - mean) ** 2))
    assert error < 0.12, error
    found = np.mean([np.cov(np.asarray(draws)[:, i].T) for i in range(40)], axis=0)
    np.testing.assert_allclose(found, covariance, atol=0.1)


def test_the_linear_path_alone_is_exact_for_every_subset():
    """Nothing is trained: what it takes are loadings and noise; and draws fit it."""
    sizes = tuple((m, a.shape[0]) for m, a in LOADINGS.items())
    encoder = SubsetEncoder(2, 1, (4,), 0, linear_path=True)
    posterior = SubsetPosterior(sizes, encoder, (), 2.0)
    params = jax.tree.map(jnp.zeros_like, posterior.init(jax.random.key(0)))
    params["standard"] = {
        m: {"mean": jnp.zeros(size), "scale": jnp.ones(size)} for m, size in sizes
    }
    for m, a in LOADINGS.items():
        factor = np.zeros((2, 2), np.float32)
        factor[:, : len(a)] = a.T / NOISE**0.5
        params["encoder"]["linear"][f"precision_{m}"] = jnp.asarray(factor)
        gain = jnp.asarray(a / NOISE, jnp.float32)
        params["encoder"]["linear"][f"gain_{m}"] = gain
    z, views = data(5)
    for subset in SUBSETS:
        mean, covariance = exact(subset, views)
        found = log_prob(posterior, params, views, given_to(subset, 5), z)
        off, root = np.asarray(z) - mean, np.linalg.cholesky(covariance)
        standard = np.linalg.solve(root, off.T)
        expected = -0.5 * np.sum(standard**2, axis=0) - np.log(2 * np.pi)
        expected -= np.log(np.diag(root)).sum()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    draws = draw(posterior, params, views, given_to("b", 5), 4_000)
    mean, covariance = exact("b", views)
    # Standard errors 0.016 of a mean, 0.022 of a variance.
    np.testing.assert_allclose(np.mean(draws, axis=0), mean, atol=0.08)
    np.testing.assert_allclose(np.cov(draws[:, 0].T), covariance, atol=0.1)


def test_more_views_say_more(fitted):
    """E log q(z|x_S) of z ~ p(z|X), here true z, rises with S along every chain."""
    posterior, params = fitted
    z, views = data(4_000)
    found = {
        s: np.asarray(log_prob(posterior, params, views, given_to(s, 4_000), z))
        for s in SUBSETS[:-1]
    }
    for small, large in itertools.permutations(found, 2):
        if set(small) < set(large):
            gain = found[large] - found[small]
            assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5, (small, large)


@pytest.mark.parametrize("distance", [10.0, 1e4])
def test_draws_for_rows_far_out_stay_near_those_of_training(fitted, distance):
    """z of training is N(0, I): ten standard deviations, whatever the rows are."""
    posterior, params = fitted
    _, views = data(512)
    out = {m: distance * x.std(0) * jnp.sign(x) for m, x in views.items()}
    for subset in SUBSETS[1:-1]:
        z = np.asarray(draw(posterior, params, out, given_to(subset, 512), 1))
        assert (np.linalg.norm(z, axis=-1) < 10).all()


def test_what_is_hidden_is_not_read():
    """Neither values nor gradients: NaN in a view that is not given changes nothing."""
    method, params = make()
    inference, views = method.inference, make_views(4)
    features = inference.features(params, views)
    given = {"a": jnp.full(4, True), "b": jnp.full(4, False), "c": jnp.full(4, True)}
    broken = features | {"b": jnp.full_like(features["b"], jnp.nan)}
    posterior, own = inference.posterior, params["subsets"]
    expected = log_prob(posterior, own, features, given, jnp.ones((4, 2)))
    for other in (broken, {m: x for m, x in features.items() if m != "b"}):
        found = log_prob(posterior, own, other, given, jnp.ones((4, 2)))
        np.testing.assert_array_equal(found, expected)
    gradient = jax.jit(
        jax.grad(
            lambda own: log_prob(
                posterior, own, broken, given, expected[:, None] * jnp.ones(2)
            ).sum()
        )
    )(own)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_draws_have_the_density_that_is_told():
    """The density integrates to one on a grid, and its moments there are the draws'."""
    method, params = make()
    inference, views = method.inference, make_views(1)
    axis = np.linspace(-30, 30, 601, dtype=np.float32)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2))
    for subset in ((), ("b",), ("a", "c")):
        features = inference.features(params, {m: views[m] for m in subset})
        log_p = log_prob(
            inference.posterior, params["subsets"], features, given_to(subset, 1), grid
        )
        p = np.exp(np.asarray(log_p[:, 0], np.float64)) * 0.1**2
        assert abs(p.sum() - 1) < 0.01, subset
        if not subset:
            z = inference.sample_prior(params, jax.random.key(2), 20_000, "amortised")
        else:
            many = {m: jnp.repeat(x, 20_000, axis=0) for m, x in views.items()}
            z, info = inference.infer(params, jax.random.key(2), many, subset)
            assert info is None
        moments = p @ np.asarray(grid[:, 0], np.float64)
        error = np.asarray(z).std(0) / len(z) ** 0.5
        assert (np.abs(np.asarray(z).mean(0) - moments) < 5 * error + 0.02).all()


@pytest.mark.parametrize("mapped", [False, True])
def test_one_program_draws_for_every_subset(num_compiled, mapped):
    """Of rows that are mapped over too: new ones are inferred one by one."""
    method, params = make()
    views, keys = make_views(4), jax.random.split(jax.random.key(0), 4)

    def draw_given(subset):
        given = {m: views[m] for m in subset}
        if not mapped:
            return method.inference.infer(params, keys[0], given, subset)[0]

        def of_row(key, row):
            one = {m: x[None] for m, x in row.items()}
            return method.inference.infer(params, key, one, subset)[0][0]

        return jax.vmap(of_row)(keys, given)

    for m in SHAPES:
        draw_given((m,))
    before = num_compiled()
    for pair in itertools.combinations(SHAPES, 2):
        assert draw_given(pair).shape == (4, 2)
    assert num_compiled() == before


def test_its_proposals_are_those_of_its_density():
    method, params = make()
    inference, views = method.inference, make_views(3)
    assert isinstance(inference, ImportanceInference)
    assert isinstance(inference, SubsetDensity)
    for subset in (("a", "b"), ("a", "b", "c")):
        z, log_ratio = inference.propose(params, jax.random.key(0), views, subset, 4)
        for k in range(4):
            log_q = inference.subset_log_prob(params, views, subset, z[k])
            log_p = inference.prior_of(params, "normal").log_density(z[k])
            np.testing.assert_allclose(
                log_ratio[k], log_p - log_q, rtol=1e-4, atol=1e-4
            )


def test_a_divisor_is_refused_where_nothing_is_divided():
    with pytest.raises(ValueError, match="nothing is divided"):
        make(quotient=Quotient("prior", 0.1))


def test_embeddings_of_projectors_are_read_beside_the_heads():
    """JNF-Shared: q(z|x_S) depends on x_m by its head and by g_m(x_m)."""
    settings = ProjectorSettings("dcca", 3)
    method, params = make("jnf_shared", projectors=settings)
    assert [stage.name for stage in method.stages] == ["shared", "joint", "subsets"]
    stage, views = method.stages[-1], make_views(6)
    cached = stage.cache({name: params[name] for name in stage.needs}, views)
    assert {m: x.shape for m, x in cached["features"].items()} == dict.fromkeys(
        SHAPES, (6, 4 + 3)
    )
    loss, _ = stage.loss(
        params["subsets"], None, jax.random.key(0), Batch(views, cached)
    )
    assert np.isfinite(loss)
    inference, z = method.inference, jnp.ones((6, 2))
    told = inference.subset_log_prob(params, views, ("a", "b"), z)
    for stage_name, m, is_read in (
        ("shared", "a", True),
        ("joint", "b", True),
        ("shared", "c", False),
        ("joint", "c", False),
    ):
        changed = dict(params)
        own = "projectors" if stage_name == "shared" else "encoder"
        key = m if stage_name == "shared" else f"head_{m}"
        members = dict(changed[stage_name][own])
        members[key] = jax.tree.map(lambda x: x + 0.5, members[key])
        changed[stage_name] = changed[stage_name] | {own: members}
        found = inference.subset_log_prob(changed, views, ("a", "b"), z)
        assert np.allclose(found, told) != is_read, (stage_name, m)


def test_features_are_standardised_by_the_training_data():
    method, params = make()
    stage, views = method.stages[-1], make_views(50)
    cached = jax.tree.map(np.asarray, stage.cache({"joint": params["joint"]}, views))
    own = params["subsets"] | stage.prepare(cached)
    posterior = method.inference.posterior
    features, z = cached["features"], jnp.ones((50, 2))
    found = log_prob(posterior, own, features, given_to("abc", 50), z)
    unit = {m: {"mean": np.zeros(4, "f4"), "scale": np.ones(4, "f4")} for m in features}
    standard = {m: (x - x.mean(0)) / x.std(0) for m, x in features.items()}
    expected = log_prob(
        posterior, own | {"standard": unit}, standard, given_to("abc", 50), z
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(
        found, log_prob(posterior, params["subsets"], features, given_to("abc", 50), z)
    )


@pytest.mark.parametrize("name", ["jnf", "jnf_shared"])
def test_simulated_rows_have_what_decoders_draw_and_features_of_that(name):
    """Every view, whether the row has it or not; of JNF-Shared embeddings too."""
    options = {"projectors": ProjectorSettings("dcca", 3)} if name != "jnf" else {}
    method, params = make(name, share=0.5, **options)
    stage, inference, num = method.stages[-1], method.inference, 20_000
    cached = {"features": {m: jnp.full((num, 4), jnp.nan) for m in SHAPES}}
    batch, z = Batch({}, cached), jnp.broadcast_to(jnp.array([0.7, -0.4]), (num, 2))
    redraw = stage.loss.keywords["redraw"]
    needed = {name: params[name] for name in stage.needs}
    read = redraw(needed, jax.random.key(0), batch, z)
    decoded = inference.joint.decode(params["joint"], z)
    drawn = {
        m: law.sample(seed=jax.random.key(i))
        for i, (m, law) in enumerate(decoded.items())
    }
    expected = inference.features(params, drawn)
    for m, x in read.cached["features"].items():
        spread = np.std(expected[m], axis=0)
        error = 5 * spread * (2 / num) ** 0.5 + 1e-6
        assert (np.abs(x.mean(0) - expected[m].mean(0)) < error).all()
        np.testing.assert_allclose(np.std(x, axis=0), spread, rtol=0.05)
        assert (spread > 0.01).any()


def test_the_simulated_share_of_the_loss():
    """0 reads no decoder; between 0 and 1 the loss is linear in it."""
    (plain, params), views = make(), make_views(50)
    cache = {"joint": params["joint"]}
    batch = Batch(views, plain.stages[-1].cache(cache, views))
    assert not plain.stages[-1].reads_frozen

    def loss(share):
        stage = make(share=share)[0].stages[-1]
        assert stage.reads_frozen == (share > 0)
        frozen = cache if stage.reads_frozen else None
        return stage.loss(params["subsets"], frozen, jax.random.key(0), batch)[0]

    none, some, every = loss(0.0), loss(0.25), loss(1.0)
    np.testing.assert_allclose(some, 0.75 * none + 0.25 * every, rtol=1e-5)
    assert abs(every - none) > 0.01


@pytest.mark.parametrize("linear_path", [False, True])
def test_the_width_before_the_flow_is_that_of_the_mixture(linear_path):
    method, params = make(num_blocks=0, linear_path=linear_path)
    inference, views = method.inference, make_views(1)
    many = {m: jnp.repeat(x, 20_000, axis=0) for m, x in views.items()}
    z, _ = inference.infer(params, jax.random.key(0), many, ("a", "c"))
    scale = inference.base_scale(params, views, ("a", "c"))
    np.testing.assert_allclose(np.std(z, axis=0), scale[0], rtol=0.05)  # 5 / √20,000


def test_chains_from_its_draws_end_in_the_models_own_posterior():
    """p(z) p(x_a|z) on a grid has the moments of where chains end."""
    method, params = make()
    inference, one, subset = method.inference, make_views(1), ("a",)
    many = {m: jnp.repeat(x, 2_000, axis=0) for m, x in one.items()}
    chains = ChainSettings(num_transitions=60, num_adaptation=40)
    posterior = DecoderPosterior(inference, chains, is_weighted=False)
    start, _ = inference.infer(params, jax.random.key(0), many, subset)
    adapt_key, chain_key = jax.random.split(jax.random.key(1))
    step_size = posterior.adapt(params, adapt_key, many, subset, start)
    end, _ = posterior.refine(params, chain_key, many, subset, start, step_size)
    axis = np.linspace(-6, 6, 121, dtype=np.float32)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    views = {m: jnp.repeat(x, len(grid), axis=0) for m, x in one.items()}
    p = jax.nn.softmax(posterior.log_joint(params, views, subset, grid))
    mean = p @ grid
    variance = p @ jnp.square(grid - mean)
    # Standard errors of 2,000 chains: 0.022 sd of a mean, 0.032 of a variance; four.
    assert (np.abs(end.mean(0) - mean) < 0.09 * jnp.sqrt(variance)).all()
    np.testing.assert_allclose(end.var(0), variance, rtol=0.13)
    assert (np.abs(start.var(0) / variance - 1) > 0.2).any()  # they had a way to go


def test_a_flow_without_a_context_is_one_flow_for_all():
    method, params = make(context_size=0)
    views, subset = make_views(2), ("a",)
    z, _ = method.inference.infer(params, jax.random.key(0), views, subset)
    assert "context" not in params["subsets"]["encoder"]
    log_q = method.inference.subset_log_prob(params, views, subset, z)
    assert np.isfinite(log_q).all()


def test_subsets_share_programs_where_views_are_placed_on_devices():
    """Zeros of views that are not given lie where the others do: as without a mesh, one
    draw and one density are compiled, whatever is given."""
    method, params = make()
    inference, mesh = method.inference, parallel.make_mesh()
    params = parallel.put(params, parallel.replicated(mesh))
    views = parallel.put_batch(make_views(8), mesh)
    z, _ = inference.infer(params, jax.random.key(0), views, ("a", "b", "c"))
    counts = set()
    for subset in SUBSETS[1:-1]:
        inference.infer(params, jax.random.key(1), views, subset)
        inference.subset_log_prob(params, views, subset, z)
        programs = inference._draw, inference._log_prob
        counts.add(tuple(program._cache_size() for program in programs))
    assert len(counts) == 1
