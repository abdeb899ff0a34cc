"""The modulated convolution of StyleGAN2, on the quickest of three ways to the same numbers.

A layer scales the weights by the style of the picture, and each filter to unit length::

    y_o = g * conv(x, d_o W_o s) + b_o        d_o = 1 / sqrt(sum_ik (W_oik s_i)^2 + 1e-8)

Scaling the activations instead gives the same numbers, ``y = g d * conv(s x, W) + b``, and lets a
whole batch share one dense convolution, whose kernel is made once of weights that do not train. Of
wide kernels on a CPU this one convolution is done with fewer multiplications (see `winograd`). For
one picture of more pixels than the layer has weights, scaling the weights is less work.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958), section 2.2.

>>> convolve, weight = ModulatedConvolution(resolution=8), torch.randn(5, 3, 3, 3)
>>> x, style, bias = torch.randn(2, 3, 8, 8), torch.randn(2, 3), torch.zeros(5)
>>> y = convolve(x, style, weight, bias)
>>> scaled = weight * style[0][:, None, None]
>>> scaled = scaled / scaled.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
>>> torch.allclose(y[:1], F.conv2d(x[:1], scaled, padding=1), atol=1e-5)
True
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.fast import winograd
from steerbench.generators.fast.weight_cache import WeightCache


class ModulatedConvolution:
    """A 3x3 convolution whose weights follow the style; it remembers what it makes of them.

    Args:
        resolution: Of what goes out, in pixels.
        up: Whether it doubles the size: transposed with stride 2, then low-pass filtered.
        epsilon: Added to the squared length of a filter.
    """

    def __init__(self, *, resolution: int, up: bool = False, epsilon: float = 1e-8) -> None:
        self.resolution, self.up, self.epsilon = resolution, up, epsilon
        self.cache = WeightCache()

    def __call__(
        self,
        x: Tensor,
        style: Tensor,
        weight: Tensor,
        bias: Tensor,
        *,
        gain: float = 1.0,
        low_pass: Tensor | None = None,
    ) -> Tensor:
        """Compute ``gain * d * conv(s x, W) + bias``, ``[N, out, H, W]``, in the precision of x.

        Args:
            x: ``[N, in, h, w]``.
            style: ``[N, in]``.
            weight: ``[out, in, 3, 3]``.
            bias: ``[out]``, in the precision of x.
            gain: What the convolution is multiplied by, and the bias is not.
            low_pass: ``[4, 4]``, of a layer that doubles the size.
        """
        if self._scales_weights(x, weight):
            kernel = (gain * self._modulate(weight, style[0])).to(x.dtype)
            return self.convolve(x, kernel, low_pass, bias)
        kernel, energy = self.cache(weight, x.dtype, lambda: self._kernel(weight, x.dtype))
        demodulation = gain * (style.square() @ energy.T + self.epsilon).rsqrt()
        y = self.convolve(x * style[:, :, None, None].to(x.dtype), kernel, low_pass)
        return torch.addcmul(bias[:, None, None], y, demodulation[:, :, None, None].to(x.dtype))

    def uses_tiles(self, weight: Tensor, dtype: torch.dtype) -> bool:
        """Return whether the convolution is done by tiles, with fewer multiplications."""
        fixed = not self.up and not weight.requires_grad
        return fixed and winograd.pays(weight, self.resolution, dtype)

    def _scales_weights(self, x: Tensor, weight: Tensor) -> bool:
        """Return whether to scale the weights: for one picture that is larger than they are."""
        one = len(x) == 1 and weight.numel() < x.numel()
        return one and not self.uses_tiles(weight, x.dtype)

    def _modulate(self, weight: Tensor, style: Tensor) -> Tensor:
        """Return the weights for the one style ``[in]``, modulated and demodulated."""
        weight = weight * style[:, None, None]
        return weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + self.epsilon).rsqrt()

    def convolve(
        self, x: Tensor, kernel: Tensor, low_pass: Tensor | None, bias: Tensor | None = None
    ) -> Tensor:
        """Compute the convolution alone, and the bias where there is one.

        Args:
            x: ``[N, in, h, w]``.
            kernel: ``[out, in, 3, 3]``, or of Winograd's convolution.
            low_pass: ``[4, 4]``, of a layer that doubles the size.
            bias: ``[out]``.
        """
        if kernel.ndim == 3:
            return winograd.convolve(x, kernel)
        if not self.up or low_pass is None:
            return F.conv2d(x, kernel, bias, padding=1)
        x = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
        blur = (4 * low_pass).flip(0, 1).to(x.dtype).expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, blur, bias, padding=1, groups=x.shape[1])

    def _kernel(self, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Make the kernel, and the energy ``[out, in]`` of its taps."""
        energy = weight.square().sum(dim=(2, 3))
        if self.uses_tiles(weight, dtype):
            return winograd.transform_kernel(weight), energy
        kernel = weight.to(dtype)
        if self.up:  # a transposed convolution wants its inputs first, in memory too
            kernel = kernel.transpose(0, 1)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        return (kernel.transpose(0, 1) if self.up else kernel), energy


__all__ = ["ModulatedConvolution"]
