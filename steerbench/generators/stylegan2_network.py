"""The trainable networks of StyleGAN2: mapping, synthesis, discriminator.

Scaling the activations by the style instead of the weights gives the same numbers and lets a
whole batch share one dense convolution, which is what makes the network quick on a CPU::

    y = d * conv(s * x, W) + noise + b        d_o = 1 / sqrt(sum_ik (W_oik s_i)^2 + 1e-8)

Parameter names and their run-time gains are the ones of published StyleGAN2 files, so that they
map one to one.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT2 = math.sqrt(2.0)
SLOPE = 0.2


def resampling_filter(taps: tuple[int, ...] = (1, 3, 3, 1)) -> Tensor:
    """The separable low-pass filter, as a matrix that sums to one."""
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
    weight = kernel.to(image.dtype)[None, None].expand(channels, 1, -1, -1)
    return F.conv2d(image, weight, stride=2, padding=1, groups=channels)


def phase_table(kernel: Tensor) -> Tensor:
    """The linear map ``[9, 36]`` from a 3x3 kernel to the four 3x3 kernels of its phases.

    Output pixel ``2a + p`` of a stride-2 transposed convolution followed by the four-tap filter
    ``f`` is a sum over the inputs ``a - 1, a, a + 1``; input ``a + d`` meets the tap
    ``K[p + 2 - 2d]`` of the filtered kernel ``K[q] = sum_t w[q + t - 3] f[t]``.
    """
    filtered = torch.zeros(6, 6, 3, 3)
    taps = 4 * kernel
    for i, j in itertools.product(range(3), range(3)):
        filtered[i : i + 4, j : j + 4, i, j] = taps.flip(0, 1)
    order = [[p + 2 - 2 * d for d in (-1, 0, 1)] for p in (0, 1)]
    phases = [filtered[order[p]][:, order[q]] for p in (0, 1) for q in (0, 1)]
    return torch.stack(phases).reshape(36, 9).T.contiguous()


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
        """Weight ``[out, in]`` and bias ``[out]`` as they act on the input."""
        return self.weight * self.weight_gain, self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.effective()
        y = F.linear(x, weight, bias)
        return F.leaky_relu(y, SLOPE) * ROOT2 if self.activate else y


class MappingNetwork(nn.Module):
    """z ``[N, z_dim]`` (and a label ``[N, c_dim]``) to w ``[N, w_dim]``."""

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        *,
        c_dim: int = 0,
        num_layers: int = 8,
        width: int | None = None,
    ) -> None:
        super().__init__()
        width = w_dim if width is None else width
        inputs = z_dim + (w_dim if c_dim else 0)
        sizes = [inputs, *[width] * (num_layers - 1), w_dim]
        self.num_layers, self.c_dim = num_layers, c_dim
        if c_dim:
            self.embed = Dense(c_dim, w_dim)
        for i in range(num_layers):
            layer = Dense(sizes[i], sizes[i + 1], activate=True, lr_multiplier=0.01)
            setattr(self, f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = normalise(z)
        if self.c_dim:
            x = torch.cat([x, normalise(self.embed(label))], dim=1)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x


def normalise(x: Tensor) -> Tensor:
    """Scale each row of ``[N, D]`` to a root mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class SynthesisLayer(nn.Module):
    """A 3x3 convolution modulated by a style, with noise, bias and leaky rectifier."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, w_dim: int, resolution: int, up: bool = False
    ) -> None:
        super().__init__()
        self.up, self.resolution = up, resolution
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", resampling_filter())
        self._kept: dict[torch.dtype, tuple[int, Tensor, Tensor]] = {}

    def noise(self, mode: str, like: Tensor) -> Tensor | None:
        """The noise added to the activations: ``[H, W]`` or ``[N, 1, H, W]``, or none."""
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const * self.noise_strength
        shape = (like.shape[0], 1, self.resolution, self.resolution)
        return torch.randn(shape, device=like.device) * self.noise_strength

    def forward(self, x: Tensor, style: Tensor, noise: str = "const") -> Tensor:
        """x ``[N, in, h, w]`` and style ``[N, in]`` to ``[N, out, H, W]``."""
        kernel, energy = self.kernel(x.dtype)
        demodulation = (style.square() @ energy.T + 1e-8).rsqrt()
        x = F.conv2d(x * style[:, :, None, None].to(x.dtype), kernel, padding=1)
        if self.up:
            x = F.pixel_shuffle(x, 2)
        # The gain of the rectifier moves inside it: it is homogeneous, and a pass is saved.
        gain = (ROOT2 * demodulation)[:, :, None, None]
        x = torch.addcmul((ROOT2 * self.bias)[:, None, None].to(x.dtype), x, gain.to(x.dtype))
        added = self.noise(noise, x)
        if added is not None:
            # Bias and noise joined first would be of another memory format than x: far slower.
            x = x + (ROOT2 * added).to(x.dtype)
        return F.leaky_relu(x, SLOPE)

    def kernel(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The convolution's kernel, and the energy ``[out, in]`` of its taps; kept once frozen."""
        if self.weight.requires_grad:
            return self._make_kernel(dtype)
        version = self.weight._version
        kept = self._kept.get(dtype)
        if kept is None or kept[0] != version or kept[1].device != self.weight.device:
            kept = (version, *self._make_kernel(dtype))
            self._kept[dtype] = kept
        return kept[1], kept[2]

    def _make_kernel(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weight = self.weight.to(dtype)
        kernel = self.phases(weight) if self.up else weight
        return kernel, self.weight.square().sum(dim=(2, 3))

    def phases(self, weight: Tensor) -> Tensor:
        """The transposed convolution and its low-pass filter as one kernel a pixel phase.

        Stride 2 sees an input only at every second output, so the filtered 6x6 kernel falls
        apart into four 3x3 kernels: weight ``[out, in, 3, 3]`` to ``[4 out, in, 3, 3]``.
        """
        outputs, inputs = weight.shape[:2]
        table = phase_table(self.resample_filter).to(weight.dtype)
        kernels = (weight.reshape(-1, 9) @ table).reshape(outputs, inputs, 4, 9)
        kernels = kernels.permute(0, 2, 1, 3).reshape(4 * outputs, inputs, 3, 3)
        return kernels.contiguous(memory_format=torch.channels_last)


class ToRGB(nn.Module):
    """A 1x1 convolution modulated by a style: activations to picture channels."""

    def __init__(self, inputs: int, channels: int, *, w_dim: int) -> None:
        super().__init__()
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = x * (style * self.weight_gain)[:, :, None, None].to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype)).float() + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    """All layers of one resolution."""

    def __init__(
        self, inputs: int, outputs: int, *, w_dim: int, resolution: int, channels: int
    ) -> None:
        super().__init__()
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(
                inputs, outputs, w_dim=w_dim, resolution=resolution, up=True
            )
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim=w_dim, resolution=resolution)
        self.torgb = ToRGB(outputs, channels, w_dim=w_dim)


