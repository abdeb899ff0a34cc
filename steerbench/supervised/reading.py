"""Scores of pictures from any predictor; they are read in `steerbench.metrics.reading`."""

from steerbench.metrics.reading import Reader

__all__ = ["Reader"]
