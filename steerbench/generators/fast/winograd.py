"""Convolutions of many channels with four times fewer multiplications.

A 3x3 convolution of a 4x4 tile of outputs reads a 6x6 tile of inputs and multiplies 144 times a
pair of channels. Winograd's minimal filtering F(4x4, 3x3) multiplies 36 times: kernel g and tile d
are polynomials, whose product is known from its values at six by six points, and the value of a
product is the product of the values:

    y = A' [(G g G') * (B' d B)] A

The sum over the channels is one matrix product a point. Going to the points and back costs
additions and memory traffic, which many channels outweigh and few do not. The points are 0, 1, -1,
1/2, -2 and infinity, with which rounding errors in float32 are about twice those of a direct
convolution. In bfloat16 the products may be rounded, but not the values; even so one convolution
is off by two hundredths, most of it in frequencies that low-pass filters take away again.

`convolve` is differentiable; `convolve_strip` is quicker, and writes in place.

References: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (2015, arXiv
1509.09308); the points: Barabasz, Anderson, Soodhalter, Gregg, "Error Analysis and Improving the
Accuracy of Winograd Convolution for Deep Neural Networks" (2018, arXiv 1803.10986).

>>> x, weight = torch.randn(1, 3, 9, 6).double(), torch.randn(5, 3, 3, 3).double()
>>> torch.allclose(convolve(x, transform_kernel(weight)), F.conv2d(x, weight, padding=1))
True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.fast import tuning

TILE, POINTS = 4, 6


def _powers(count: int) -> Tensor:
    """Return the first powers of each point ``[6, count]``; at infinity only the last counts."""
    finite = torch.tensor([0, 1, -1, 0.5, -2], dtype=torch.float64)
    last = F.one_hot(torch.tensor([count - 1]), count).double()
    return torch.cat([finite[:, None] ** torch.arange(count), last])


def _values(x: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield six numbers at the six points, in fourteen additions; kernels make up a factor."""
    a, b = x[1] - x[3], x[2] - x[4]
    yield torch.add(x[0] + x[4], torch.add(x[2], a, alpha=0.75), alpha=-2)
    u, v = torch.sub(a, x[2], alpha=1.5), torch.sub(b, x[3], alpha=1.5)
    yield u + v
    yield u - v
    yield torch.add(b, a, alpha=2)
    yield torch.add(a, b, alpha=-2)
    yield torch.add(x[1] + x[5], torch.add(x[3], b, alpha=0.75), alpha=-2)


def _both_ways(matrix: Tensor) -> Tensor:
    """Return the same for rows and columns at once."""
    return torch.kron(matrix, matrix)


LINE_INPUT = torch.stack(list(_values([*torch.eye(POINTS, dtype=torch.float64)])))
"""``B'``, of one dimension: what the sums above do to six numbers."""
LINE_OUTPUT = _powers(TILE).T.contiguous()
"""``A'``, of one dimension."""
_EXACT = torch.linalg.inv(_powers(POINTS)).T
_FACTORS = (_EXACT * LINE_INPUT).sum(dim=1) / LINE_INPUT.square().sum(dim=1)
KERNEL = _both_ways(_FACTORS[:, None] * _powers(3))
INPUT = _both_ways(LINE_INPUT)
OUTPUT = _both_ways(LINE_OUTPUT)


def pays(weight: Tensor, size: int, dtype: torch.dtype) -> bool:
    """Tell whether frozen weights ``[out, in, 3, 3]`` are better applied to ``size`` rows this way.

    Only on CPUs: elsewhere the libraries choose for themselves. Beside more rows than channels the
    memory traffic takes what the multiplications save.

    Args:
        weight: ``[out, in, 3, 3]``.
        size: Rows of the output.
        dtype: Of the activations.
    """
    wide = min(weight.shape[:2]) >= max(tuning.TUNING.tile_channels, size)
    high = size >= tuning.TUNING.tile_rows
    return wide and high and dtype == torch.float32 and weight.device.type == "cpu"


def transform_kernel(weight: Tensor) -> Tensor:
    """Return kernels ``[out, in, 3, 3]`` at the points, ``[36, in, out]``."""
    outputs, inputs = weight.shape[:2]
    values = KERNEL.to(weight) @ weight.reshape(-1, 9).T
    return values.reshape(-1, outputs, inputs).transpose(1, 2).contiguous()


