"""The discriminators of StyleGAN2.

`Discriminator` is the one that steerbench trains: the picture enters at every resolution.
`PublishedDiscriminator` is the one in published files: residual by default, optionally
conditional, its parameters named as there.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958); the projection of the label: Miyato, Koyama, "cGANs
with Projection Discriminator" (2018, arXiv 1802.05637).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.stylegan2.layers import (
    ROOT2,
    SLOPE,
    Dense,
    clamp_to,
    downsample,
    resampling_filter,
)
from steerbench.generators.stylegan2.network import MappingNetwork


class Conv(nn.Module):
    """A convolution with equalised learning rate, optionally blurred and halved first."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        down: bool = False,
        activate: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.clamp: float | None = None
        self.gain = 1 / math.sqrt(inputs * size**2)
        self.down, self.activate, self.size = down, activate, size
        self.register_buffer("resample_filter", resampling_filter())

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gain * (ROOT2 if self.activate else 1.0)
        weight = (self.weight * gain).to(x.dtype)
        bias: Tensor | None = None
        if self.bias is not None:
            bias = (self.bias * (ROOT2 if self.activate else 1.0)).to(x.dtype)
        if self.down:
            x = blur_before_halving(x, self.resample_filter, self.size)
            x = F.conv2d(x, weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=self.size // 2)
        return clamp_to(F.leaky_relu(x, SLOPE), self.clamp) if self.activate else x


def blur_before_halving(x: Tensor, kernel: Tensor, size: int) -> Tensor:
    """Filter ``x`` so that an unpadded convolution of ``size``, stride 2, halves it."""
    channels = x.shape[1]
    weight = kernel.flip(0, 1).to(x.dtype)[None, None].expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, padding=size // 2 + 1, groups=channels)


class DiscriminatorBlock(nn.Module):
    """One resolution of the discriminator: adds the picture's features, convolves, halves."""

    def __init__(self, inputs: int, outputs: int, channels: int) -> None:
        super().__init__()
        self.fromrgb = Conv(channels, inputs, 1)
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=True)

    def forward(self, x: Tensor | None, image: Tensor) -> Tensor:
        y = self.fromrgb(image)
        y = y if x is None else x + y
        return self.conv1(self.conv0(y))


