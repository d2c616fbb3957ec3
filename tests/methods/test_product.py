"""What the Gaussian stand-in of a product tells, and where it says that it cannot."""

import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.methods.product import Quotient, base_product
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.flow import FlowFamily
from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.laplace import LaplacePrior, SmoothedLaplacePrior
from jnf_jax.priors.mixture import MixtureFamily, MixturePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.priors.whitening import WhitenedPrior, identity
from jnf_jax.types import GaussianCode

# Two experts of one datum, of variance 4 and 1/4 each.
CODES = (GaussianCode(jnp.zeros((1, 2)), jnp.array([[2.0, 0.5]]), None),) * 2
BLANK = {"logits": jnp.zeros(3), "means": jnp.zeros((3, 2))}


def energy(reference, **options):
    family = EnergyFamily(reference=reference, hidden_sizes=(4,), **options)
    return family.bind({}, 2)


@pytest.mark.parametrize(
    ("divisor", "scale"),
    [
        (NormalPrior(2), 1.0),
        (NormalPrior(2, jnp.array([0.5, 3.0])), jnp.array([0.5, 3.0])),
        (energy("normal", reference_scale=2.0), 2.0),
        (energy("normal", confinement=1.5), 0.5),
        (MixtureFamily(num_components=3).bind(BLANK, 2), 1.0),
    ],
)
def test_gaussian_tails_are_divided_by(divisor, scale):
    product = base_product(CODES, divisor)
    precision = 2 * CODES[0].scale ** -2 - jnp.broadcast_to(scale, (1, 2)) ** -2.0
    proper = precision > 0
    np.testing.assert_array_equal(product.is_proper, proper.all(-1))
    np.testing.assert_allclose(
        product.scale[proper], precision[proper] ** -0.5, rtol=1e-6
    )


@pytest.mark.parametrize(
    "divisor",
    [
        LaplacePrior(2),
        SmoothedLaplacePrior(2),
        energy("laplace", confinement=0.1),
        MixturePrior(jnp.zeros(3), jnp.zeros((3, 2)), 1.0, "laplace"),
        MixtureFamily(learns_scales=True).bind(
            BLANK | {"log_scales": jnp.zeros((3, 2))}, 2
        ),
        GaussianMixtureFamily(num_components=3).bind(
            BLANK | {"factors": jnp.tile(jnp.eye(2), (3, 1, 1))}, 2
        ),
        FlowFamily(num_blocks=0).bind({}, 2),
        WhitenedPrior(NormalPrior(2), identity(2)),
    ],
)
def test_of_other_tails_nothing_is_said_and_the_mass_is_that_of_the_experts(divisor):
    product = base_product(CODES, divisor)
    assert product.is_proper is None
    np.testing.assert_allclose(product.scale, CODES[0].scale / 2**0.5, rtol=1e-6)


@pytest.mark.parametrize("divisor", [NormalPrior(2), LaplacePrior(2)])
def test_a_defensive_weight_makes_every_product_proper(divisor):
    plain = base_product(CODES * 2, divisor)
    defended = base_product(CODES * 2, divisor, Quotient("prior", 0.01))
    assert plain.is_proper is None or not plain.is_proper.any()
    assert defended.is_proper.all()
    np.testing.assert_array_equal(defended.scale, plain.scale)
