"""Scores of pictures from any predictor, checked before anybody computes with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steerbench.errors import NotFoundError, PredictorError, unknown
from steerbench.types import Predictor


class Reader:
    """Some of a predictor's scores.

    Of a segmenter, which gives label maps, a score is the share of the picture that a class covers.

    Args:
        predictor: Gives ``[N, len(names)]``, or label maps and ``areas``.
        attributes: Which of its names, in this order; None for all.

    Raises:
        NotFoundError: The predictor has no such name; the closest are offered.
    """

    def __init__(self, predictor: Predictor, attributes: Sequence[str] | None = None) -> None:
        known = tuple(predictor.names)
        chosen = known if attributes is None else attributes
        self.names = (chosen,) if isinstance(chosen, str) else tuple(chosen)
        if not self.names:
            raise NotFoundError(f"No attribute was chosen. {unknown('attribute', '', known)}")
        for name in self.names:
            if name not in known:
                raise NotFoundError(unknown("attribute", name, known))
        self.predictor = predictor
        self._columns = [known.index(name) for name in self.names]
        units = getattr(predictor, "units", None)
        self.units = tuple(units[i] for i in self._columns) if units else ("",) * len(self.names)

    def __call__(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Read scores ``[N, len(names)]`` float32 of pictures, without gradients.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1].
            features: The predictor's own of these pictures, where they are known already; a
                predictor that can ``read`` them is not run again.

        Raises:
            PredictorError: They have another shape, or NaN or infinity is among them.
        """
        with torch.no_grad():
            if features is not None and hasattr(self.predictor, "read"):
                scores = torch.as_tensor(self.predictor.read(features))
            else:
                scores = torch.as_tensor(self.predictor.predict(images))
            if scores.ndim == 3 and hasattr(self.predictor, "areas"):
                scores = torch.as_tensor(self.predictor.areas(images))
        expected = (len(images), len(self.predictor.names))
        if tuple(scores.shape) != expected:
            raise PredictorError(
                f"The predictor returned {list(scores.shape)} for {len(images)} pictures; expected "
                f"{list(expected)}, one score for each of its names. Correct the names, or wrap "
                "the model with sb.predictor(model, names=[...])."
            )
        scores = scores[:, self._columns].detach().float().cpu()
        bad = (~torch.isfinite(scores)).nonzero()
        if len(bad):
            name = self.names[int(bad[0, 1])]
            raise PredictorError(
                f"The predictor returned NaN or infinity for {name!r} of picture {int(bad[0, 0])} "
                f"of a batch of {len(images)}. Where there is no score, give a number of your own, "
                "such as -999, and name it as invalid_value."
            )
        return scores
