"""Samples, kept as they are: for data that is too wide to sum up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from steerbench.errors import CheckpointError, ShapeError


class SampleBuffer:
    """Samples ``[N, D]`` in float32, with the manners of a running statistic.

    Args:
        capacity: For how many samples memory is taken at once; more may follow.

    >>> SampleBuffer().add(torch.zeros(2, 3)).add(torch.ones(1, 3)).samples.shape
    torch.Size([3, 3])
    """

    def __init__(self, capacity: int = 0) -> None:
        self.count, self.capacity = 0, capacity
        self._buffer = torch.empty(0, 0)

    @property
    def samples(self) -> Tensor:
        """``[count, D]``, a view."""
        return self._buffer[: self.count]

    def add(self, batch: Tensor) -> Self:
        """Add samples ``[N, D]``; returns self."""
        if self.count and batch.shape[1] != self._buffer.shape[1]:
            raise ShapeError(
                f"Samples of {batch.shape[1]} numbers were given after samples of "
                f"{self._buffer.shape[1]}. Keep samples of one kind together."
            )
        end = self.count + len(batch)
        if end > len(self._buffer):
            larger = torch.empty(max(end, self.capacity), batch.shape[1])
            larger[: self.count] = self.samples if self.count else larger[:0]
            self._buffer = larger
        self._buffer[self.count : end] = batch.detach().cpu()
        self.count = end
        return self

    def merge(self, other: Self) -> Self:
        """Add the samples of another one; returns self."""
        return self.add(other.samples) if other.count else self

    def state_dict(self) -> dict[str, Tensor]:
        """Everything kept so far."""
        return {"rows": self.samples.contiguous()}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Rows as they were when ``state_dict`` was called.

        Raises:
            CheckpointError: The state is one of something else.
        """
        if set(state) != {"rows"} or state["rows"].ndim != 2:
            raise CheckpointError(f"Got a state with {sorted(state)}, expected rows [N, D].")
        return cls().add(state["rows"])
