"""Principal components: the axes along which data varies the most, exactly and in little memory.

The axes are the eigenvectors of the covariance. Where there are more samples than dimensions it is
summed up over blocks of rows, [D, D] whatever the number of rows; where there are fewer, the
products of all pairs of rows, [N, N], tell the same (X X^T and X^T X share their eigenvalues).

Blocks of float32 are multiplied in float32 and summed in float64. No digits are lost to a mean far
from zero, because each row is first moved by an estimate of the mean, and what that estimate
misses is taken out exactly in the end:

    sum (x - m)(x - m)^T = sum (x - e)(x - e)^T - N (m - e)(m - e)^T

>>> data = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
>>> found = principal_components(data * torch.tensor([1.0, 5.0, 2.0]) + 100, n=2)
>>> found.components.abs().argmax(dim=1)
tensor([1, 2])
>>> found.std.round().int()
tensor([5, 2], dtype=torch.int32)

Reference: Jolliffe, "Principal Component Analysis" (2002).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.stats.running import float64

BLOCK = 2**21
"""How many numbers are multiplied at a time: 8 MiB of float32."""


@dataclass(frozen=True, eq=False)
class Principal:
    """Principal components, the strongest first; all float64.

    Attributes:
        components: ``[n, D]``, orthonormal rows; of each the largest number is positive.
        std: ``[n]``, the standard deviation along each (divided by N).
        ratio: ``[n]``, the share of the whole variance.
        mean: ``[D]``.
    """

    components: Tensor
    std: Tensor
    ratio: Tensor
    mean: Tensor

    def project(self, data: Tensor) -> Tensor:
        """Return coordinates ``[N, n]`` of data ``[N, D]``."""
        return (data.double() - self.mean) @ self.components.T


def principal_components(data: Tensor | np.ndarray, n: int) -> Principal:
    """Compute the first ``n`` principal components of data ``[N, D]``, float32 or float64.

    Beyond the data it takes one block and two or three matrices of the smaller of [D, D] and
    [N, N] (where N < D, also the components).

    Raises:
        ShapeError: The data is not a matrix.
        ArgumentError: ``n`` is not between 1 and the smaller of N and D, or the data holds NaN
            or infinity.
    """
    matrix = torch.as_tensor(data)
    if matrix.ndim != 2:
        raise ShapeError(f"Got {list(matrix.shape)}, expected data [N, D].")
    if not 1 <= n <= min(matrix.shape):
        raise ArgumentError(
            f"{n} components of {len(matrix)} samples of {matrix.shape[1]} numbers were asked for. "
            f"Ask for 1 to {min(matrix.shape)}."
        )
    matrix = matrix.detach()
    matrix = matrix if matrix.is_floating_point() and matrix.itemsize >= 4 else matrix.float()
    if len(matrix) < matrix.shape[1]:
        return _of_pairs(matrix, n)
    mean, scatter = scatter_of(matrix)
    return of_covariance(mean, scatter / len(matrix), n)


def of_covariance(mean: Tensor, covariance: Tensor, n: int) -> Principal:
    """Compute the first ``n`` principal components of a Gaussian.

    Args:
        mean: ``[D]``.
        covariance: ``[D, D]``.
        n: How many.
    """
    _check_finite(covariance)
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:n].clamp(min=0), vectors.flip(1)[:, :n]
    total = covariance.diagonal().sum()
    return Principal(_fix_signs(vectors.T), values.sqrt(), values / total, mean)


def scatter_of(data: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean ``[D]`` and sum of squared deviations ``[D, D]`` of data ``[N, D]``, float64."""
    estimate = data[: _block(data)].mean(0)
    if data.numel() <= 4 * BLOCK:
        sums = [_sums(data, estimate)]
    else:
        workers = torch.get_num_threads()
        parts = data.split(-(-len(data) // workers))
        # Threads of ours, each with a product of its own: those of a BLAS wait for one another,
        # which takes longer than the product where other work runs on the machine.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            sums = [*pool.map(lambda part: _sums(part, estimate), parts)]
    total, products = (torch.stack(each).sum(0) for each in zip(*sums))
    missed = total / len(data)
    return estimate.double() + missed, products.sub_(len(data) * torch.outer(missed, missed))


def _sums(data: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    """Compute sum ``[D]`` and sum of products ``[D, D]`` of rows, from an estimate of the mean."""
    width = data.shape[1]
    total = torch.zeros(width, dtype=torch.float64, device=data.device)
    products = torch.zeros(width, width, dtype=torch.float64, device=data.device)
    buffer = torch.empty_like(data[: _block(data)])
    for block in data.split(_block(data)):
        moved = torch.sub(block, estimate, out=buffer[: len(block)])
        total += moved.sum(0)
        products += _product(moved)
    return total, products


def _product(rows: Tensor) -> Tensor:
    """Compute ``rows.T @ rows``; NumPy notices that it is symmetric and does half of it."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    array = rows.numpy()
    return torch.from_numpy(array.T @ array)


def _block(data: Tensor) -> int:
    return max(1, BLOCK // data.shape[1])


def _of_pairs(data: Tensor, n: int) -> Principal:
    """Compute them from the products of pairs of rows: fewer samples than dimensions."""
    columns = max(1, BLOCK // 2 // len(data))
    mean = torch.cat([float64(part).mean(0) for part in data.split(columns, dim=1)])
    pairs = torch.zeros(len(data), len(data), dtype=torch.float64, device=data.device)
    for part, centre in zip(data.split(columns, dim=1), mean.split(columns)):
        moved = float64(part) - centre
        pairs += moved @ moved.T
    _check_finite(pairs)
    values, vectors = torch.linalg.eigh(pairs)
    values, vectors = values.flip(0)[:n].clamp(min=0), vectors.flip(1)[:, :n]
    components = torch.cat(
        [
            vectors.T @ (float64(part) - centre)
            for part, centre in zip(data.split(columns, dim=1), mean.split(columns))
        ],
        dim=1,
    )
    # The last axes of N samples around their mean are none: any that are at right angles do.
    components = torch.linalg.qr(components.T)[0].T
    ratio = values / pairs.diagonal().sum()
    return Principal(_fix_signs(components), (values / len(data)).sqrt(), ratio, mean)


def _fix_signs(rows: Tensor) -> Tensor:
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return torch.where(largest < 0, -rows, rows)


def _check_finite(matrix: Tensor) -> None:
    if not bool(torch.isfinite(matrix).all()):
        raise ArgumentError(
            "The data holds NaN or infinity, or numbers whose squares overflow; it has no "
            "principal components. Leave those samples out."
        )
