"""How chains on a density run: which kernel, how long, adapted to what."""

import dataclasses

KERNELS = ("dynamic_hmc", "hmc", "nuts", "ula")

DIVERGENCE_LIMIT = 1_000.0
"""Nats by which the energy of a transition that diverged is off; BlackJAX's own."""


@dataclasses.dataclass(frozen=True)
class ChainSettings:
    """How chains run; hashable, so that it can be a static argument of jit.

    Attributes:
        kernel: "dynamic_hmc" (trajectories of random length, the same for all chains of
            a transition), "hmc" (fixed length: resonates on near-Gaussian targets,
            right means and wrong variances), "nuts" or "ula" (unadjusted Langevin, one
            leapfrog step and no Metropolis test; with the test, "hmc" of one leapfrog
            step, it is MALA).
        num_transitions: T, transitions a chain.
        min_leapfrog, max_leapfrog: bounds, both included, of dynamic_hmc's uniform
            number of leapfrog steps.
        num_leapfrog: L of "hmc".
        max_doublings: bound of a "nuts" trajectory, 2^max_doublings leapfrog steps.
        target_acceptance: mean acceptance that the step size is adapted to.
        num_adaptation: transitions of the adaptation; 0 keeps ``initial_step_size``.
            It must be 0 for "ula", which accepts every step.
        initial_step_size: where the adaptation starts.
    """

    kernel: str = "dynamic_hmc"
    num_transitions: int = 100
    min_leapfrog: int = 1
    max_leapfrog: int = 9
    num_leapfrog: int = 10
    max_doublings: int = 8
    target_acceptance: float = 0.8
    num_adaptation: int = 100
    initial_step_size: float = 0.1

    def __post_init__(self):
        if self.kernel not in KERNELS:
            raise ValueError(
                f"kernel: got {self.kernel!r}, expected one of {', '.join(KERNELS)}"
            )
        for name, least in (
            ("num_transitions", 1),
            ("min_leapfrog", 1),
            ("max_leapfrog", self.min_leapfrog),
            ("num_leapfrog", 1),
            ("max_doublings", 1),
            ("num_adaptation", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, expected at least {least}"
                )
        if self.kernel == "ula" and self.num_adaptation:
            raise ValueError(
                f"num_adaptation: got {self.num_adaptation}, expected 0 with kernel "
                "'ula': no acceptance tells whether `initial_step_size` is right"
            )
        if not 0 < self.target_acceptance < 1:
            raise ValueError(
                f"target_acceptance: got {self.target_acceptance}, expected in (0, 1)"
            )
        if not self.initial_step_size > 0:
            raise ValueError(
                f"initial_step_size: got {self.initial_step_size}, expected > 0"
            )
