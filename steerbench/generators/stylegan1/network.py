"""The trainable networks of StyleGAN: mapping, and layers whose statistics are set by a style.

A layer first convolves; where a block begins, every pixel is repeated before it and the result is
blurred. Noise and bias follow, then every channel is brought to mean 0 and deviation 1, and its
style (s, t) gives it new ones:

    y = leaky(conv(x, W) + a * noise + b)
    y = (1 + s) (y - mean y) / sqrt(var y + eps) + t

The very first layer has a learned constant in place of the convolution. Run-time gains are part of
the weights here.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.detail_levels import shares
from steerbench.generators.fast.weight_cache import WeightCache
from steerbench.generators.stylegan2.network import MappingNetwork


class StyledLayer(nn.Module):
    """A convolution (or the constant), noise, bias, rectifier, and the style.

    Args:
        inputs: Channels that come in; 0 for the constant.
        outputs: Channels that go out.
        w_dim: Of the style codes.
        resolution: Of what goes out.
        up: Repeat every pixel first, and blur after the convolution.
        taps: Of the blur, in one direction.
        eps: Added to the variance.
    """

    noise_const: Tensor
    blur: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        w_dim: int,
        resolution: int,
        up: bool = False,
        taps: int = 3,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.outputs, self.resolution, self.up, self.eps = outputs, resolution, up, eps
        self.affine = nn.Linear(w_dim, 2 * outputs)
        if inputs:
            spread = (2 / (9 * inputs)) ** 0.5
            self.weight = nn.Parameter(spread * torch.randn(outputs, inputs, 3, 3))
        else:
            self.const = nn.Parameter(torch.ones(outputs, resolution, resolution))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        if up:
            self.register_buffer("blur", low_pass(taps))
        self.cache = WeightCache()

    def forward(self, x: Tensor, style: Tensor, noise: str | Tensor = "const") -> Tensor:
        """Compute ``[N, out, H, W]`` of x ``[N, in, h, w]`` and style ``[N, 2 out]``.

        The first layer only asks x for how many there are, and of which type.
        """
        if hasattr(self, "const") and x.dtype.itemsize == 2:
            # Little work, and a constant far from zero would lose what the style enlarges.
            return self(x.float(), style, noise).to(x.dtype)
        x = self.convolve(x)
        added = self.noise(noise, x)
        if added is not None:
            x = torch.addcmul(x, added, self.noise_strength[:, None, None].to(x.dtype))
        x = F.leaky_relu(x, 0.2)
        scale, shift = style.to(x.dtype).unflatten(1, (2, self.outputs, 1, 1)).unbind(1)
        return torch.addcmul(shift, self.normalise(x), 1 + scale)

    def convolve(self, x: Tensor) -> Tensor:
        """Compute everything up to the bias: ``[N, out, H, W]``."""
        bias = self.bias.to(x.dtype)
        if hasattr(self, "const"):
            y = (self.const.to(x.dtype) + bias[:, None, None]).expand(len(x), -1, -1, -1)
            return y.contiguous(memory_format=torch.channels_last)
        kernel = self.cache(self.weight, x.dtype, lambda: self.kernel(x.dtype))
        if not self.up:
            return F.conv2d(x, kernel, bias, padding=1)
        x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
        blur = self.blur.to(x.dtype).expand(self.outputs, 1, -1, -1)
        return F.conv2d(x, blur, bias, padding=self.blur.shape[-1] // 2, groups=self.outputs)

    def normalise(self, x: Tensor) -> Tensor:
        """Return every channel of every picture at mean 0 and deviation 1."""
        if x.dtype.itemsize == 2:
            # Groups of one channel: the quickest on a CPU, too rough for a figure.
            return F.group_norm(x, self.outputs, eps=self.eps)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        return x * (x.square().mean(dim=(2, 3), keepdim=True) + self.eps).rsqrt()

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """Return the kernel that runs."""
        kernel = merge_repeats(self.weight) if self.up else self.weight
        return kernel.to(dtype).contiguous(memory_format=torch.channels_last)

    def noise(self, mode: str | Tensor, like: Tensor) -> Tensor | None:
        """Return the noise ``[H, W]`` or ``[N, 1, H, W]``, the same for all channels, or none."""
        if isinstance(mode, Tensor):
            return mode.to(like.dtype)
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const.to(like.dtype)
        shape = (len(like), 1, self.resolution, self.resolution)
        return torch.randn(shape, device=like.device).to(like.dtype)


def low_pass(taps: int) -> Tensor:
    """Return the blur ``[taps, taps]``, of binomial weights that sum to one."""
    line = torch.ones(1)
    for _ in range(taps - 1):
        line = F.pad(line, (0, 1)) + F.pad(line, (1, 0))
    square = torch.outer(line, line)
    return square / square.sum()


def merge_repeats(weight: Tensor) -> Tensor:
    """Return the transposed convolution of stride 2 that repeats pixels and convolves, in one step.

    A pixel that is repeated twice meets sums of neighbouring taps: ``[out, in, 3, 3]`` to
    ``[in, out, 4, 4]``. A transposed convolution scatters, so that the kernel is turned.
    """
    padded = F.pad(weight.flip(2, 3), (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return (rows[..., 1:] + rows[..., :-1]).transpose(0, 1)


class StyleGAN1Block(nn.Module):
    """The layers of one resolution."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        w_dim: int,
        resolution: int,
        channels: int,
        taps: int,
        eps: float,
    ) -> None:
        super().__init__()
        common: dict[str, Any] = {"w_dim": w_dim, "resolution": resolution}
        if inputs:
            self.conv0 = StyledLayer(inputs, outputs, up=True, taps=taps, eps=eps, **common)
            self.conv1 = StyledLayer(outputs, outputs, eps=eps, **common)
        else:
            self.const = StyledLayer(0, outputs, eps=eps, **common)
            self.conv = StyledLayer(outputs, outputs, eps=eps, **common)
        self.torgb = nn.Conv2d(outputs, channels, 1)


