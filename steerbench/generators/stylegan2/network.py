"""The trainable networks of StyleGAN2: mapping and synthesis.

A layer scales its weights by the style of the picture, and each filter to unit length. Scaling the
activations instead gives the same numbers and lets a whole batch share one dense convolution:

    y = d * conv(s * x, W) + noise + b        d_o = 1 / sqrt(sum_ik (W_oik s_i)^2 + 1e-8)

For one picture of more pixels than the layer has weights, scaling the weights is less work.

Parameter names and their run-time gains are the ones of published StyleGAN2 files, so that they
map one to one.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.fast.modulated import ModulatedConvolution
from steerbench.generators.stylegan2.layers import (
    ROOT2,
    SLOPE,
    Dense,
    clamp_to,
    normalise,
    resampling_filter,
    upsample,
)


class MappingNetwork(nn.Module):
    """z ``[N, z_dim]`` (and a label ``[N, c_dim]``) to w ``[N, w_dim]``.

    Args:
        z_dim: Of the code; 0 for a network of the label alone.
        w_dim: Of the result.
        c_dim: Of the label; 0 without.
        num_layers: How many dense layers.
        width: Of the layers between; ``w_dim`` by default.
        embed_dim: Of the embedded label; ``w_dim`` by default.
        joint: Normalise z and the embedded label together and not each by itself.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        *,
        c_dim: int = 0,
        num_layers: int = 8,
        width: int | None = None,
        embed_dim: int | None = None,
        joint: bool = False,
    ) -> None:
        super().__init__()
        width = w_dim if width is None else width
        embed_dim = w_dim if embed_dim is None else embed_dim
        inputs = z_dim + (embed_dim if c_dim else 0)
        sizes = [inputs, *[width] * (num_layers - 1), w_dim]
        self.z_dim, self.num_layers, self.c_dim, self.joint = z_dim, num_layers, c_dim, joint
        self.width, self.embed_dim = width, embed_dim
        if c_dim:
            self.embed = Dense(c_dim, embed_dim)
        for i in range(num_layers):
            layer = Dense(sizes[i], sizes[i + 1], activate=True, lr_multiplier=0.01)
            setattr(self, f"fc{i}", layer)
        if z_dim:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, label: Tensor | None = None) -> Tensor:
        parts = [z] if z is not None and self.z_dim else []
        if self.c_dim:
            parts.append(self.embed(label))
        if not self.joint:
            parts = [normalise(part) for part in parts]
        x = torch.cat(parts, dim=1)
        if self.joint:
            x = normalise(x)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x


__all__ = [
    "MappingNetwork",
    "Shortcut",
    "Site",
    "StyleGAN2Network",
    "SynthesisLayer",
    "SynthesisNetwork",
    "ToRGB",
]


class SynthesisLayer(nn.Module):
    """A 3x3 convolution modulated by a style, with noise, bias and leaky rectifier."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        w_dim: int,
        resolution: int,
        up: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.up, self.resolution, self.gain, self.clamp = up, resolution, gain, clamp
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", resampling_filter())
        self.convolution = ModulatedConvolution(resolution=resolution, up=up)

    def forward(self, x: Tensor, style: Tensor, noise: str | Tensor = "const") -> Tensor:
        """Compute ``[N, out, H, W]`` of x ``[N, in, h, w]`` and style ``[N, in]``."""
        # The rectifier is homogeneous: its gain moves inside it, where it costs nothing.
        gain = ROOT2 * self.gain
        bias = (gain * self.bias).to(x.dtype)
        x = self.convolution(x, style, self.weight, bias, gain=gain, low_pass=self.resample_filter)
        added = self.noise(noise, x)
        if added is not None:
            # Bias and noise joined first would be of another memory format than x: far slower.
            x += (gain * added).to(x.dtype)
        return clamp_to(F.leaky_relu_(x, SLOPE), self.clamp, self.gain)

    def noise(self, mode: str | Tensor, like: Tensor) -> Tensor | None:
        """Return the noise added to the activations: ``[H, W]`` or ``[N, 1, H, W]``, or none."""
        if isinstance(mode, Tensor):
            return mode * self.noise_strength
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const * self.noise_strength
        shape = (like.shape[0], 1, self.resolution, self.resolution)
        return torch.randn(shape, device=like.device) * self.noise_strength


class ToRGB(nn.Module):
    """A 1x1 convolution modulated by a style: activations to picture channels."""

    def __init__(
        self, inputs: int, channels: int, *, w_dim: int, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        style = (style * self.weight_gain)[:, :, None, None]
        if len(x) == 1:
            rgb = F.conv2d(x, (self.weight * style).to(x.dtype))
        else:
            rgb = F.conv2d(x * style.to(x.dtype), self.weight.to(x.dtype))
        return clamp_to(rgb.to(self.bias.dtype) + self.bias[:, None, None], self.clamp)


class Shortcut(nn.Module):
    """The residual path of a block: a 1x1 convolution, doubled in size."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.weight_gain = math.sqrt(0.5 / inputs)
        self.register_buffer("resample_filter", resampling_filter())

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, (self.weight * self.weight_gain).to(x.dtype))
        return upsample(x, self.resample_filter)


