"""What a predictor reads in the picture, beside what it read in the original."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets
from torch import Tensor

from steerbench.errors import PredictorError
from steerbench.types import Predictor

MOST = 12
"""How many scores are shown: the ones that changed the most."""


class Scores(ipywidgets.HTML):
    """A small table: name, score, change against the original.

    Args:
        predictor: Gives scores ``[N, names]`` for pictures in [-1, 1].
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self._original: list[float] = []
        self.add_class("sb-scores")

    def show_original(self, image: Tensor) -> None:
        """Read the picture that the others are compared with."""
        self._original = self._read(image)

    def show(self, image: Tensor) -> None:
        """Read a picture and show its scores.

        Raises:
            PredictorError: The predictor does not give one score a name.
        """
        scores = self._read(image)
        changes = [now - before for now, before in zip(scores, self._original, strict=True)]
        self.value = table(self.predictor.names, scores, changes)

    def _read(self, image: Tensor) -> list[float]:
        scores = self.predictor.predict(image)
        names = self.predictor.names
        if tuple(scores.shape) != (1, len(names)):
            raise PredictorError(
                f"The predictor gave scores of shape {list(scores.shape)} for one picture and "
                f"{len(names)} names. Give a predictor of scores [N, names], not a segmenter."
            )
        return [float(score) for score in scores[0]]


def table(names: Sequence[str], scores: Sequence[float], changes: Sequence[float]) -> str:
    """The rows that changed the most, in the predictor's order, as HTML."""
    order = sorted(range(len(names)), key=lambda i: -abs(changes[i]))
    rows = "".join(
        f"<tr><td>{html.escape(names[i])}</td><td>{scores[i]:.2f}</td>"
        f"<td>{changes[i]:+.2f}</td></tr>"
        for i in sorted(order[:MOST])
    )
    return f"<table><tr><th>Reads</th><th>now</th><th>change</th></tr>{rows}</table>"
