"""Metrics: how close sets of pictures are, or two of them; what spaces tell apart, edits do."""

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
from steerbench.metrics.reconstruction import mse, psnr, ssim
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
    "mse",
    "names_table",
    "precision_recall",
    "principal_angles",
    "psnr",
    "sap",
    "scorecard",
    "ssim",
    "suggest_names",
]
