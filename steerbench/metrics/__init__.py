"""Metrics: how close two sets of pictures are, and what an edit did."""

from steerbench.metrics.distribution import (
    Overlap,
    density_coverage,
    frechet_distance,
    inside_manifold,
    kernel_distance,
    precision_recall,
)
from steerbench.metrics.scorecard import Scorecard, scorecard

__all__ = [
    "Overlap",
    "Scorecard",
    "density_coverage",
    "frechet_distance",
    "inside_manifold",
    "kernel_distance",
    "precision_recall",
    "scorecard",
]
