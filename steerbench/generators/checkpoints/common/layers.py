"""Kernels, filters, gains and noise as published layers keep them, brought into our form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from steerbench.errors import CheckpointError


def equalised_gain(weight: Tensor, gain: float = 1.0) -> float:
    """Return the gain that layers with equalised learning rate apply at run time.

    Args:
        weight: ``[out, in, ...]``.
        gain: What it is besides one over the root of the inputs.
    """
    return gain / math.sqrt(weight[0].numel())


def draw_noise(number: int, resolution: int) -> Tensor:
    """Draw fixed noise for a layer of a file that has none, from the layer's number."""
    draw = torch.Generator().manual_seed(number)
    return torch.randn(resolution, resolution, generator=draw)


def odd_blur(kernel: Tensor) -> Tensor:
    """Return a blur ``[taps, taps]`` with a middle, from a kernel ``[..., taps, taps]``.

    Raises:
        CheckpointError: It is not square, or has no middle.
    """
    taps = kernel.shape[-1]
    if kernel.shape[-2:] != (taps, taps) or taps % 2 == 0:
        raise CheckpointError(
            f"The file blurs with a kernel of {list(kernel.shape)}; a square one of 1, 3 or 5 "
            "taps was expected. Use sb.wrap."
        )
    return kernel.reshape(-1, taps, taps)[0]


def four_taps(kernel: Tensor) -> Tensor:
    """Return a low-pass filter of up to four by four taps as four by four that sum to one.

    Raises:
        CheckpointError: It is longer, or not square.
    """
    taps = kernel.shape[-1]
    kernel = kernel.reshape(-1, taps)
    if kernel.ndim != 2 or kernel.shape[0] != taps or taps > 4:
        raise CheckpointError(
            f"The file filters with {list(kernel.shape)} taps; up to [4, 4] are known."
        )
    # Where a shorter filter lies among the four follows from how published code pads it.
    after = (4 - taps) // 2 if taps != 3 else 0
    before = 4 - taps - after
    square = torch.nn.functional.pad(kernel, (before, after, before, after))
    return square / square.sum()


__all__ = ["draw_noise", "equalised_gain", "four_taps", "odd_blur"]
