"""The networks of StyleGAN3: Fourier features, filtered layers, mapping and synthesis.

The constant of StyleGAN2 becomes a set of waves, which a style turns and shifts as a whole; there
is no noise; and every rectifier works on a finer grid, between two low-pass filters
(`resampling`). A layer's convolution is that of StyleGAN2, with normalised weights and with
the input divided by its running root mean square ``m``:

    y = d * conv(s' * x / m, W') + b    s' = s / rms(s)    W' = W / rms(W)    d_o = 1 / ||W'_o s'||

The authors normalise the style over the whole batch; demodulation undoes the difference, and here
no picture depends on the others. Parameter names are the ones of published files.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.fast.convolution import Convolution
from steerbench.generators.fast.resampling import LANES, Resampling
from steerbench.generators.fast.weight_cache import WeightCache
from steerbench.generators.stylegan2.layers import ROOT2, SLOPE, Dense
from steerbench.generators.stylegan2.network import MappingNetwork
from steerbench.generators.stylegan3.filters import InputPlan, LayerPlan


class FourierInput(nn.Module):
    """Waves of fixed random frequencies, turned and shifted by a style, then mixed.

    The style ``[N, 4]`` holds a rotation's cosine and sine, of any length, and a translation in
    units of it. ``transform`` is a person's own, applied to the picture after the style's: the
    inverse of its 3x3 matrix, as published files keep it.
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, plan: InputPlan) -> None:
        super().__init__()
        self.plan = plan
        # Uniform over a disc, softened at its rim.
        waves = torch.randn(plan.channels, 2)
        radii = waves.norm(dim=1, keepdim=True)
        waves = waves / (radii * radii.square().exp().pow(0.25)) * plan.bandwidth
        self.weight = nn.Parameter(torch.randn(plan.channels, plan.channels))
        self.affine = Dense(w_dim, 4)
        self.affine.weight.data.zero_()
        self.affine.bias.data[0] = 1
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", waves)
        self.register_buffer("phases", torch.rand(plan.channels) - 0.5)

    def forward(self, style: Tensor, transform: Tensor | None = None) -> Tensor:
        """Map styles ``[N, 4]`` to the features ``[N, C, size, size]``."""
        plan = self.plan
        place = self.style_transform(style) @ (self.transform if transform is None else transform)
        phases = self.phases + (self.freqs @ place[:, :, 2:]).squeeze(2)
        freqs = self.freqs @ place[:, :, :2]
        # A transform that shrinks the picture makes frequencies that the canvas cannot hold.
        beyond = (freqs.norm(dim=2) - plan.bandwidth) / (plan.rate / 2 - plan.bandwidth)
        amplitudes = (1 - beyond).clamp(0, 1)
        line = (torch.arange(plan.size, device=style.device) + 0.5 - plan.size / 2) / plan.rate
        across, along = (line.to(style)[:, None] * freqs[:, None, :, i] for i in (0, 1))
        turns = across[:, None] + along[:, :, None] + phases[:, None, None]
        waves = torch.sin(2 * math.pi * turns) * amplitudes[:, None, None]
        mixed = F.linear(waves, self.weight / math.sqrt(plan.channels))
        return mixed.permute(0, 3, 1, 2)

    def style_transform(self, style: Tensor) -> Tensor:
        """Return the style's own transform ``[N, 2, 3]``: first a rotation, then a translation."""
        c, s, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        rows = [c, -s, s * y - c * x, s, c, -s * x - c * y]
        return torch.stack(rows, dim=1).reshape(-1, 2, 3)


