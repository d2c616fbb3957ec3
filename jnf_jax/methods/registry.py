"""Every method by name; a new one takes its module in this folder and a line here."""

import dataclasses
from typing import Any

from jnf_jax.methods import (
    jmvae,
    jnf,
    jnf_shared,
    mld,
    mmjsd,
    mmvae,
    mmvae_plus,
    mopoe,
    mvae,
    mvtcae,
)
from jnf_jax.methods.amortised import STAGE as SUBSETS
from jnf_jax.methods.covariates import with_covariates
from jnf_jax.methods.diffusion_decoder import DenoiserSettings, with_diffusion_decoder
from jnf_jax.methods.fitted_prior import with_fitted_prior
from jnf_jax.methods.method import Method
from jnf_jax.methods.product import Quotient, quotient_faults
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.options import faults, read
from jnf_jax.priors.family import PriorFamily
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes

_MODULES = (
    jmvae,
    jnf,
    jnf_shared,
    mld,
    mmjsd,
    mmvae,
    mmvae_plus,
    mopoe,
    mvae,
    mvtcae,
)

METHODS = {module.__name__.rpartition(".")[2]: module for module in _MODULES}
"""Values of a config's ``method``. Each module has

``STAGES``, the names of its stages in order of training; ``SECTIONS``, {name of a
section of the config that is its own: the settings}; ``build(shapes, *, model, flow,
sampler, **sections) -> Method``; and ``faults(*, model, quotient, denoiser,
**sections)``, one line for every fault of settings that are good by themselves.
"""

OWN_SECTIONS = {n: cls for module in _MODULES for n, cls in module.SECTIONS.items()}
"""Every section that some method has of its own, and its settings."""

TAKE_PARTIAL_ROWS = (
    *("jnf", "jmvae", "mld", "mmjsd", "mmvae", "mmvae_plus", "mopoe", "mvae", "mvtcae"),
)
"""Methods that learn from rows that lack views; see ``model.partial_rows``."""

STAGES = {name: module.STAGES for name, module in METHODS.items()}


def stages_of(name: str, subset_posterior: str) -> tuple[str, ...]:
    """The stages of a method that infers subsets so, in order of training."""
    is_amortised = subset_posterior == "amortised"
    replaced = {"unimodal": SUBSETS} if is_amortised else {}
    return tuple(replaced.get(stage, stage) for stage in STAGES[name])


def build_method(
    name: str,
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    quotient: Quotient | None = None,
    fitted_prior: PriorFamily | None = None,
    denoiser: DenoiserSettings | None = None,
    **sections: Any,
) -> Method:
    """The method ``name`` for modalities of ``shapes``.

    With ``fitted_prior`` it has a further stage, ``prior``, with ``denoiser`` a last
    one, ``diffusion_decoder``; each has a module of its name. Subsets divide as
    ``quotient`` says: see ``product.py``. ``sections`` are those of any method; one of
    this method's that is missing or None is at its defaults.

    Raises:
        ValueError: If the name is unknown, or with every fault of the settings.
    """
    if name not in METHODS:
        raise ValueError(f"`method` is {name!r}, expected one of {tuple(METHODS)}")
    module, quotient = METHODS[name], quotient or Quotient()
    own = {
        field: sections.get(field) or _default(cls, field)
        for field, cls in module.SECTIONS.items()
    }
    given = own | {"model": model, "flow": flow, "denoiser": denoiser}
    found = [f for field, s in given.items() if s for f in faults(s, field)]
    found += faults(sampler, "sampler") + faults(quotient, "sampler")
    found += model.shape_faults(shapes)
    found += quotient_faults(quotient, model.prior, fitted_prior, sampler.kernel)
    if model.partial_rows and (name not in TAKE_PARTIAL_ROWS or denoiser):
        got = "`denoiser`" if name in TAKE_PARTIAL_ROWS else f"method {name!r}"
        found.append(
            f"`model.partial_rows` is True, expected False with {got}: rows that lack "
            f"views are for {' and '.join(TAKE_PARTIAL_ROWS)}, without a denoiser"
        )
    if model.num_covariates:
        found += _covariate_faults(name, model, denoiser, own)
    found += module.faults(model=model, quotient=quotient, denoiser=denoiser, **own)
    if found:
        raise ValueError("\n".join(found))
    method = module.build(shapes, model=model, flow=flow, sampler=sampler, **own)
    if model.num_covariates:
        method = with_covariates(method, model.num_covariates)
    if fitted_prior:
        method = with_fitted_prior(method, fitted_prior)
    if denoiser:
        method = with_diffusion_decoder(method, denoiser)
    if quotient != Quotient():
        inference = dataclasses.replace(method.inference, quotient=quotient)
        method = dataclasses.replace(method, inference=inference)
    return method


def _covariate_faults(
    name: str, model: ModelSettings, denoiser: Any, sections: dict[str, Any]
) -> list[str]:
    """Covariates are read by JNF with one flow for every subset."""
    told = f"`model.num_covariates` is {model.num_covariates}, expected 0 with"
    posterior = getattr(sections.get("subset_posterior"), "name", None)
    found = []
    if (name, posterior) != ("jnf", "amortised"):
        how = f" and `subset_posterior.name` {posterior!r}" if posterior else ""
        found.append(
            f"{told} method {name!r}{how}: covariates are for method 'jnf' and "
            "`subset_posterior.name` 'amortised'"
        )
    if denoiser:
        found.append(f"{told} `denoiser`, which reads none")
    if model.prior.reads_views:
        found.append(
            f"{told} `model.prior.name` {model.prior.name!r}, whose tuples have none"
        )
    return found


def _default(cls: type, field: str) -> Any:
    """Settings without a section of their own, if every field has a default."""
    settings, found = read(cls, {}, field)
    if found:
        raise ValueError("\n".join(found))
    return settings
