"""Finders: directions without labels. One paper, one file, listed here.

Every finder keeps its hyperparameters as they were given, works in ``fit(generator)``, returns
itself, and leaves ``directions_``.
"""

from __future__ import annotations

from typing import Any

from steerbench.unsupervised.eigengan_basis import EigenBasis
from steerbench.unsupervised.ganspace import GANSpace
from steerbench.unsupervised.jacobian import Jacobian
from steerbench.unsupervised.random_directions import RandomDirections
from steerbench.unsupervised.sefa import SeFa

__all__ = ["FINDERS", "EigenBasis", "GANSpace", "Jacobian", "RandomDirections", "SeFa"]

FINDERS: dict[str, type[Any]] = {
    "ganspace": GANSpace,
    "jacobian": Jacobian,
    "random_directions": RandomDirections,
    "sefa": SeFa,
}
