"""Metrics: how close two sets of pictures are, what a space tells apart, and what an edit did."""

from steerbench.metrics.comparison import Comparison, compare, principal_angles
from steerbench.metrics.direction_variation import direction_variation
from steerbench.metrics.disentanglement import DCI, dci, dci_scores, mig, sap
from steerbench.metrics.distribution import (
    Overlap,
    density_coverage,
    frechet_distance,
    inside_manifold,
    kernel_distance,
    precision_recall,
)
from steerbench.metrics.features import extract_features, inception
from steerbench.metrics.naming import Suggestion, names_table, suggest_names
from steerbench.metrics.naming_by_words import WordsNamer
from steerbench.metrics.null import (
    p_value,
    random_directions,
    random_directions_like,
    random_units,
    step_for_change,
)
from steerbench.metrics.path_length import PathLength, path_length
from steerbench.metrics.reconstruction import mse, psnr, ssim
from steerbench.metrics.rescoring import Rescoring, rescore
from steerbench.metrics.scorecard import Scorecard, scorecard
from steerbench.metrics.separability import Separability, separability
from steerbench.metrics.spaces import space_metrics

__all__ = [
    "DCI",
    "Comparison",
    "Overlap",
    "PathLength",
    "Rescoring",
    "Scorecard",
    "Separability",
    "Suggestion",
    "WordsNamer",
    "compare",
    "dci",
    "dci_scores",
    "density_coverage",
    "direction_variation",
    "extract_features",
    "frechet_distance",
    "inception",
    "inside_manifold",
    "kernel_distance",
    "mig",
    "mse",
    "names_table",
    "p_value",
    "path_length",
    "precision_recall",
    "principal_angles",
    "psnr",
    "random_directions",
    "random_directions_like",
    "random_units",
    "rescore",
    "sap",
    "scorecard",
    "separability",
    "space_metrics",
    "ssim",
    "step_for_change",
    "suggest_names",
]
