"""A nonlinearity between two sampling rates: upsample, rectify, downsample, as StyleGAN3 does it.

A pointwise nonlinearity makes frequencies that a grid cannot hold; applied to a finer grid and
filtered before the signal returns to the coarse one, it makes none that stay. Done as it is
written (zeros between the samples, a two-dimensional filter, every second sample thrown away) this
is most of what StyleGAN3 costs. Here

- filters that are products are applied to one dimension after the other;
- upsampling is a transposed convolution and downsampling one with a stride, so that neither
  multiplies zeros nor computes what is thrown away;
- channels go in blocks of `LANES`, as many as a vector register of the processor holds, and
  blocks and rows in parts whose fine grid stays in its cache: that of all channels would be a
  hundred times larger than what goes in or comes out.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.fast import tuning

LANES = 16
"""Channels of a block."""

VERTICAL, HORIZONTAL = 2, 3


@dataclass(frozen=True)
class Resampling:
    """The sizes of a nonlinearity between two rates; the filters come with the call.

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
        """Compute ``downsample(rectify(upsample(x * scale + bias)))`` in the precision of scale.

        Args:
            x: ``[N, blocks, LANES, h, w]``.
            up_filter: ``[taps]``, or none to leave the samples apart.
            down_filter: ``[taps]``, ``[taps, taps]``, or none.
            scale: ``[N, blocks * LANES]``.
            bias: ``[blocks * LANES]``.
            dtype: Of the result.

        Returns:
            ``[N, blocks * LANES, size, size]``, with channels last in memory.
        """
        n, blocks = x.shape[:2]
        size, taps = self.size, 1 if down_filter is None else len(down_filter)
        scale, bias = (gain.unflatten(-1, (blocks, LANES, 1, 1)) for gain in (scale, bias))
        filters = _Filters(up_filter, down_filter, self.up, scale)
        if needs_graph(x, scale):
            part = (x * scale + bias).flatten(0, 1)
            part = self._part(part, filters, range(size), fresh=False)
            return part.to(dtype).reshape(n, -1, size, size)
        out = torch.empty((n, size, size, blocks, LANES), dtype=dtype, device=x.device)
        places = out.permute(0, 3, 4, 1, 2)
        for samples, some, rows in self._parts(n, blocks, taps):
            part = torch.addcmul(bias[some], x[samples, some].to(scale), scale[samples, some])
            target = places[samples, some, :, rows.start : rows.stop]
            part = self._part(part.flatten(0, 1), filters, rows)
            target.copy_(part.unflatten(0, target.shape[:2]))
        return out.flatten(3).permute(0, 3, 1, 2)

    def _parts(self, n: int, blocks: int, taps: int) -> Iterator[tuple[slice, slice, range]]:
        """Return samples, blocks and rows that are together not too much for the cache."""
        wide = (self.size - 1) * self.down + taps
        fitting = max(1, tuning.TUNING.part // (LANES * wide * wide))
        samples = min(n, max(1, fitting // blocks))
        some = min(blocks, fitting)
        fine = tuning.TUNING.part // (LANES * samples * some * wide)
        rows = min(self.size, max(tuning.TUNING.part_rows, (fine - taps) // self.down + 1))
        rows = math.ceil(self.size / math.ceil(self.size / rows))
        for i in range(0, n, samples):
            for j in range(0, blocks, some):
                for k in range(0, self.size, rows):
                    part = range(k, min(k + rows, self.size))
                    yield slice(i, i + samples), slice(j, j + some), part

    def _part(self, x: Tensor, filters: _Filters, rows: range, *, fresh: bool = True) -> Tensor:
        """Compute some rows ``[blocks, LANES, rows, size]`` of ``[blocks, LANES, h, w]``."""
        # Through one dimension: a stride that torch does not mind, of a single block, would make
        # its convolutions take the tensor for one with channels first, and copy it.
        x = x.permute(0, 2, 3, 1).flatten().unflatten(0, (len(x), *x.shape[2:], LANES))
        x = x.permute(0, 3, 1, 2)
        tall = (len(rows) - 1) * self.down + filters.down_taps
        wide = (self.size - 1) * self.down + filters.down_taps
        x = self._stretch(x, filters.up, VERTICAL, self.first + rows.start * self.down, tall)
        x = self._stretch(x, filters.up, HORIZONTAL, self.first, wide)
        return self._shrink(self._rectify(x, fresh), filters.down)

    def _stretch(
        self, x: Tensor, kernels: Sequence[Tensor], dim: int, first: int, length: int
    ) -> Tensor:
        """Return some places of the upsampled signal, from the first one on, along a dimension."""
        kernel, up = kernels[dim - VERTICAL], self.up
        taps = kernel.shape[dim]
        if up == taps == 1:
            return _window(x, dim, first, length)
        # Only these samples reach the places that are wanted.
        begin = max(0, math.ceil((first - taps + 1) / up))
        end = min(x.shape[dim], (first + length - 1) // up + 1)
        cut = first - begin * up
        spare = (end - begin - 1) * up + taps - cut - length
        padding = max(0, min(cut, spare))
        vertical = dim == VERTICAL
        y = F.conv_transpose2d(
            x.narrow(dim, begin, end - begin),
            kernel,
            stride=(up, 1) if vertical else (1, up),
            padding=(padding, 0) if vertical else (0, padding),
            groups=LANES,
        )
        return _window(y, dim, cut - padding, length)

    def _rectify(self, x: Tensor, fresh: bool) -> Tensor:
        if self.slope != 1:
            x = F.leaky_relu(x, self.slope, inplace=fresh)
        if self.clamp is None:
            return x
        return x.clamp_(-self.clamp, self.clamp) if fresh else x.clamp(-self.clamp, self.clamp)

    def _shrink(self, x: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        down = self.down
        if not kernels:
            return x[:, :, ::down, ::down]
        if len(kernels) == 1:
            return F.conv2d(x, kernels[0], stride=down, groups=LANES)
        x = F.conv2d(x, kernels[1], stride=(1, down), groups=LANES)
        return F.conv2d(x, kernels[0], stride=(down, 1), groups=LANES)


def needs_graph(*tensors: Tensor) -> bool:
    """Return whether somebody differentiates, or batches, what is computed from these tensors."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    try:  # what torch.func wraps has no memory of its own
        for tensor in tensors:
            tensor.data_ptr()
    except RuntimeError:
        return True
    return False


class _Filters:
    """Filters as kernels for each channel of a block: one in both dimensions, or one in each."""

    def __init__(
        self, up_filter: Tensor | None, down_filter: Tensor | None, factor: int, like: Tensor
    ) -> None:
        # The gain makes up for the zeros between the samples.
        line = (like.new_ones(1) if up_filter is None else up_filter.to(like)) * factor
        self.up = _both(line)
        self.down_taps = 1 if down_filter is None else len(down_filter)
        if down_filter is None:
            self.down: tuple[Tensor, ...] = ()
        elif down_filter.ndim == 2:
            self.down = (_for_lanes(down_filter.to(like).flip(0, 1)),)
        else:
            self.down = _both(down_filter.to(like).flip(0))


def _both(line: Tensor) -> tuple[Tensor, Tensor]:
    return _for_lanes(line[:, None]), _for_lanes(line[None])


def _for_lanes(kernel: Tensor) -> Tensor:
    return kernel.repeat(LANES, 1, 1, 1)


def _window(x: Tensor, dim: int, first: int, length: int) -> Tensor:
    """Return places ``first`` to ``first + length`` along a dimension; zeros beyond the ends."""
    if first == 0 and length == x.shape[dim]:
        return x
    before, after = max(0, -first), max(0, first + length - x.shape[dim])
    if before or after:
        x = F.pad(x, (0, 0, before, after) if dim == VERTICAL else (before, after))
    return x.narrow(dim, first + before, length)


__all__ = ["LANES", "Resampling", "needs_graph"]
