"""Metrics: how close two sets of pictures are, what a space tells apart, and what an edit did."""

from steerbench.metrics.comparison import Comparison, compare, principal_angles
from steerbench.metrics.disentanglement import DCI, dci, dci_scores, mig, sap
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
    "DCI",
    "Comparison",
    "Overlap",
    "Scorecard",
    "Suggestion",
    "compare",
    "dci",
    "dci_scores",
    "density_coverage",
    "frechet_distance",
    "inside_manifold",
    "kernel_distance",
    "mig",
    "names_table",
    "precision_recall",
    "principal_angles",
    "sap",
    "scorecard",
    "suggest_names",
]
