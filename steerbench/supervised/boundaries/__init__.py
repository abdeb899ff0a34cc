"""Boundaries of attributes: HiGAN's, InterFaceGAN's, and those of a person's own labels.

- `hyperplane`: the linear boundary between two sets of codes, solved by Newton
- `interfacegan`: boundaries from scored codes, with the conventions of the authors' code
- `higan`: the boundary of every attribute at once, verified by counterfactuals
- `labelling`: a boundary from a person's yes and no
- `entanglement`: how much one attribute comes along when another is edited, and `free`
"""

from steerbench.supervised.boundaries.entanglement import (
    correlations,
    cosines,
    free,
    layer_effects,
    scores,
)
from steerbench.supervised.boundaries.hyperplane import Boundary, linear_boundary
from steerbench.supervised.boundaries.interfacegan import interpolate, train_boundary

__all__ = [
    "Boundary",
    "correlations",
    "cosines",
    "free",
    "interpolate",
    "layer_effects",
    "linear_boundary",
    "scores",
    "train_boundary",
]