class SynthesisBlock(nn.Module):
    """All layers of one resolution."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        w_dim: int,
        resolution: int,
        channels: int,
        residual: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        residual = residual and inputs > 0
        common: dict[str, Any] = {"w_dim": w_dim, "resolution": resolution, "clamp": clamp}
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, up=True, **common)
        gain = math.sqrt(0.5) if residual else 1.0
        self.conv1 = SynthesisLayer(outputs, outputs, gain=gain, **common)
        if residual:
            self.skip = Shortcut(inputs, outputs)
        if channels:
            self.torgb = ToRGB(outputs, channels, w_dim=w_dim, clamp=clamp)


@dataclass(frozen=True)
class Site:
    """One layer in the walk: its name, its module, and the row of w+ that it reads.

    A layer with a ``shortcut`` begins a residual block; the layer that *is* the shortcut ends it
    with the sum of both paths, and reads no row.
    """

    name: str
    module: SynthesisLayer | ToRGB | Shortcut
    affine: Dense | None
    row: int
    resolution: int
    shortcut: Shortcut | None = None
    residual: bool = False


class SynthesisNetwork(nn.Module):
    """Styles to a picture, one layer after the other.

    Args:
        w_dim: Of the style codes.
        widths: Channels by resolution.
        channels: Of the picture.
        architecture: ``"skip"`` sums pictures of all resolutions, ``"resnet"`` sums features,
            ``"orig"`` sums neither.
        clamp: The bound on activations, where there is one.
    """

    resample_filter: Tensor

    def __init__(
        self,
        *,
        w_dim: int,
        widths: Mapping[int, int],
        channels: int = 3,
        architecture: str = "skip",
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.widths = {int(r): int(width) for r, width in sorted(widths.items())}
        self.channels, self.architecture, self.clamp = channels, architecture, clamp
        previous = 0
        for resolution, width in self.widths.items():
            paints = architecture == "skip" or resolution == max(self.widths)
            block = SynthesisBlock(
                previous,
                width,
                w_dim=w_dim,
                resolution=resolution,
                channels=channels if paints else 0,
                residual=architecture == "resnet",
                clamp=clamp,
            )
            setattr(self, f"b{resolution}", block)
            previous = width
        self.num_ws = 2 * len(self.widths)
        self.register_buffer("resample_filter", resampling_filter(), persistent=False)

    def adopt_filter(self) -> None:
        """Take the filter of the picture from the layers, which keep theirs in files."""
        block = getattr(self, "b8", None)
        kernel = resampling_filter() if block is None else block.conv0.resample_filter.clone()
        self.resample_filter = kernel

    def sites(self) -> Iterator[Site]:
        """Return the layers in the order in which they run."""
        row = 0
        for resolution in self.widths:
            block = getattr(self, f"b{resolution}")
            shortcut = getattr(block, "skip", None)
            for name in ("conv0", "conv1", "skip", "torgb"):
                if not hasattr(block, name):
                    continue
                module = getattr(block, name)
                kept = shortcut if name == "conv0" else None
                residual = shortcut is not None
                affine = getattr(module, "affine", None)
                yield Site(f"b{resolution}.{name}", module, affine, row, resolution, kept, residual)
                # A ToRGB shares its row with the first convolution of the next block.
                row += name in ("conv0", "conv1")

    def start(self, n: int) -> Tensor:
        """Return the learned constant, repeated: ``[n, C, 4, 4]``."""
        const = self.get_parameter("b4.const")
        return const[None].expand(n, -1, -1, -1)

    def add(self, image: Tensor | None, rgb: Tensor) -> Tensor:
        """Add a ToRGB's output to the upsampled sum of the earlier ones."""
        if image is None:
            return rgb
        return upsample(image, self.resample_filter) + rgb

    def forward(
        self, ws: Tensor, noise: str = "random", dtype: torch.dtype | None = None
    ) -> Tensor:
        """Map ws ``[N, num_ws, w_dim]`` to a picture ``[N, C, H, W]``, nominally in [-1, 1]."""
        x = self.start(ws.shape[0])
        if dtype is not None:
            x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        shortcut = x
        for site in self.sites():
            if site.affine is None:
                x = x + shortcut
                continue
            if site.shortcut is not None:
                shortcut = site.shortcut(x)
            style = site.affine(ws[:, site.row])
            if isinstance(site.module, SynthesisLayer):
                x = site.module(x, style, noise)
            else:
                image = self.add(image, site.module(x, style))
        if image is None:
            return x
        return image


class StyleGAN2Network(nn.Module):
    """The trainable pair: mapping and synthesis."""

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
        joint: bool = False,
        architecture: str = "skip",
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.c_dim = z_dim, w_dim, c_dim
        self.mapping = MappingNetwork(
            z_dim,
            w_dim,
            c_dim=c_dim,
            num_layers=mapping_layers,
            width=mapping_width,
            embed_dim=embed_dim,
            joint=joint,
        )
        self.synthesis = SynthesisNetwork(
            w_dim=w_dim,
            widths=widths,
            channels=channels,
            architecture=architecture,
            clamp=clamp,
        )

    def forward(self, z: Tensor, label: Tensor | None = None, noise: str = "random") -> Tensor:
        w = self.mapping(z, label)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.num_ws, -1), noise)
