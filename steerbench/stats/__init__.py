"""Statistics of more data than fits in memory.

Each class takes batches with ``add``, joins what others have seen with ``merge`` (so that work
can be split over processes), and goes to a file and back with ``state_dict`` and ``from_state``
(plain tensors, for `steerbench.store`), so that a run can be stopped and taken up again.

- `Mean` ``[N, *shape]``: mean
- `MeanVar` ``[N, *shape]``: mean, variance, standard deviation
- `Covariance` ``[N, D]``: mean, covariance, correlation
- `Quantile` ``[N, D]``: any quantile of each column, within a known rank error
- `TopK` ``[N, D]``: the largest (or smallest) values of each column, and which samples had them
- `IoU` ``[N, A]`` (and ``[N, B]``): how much the columns of 0 and 1 overlap one another (or those
  of the second matrix)

The laws that the tests hold them to: adding in any split gives what adding all at once gives;
merging is associative, with an empty one as its neutral element; the numbers agree with numpy's
in float64. Sums are kept in float64, where the first batch was (on the CPU where the device has
no float64); a state is always on the CPU.

>>> import torch
>>> activations = torch.arange(8.0).view(4, 2)
>>> first, second = MeanVar().add(activations[:1]), MeanVar().add(activations[1:])
>>> first.merge(second).mean
tensor([3., 4.], dtype=torch.float64)

The axes along which a matrix varies the most: `principal_components`.

How sure one may be of a mean or a share: `bootstrap`, `wilson`. The way between two codes: `slerp`.
Directions that nobody chose: `random_unit_vectors`.

Units of a layer are columns: `units_as_columns` turns activations [N, C, H, W] into [N * H * W, C].
"""

from __future__ import annotations

from torch import Tensor

from steerbench.errors import ShapeError
from steerbench.stats.interpolation import slerp
from steerbench.stats.intervals import bootstrap, wilson
from steerbench.stats.moments import Covariance, Mean, MeanVar
from steerbench.stats.order import Quantile, TopK
from steerbench.stats.overlap import IoU
from steerbench.stats.principal import Principal, principal_components
from steerbench.stats.sphere import random_unit_vectors

__all__ = [
    "Covariance",
    "IoU",
    "Mean",
    "MeanVar",
    "Principal",
    "Quantile",
    "TopK",
    "bootstrap",
    "principal_components",
    "random_unit_vectors",
    "slerp",
    "units_as_columns",
    "wilson",
]


def units_as_columns(activations: Tensor) -> Tensor:
    """``[N, C, *places]`` to ``[N * places, C]``: one row for each place, one column for each unit.

    >>> import torch
    >>> units_as_columns(torch.zeros(2, 5, 4, 4)).shape
    torch.Size([32, 5])
    """
    if activations.ndim < 2:
        raise ShapeError(f"Got {list(activations.shape)}, expected activations [N, C, ...].")
    return activations.movedim(1, -1).flatten(0, -2)
