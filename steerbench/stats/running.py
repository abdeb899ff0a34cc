"""What all running statistics share: merging, states, and the checks of batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from steerbench.errors import CheckpointError, ShapeError


class Running(ABC):
    """What all statistics share: a count, named tensors, and merging by the subclass's `_join`.

    Adding a batch is merging the statistic of that batch alone, so the two cannot disagree.
    Tensors are replaced and never written to, so statistics may share them.
    """

    _fields: tuple[str, ...] = ()
    _settings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.count = 0
        """How many samples have been added."""

    def merge(self, other: Self) -> Self:
        """Add what another one has seen, as if its samples came after one's own.

        Returns:
            self.

        Raises:
            ShapeError: the other one is of another kind, or of data of another shape.
        """
        if type(other) is not type(self) or self._config() != other._config():
            raise ShapeError(
                f"Cannot merge {other!r} into {self!r}: kind and settings must be the same."
            )
        if self.count and other.count and self.shape != other.shape:
            raise ShapeError(
                f"{self!r} has samples of shape {list(self.shape)} and was given samples of shape "
                f"{list(other.shape)}. Make a new one for other data."
            )
        if not other.count:
            return self
        fields = {name: other._get(name) for name in self._fields}
        if self.count:
            fields = self._join(other._to(self.device))
        # In one step: an interrupt finds all of the other one in here, or nothing.
        self._set(fields, self.count + other.count)
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Return settings and everything seen so far, as CPU tensors."""
        state = {name: torch.tensor(getattr(self, name)) for name in ("count", *self._settings)}
        names = self._fields if self.count else ()
        return state | {name: self._get(name).cpu().contiguous() for name in names}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Return a statistic as it was when ``state_dict`` was called.

        Raises:
            CheckpointError: the state is incomplete, or one of another kind of statistic.
        """
        needed = {"count", *cls._settings}
        if needed <= set(state) and int(state["count"]) > 0:
            needed |= set(cls._fields)
        if set(state) != needed:
            raise CheckpointError(
                f"Got a state with {sorted(state)}, expected {sorted(needed)}: "
                f"it is not the complete state of a {cls.__name__}."
            )
        new = cls(**{name: state[name].item() for name in cls._settings})
        fields = {name: state[name] for name in cls._fields if name in state}
        new._set(fields, int(state["count"]))
        return new

    def __repr__(self) -> str:
        settings = [f"{name}={value}" for name, value in self._config().items()]
        return f"{type(self).__name__}({', '.join([*settings, f'count={self.count}'])})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self._get(self._fields[0]).shape)

    @property
    def device(self) -> torch.device:
        """Where the sums are kept: where the first batch was."""
        return self._get(self._fields[0]).device

    @abstractmethod
    def _join(self, other: Self) -> dict[str, Tensor]:
        """Return the fields of both together; ``other`` is not empty and on the same device."""

    def _get(self, name: str) -> Tensor:
        if not self.count:
            raise ShapeError(f"{self!r} has seen no samples; add a batch first.")
        return getattr(self, f"_{name}")

    def _set(self, fields: Mapping[str, Tensor], count: int) -> None:
        named = {f"_{name}": value for name, value in fields.items()}
        self.__dict__.update(named, count=count)

    def _config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._settings}

    def _of(self, count: int, **fields: Tensor) -> Self:
        """Make another one with the same settings and these contents."""
        new = type(self)(**self._config())
        new._set(fields, count)
        return new

    def _to(self, device: torch.device) -> Self:
        fields = {name: self._get(name).to(device) for name in self._fields}
        return self._of(self.count, **fields)


def samples(batch: Tensor, ndim: int | None = None) -> Tensor:
    """Return the batch without its history, or a ShapeError if it is not [N, ...] of ``ndim``."""
    if isinstance(batch, Tensor) and batch.ndim >= 1 and ndim in (None, batch.ndim):
        return batch.detach()
    given = list(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
    expected = (
        "a tensor [N, D] (for activations see `units_as_columns`)" if ndim else "a tensor [N, ...]"
    )
    raise ShapeError(f"Got {given}, expected {expected}.")


def float64(data: Tensor) -> Tensor:
    """Return it as float64, on the CPU where the device has no such thing (Apple's GPUs)."""
    return data.cpu().double() if data.device.type == "mps" else data.double()