class SynthesisLayer(nn.Module):
    """A convolution modulated by a style, and a rectifier between two low-pass filters.

    The layer that paints the picture has neither demodulation nor rectifier.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, w_dim: int, plan: LayerPlan) -> None:
        super().__init__()
        self.plan = plan
        self.affine = Dense(w_dim, plan.inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(plan.outputs, plan.inputs, plan.kernel, plan.kernel))
        self.bias = nn.Parameter(torch.zeros(plan.outputs))
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.register_buffer("up_filter", plan.up_filter())
        self.register_buffer("down_filter", plan.down_filter())
        self.resampling = Resampling(
            plan.up,
            plan.down,
            plan.first,
            plan.out_size,
            slope=1.0 if plan.paints else SLOPE,
            clamp=plan.clamp,
        )
        self.cache = WeightCache()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map x ``[N, in, h, w]`` and style ``[N, in]`` to ``[N, out, H, W]``."""
        plan = self.plan
        convolution, energy = self.cache(self.weight, x.dtype, lambda: self.kernel(x.dtype))
        if plan.paints:
            gain, style = 1.0, style / math.sqrt(plan.inputs)
            scale = style.new_ones(len(style), len(energy))
        else:
            # The gain of the rectifier moves before it: it is homogeneous, and a pass is saved.
            gain, style = ROOT2, style * (style.square().mean(dim=1, keepdim=True) + 1e-20).rsqrt()
            scale = gain * (style.square() @ energy.T + 1e-8).rsqrt()
        y = convolution(x, style * self.magnitude_ema.rsqrt())
        bias = F.pad(gain * self.bias, (0, len(energy) - plan.outputs))
        filters = self.up_filter, self.down_filter
        y = self.resampling(y, *filters, scale=scale, bias=bias, dtype=x.dtype)
        return y[:, : plan.outputs]

    def kernel(self, dtype: torch.dtype) -> tuple[Convolution, Tensor]:
        """Return the convolution, and the energy ``[out, in]`` of its taps.

        Outputs are filled up with zeros to whole blocks of channels.
        """
        weight: Tensor = self.weight
        if not self.plan.paints:
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        weight = F.pad(weight, (0, 0) * 3 + (0, -len(weight) % LANES))
        quick = False if weight.requires_grad else None
        return Convolution(weight, dtype, quick), weight.square().sum(dim=(2, 3))


class SynthesisNetwork(nn.Module):
    """Styles to a picture, one layer after the other.

    Args:
        w_dim: Of the style codes.
        first: The plan of the Fourier features.
        layers: The plans of the layers.
        output_scale: What the last layer's output is multiplied by.
    """

    def __init__(
        self,
        *,
        w_dim: int,
        first: InputPlan,
        layers: Sequence[LayerPlan],
        output_scale: float = 0.25,
    ) -> None:
        super().__init__()
        self.first, self.plans, self.output_scale = first, tuple(layers), output_scale
        self.num_ws = len(layers) + 1
        self.input = FourierInput(w_dim, first)
        for plan in layers:
            setattr(self, plan.name, SynthesisLayer(w_dim, plan))

    def parts(self) -> dict[str, FourierInput | SynthesisLayer]:
        """Return the layers by name, in the order in which they run and read the rows of w+."""
        return {"input": self.input, **{plan.name: getattr(self, plan.name) for plan in self.plans}}

    def forward(self, ws: Tensor) -> Tensor:
        """Map ws ``[N, num_ws, w_dim]`` to a picture ``[N, C, H, W]``, nominally in [-1, 1]."""
        first, *layers = self.parts().values()
        x = first(first.affine(ws[:, 0]))
        for row, layer in enumerate(layers, start=1):
            x = layer(x, layer.affine(ws[:, row]))
        return x * self.output_scale


class StyleGAN3Network(nn.Module):
    """The trainable pair: mapping and synthesis."""

    def __init__(
        self,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        first: InputPlan,
        layers: Sequence[LayerPlan],
        output_scale: float = 0.25,
        mapping_layers: int = 2,
        mapping_width: int | None = None,
        embed_dim: int | None = None,
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
        )
        self.synthesis = SynthesisNetwork(
            w_dim=w_dim, first=first, layers=layers, output_scale=output_scale
        )

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        w = self.mapping(z, label)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.num_ws, -1))


__all__ = ["FourierInput", "StyleGAN3Network", "SynthesisLayer", "SynthesisNetwork"]