class Discriminator(nn.Module):
    """Pictures to a realness logit; the picture enters at every resolution (input skips).

    The last block appends the standard deviation over a group of the batch, which lets the
    network see a lack of variety.
    """

    resample_filter: Tensor

    def __init__(self, *, widths: Mapping[int, int], channels: int = 3, group: int = 4) -> None:
        super().__init__()
        self.widths = {int(r): int(width) for r, width in sorted(widths.items(), reverse=True)}
        self.group = group
        resolutions = list(self.widths)
        for resolution in resolutions[:-1]:
            block = DiscriminatorBlock(
                self.widths[resolution], self.widths[resolution // 2], channels
            )
            setattr(self, f"b{resolution}", block)
        width = self.widths[resolutions[-1]]
        self.fromrgb = Conv(channels, width, 1)
        self.conv = Conv(width + 1, width, 3)
        self.fc = Dense(width * 16, width, activate=True)
        self.out = Dense(width, 1)
        self.register_buffer("resample_filter", resampling_filter())

    def features(
        self, images: Tensor, dtype: torch.dtype | None = None, share: float = 1.0
    ) -> Tensor:
        """Map pictures ``[N, C, H, W]`` to the features ``[N, width]`` before the logit.

        A picture smaller than the largest enters at its own resolution; ``share`` fades in the
        block that it enters at, as while a progressive GAN grows.
        """
        image = images if dtype is None else images.to(dtype)
        image = image.contiguous(memory_format=torch.channels_last)
        x: Tensor | None = None
        for resolution in [r for r in self.widths if 4 < r <= image.shape[-1]]:
            y = getattr(self, f"b{resolution}")(x, image)
            x = y * share if x is None and share < 1 else y
            image = downsample(image, self.resample_filter)
        y = self.fromrgb(image)
        x = y if x is None else x + y
        x = self.conv(torch.cat([x, self.deviation(x)], dim=1))
        return self.fc(x.flatten(1).float())

    def deviation(self, x: Tensor) -> Tensor:
        """Return the standard deviation within groups of the batch, ``[N, 1, H, W]``."""
        n, c, h, w = x.shape
        group = math.gcd(n, self.group)
        y = x.float().reshape(group, n // group, c, h, w)
        spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        return spread.to(x.dtype).repeat(group)[:, None, None, None].expand(n, 1, h, w)

    def forward(
        self, images: Tensor, dtype: torch.dtype | None = None, share: float = 1.0
    ) -> Tensor:
        """Map pictures ``[N, C, H, W]`` to logits ``[N]``; large means real."""
        logits: Tensor = self.out(self.features(images, dtype, share))[:, 0]
        return logits


class PublishedBlock(nn.Module):
    """One resolution of the published discriminator."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, channels: int, *, first: bool, architecture: str
    ) -> None:
        super().__init__()
        self.architecture = architecture
        if first or architecture == "skip":
            self.fromrgb = Conv(channels, inputs, 1)
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=True)
        if architecture == "resnet":
            self.skip = Conv(inputs, outputs, 1, down=True, activate=False, bias=False)
        self.register_buffer("resample_filter", resampling_filter())

    def forward(self, x: Tensor | None, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features so far and the picture, to both at half the resolution."""
        if hasattr(self, "fromrgb"):
            y = self.fromrgb(image)
            x = y if x is None else x + y
        y = self.conv1(self.conv0(x))
        if self.architecture == "resnet":
            y = (y + self.skip(x)) * math.sqrt(0.5)
        if self.architecture == "skip":
            image = downsample(image, self.resample_filter)
        return y, image


class PublishedEpilogue(nn.Module):
    """The last resolution: the batch's deviation, a convolution, two dense layers."""

    def __init__(
        self, width: int, channels: int, *, architecture: str, groups: tuple[int, int], out: int
    ) -> None:
        super().__init__()
        self.groups = groups
        if architecture == "skip":
            self.fromrgb = Conv(channels, width, 1)
        self.conv = Conv(width + groups[1], width, 3)
        self.fc = Dense(width * 16, width, activate=True)
        self.out = Dense(width, out)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        if hasattr(self, "fromrgb"):
            x = x + self.fromrgb(image)
        if self.groups[1]:
            x = torch.cat([x, self.deviation(x)], dim=1)
        return self.out(self.fc(self.conv(x).flatten(1)))

    def deviation(self, x: Tensor) -> Tensor:
        """Return standard deviation within groups of the batch, ``[N, maps, H, W]``."""
        n, c, h, w = x.shape
        maps = self.groups[1]
        group = min(n, self.groups[0])
        group = math.gcd(n, group) if n % group else group
        y = x.reshape(group, n // group, maps, c // maps, h, w)
        spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))
        return spread.repeat(group, 1)[:, :, None, None].expand(n, maps, h, w)


class PublishedDiscriminator(nn.Module):
    """Pictures (and labels) to realness logits, as in published files.

    Args:
        widths: Channels by resolution, from the picture's to 4.
        channels: Of the picture.
        c_dim: Length of the label; 0 without.
        label_width: Of the space in which label and picture are compared.
        mapping_layers: How many layers the label passes.
        architecture: ``"resnet"``, ``"skip"`` or ``"orig"``.
        group: Pictures in a group, for the deviation.
        maps: Channels of the deviation.
        clamp: The bound on activations, where there is one.
    """

    def __init__(
        self,
        *,
        widths: Mapping[int, int] | Mapping[str, int],
        channels: int = 3,
        c_dim: int = 0,
        label_width: int = 0,
        mapping_layers: int = 8,
        architecture: str = "resnet",
        group: int = 4,
        maps: int = 1,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.widths = {int(r): int(width) for r, width in widths.items()}
        self.widths = dict(sorted(self.widths.items(), reverse=True))
        self.c_dim, self.label_width = c_dim, label_width
        self.config = {
            "widths": {str(k): v for k, v in self.widths.items()},
            "channels": channels,
            "c_dim": c_dim,
            "label_width": label_width,
            "mapping_layers": mapping_layers,
            "architecture": architecture,
            "group": group,
            "maps": maps,
            "clamp": clamp,
        }
        resolutions = list(self.widths)
        for resolution in resolutions[:-1]:
            block = PublishedBlock(
                self.widths[resolution],
                self.widths[resolution // 2],
                channels,
                first=resolution == resolutions[0],
                architecture=architecture,
            )
            setattr(self, f"b{resolution}", block)
        self.b4 = PublishedEpilogue(
            self.widths[4],
            channels,
            architecture=architecture,
            groups=(group, maps),
            out=label_width if c_dim else 1,
        )
        if c_dim:
            self.mapping = MappingNetwork(0, label_width, c_dim=c_dim, num_layers=mapping_layers)
        for part in self.modules():
            if isinstance(part, Conv):
                part.clamp = clamp if part.activate else None

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Map pictures ``[N, C, H, W]`` and labels ``[N, c_dim]`` to logits ``[N]``."""
        x, image = None, images
        for resolution in list(self.widths)[:-1]:
            x, image = getattr(self, f"b{resolution}")(x, image)
        score: Tensor = self.b4(x, image)
        if not self.c_dim:
            return score[:, 0]
        wanted = self.mapping(None, label)
        return (score * wanted).sum(dim=1) / math.sqrt(self.label_width)
