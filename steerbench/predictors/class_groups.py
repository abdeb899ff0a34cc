"""A segmenter whose classes are joined into things: a window with its sky, a bed with its pillows.

>>> from steerbench.predictors import predictor
>>> fine = predictor(lambda x: (x[:, 0] > 0).long() + (x[:, 0] > 0.5), ["wall", "frame", "sky"])
>>> coarse = ClassGroups(fine, {"window": ["frame", "sky"]})
>>> coarse.names, coarse.predict(torch.tensor([[[[-1.0, 0.2, 0.9]]]]))
(('wall', 'window'), tensor([[[0, 1, 1]]]))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from steerbench.errors import PredictorError, unknown
from steerbench.types import Predictor


class ClassGroups:
    """A predictor of label maps with fewer classes.

    Args:
        segmenter: Gives label maps, indices into its ``names``.
        groups: A name for each group of its classes. What is in no group stays as it is.

    Raises:
        PredictorError: A class does not exist, or is in two groups.
    """

    def __init__(self, segmenter: Predictor, groups: Mapping[str, Sequence[str]]) -> None:
        self.segmenter = segmenter
        of: dict[str, str] = {}
        for group, classes in groups.items():
            for name in classes:
                if name not in segmenter.names or name in of:
                    twice = f" It is in {of[name]!r} already." if name in of else ""
                    raise PredictorError(unknown("free class", name, segmenter.names) + twice)
                of[name] = group
        called = [of.get(name, name) for name in segmenter.names]
        self.names = tuple(dict.fromkeys(called))
        self.name = f"{getattr(segmenter, 'name', type(segmenter).__name__)}, merged"
        self._table = torch.tensor([self.names.index(name) for name in called])

    def predict(self, images: Tensor) -> Tensor:
        """Return label maps ``[N, H, W]`` int64, indices into ``names``."""
        labels = self.segmenter.predict(images)
        return self._table.to(labels.device)[labels]

    def probabilities(self, images: Tensor) -> Tensor:
        """Return those of the classes of a group added up, ``[N, len(names), H, W]``.

        Raises:
            PredictorError: The segmenter gives none.
        """
        if not hasattr(self.segmenter, "probabilities"):
            raise PredictorError(f"{self.name} has label maps only, no probabilities.")
        fine: Tensor = self.segmenter.probabilities(images)
        coarse = fine.new_zeros(len(fine), len(self.names), *fine.shape[2:])
        return coarse.index_add(1, self._table.to(fine.device), fine)
