"""JNF on the digits, and a prior fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config digits/jnf_after:gmm --workdir runs/digits_gmm

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is digits/jnf_paper. Three seeds on the
same checkpoints, where N(0, I) has a joint coherence of .52 ± .03 and the ceiling is
.86 ± .03; and on older ones, ceiling .83, with latents whitened and not:

=========  ===============  ==================  ============  ===================
argument   joint coherence  label entropy/nats  older         older, not whitened
=========  ===============  ==================  ============  ===================
mixture    .71 ± .02        2.22                .70 ± .02     .77 ± .02 (4645f9d)
gmm        .85 ± .02        2.24                .83 ± .02     .85 ± .01 (4645f9d)
maf        .75 ± .02        2.22                .74 ± .04     .77 ± .02 (30c1cf2)
ebm        .83 ± .02        2.23                .82 ± .02     .81 ± .01 (9783766)
diffusion  .76 ± .02        2.22                see below     –
=========  ===============  ==================  ============  ===================

- mixture: by gradient ascent on the likelihood. On PolyMNIST whitening helped it.
- gmm: fifty full covariances by scikit-learn, on one draw a training tuple; the
  published runs have ten (``--config.fitted_prior.num_components=10``). The stage is
  one step: EM takes its place.
- ebm: the last parameters are kept, as a contrast is no bound to select by. After 60
  Langevin steps; .84 ± .02 after 300, .67 ± .02 after none, which is a normal with the
  draws' moments. Not whitened, it took steps of 0.08.
- diffusion: learning the whole score instead of what N(0, I) lacks gave .69 ± .02 on
  older checkpoints (6b30765).
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf_paper

ARGUMENTS = priors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """JNF with a density for its joint draws."""
    return priors.fitted_afterwards(jnf_paper.get_config(), argument)
