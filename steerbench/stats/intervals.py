"""How far a number may be off by the luck of the sample.

`bootstrap` draws samples again from the ones there are, with replacement, computes the number of
each draw, and asks nothing of the distribution. The interval is the bias-corrected and accelerated
one (BCa), by `scipy.stats.bootstrap`: quantiles of the draws, moved by how many of them lie below
the estimate and by how skewed it is. It stays where draws can lie, so that a share stays in [0, 1].

The interval contains its estimate: where it would not, it reaches to it. Where all draws lie on
one side of the estimate, or are all the same, BCa is not defined, and plain quantiles stand in.

**Numbers that correct for noise.** A draw carries the noise of the sample and as much of its own.
Where a number takes the noise of its sample off (a squared mean less its variance), that of a draw
has to take it off twice, or all draws lie to one side; `redrawn` is that number.

`wilson` is the interval of a share, which stays inside [0, 1] and keeps its promise for few
samples.

References: Efron, "Better Bootstrap Confidence Intervals" (Journal of the American Statistical
Association, 1987); Wilson, "Probable Inference, the Law of Succession, and Statistical Inference"
(1927).

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

from steerbench.errors import ShapeError

Statistic = Callable[[Tensor], Tensor]
"""From draws ``[draws, N, *shape]`` float64 to a number, or several, of each: ``[draws, *out]``."""


def bootstrap(
    values: Tensor,
    statistic: Statistic | None = None,
    *,
    redrawn: Statistic | None = None,
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
        redrawn: The same of a draw, where a statistic corrects for the noise of its sample.
        level: The share of samples whose interval is to contain the truth.
        resamples: How many draws.
        seed: Of the draws.

    Returns:
        The lower and the upper end, ``[*out]`` float64 each; ``[*shape]`` for the mean.

    Raises:
        ShapeError: There is no sample.
    """
    data = values.detach().cpu().double()
    if data.ndim < 1 or not len(data):
        raise ShapeError(f"Got values of shape {list(data.shape)}; expected at least one sample.")
    work = statistic or _mean
    estimate = work(data[None])[0].double()
    if len(data) == 1:
        return estimate, estimate

    def of_samples(places: np.ndarray, axis: int) -> np.ndarray:
        chosen = torch.from_numpy(np.asarray(places)).long()
        # Draws are as long as the sample, those of the jackknife one shorter.
        is_draw = chosen.ndim > 1 and chosen.shape[-1] == len(data)
        found = (redrawn or work if is_draw else work)(data[chosen.reshape(-1, chosen.shape[-1])])
        found = found.movedim(0, -1)
        return (found if chosen.ndim > 1 else found[..., 0]).numpy()

    batch = max(1, 2**22 // max(1, data.numel()))
    low, high = _ends(of_samples, len(data), level, resamples, batch, seed)
    return torch.minimum(low, estimate), torch.maximum(high, estimate)


def _mean(draws: Tensor) -> Tensor:
    return draws.mean(1)


def _ends(
    of_samples: Callable[..., np.ndarray],
    count: int,
    level: float,
    resamples: int,
    batch: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Compute both ends by scipy; where they are not defined, by quantiles of the draws."""
    from scipy.stats import bootstrap as resample

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # where it is not defined
        result: Any = resample(
            (np.arange(count),), of_samples, vectorized=True, axis=-1, method="BCa",
            n_resamples=resamples, confidence_level=level, batch=batch,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
    tails = [(1 - level) / 2, (1 + level) / 2]
    plain = np.quantile(result.bootstrap_distribution, tails, axis=-1)
    ends = np.stack([result.confidence_interval.low, result.confidence_interval.high])
    ends = np.where(np.isfinite(ends).all(0), ends, plain)
    low, high = torch.from_numpy(ends).double()
    return low, high


def wilson(hits: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the interval of a share of ``hits`` out of ``count``.

    Args:
        hits: How many have it.
        count: Of how many.
        level: The share of samples whose interval is to contain the truth.

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
