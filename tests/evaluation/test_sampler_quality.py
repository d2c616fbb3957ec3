"""How chains did, where it is known and where it is not."""

import jax.numpy as jnp
import pytest

from jnf_jax.evaluation.sampler_quality import sampler_quality
from jnf_jax.methods.method import SubsetInfo


@pytest.mark.parametrize(
    ("improper", "share", "num_warnings"),
    [
        (None, None, 0),
        (jnp.array([False, False, False, False]), 0.0, 0),
        (jnp.array([False, True, False, False]), 0.25, 1),
    ],
)
def test_impropriety_is_unknown_none_or_warned_of(improper, share, num_warnings):
    info = SubsetInfo(jnp.ones(()), jnp.full(4, 0.8), jnp.zeros(4, int), improper)
    quality = sampler_quality(info, 0.5, None)
    assert quality["share_improper"] == share
    assert len(quality["warnings"]) == num_warnings
