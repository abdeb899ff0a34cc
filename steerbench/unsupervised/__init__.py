"""Finders: directions without labels. One paper, one file, listed here.

Every finder keeps its hyperparameters as they were given, works in ``fit(generator)``, returns
itself, and leaves ``directions_``.
"""

from __future__ import annotations

from typing import Any

from steerbench.unsupervised.closed_form import ClosedForm
from steerbench.unsupervised.eigengan_basis import EigenBasis
from steerbench.unsupervised.ganspace import GANSpace
from steerbench.unsupervised.hessian_penalty import HessianPenalty
from steerbench.unsupervised.jacobian import Jacobian
from steerbench.unsupervised.latent_discovery import LatentDiscovery
from steerbench.unsupervised.random_directions import RandomDirections
from steerbench.unsupervised.sefa import SeFa
from steerbench.unsupervised.stylespace import StyleSpace

__all__ = [
    "FINDERS",
    "ClosedForm",
    "EigenBasis",
    "GANSpace",
    "HessianPenalty",
    "Jacobian",
    "LatentDiscovery",
    "RandomDirections",
    "SeFa",
    "StyleSpace",
]

FINDERS: dict[str, type[Any]] = {
    "closed_form": ClosedForm,
    "ganspace": GANSpace,
    "hessian_penalty": HessianPenalty,
    "jacobian": Jacobian,
    "latent_discovery": LatentDiscovery,
    "random_directions": RandomDirections,
    "sefa": SeFa,
    "stylespace": StyleSpace,
}
