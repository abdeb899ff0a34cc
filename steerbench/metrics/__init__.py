"""Metrics: how close two sets of pictures are, and what an edit did."""

from steerbench.metrics.comparison import Comparison, compare, principal_angles
from steerbench.metrics.distribution import (
    Overlap,
    density_coverage,
    frechet_distance,
    inside_manifold,
    kernel_distance,
    precision_recall,
)
from steerbench.metrics.naming import Suggestion, names_table, suggest_names
from steerbench.metrics.scorecard import Scorecard, scorecard

__all__ = [
    "Comparison",
    "Overlap",
    "Scorecard",
    "Suggestion",
    "compare",
    "density_coverage",
    "frechet_distance",
    "inside_manifold",
    "kernel_distance",
    "names_table",
    "precision_recall",
    "principal_angles",
    "scorecard",
    "suggest_names",
]
