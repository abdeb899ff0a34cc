"""Boundaries of attributes: HiGAN's, InterFaceGAN's, and those of a person's own labels.

- `hyperplane`: the linear boundary between two sets of codes, solved by Newton
- `interfacegan`: boundaries from scored codes, with the conventions of the authors' code
- `higan`: the boundary of every attribute at once, verified by counterfactuals
- `labelling`: a boundary from a person's yes and no
- `entanglement`: how much one attribute comes along when another is edited, and `free`
- `channel_selection`: the same in s, by leaving channels out
- `quality`: what to tell good pictures from spoiled ones by, where nobody labelled them
"""

from steerbench.supervised.boundaries.channel_selection import select_channels, sensitivity
from steerbench.supervised.boundaries.entanglement import (
    correlations,
    cosines,
    free,
    layer_effects,
    scores,
)
from steerbench.supervised.boundaries.hyperplane import Boundary, linear_boundary
from steerbench.supervised.boundaries.interfacegan import interpolate, train_boundary
from steerbench.supervised.boundaries.quality import NeighbourRealism, realness

__all__ = [
    "Boundary",
    "NeighbourRealism",
    "correlations",
    "cosines",
    "free",
    "interpolate",
    "layer_effects",
    "linear_boundary",
    "realness",
    "scores",
    "select_channels",
    "sensitivity",
    "train_boundary",
]
