# %% [markdown]
# # A loss of your own, without the library around it
#
# ![Left: both objectives rise, and the bound reaches the largest log p(X) that there
# is. Right: nats that each latent carries](../docs/forked_loss.png)
#
# A project of yours wants one objective, and not our networks, trainer or configs. Then
# import it from `jnf_jax.losses`: it takes functions, and returns terms per datum, in
# nats. Here the fork changes a single term. *Free bits* (arXiv 1606.04934) let every
# latent spend some nats at no cost, Σ_d max(KL_d, λ) in place of Σ_d KL_d, so that none
# is switched off.

# %%
import sys
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.losses import JointModel, gaussian_kl, joint_elbo

SIZE, LATENT, NOISE, FREE = 4, 4, 0.5, 0.3


# %% [markdown]
# Encoder, decoder and prior are functions of a dictionary of arrays. Two views of four
# numbers each, everything linear: the best log p(X) is then known, and the bound can be
# held against it.


# %%
class StandardNormal(NamedTuple):
    mean: float = 0.0
    scale: float = 1.0
    is_normalised: bool = True

    def log_density(self, z):
        return -0.5 * jnp.sum(jnp.square(z) + jnp.log(2 * jnp.pi), axis=-1)

    def sample(self, rng_key, num_samples):
        return jax.random.normal(rng_key, (num_samples, LATENT))


def encode(params, views):
    mean = jnp.concatenate([views["a"], views["b"]], -1) @ params["encoder"]
    scale = jnp.broadcast_to(jnp.exp(params["log_scale"]), mean.shape)
    return distrax.MultivariateNormalDiag(mean, scale)


def decode(params, z):
    def view(weights):
        return distrax.MultivariateNormalDiag(z @ weights, jnp.full(SIZE, NOISE))

    return {"a": view(params["a"]), "b": view(params["b"])}


def free_bits(posterior, prior, z):
    variance = jnp.square(posterior.scale_diag)
    kl = 0.5 * (variance + jnp.square(posterior.loc) - 1 - jnp.log(variance))
    return jnp.sum(jnp.maximum(jnp.mean(kl, axis=0), FREE)) * jnp.ones(len(z))


MODEL = JointModel(encode, decode, lambda params: StandardNormal())


# %% [markdown]
# The training loop is yours too: gradient ascent with momentum, 15 lines.


# %%
def train(views, log_ratio, num_steps, rate=0.01):
    """Parameters, and the objective after each step, f32[num_steps]."""
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"encoder": (2 * SIZE, LATENT), "a": (LATENT, SIZE), "b": (LATENT, SIZE)}
    params = {
        name: 0.1 * jax.random.normal(key, shape)
        for (name, shape), key in zip(shapes.items(), keys, strict=True)
    } | {"log_scale": jnp.zeros(LATENT)}

    def objective(params, key):
        terms = joint_elbo(params, key, views, model=MODEL, log_ratio=log_ratio)
        return terms.objective.mean()

    def step(carry, key):
        params, velocity = carry
        value, gradient = jax.value_and_grad(objective)(params, key)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + rate * g, velocity, gradient)
        return (jax.tree.map(jnp.add, params, velocity), velocity), value

    start = (params, jax.tree.map(jnp.zeros_like, params))
    keys = jax.random.split(jax.random.key(1), num_steps)
    (params, _), values = jax.jit(lambda: jax.lax.scan(step, start, keys))()
    return params, values


# %% [markdown]
# Of the four latents the data need two. The largest log p(X) is that of probabilistic
# principal components (Tipping and Bishop, 1999): with λ_i the eigenvalues of the
# covariance and σ² the noise, −½ Σ_i [log 2π + log λ_i + 1] over the λ_i above σ² among
# the first D, and −½ Σ_i [log 2π + log σ² + λ_i/σ²] over the others.


# %%
def draw(num_rows):
    """{"a": f32[N, 4], "b": f32[N, 4]}, centred, of two causes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 2)) @ rng.normal(size=(2, 2 * SIZE))
    x += NOISE * rng.normal(size=x.shape)
    x = jnp.asarray(x - x.mean(axis=0), jnp.float32)
    return {"a": x[:, :SIZE], "b": x[:, SIZE:]}


def best_log_likelihood(views):
    """max log p(X) of the model, mean over rows; nats."""
    x = np.concatenate([views["a"], views["b"]], axis=-1).astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))[::-1]
    kept = (np.arange(len(eigenvalues)) < LATENT) & (eigenvalues > NOISE**2)
    explained = np.log(eigenvalues) + 1
    left = np.log(NOISE**2) + eigenvalues / NOISE**2
    return -0.5 * np.sum(np.log(2 * np.pi) + np.where(kept, explained, left))


def nats_by_latent(params, views):
    """KL_d of each latent, mean over rows, largest first: f32[D]."""
    posterior = encode(params, views)
    variance = jnp.square(posterior.scale_diag)
    kl = 0.5 * (variance + jnp.square(posterior.loc) - 1 - jnp.log(variance))
    return jnp.sort(kl.mean(axis=0))[::-1]


# %% [markdown]
# The bound reaches that line, and two latents are off. With free bits all four carry
# something, which costs likelihood.
#
#     python examples/forked_loss.py docs/forked_loss.png


# %%
def main(out, num_rows=2_000, num_steps=2_000):
    """Trains with both, and draws the picture; returns what it shows."""
    views = draw(num_rows)
    best, found = best_log_likelihood(views), {}
    for name, log_ratio in {"joint_elbo": gaussian_kl, "free bits": free_bits}.items():
        params, values = train(views, log_ratio, num_steps)
        found[name] = np.asarray(values), np.asarray(nats_by_latent(params, views))

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    for place, (name, (values, nats)) in enumerate(found.items()):
        left.plot(np.arange(num_steps) + 1, values, label=name, linewidth=1)
        right.bar(np.arange(LATENT) + 0.4 * place, nats, width=0.35, label=name)
    left.axhline(best, color="black", linestyle="--", label="largest log p(X)")
    left.set(xlabel="step", ylabel="nats", xscale="log", ylim=(best - 8, best + 0.5))
    right.axhline(FREE, color="grey", linestyle=":", label="λ")
    right.set(xlabel="latent, by size", ylabel="KL, nats", xticks=range(LATENT))
    left.legend()
    right.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)
    return best, found


# %%
if __name__ == "__main__":
    print(main(sys.argv[1]))
