"""Metrics: how close two sets of pictures are, and what an edit did."""

from steerbench.metrics.distribution import (
    Overlap,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)

__all__ = [
    "Overlap",
    "density_coverage",
    "frechet_distance",
    "kernel_distance",
    "precision_recall",
]