def convolve(x: Tensor, kernel: Tensor, padding: int = 1) -> Tensor:
    """Map x ``[N, in, H, W]`` with kernels of `transform_kernel`, to ``[N, out, H', W']``.

    Differentiable. The memory format of the result is channels last.

    Args:
        x: ``[N, in, H, W]``.
        kernel: ``[36, in, out]``.
        padding: Zeros around x.
    """
    height, width = (size + 2 * padding - 2 for size in x.shape[2:])
    down, across = -(-height // TILE), -(-width // TILE)
    below, right = TILE * down - height, TILE * across - width  # whole tiles
    padded = F.pad(
        x.permute(0, 2, 3, 1), (0, 0, padding, padding + right, padding, padding + below)
    )
    tiles = padded.unfold(1, POINTS, TILE).unfold(2, POINTS, TILE)  # [N, down, across, in, 6, 6]
    rows = max(1, tuning.TUNING.tiles // (POINTS**2 * len(x) * across * max(kernel.shape[1:])))
    strips = [_strip(strip, kernel) for strip in tiles.split(rows, dim=1)]
    y = torch.cat(strips, dim=1).reshape(len(x), TILE * down, TILE * across, -1)
    return y[:, :height, :width].permute(0, 3, 1, 2)


def _strip(tiles: Tensor, kernel: Tensor) -> Tensor:
    """Map some rows of tiles ``[N, h, w, in, 6, 6]`` to the outputs ``[N, h, 4, w, 4, out]``."""
    n, h, w, inputs = tiles.shape[:4]
    d = tiles.permute(0, 1, 2, 4, 5, 3).reshape(-1, POINTS**2, inputs)
    products = torch.bmm((INPUT.to(d) @ d).transpose(0, 1), kernel)
    y = OUTPUT.to(d) @ products.transpose(0, 1)
    return y.reshape(n, h, w, TILE, TILE, -1).transpose(2, 3)


def strip_rows(width: int, channels: int) -> int:
    """Return how many rows of an output so wide `convolve_strip` should make at a time."""
    tiles = max(tuning.TUNING.strip_tiles, tuning.TUNING.tiles // (POINTS**2 * channels))
    return TILE * max(1, round(tiles * TILE / width))


def convolve_strip(strip: Tensor, kernel: Tensor, target: Tensor) -> None:
    """Return some rows of the convolution, written to ``target``; no gradient flows.

    Values are computed in the precision of the strip, products in that of the kernel. Of the
    horizontal points one is treated at a time: its values are still in the cache when they are
    multiplied.

    Args:
        strip: ``[h + 2, w + 2, in]``, with ``h`` and ``w`` multiples of ``TILE``.
        kernel: ``[36, in, out]``, of `transform_kernel`, perhaps in another precision.
        target: ``[blocks, h, w, lanes]``: the outputs, in blocks.
    """
    down, across = len(strip) // TILE, target.shape[2] // TILE
    inputs, outputs = kernel.shape[1:]
    row = across * inputs
    matrix = LINE_INPUT.to(strip)
    columns = [strip[:, i : i + (across - 1) * TILE + 1 : TILE] for i in range(POINTS)]
    values = strip.new_empty(POINTS, down, row)
    products = kernel.new_empty(POINTS, POINTS, down * across, outputs)
    for i, line in enumerate(_values(columns)):
        tiles = line.as_strided((down, POINTS, row), (TILE * row, row, 1))
        for place, tile in enumerate(tiles):
            torch.mm(matrix, tile, out=values[:, place])
        points = values.view(POINTS, down * across, inputs).to(kernel)
        torch.bmm(points, kernel.unflatten(0, (POINTS, POINTS))[:, i], out=products[i])
    matrix = LINE_OUTPUT.to(strip)
    y = torch.matmul(matrix, products.reshape(POINTS, -1).to(strip)).reshape(TILE, POINTS, -1)
    y = torch.matmul(matrix, y).reshape(TILE, TILE, down, across, len(target), -1)
    target = target.unflatten(2, (across, TILE)).unflatten(1, (down, TILE))
    target.copy_(y.permute(4, 2, 1, 3, 0, 5))
