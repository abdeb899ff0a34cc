"""How much sets of places overlap: co-occurrence counts and intersection over union."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.stats.running import Running, float64, samples


class IoU(Running):
    """How much the columns of 0/1 matrices overlap.

    Rows are places (pixels, samples); columns are sets of places: units above their threshold,
    classes of a one-hot segmentation. All pairs are counted by one matrix product.

    >>> import torch
    >>> units, classes = torch.tensor([[1, 0], [1, 1], [0, 1]]), torch.tensor([[1], [1], [0]])
    >>> IoU().add(units, classes).iou()
    tensor([[1.0000],
            [0.3333]], dtype=torch.float64)
    """

    _fields = ("intersection", "first", "second")

    def add(self, first: Tensor, second: Tensor | None = None) -> Self:
        """Add rows [N, A] and [N, B] of 0 and 1 (or booleans); returns self.

        Without ``second``, the columns of ``first`` are compared with one another (B = A).
        """
        first = _binary(first)
        second = first if second is None else _binary(second)
        if len(first) != len(second):
            raise ShapeError(f"Got {len(first)} rows and {len(second)}, expected the same places.")
        # Sums of 0 and 1 are exact in float64 up to 2^53 places.
        fields = {"intersection": first.T @ second, "first": first.sum(0), "second": second.sum(0)}
        return self.merge(self._of(len(first), **fields))

    @property
    def intersection(self) -> Tensor:
        """[A, B]: places in both columns; float64, whole numbers."""
        return self._get("intersection")

    @property
    def union(self) -> Tensor:
        """[A, B]: places in either column; float64, whole numbers."""
        return self._get("first")[:, None] + self._get("second") - self.intersection

    def iou(self) -> Tensor:
        """Return [A, B] in [0, 1]: intersection over union; 0 where both columns are empty."""
        return self.intersection / self.union.clamp(min=1)

    def _join(self, other: Self) -> dict[str, Tensor]:
        return {name: self._get(name) + other._get(name) for name in self._fields}


def _binary(data: Tensor) -> Tensor:
    data = samples(data, ndim=2)
    if not ((data == 0) | (data == 1)).all():
        raise ArgumentError("Got other values than 0 and 1; compare with a threshold first.")
    return float64(data)
