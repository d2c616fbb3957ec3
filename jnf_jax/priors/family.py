"""Priors that may have parameters: how to make these, and the density they give.

A family's fields are the options that a config's ``model.prior`` may have.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax

from jnf_jax.networks.gaussian import GaussianCode
from jnf_jax.types import Params, Prior, Views

Encode = Callable[[Views], GaussianCode]
"""Views [C, ...] -> mean and scale of q(z|X), f32[C, D]; of M experts f32[C M, D]."""


def draw_option(default: Any) -> Any:
    """A field that decides how draws are made and nothing that is learnt.

    It is of no checkpoint's identity: what was trained can be drawn from with another.
    """
    return dataclasses.field(default=default, metadata={"of_identity": False})


@runtime_checkable
class PriorFamily(Protocol):
    """p_λ(z) for parameters λ; frozen and hashable, hence static under jit.

    Attributes:
        name: What a config calls it.
    """

    name: str

    def faults(self, field: str) -> list[str]:
        """What is wrong with the options, one line a fault."""
        ...

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """Fresh λ; {} where there is nothing to learn. ``shapes``: of the views."""
        ...

    def bind(
        self, params: Params, latent_size: int, encode: Encode | None = None
    ) -> Prior:
        """p_λ. ``encode`` is the joint encoder, for priors that are made of it."""
        ...


class Fixed:
    """A family of one: nothing to learn."""

    def faults(self, field: str) -> list[str]:
        """No option can be wrong, unless a family says otherwise."""
        del field
        return []

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """{}."""
        del rng_key, latent_size, shapes
        return {}


def faults_below(
    options: Any,
    field: str,
    least: Mapping[str, float | int],
    *,
    strict: bool = False,
) -> list[str]:
    """One line for each option below (or, if strict, at) its bound; NaN is below."""
    sign = ">" if strict else ">="
    return [
        f"`{field}.{name}` is {getattr(options, name)}, expected {sign} {bound}"
        for name, bound in least.items()
        if not (
            getattr(options, name) > bound
            if strict
            else getattr(options, name) >= bound
        )
    ]


def faults_of_choice(
    options: Any, field: str, known: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """One line for each option that is none of its names."""
    return [
        f"`{field}.{name}` is {getattr(options, name)!r}, expected one of {names}"
        for name, names in known.items()
        if getattr(options, name) not in names
    ]
