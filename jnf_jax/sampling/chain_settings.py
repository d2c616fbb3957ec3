"""How chains on a density run: which kernel, how long, adapted to what."""

import dataclasses

from jnf_jax.options import option

KERNELS = ("dynamic_hmc", "hmc", "nuts", "ula")

DIVERGENCE_LIMIT = 1_000.0
"""Nats by which the energy of a transition that diverged is off; BlackJAX's own."""


@dataclasses.dataclass(frozen=True)
class ChainSettings:
    """How chains run; hashable, hence static under jit."""

    kernel: str = option(
        "dynamic_hmc",
        '"dynamic_hmc" (trajectories of random length, in the number and the size of '
        'their steps the same for all chains of a transition), "hmc" (fixed length: '
        'resonates on near-Gaussian targets, right means and wrong variances), "nuts" '
        'or "ula" (unadjusted Langevin, one leapfrog step and no Metropolis test; with '
        'the test, "hmc" of one leapfrog step, it is MALA).',
        one_of=KERNELS,
    )
    num_transitions: int = option(100, "Transitions of a chain, T.", at_least=1)
    min_leapfrog: int = option(
        1,
        "Least number of leapfrog steps of dynamic_hmc, which is uniform.",
        at_least=1,
    )
    max_leapfrog: int = option(9, "Largest such number, included.", at_least=1)
    num_leapfrog: int = option(10, 'Leapfrog steps of "hmc", L.', at_least=1)
    max_doublings: int = option(
        8, 'Bound of a "nuts" trajectory, 2^max_doublings leapfrog steps.', at_least=1
    )
    target_acceptance: float = option(
        0.8, "Mean acceptance that the step size is adapted to.", above=0, below=1
    )
    num_adaptation: int = option(
        100,
        "Transitions of the adaptation; 0 keeps `initial_step_size`. It must be 0 for "
        '"ula", which accepts every step.',
        at_least=0,
    )
    initial_step_size: float = option(
        0.1, "Step size at which the adaptation starts.", above=0
    )

    def cross_faults(self, field: str) -> list[str]:
        """The two bounds are in order, and nothing adapts Langevin."""
        found = []
        if self.max_leapfrog < self.min_leapfrog:
            found.append(
                f"`{field}.max_leapfrog` is {self.max_leapfrog}, expected >= "
                f"`min_leapfrog` = {self.min_leapfrog}"
            )
        if self.kernel == "ula" and self.num_adaptation:
            found.append(
                f"`{field}.num_adaptation` is {self.num_adaptation}, expected 0 with "
                "`kernel` 'ula': no acceptance tells whether its step size is right"
            )
        return found
