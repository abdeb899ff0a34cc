"""Convolutions of many channels with four times fewer multiplications, in float32.

A 3x3 convolution of a 4x4 tile of outputs reads a 6x6 tile of inputs and multiplies 144 times a
pair of channels. Winograd's minimal filtering F(4x4, 3x3) multiplies 36 times: both the tile d and
the kernel g become 36 numbers, whose products, summed over the channels, become the tile of
outputs::

    y = A' [(B' d B) * (G g G')] A

The sum over the channels is one matrix product for each of the 36 numbers. Turning tiles into
numbers and back costs additions and memory traffic, which many channels outweigh and few do not.

The result differs from a direct convolution by some units in the last place more than two direct
ones do; bfloat16 has too few digits for it.

Reference: Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (2015, arXiv
1509.09308).

>>> x, weight = torch.randn(1, 3, 8, 8).double(), torch.randn(5, 3, 3, 3).double()
>>> torch.allclose(convolve(x, numbers(weight)), F.conv2d(x, weight, padding=1))
True
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS = 256
"""From how many channels on it pays: at 128 it saves nothing worth having."""
SIZE = 16
"""From which height and width on: below, reading 36 numbers a kernel takes longer than it saves."""
STRIP = 2**21
"""How many numbers of tiles to hold at a time: what stays in a processor's cache."""

_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_KERNEL = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    dtype=torch.float64,
)
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
)
# Rows and columns at once.
INPUT, OUTPUT = torch.kron(_INPUT, _INPUT), torch.kron(_OUTPUT, _OUTPUT)
KERNEL = torch.kron(_KERNEL, _KERNEL) / 24**2


def pays(weight: Tensor, size: int, dtype: torch.dtype) -> bool:
    """Whether frozen weights ``[out, in, 3, 3]`` are better applied to ``size`` pixels this way.

    Only on CPUs: elsewhere the libraries choose for themselves.
    """
    wide = min(weight.shape[:2]) >= CHANNELS and size >= SIZE and size % 4 == 0
    return wide and dtype == torch.float32 and weight.device.type == "cpu"


def numbers(weight: Tensor) -> Tensor:
    """The 36 numbers of each kernel: weight ``[out, in, 3, 3]`` to ``[36, in, out]``."""
    outputs, inputs = weight.shape[:2]
    spread = KERNEL.to(weight) @ weight.reshape(-1, 9).T
    return spread.reshape(36, outputs, inputs).transpose(1, 2).contiguous()


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """x ``[N, in, H, W]``, sides divisible by four, with :func:`numbers` to ``[N, out, H, W]``.

    The memory format of the result is channels last.
    """
    n, _, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    tiles = padded.unfold(1, 6, 4).unfold(2, 6, 4)  # [N, H / 4, W / 4, in, 6, 6]
    rows = max(1, STRIP // (36 * n * (width // 4) * max(kernel.shape[1:])))
    strips = [_strip(strip, kernel) for strip in tiles.split(rows, dim=1)]
    return torch.cat(strips, dim=1).reshape(n, height, width, -1).permute(0, 3, 1, 2)


def _strip(tiles: Tensor, kernel: Tensor) -> Tensor:
    """Some rows of tiles ``[N, h, w, in, 6, 6]`` to the outputs ``[N, h, 4, w, 4, out]``."""
    n, h, w, inputs = tiles.shape[:4]
    d = tiles.permute(0, 1, 2, 4, 5, 3).reshape(-1, 36, inputs)
    products = torch.bmm((INPUT.to(d) @ d).transpose(0, 1), kernel)
    y = OUTPUT.to(d) @ products.transpose(0, 1)
    return y.reshape(n, h, w, 4, 4, -1).transpose(2, 3)
