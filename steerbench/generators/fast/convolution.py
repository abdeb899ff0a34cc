"""A convolution of scaled inputs for wide layers on a CPU, strip by strip and block by block.

The input is scaled and padded a strip of rows at a time, so that no scaled copy of it is ever
whole, and the output is written in blocks of `LANES` channels, in which what
comes after it can work on few channels without reading the memory of all. Layers with wide 3x3
kernels take the way with fewer multiplications (`winograd`) where it pays.

>>> x, style, weight = torch.randn(1, 8, 9, 9), torch.rand(1, 8), torch.randn(32, 8, 3, 3)
>>> y = Convolution(weight, torch.float32)(x, style)
>>> y.shape
torch.Size([1, 2, 16, 11, 11])
>>> plain = F.conv2d(x * style[:, :, None, None], weight, padding=2)
>>> torch.allclose(y.flatten(1, 2), plain, atol=1e-4)
True
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.fast import tuning, winograd
from steerbench.generators.fast.resampling import LANES, needs_graph
from steerbench.timing import best_of


class Convolution:
    """A kernel, ready to be applied to inputs of a type, with all places that it touches.

    Args:
        weight: ``[out, in, k, k]``, with as many outputs as fill whole blocks.
        dtype: Of the inputs.
        quick: Whether to multiply less; by default where it pays.
    """

    def __init__(self, weight: Tensor, dtype: torch.dtype, quick: bool | None = None) -> None:
        self.size, self.outputs = weight.shape[-1], len(weight)
        if quick is None:
            quick = _may_be_quick(weight) and quick_pays(dtype)
        self.points = winograd.transform_kernel(weight).to(dtype) if quick else None
        self.taps = weight.to(dtype, memory_format=torch.channels_last)

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:
        """Convolve ``[N, in, h, w]`` scaled by ``[N, in]`` to ``[N, blocks, LANES, H, W]``.

        Height and width grow by ``k - 1``.
        """
        pad = self.size - 1
        if needs_graph(x, style):
            x = x * style[:, :, None, None].to(x.dtype)
            return F.conv2d(x, self.taps, padding=pad).unflatten(1, (-1, LANES))
        height, width = (side + pad for side in x.shape[2:])
        tile = 1 if self.points is None else winograd.TILE
        tall, wide = (tile * -(-side // tile) for side in (height, width))
        shape = (len(x), self.outputs // LANES, tall, wide, LANES)
        y = torch.empty(shape, dtype=x.dtype, device=x.device)
        rows = self._rows(wide, x.shape[1])
        for image, scale, result in zip(x.permute(0, 2, 3, 1), style, y):
            for top in range(0, tall, rows):
                target = result[:, top : top + rows]
                strip = _strip(image, scale, top - pad, target.shape[1] + pad, wide + pad, pad)
                if self.points is None:
                    self._plain(strip, target)
                else:
                    winograd.convolve_strip(strip, self.points, target)
        return y[:, :, :height, :width].permute(0, 1, 4, 2, 3)

    def _rows(self, wide: int, inputs: int) -> int:
        """Return how many rows of the output make a strip."""
        if self.points is not None:
            return winograd.strip_rows(wide, max(inputs, self.outputs))
        return max(1, tuning.TUNING.strip // (wide * max(inputs, self.outputs)))

    def _plain(self, strip: Tensor, target: Tensor) -> None:
        y = F.conv2d(strip.permute(2, 0, 1)[None].to(self.taps.dtype), self.taps)[0]
        target.copy_(y.unflatten(0, (-1, LANES)).permute(0, 2, 3, 1))


def _strip(image: Tensor, scale: Tensor, top: int, tall: int, wide: int, left: int) -> Tensor:
    """Return rows of the scaled image ``[h, w, in]`` from ``top`` on, zeros where it has none."""
    strip = scale.new_zeros(tall, wide, image.shape[2])
    first, last = max(top, 0), min(top + tall, len(image))
    if first < last:
        target = strip[first - top : last - top, left : left + image.shape[1]]
        torch.mul(image[first:last], scale, out=target)
    return strip


def _may_be_quick(weight: Tensor) -> bool:
    outputs, inputs, size, _ = weight.shape
    wide = min(outputs, inputs) >= tuning.TUNING.quick_channels
    return size == 3 and wide and weight.device.type == "cpu"


@lru_cache
def quick_pays(dtype: torch.dtype) -> bool:
    """Return whether fewer multiplications are quicker in this precision on this machine.

    In float32 they are. In bfloat16 it depends on the processor, and is measured once: some have
    units that multiply so fast that the transforms take longer.
    """
    if dtype != torch.bfloat16:
        return dtype == torch.float32
    weight = torch.ones(256, 256, 3, 3)
    x = torch.ones(1, 256, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
    plain, quick = (_seconds(Convolution(weight, dtype, way), x) for way in (False, True))
    return quick < plain


def _seconds(convolution: Convolution, x: Tensor) -> float:
    style = x.new_ones(1, x.shape[1], dtype=torch.float32)
    return best_of(lambda: convolution(x, style), tries=4)


__all__ = ["Convolution", "quick_pays"]
