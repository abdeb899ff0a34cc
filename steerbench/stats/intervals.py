"""How far a number may be off by the luck of the sample.

`bootstrap` draws samples again from the ones there are, with replacement, computes the number of
each draw, and asks nothing of the distribution. Two ways lead from the draws to an interval, both
by `scipy.stats.bootstrap`:

===========  ======================================================================================
``"BCa"``    bias-corrected and accelerated: quantiles of the draws, moved by how many of them lie
             below the estimate and by how skewed it is. It stays where draws can lie, so that a
             share stays in [0, 1]. The usual choice
``"basic"``  the draws mirrored at the estimate: what a draw is off from the sample, the sample is
             off from the truth. For numbers that correct for the noise of their own sample
             (`population` says what they estimate): a draw is noisier than the sample
===========  ======================================================================================

Either interval contains its estimate: where it would not, it reaches to it. Where all draws lie
on one side of the estimate, or are all the same, BCa is not defined, and plain quantiles stand in.

`wilson` is the interval of a share, which stays inside [0, 1] and keeps its promise for few
samples.

References: Efron, "Better Bootstrap Confidence Intervals" (Journal of the American Statistical
Association, 1987); Davison and Hinkley, "Bootstrap Methods and their Application" (1997), chapter
5; Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).

>>> low, high = bootstrap(torch.tensor([[0.0], [1.0]]).repeat(50, 1))
>>> 0.3 < low.item() < 0.5 < high.item() < 0.7
True
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError, unknown

Statistic = Callable[[Tensor], Tensor]
"""From draws ``[draws, N, *shape]`` float64 to a number, or several, of each: ``[draws, *out]``."""

METHODS = ("BCa", "basic")


def bootstrap(
    values: Tensor,
    statistic: Statistic | None = None,
    *,
    method: str = "BCa",
    population: Statistic | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Compute the interval of a statistic, by drawing the samples again.

    Samples are drawn whole: numbers that belong to one sample stay together, so intervals of
    different columns may be compared.

    Args:
        values: ``[N, *shape]``, one sample a row. Of a single one both ends are its estimate.
        statistic: What is asked for; the mean unless given.
        method: ``"BCa"`` or ``"basic"``.
        population: Of the basic method, what the statistic estimates, where it is not the same
            function: without the correction for the noise of a finite sample.
        level: The share of samples whose interval is to contain the truth.
        resamples: How many draws.
        seed: Of the draws.

    Returns:
        The lower and the upper end, ``[*out]`` float64 each; ``[*shape]`` for the mean.

    Raises:
        ShapeError: There is no sample.
        ArgumentError: The method is not known.
    """
    if method not in METHODS:
        raise ArgumentError(unknown("method", method, METHODS))
    data = values.detach().cpu().double()
    if data.ndim < 1 or not len(data):
        raise ShapeError(f"Got values of shape {list(data.shape)}; expected at least one sample.")
    work = statistic or _mean
    estimate = work(data[None])[0].double()
    if len(data) == 1:
        return estimate, estimate
    low, high = _ends(data, work, method, level, resamples, seed)
    if method == "basic" and population is not None:
        # What a draw is off is off from the sample taken as the population.
        off = population(data[None])[0].double() - estimate
        low, high = low + off, high + off
    return torch.minimum(low, estimate), torch.maximum(high, estimate)


def _mean(draws: Tensor) -> Tensor:
    return draws.mean(1)


def _ends(
    data: Tensor, statistic: Statistic, method: str, level: float, resamples: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Both ends by scipy; where they are not defined, quantiles of the draws."""
    from scipy.stats import bootstrap as resample

    def of_rows(rows: np.ndarray, axis: int) -> np.ndarray:
        chosen = torch.from_numpy(np.asarray(rows)).long()
        found = statistic(data[chosen.reshape(-1, chosen.shape[-1])])
        found = found.movedim(0, -1)
        return (found if chosen.ndim > 1 else found[..., 0]).numpy()

    block = max(1, 2**22 // max(1, data.numel()))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # where it is not defined
        result: Any = resample(
            (np.arange(len(data)),), of_rows, vectorized=True, axis=-1, method=method,
            n_resamples=resamples, confidence_level=level, batch=block,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
    tails = np.quantile(result.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    ends = (result.confidence_interval.low, result.confidence_interval.high)
    undefined = ~(np.isfinite(ends[0]) & np.isfinite(ends[1]))
    low, high = (
        torch.from_numpy(np.asarray(np.where(undefined, plain, end), dtype=float))
        for plain, end in zip(tails, ends)
    )
    return low, high


def wilson(hits: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the interval of a share of ``hits`` out of ``count``.

    Raises:
        ShapeError: The hits are no part of at least one sample.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    from scipy.stats import binomtest

    if count < 1 or not 0 <= hits <= count:
        raise ShapeError(f"Got {hits} of {count}; expected a part of at least one sample.")
    ends = binomtest(int(hits), int(count)).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)