@dataclass(frozen=True)
class Site:
    """One layer in the walk: its name, its module, the row of w+ it reads, its picture's share."""

    name: str
    module: nn.Module
    resolution: int
    row: int | None = None
    share: float = 1.0


class StyleGAN1Network(nn.Module):
    """The trainable part: the mapping and the synthesis layers.

    Args:
        z_dim: Of the codes.
        w_dim: Of the style codes.
        c_dim: Of the label; 0 without.
        widths: Channels by resolution.
        channels: Of the picture.
        mapping_layers: How many dense layers turn z into w.
        mapping_width: Of the layers between; ``w_dim`` by default.
        embed_dim: Of the embedded label; ``w_dim`` by default.
        level: Of detail; 0 for the whole network.
        taps: Of the blur, in one direction.
        eps: Added to the variance of a channel.
        tanh: End the picture in a hyperbolic tangent.
    """

    def __init__(
        self,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        widths: Mapping[int, int],
        channels: int = 3,
        mapping_layers: int = 8,
        mapping_width: int | None = None,
        embed_dim: int | None = None,
        level: float = 0.0,
        taps: int = 3,
        eps: float = 1e-8,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.c_dim, self.channels = z_dim, w_dim, c_dim, channels
        self.level, self.taps, self.eps, self.tanh = level, taps, eps, tanh
        self.widths = {int(r): int(width) for r, width in sorted(widths.items())}
        self.num_ws = 2 * len(self.widths)
        self.mapping = MappingNetwork(
            z_dim,
            w_dim,
            c_dim=c_dim,
            num_layers=mapping_layers,
            width=mapping_width,
            embed_dim=embed_dim,
            joint=True,
        )
        previous = 0
        for resolution, width in self.widths.items():
            block = StyleGAN1Block(
                previous,
                width,
                w_dim=w_dim,
                resolution=resolution,
                channels=channels,
                taps=taps,
                eps=eps,
            )
            setattr(self, f"b{resolution}", block)
            previous = width

    def style_layers(self) -> dict[str, StyledLayer]:
        """Return all layers that have a style, by name; layer ``i`` reads row ``i`` of w+."""
        return {name: part for name, part in self.named_modules() if isinstance(part, StyledLayer)}

    def sites(self) -> Iterator[Site]:
        """Return the layers that run at the network's level of detail, in their order."""
        styled = list(self.style_layers().items())
        for resolution, share in shares(self.widths, self.level).items():
            for row, (name, module) in enumerate(styled):
                if module.resolution == resolution:
                    yield Site(name, module, resolution, row)
            if share is not None:
                name = f"b{resolution}.torgb"
                yield Site(name, self.get_submodule(name), resolution, share=share)


__all__ = ["Site", "StyleGAN1Network", "StyledLayer"]
