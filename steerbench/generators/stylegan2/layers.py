"""What StyleGAN2's networks are built of: low-pass filters, and layers with run-time gains."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT2 = math.sqrt(2.0)
SLOPE = 0.2


def resampling_filter(taps: tuple[int, ...] = (1, 3, 3, 1)) -> Tensor:
    """Return the separable low-pass filter, as a matrix that sums to one."""
    line = torch.tensor(taps, dtype=torch.float32)
    square = torch.outer(line, line)
    return square / square.sum()


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    """Double height and width of ``[N, C, H, W]`` with a low-pass filter of four by four taps."""
    channels = image.shape[1]
    weight = (4 * kernel).to(image.dtype)[None, None].expand(channels, 1, -1, -1)
    return F.conv_transpose2d(image, weight, stride=2, padding=1, groups=channels)


def downsample(image: Tensor, kernel: Tensor) -> Tensor:
    """Halve height and width of ``[N, C, H, W]`` with the same low-pass filter."""
    channels = image.shape[1]
    weight = kernel.flip(0, 1).to(image.dtype)[None, None].expand(channels, 1, -1, -1)
    return F.conv2d(image, weight, stride=2, padding=1, groups=channels)


class Dense(nn.Module):
    """A fully connected layer whose weights are scaled at run time (equalised learning rate)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activate: bool = False,
        bias: float = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.weight_gain = lr_multiplier / math.sqrt(inputs)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def effective(self) -> tuple[Tensor, Tensor]:
        """Return weight ``[out, in]`` and bias ``[out]`` as they act on the input."""
        return self.weight * self.weight_gain, self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        # The input is smaller than the weight, and scaling it gives the same.
        y = F.linear(x * self.weight_gain, self.weight, self.bias * self.bias_gain)
        return F.leaky_relu(y, SLOPE) * ROOT2 if self.activate else y


def normalise(x: Tensor) -> Tensor:
    """Scale each row of ``[N, D]`` to a root mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def clamp_to(x: Tensor, clamp: float | None, gain: float = 1.0) -> Tensor:
    """Keep ``x`` within a bound, where there is one.

    Args:
        x: Activations.
        clamp: The bound, or none.
        gain: What the bound is multiplied by.
    """
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)
