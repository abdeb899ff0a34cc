"""Quantiles and the largest values of columns, from data that is not kept.

Reference: Manku, Rajagopalan and Lindsay, "Approximate Medians and other Quantiles in One Pass
and with Limited Memory", SIGMOD 1998, for the levels of the sketch and their error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.stats.running import Running, float64, samples


class Quantile(Running):
    """Quantiles of each column of [N, D], from a sketch of bounded size.

    Up to ``capacity`` samples are all kept and answers are exact. Beyond, whenever a level holds
    that many, it is sorted and every second one moves up a level, standing for two. A quantile
    then is a value whose rank is wrong by at most `error_bound`, a fraction of all samples that
    never exceeds log2(2 N / capacity) / capacity, and usually is a hundredth of it, since the
    halvings alternate. Memory: capacity * D * log2(N / capacity) numbers. The extremes are exact.

    >>> sketch = Quantile().add(torch.arange(101.0)[:, None])
    >>> sketch.quantile([0.0, 0.5, 0.995]).T
    tensor([[ 0.0000, 50.0000, 99.5000]], dtype=torch.float64)
    """

    _fields = ("lowest", "highest", "values", "sizes", "halvings")
    _settings = ("capacity",)
    _LEVELS = 62

    def __init__(self, capacity: int = 4096) -> None:
        super().__init__()
        if capacity < 2:
            raise ShapeError(f"capacity={capacity}, expected 2 or more (4096 is usual).")
        self.capacity = capacity

    def add(self, batch: Tensor) -> Self:
        """Add samples [N, D]; returns self. Raises SteerbenchError for NaN."""
        data = _check_order(samples(batch, ndim=2))
        if not len(data):
            return self
        sizes = torch.zeros(self._LEVELS, dtype=torch.int64)
        halvings = sizes.clone()
        sizes[0] = len(data)
        fields = self._compact(data, sizes, halvings)
        fields |= {"lowest": data.amin(0), "highest": data.amax(0)}
        return self.merge(self._of(len(data), **fields))

    @property
    def error_bound(self) -> float:
        """The most by which a rank can be wrong, as a fraction of all samples; 0 while exact."""
        weights = 2.0 ** torch.arange(self._LEVELS)
        return float((self._get("halvings") * weights).sum()) / self.count

    def quantile(self, q: float | Sequence[float]) -> Tensor:
        """Return the values below which a fraction ``q`` in [0, 1] of the samples lies.

        Returns:
            float64 [D], or [len(q), D] for several; interpolated as numpy's default does.
        """
        several = torch.as_tensor(q, dtype=torch.float64)
        fractions = several.reshape(-1)
        if not ((fractions >= 0) & (fractions <= 1)).all():
            raise ShapeError(f"q={q}, expected fractions in [0, 1].")
        values, order = self._get("values").sort(0)
        weights = torch.repeat_interleave(2 ** torch.arange(self._LEVELS), self._get("sizes"))
        reached = weights.to(self.device)[order].cumsum(0)
        position = fractions * (self.count - 1)
        low = self._at(position.floor(), values, reached)
        high = self._at(position.ceil(), values, reached)
        part = position.frac()[:, None].to(low)
        result = torch.where(part > 0, low + part * (high - low), low)
        return result if several.ndim else result[0]

    def _at(self, ranks: Tensor, values: Tensor, reached: Tensor) -> Tensor:
        """Return the kept values [Q, D] that stand for the samples of these ranks [Q]."""
        wanted = ranks.long().to(self.device)[:, None]
        columns = wanted.T.expand(values.shape[1], -1).contiguous()
        index = torch.searchsorted(reached.T.contiguous(), columns, right=True).T
        found = torch.where(wanted == 0, self._get("lowest"), values.gather(0, index))
        return float64(torch.where(wanted + 1 < self.count, found, self._get("highest")))

    def _join(self, other: Self) -> dict[str, Tensor]:
        parts = zip(self._levels(), other._levels())
        values = torch.cat([part for pair in parts for part in pair])
        # The small counts stay on the CPU, whichever device the values are on.
        sizes = self._get("sizes") + other._get("sizes").cpu()
        halvings = self._get("halvings") + other._get("halvings").cpu()
        return self._compact(values, sizes, halvings) | {
            "lowest": torch.minimum(self._get("lowest"), other._get("lowest")),
            "highest": torch.maximum(self._get("highest"), other._get("highest")),
        }

    def _levels(self) -> tuple[Tensor, ...]:
        return self._get("values").split(self._get("sizes").tolist())

    def _compact(self, values: Tensor, sizes: Tensor, halvings: Tensor) -> dict[str, Tensor]:
        """Return the same sketch with no level above its capacity."""
        levels = list(values.split(sizes.tolist()))
        halvings = halvings.clone()
        for level in range(self._LEVELS - 1):
            if len(levels[level]) <= self.capacity:
                continue
            ordered = levels[level].sort(0).values
            even = len(ordered) // 2 * 2
            half = ordered[int(halvings[level]) % 2 : even : 2]
            levels[level], levels[level + 1] = ordered[even:], torch.cat([levels[level + 1], half])
            halvings[level] += 1
        sizes = torch.tensor([len(part) for part in levels])
        return {"values": torch.cat(levels), "sizes": sizes, "halvings": halvings}


class TopK(Running):
    """The k largest (or smallest) values of each column of [N, D], and which samples had them.

    Samples are numbered from 0 in the order of adding; a merged one's come after one's own. Of
    equal values the earlier sample is kept.

    >>> top = TopK(k=2).add(torch.tensor([[3.0], [9.0], [5.0]]))
    >>> top.values.T, top.indices.T
    (tensor([[9., 5.]]), tensor([[1, 2]]))
    """

    _fields = ("values", "indices")
    _settings = ("k", "largest")

    def __init__(self, k: int = 10, largest: bool = True) -> None:
        super().__init__()
        if k < 1:
            raise ShapeError(f"k={k}, expected 1 or more.")
        self.k, self.largest = k, largest

    def add(self, batch: Tensor) -> Self:
        """Add samples [N, D]; returns self. Raises SteerbenchError for NaN."""
        data = _check_order(samples(batch, ndim=2))
        indices = torch.arange(len(data), device=data.device)[:, None].expand_as(data)
        return self.merge(self._of(len(data), **self._best(data, indices)))

    @property
    def values(self) -> Tensor:
        """[min(k, count), D], the best first."""
        return self._get("values")

    @property
    def indices(self) -> Tensor:
        """[min(k, count), D], the numbers of the samples with these values."""
        return self._get("indices")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.values.shape[1:])

    def _join(self, other: Self) -> dict[str, Tensor]:
        values = torch.cat([self.values, other.values])
        indices = torch.cat([self.indices, other.indices + self.count])
        return self._best(values, indices)

    def _best(self, values: Tensor, indices: Tensor) -> dict[str, Tensor]:
        values, order = values.sort(dim=0, descending=self.largest, stable=True)
        return {"values": values[: self.k], "indices": indices.gather(0, order[: self.k])}


def _check_order(data: Tensor) -> Tensor:
    if torch.isnan(data).any():
        raise ArgumentError("Got NaN, which has no place in an order; expected numbers.")
    return data
