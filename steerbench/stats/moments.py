"""Mean, variance and covariance, merged exactly around the running mean.

Two sets of n and m samples with means a and b have the joint mean a + (b - a) m / (n + m), and
their summed squared deviations join as S + T + (b - a)^2 n m / (n + m) (outer products for a
covariance). Raw squares are never summed, so data far from zero loses no digits.

Reference: Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", The American
Statistician 37 (1983).
"""

from __future__ import annotations

from typing import Self

from torch import Tensor

from steerbench.stats.running import Running, float64, samples


class Mean(Running):
    """The mean of samples of any shape, in float64.

    >>> import torch
    >>> Mean().add(torch.tensor([[1.0], [2.0]])).add(torch.tensor([[6.0]])).mean
    tensor([3.], dtype=torch.float64)
    """

    _fields: tuple[str, ...] = ("mean",)

    def add(self, batch: Tensor) -> Self:
        """Add samples [N, *shape]; returns self."""
        data = float64(samples(batch))
        return self.merge(self._moments(data)) if len(data) else self

    @property
    def mean(self) -> Tensor:
        """[*shape], float64."""
        return self._get("mean")

    def _moments(self, data: Tensor) -> Self:
        return self._of(len(data), mean=data.mean(0))

    def _join(self, other: Self) -> dict[str, Tensor]:
        share = other.count / (self.count + other.count)
        return {"mean": self.mean + (other.mean - self.mean) * share}


class MeanVar(Mean):
    """Mean and variance of samples of any shape, in float64, each element by itself.

    >>> import torch
    >>> MeanVar().add(torch.tensor([[1.0], [2.0], [6.0]])).std()
    tensor([2.1602], dtype=torch.float64)
    """

    _fields = ("mean", "scatter")

    def variance(self, ddof: int = 0) -> Tensor:
        """Return [*shape], divided by count - ddof, as numpy's ``var``."""
        return self._get("scatter") / (self.count - ddof)

    def std(self, ddof: int = 0) -> Tensor:
        """Return [*shape], the square root of `variance`."""
        return self.variance(ddof).sqrt()

    def _moments(self, data: Tensor) -> Self:
        mean = data.mean(0)
        return self._of(len(data), mean=mean, scatter=self._product(data - mean))

    def _join(self, other: Self) -> dict[str, Tensor]:
        weight = self.count * other.count / (self.count + other.count)
        between = self._product((other.mean - self.mean)[None]) * weight
        scatter = self._get("scatter") + other._get("scatter") + between
        return super()._join(other) | {"scatter": scatter}

    def _product(self, centred: Tensor) -> Tensor:
        return centred.square().sum(0)


class Covariance(MeanVar):
    """Mean and covariance of vectors [N, D], in float64, in a single pass.

    >>> import torch
    >>> Covariance().add(torch.tensor([[0.0, 0.0], [1.0, 2.0]])).covariance()
    tensor([[0.5000, 1.0000],
            [1.0000, 2.0000]], dtype=torch.float64)
    """

    def add(self, batch: Tensor) -> Self:
        """Add vectors [N, D]; returns self."""
        return super().add(samples(batch, ndim=2))

    def covariance(self, ddof: int = 1) -> Tensor:
        """Return [D, D], symmetric, divided by count - ddof, as numpy's ``cov``."""
        return self._get("scatter") / (self.count - ddof)

    def variance(self, ddof: int = 0) -> Tensor:
        """Return [D], divided by count - ddof, as numpy's ``var``."""
        return self.covariance(ddof).diagonal()

    def correlation(self) -> Tensor:
        """Return [D, D], in [-1, 1]; NaN in the rows and columns that never vary."""
        std = self.std()
        return (self.covariance(0) / std / std[:, None]).clamp(-1, 1)

    def _product(self, centred: Tensor) -> Tensor:
        return centred.T @ centred
