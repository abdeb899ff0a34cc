"""A nonlinearity between two sampling rates: upsample, rectify, downsample, as StyleGAN3 does it.

A pointwise nonlinearity makes frequencies that a grid cannot hold; applied to a finer grid and
filtered before the signal returns to the coarse one, it makes none that stay. Done as it is
written (zeros between the samples, a two-dimensional filter, every second sample thrown away) this
is most of what StyleGAN3 costs. Here

- filters that are products are applied to one dimension after the other;
- upsampling is a transposed convolution and downsampling one with a stride, so that neither
  multiplies zeros nor computes what is thrown away;
- the work is cut into blocks of channels and rows whose fine grid stays in the processor's cache:
  it would otherwise be a hundred times larger than what goes in or comes out.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_NUMBERS = 2**21
"""How many numbers the fine grid of a block may have: 8 MiB of float32."""
BLOCK_CHANNELS = 16
"""No block has fewer channels, where there are as many: narrower ones waste vector registers."""

Vertical, Horizontal = 2, 3


@dataclass(frozen=True)
class Resampling:
    """The sizes of a nonlinearity between two rates; filters come with the call.

    Attributes:
        up: The factor of upsampling.
        down: The factor of downsampling.
        first: Where the fine grid begins in the full convolution with the upsampling filter.
        size: Height and width of the result.
        slope: Of the rectifier for negative numbers; 1 for none.
        clamp: The bound on the rectified signal, where there is one.
    """

    up: int
    down: int
    first: int
    size: int
    slope: float = 0.2
    clamp: float | None = None

    def __call__(
        self,
        x: Tensor,
        up_filter: Tensor | None,
        down_filter: Tensor | None,
        *,
        scale: Tensor,
        bias: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        """``downsample(rectify(upsample(x * scale + bias)))``.

        Args:
            x: ``[N, C, h, w]``.
            up_filter: ``[taps]``, or none to leave the samples apart.
            down_filter: ``[taps]``, ``[taps, taps]``, or none.
            scale: ``[N, C]``.
            bias: ``[C]``.
            dtype: Of the result.

        Returns:
            ``[N, C, size, size]``.
        """
        lines = (_line(up_filter, self.up, scale), down_filter)
        bias = bias[:, None, None]
        scale = scale[:, :, None, None]
        if torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
            return self._block(x * scale + bias, *lines, range(self.size)).to(dtype)
        parts = list(self._parts(x, down_filter))
        if len(parts) == 1:
            return self._block(x * scale + bias, *lines, range(self.size)).to(dtype)
        out = torch.empty(
            (*x.shape[:2], self.size, self.size),
            dtype=dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        for n, c, rows in parts:
            block = x[n, c] * scale[n, c] + bias[c]
            out[n, c, rows.start : rows.stop] = self._block(block, *lines, rows)
        return out

    def _parts(self, x: Tensor, down_filter: Tensor | None) -> Iterator[tuple[slice, slice, range]]:
        """Blocks of samples, channels and rows that are not too large for the cache."""
        taps = 1 if down_filter is None else down_filter.shape[0]
        n, c = x.shape[:2]
        wide = (self.size - 1) * self.down + taps
        samples = max(1, min(n, BLOCK_NUMBERS // (c * wide * wide)))
        channels = c
        if samples == 1:
            fitting = BLOCK_NUMBERS // (wide * wide) // BLOCK_CHANNELS * BLOCK_CHANNELS
            channels = min(c, max(BLOCK_CHANNELS, fitting))
        fine = max(1, BLOCK_NUMBERS // (samples * channels * wide))
        rows = min(self.size, max(8, (fine - taps) // self.down + 1))
        rows = math.ceil(self.size / math.ceil(self.size / rows))
        for i in range(0, n, samples):
            for j in range(0, c, channels):
                for k in range(0, self.size, rows):
                    some = range(k, min(k + rows, self.size))
                    yield slice(i, i + samples), slice(j, j + channels), some

    def _block(
        self, x: Tensor, up_filter: Tensor, down_filter: Tensor | None, rows: range
    ) -> Tensor:
        """Some rows of the result, for some channels."""
        taps = 1 if down_filter is None else down_filter.shape[0]
        x = x.contiguous(memory_format=torch.channels_last)
        tall = (len(rows) - 1) * self.down + taps
        wide = (self.size - 1) * self.down + taps
        x = self._stretch(x, up_filter, Vertical, self.first + rows.start * self.down, tall)
        x = self._stretch(x, up_filter, Horizontal, self.first, wide)
        return self._shrink(self._rectify(x), down_filter)

    def _stretch(self, x: Tensor, line: Tensor, dim: int, first: int, length: int) -> Tensor:
        """So many places of the upsampled signal, from the first one on, along a dimension."""
        taps, up = len(line), self.up
        if up == taps == 1:
            return _window(x, dim, first, length)
        # Only these samples reach the places that are wanted.
        begin = max(0, math.ceil((first - taps + 1) / up))
        end = min(x.shape[dim], (first + length - 1) // up + 1)
        x = x.narrow(dim, begin, end - begin)
        cut = first - begin * up
        spare = (end - begin - 1) * up + taps - cut - length
        padding = max(0, min(cut, spare))
        vertical = dim == Vertical
        y = F.conv_transpose2d(
            x,
            _filters(line, x, vertical),
            stride=(up, 1) if vertical else (1, up),
            padding=(padding, 0) if vertical else (0, padding),
            groups=x.shape[1],
        )
        return _window(y, dim, cut - padding, length)

    def _rectify(self, x: Tensor) -> Tensor:
        fresh = not x.requires_grad
        if self.slope != 1:
            x = F.leaky_relu(x, self.slope, inplace=fresh)
        if self.clamp is None:
            return x
        return x.clamp_(-self.clamp, self.clamp) if fresh else x.clamp(-self.clamp, self.clamp)

    def _shrink(self, x: Tensor, kernel: Tensor | None) -> Tensor:
        if kernel is None:
            return x[:, :, :: self.down, :: self.down]
        groups, down = x.shape[1], self.down
        if kernel.ndim == 2:
            weight = kernel.flip(0, 1).to(x)[None, None].expand(groups, 1, -1, -1)
            return F.conv2d(x, weight.contiguous(), stride=down, groups=groups)
        x = F.conv2d(x, _filters(kernel.flip(0), x, False), stride=(1, down), groups=groups)
        return F.conv2d(x, _filters(kernel.flip(0), x, True), stride=(down, 1), groups=groups)


def _line(up_filter: Tensor | None, up: int, like: Tensor) -> Tensor:
    """The upsampling filter, with the gain that makes up for the zeros between the samples."""
    return (like.new_ones(1) if up_filter is None else up_filter) * up


def _filters(line: Tensor, x: Tensor, vertical: bool) -> Tensor:
    """The same filter for each channel of ``x``."""
    shape = (1, 1, -1, 1) if vertical else (1, 1, 1, -1)
    return line.to(x).reshape(shape).repeat(x.shape[1], 1, 1, 1)


def _window(x: Tensor, dim: int, first: int, length: int) -> Tensor:
    """Places ``first`` to ``first + length`` along a dimension; zeros where there are none."""
    if first == 0 and length == x.shape[dim]:
        return x
    before, after = max(0, -first), max(0, first + length - x.shape[dim])
    if before or after:
        x = F.pad(x, (0, 0, before, after) if dim == Vertical else (before, after))
    return x.narrow(dim, first + before, length)


__all__ = ["Resampling"]
