"""How far a number may be off by the luck of the sample.

`bootstrap` draws samples again from the ones there are, with replacement, and gives the range in
which the mean of most such draws lies; it asks nothing of the distribution. `wilson` is the
interval of a share, which stays inside [0, 1] and keeps its promise for few samples.

References: Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979); Wilson, "Probable
Inference, the Law of Succession, and Statistical Inference" (1927).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ShapeError


def bootstrap(
    values: Tensor, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The interval of a mean, by drawing the samples again.

    Samples are drawn whole: numbers that belong to one sample stay together, so intervals of
    different columns may be compared.

    Args:
        values: ``[N, *shape]``, one sample a row.
        level: The share of draws inside.
        resamples: How many draws.
        seed: Of the draws.

    Returns:
        The lower and the upper end, ``[*shape]`` float64 each.

    Raises:
        ShapeError: There is no sample.

    >>> low, high = bootstrap(torch.tensor([[0.0], [1.0]]).repeat(50, 1))
    >>> 0.3 < low.item() < 0.5 < high.item() < 0.7
    True
    """
    data = values.detach().cpu().double()
    if data.ndim < 1 or not len(data):
        raise ShapeError(f"Got values of shape {list(data.shape)}; expected at least one sample.")
    flat = data.reshape(len(data), -1)
    random = np.random.RandomState(seed)
    shares = np.full(len(flat), 1 / len(flat))
    # How often a draw takes each sample weighs it: no copy of the data is made.
    draws = (random.multinomial(len(flat), shares, size=1) for _ in range(resamples))
    means = torch.cat([torch.from_numpy(draw / len(flat)) @ flat for draw in draws])
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = means.quantile(tails, dim=0)
    return low.reshape(data.shape[1:]), high.reshape(data.shape[1:])


def wilson(hits: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share of ``hits`` out of ``count``.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if count < 1 or not 0 <= hits <= count:
        raise ShapeError(f"Got {hits} of {count}; expected a part of at least one sample.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, more = hits / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z / (1 + more) * np.sqrt(share * (1 - share) / count + more / (4 * count))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