@dataclass(frozen=True)
class Site:
    """One layer in the walk: its name, its module, and the row of w+ that it reads."""

    name: str
    module: SynthesisLayer | ToRGB
    row: int
    resolution: int


class SynthesisNetwork(nn.Module):
    """Styles to a picture, one layer after the other."""

    resample_filter: Tensor

    def __init__(self, *, w_dim: int, widths: Mapping[int, int], channels: int = 3) -> None:
        super().__init__()
        self.widths = {int(r): int(width) for r, width in sorted(widths.items())}
        previous = 0
        for resolution, width in self.widths.items():
            block = SynthesisBlock(
                previous, width, w_dim=w_dim, resolution=resolution, channels=channels
            )
            setattr(self, f"b{resolution}", block)
            previous = width
        self.num_ws = 2 * len(self.widths)
        self.register_buffer("resample_filter", resampling_filter(), persistent=False)

    def sites(self) -> Iterator[Site]:
        """The layers in the order in which they run."""
        row = 0
        for resolution in self.widths:
            block = getattr(self, f"b{resolution}")
            for name in ("conv0", "conv1", "torgb"):
                if not hasattr(block, name):
                    continue
                yield Site(f"b{resolution}.{name}", getattr(block, name), row, resolution)
                # A ToRGB shares its row with the first convolution of the next block.
                row += name != "torgb"

    def start(self, n: int) -> Tensor:
        """The learned constant, repeated: ``[n, C, 4, 4]``."""
        const = self.get_parameter("b4.const")
        return const[None].expand(n, -1, -1, -1)

    def step(
        self, site: Site, x: Tensor, image: Tensor | None, style: Tensor, noise: str
    ) -> tuple[Tensor, Tensor | None]:
        """Run one layer: the activations and the picture after it."""
        if isinstance(site.module, SynthesisLayer):
            return site.module(x, style, noise), image
        rgb = site.module(x, style)
        return x, self.add(image, rgb)

    def add(self, image: Tensor | None, rgb: Tensor) -> Tensor:
        """Add a ToRGB's output to the upsampled sum of the earlier ones."""
        if image is None:
            return rgb
        return upsample(image, self.resample_filter) + rgb

    def forward(
        self, ws: Tensor, noise: str = "random", dtype: torch.dtype | None = None
    ) -> Tensor:
        """ws ``[N, num_ws, w_dim]`` to a picture ``[N, C, H, W]``, nominally in [-1, 1]."""
        x = self.start(ws.shape[0])
        if dtype is not None:
            x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        for site in self.sites():
            x, image = self.step(site, x, image, site.module.affine(ws[:, site.row]), noise)
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
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.c_dim = z_dim, w_dim, c_dim
        self.mapping = MappingNetwork(z_dim, w_dim, c_dim=c_dim, num_layers=mapping_layers)
        self.synthesis = SynthesisNetwork(w_dim=w_dim, widths=widths, channels=channels)

    def forward(self, z: Tensor, label: Tensor | None = None, noise: str = "random") -> Tensor:
        w = self.mapping(z, label)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.num_ws, -1), noise)


class Conv(nn.Module):
    """A convolution with equalised learning rate, optionally blurred and halved first."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, *, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = 1 / math.sqrt(inputs * size**2)
        self.down, self.activate, self.size = down, activate, size
        self.register_buffer("resample_filter", resampling_filter())

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gain * (ROOT2 if self.activate else 1.0)
        weight = (self.weight * gain).to(x.dtype)
        bias = (self.bias * (ROOT2 if self.activate else 1.0)).to(x.dtype)
        if self.down:
            x = blur_before_halving(x, self.resample_filter, self.size)
            x = F.conv2d(x, weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=self.size // 2)
        return F.leaky_relu(x, SLOPE) if self.activate else x


def blur_before_halving(x: Tensor, kernel: Tensor, size: int) -> Tensor:
    """Low-pass filter ``x`` so that an unpadded convolution of ``size``, stride 2, halves it."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype)[None, None].expand(channels, 1, -1, -1)
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

    def features(self, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures ``[N, C, H, W]`` to the features ``[N, width]`` before the logit."""
        image = images if dtype is None else images.to(dtype)
        image = image.contiguous(memory_format=torch.channels_last)
        x: Tensor | None = None
        for resolution in list(self.widths)[:-1]:
            x = getattr(self, f"b{resolution}")(x, image)
            image = downsample(image, self.resample_filter)
        y = self.fromrgb(image)
        x = y if x is None else x + y
        x = self.conv(torch.cat([x, self.deviation(x)], dim=1))
        return self.fc(x.flatten(1).float())

    def deviation(self, x: Tensor) -> Tensor:
        """Standard deviation within groups of the batch, as one more channel ``[N, 1, H, W]``."""
        n, c, h, w = x.shape
        group = math.gcd(n, self.group)
        y = x.float().reshape(group, n // group, c, h, w)
        spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        return spread.to(x.dtype).repeat(group)[:, None, None, None].expand(n, 1, h, w)

    def forward(self, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures ``[N, C, H, W]`` to logits ``[N]``; large means real."""
        logits: Tensor = self.out(self.features(images, dtype))[:, 0]
        return logits
