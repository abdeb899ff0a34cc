"""StyleGAN3 as its equations say it: slow and plain.

Upsampling puts zeros between the samples and filters all of them, downsampling filters everything
and throws samples away, each sample of the batch has weights of its own, and the style is
normalised over the batch: what the published code does where it has no kernel of its own. It takes
weights and plans from a network and shares no code with it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.stylegan3.filters import LayerPlan
from steerbench.generators.stylegan3.network import (
    FourierInput,
    StyleGAN3Network,
    SynthesisLayer,
)


def picture(network: StyleGAN3Network, ws: Tensor, transform: Tensor | None = None) -> Tensor:
    """ws ``[N, rows, w_dim]`` to pictures."""
    first, *layers = network.synthesis.parts().values()
    assert isinstance(first, FourierInput)
    x = features(first, dense(first, ws[:, 0]), transform)
    for row, layer in enumerate(layers, start=1):
        assert isinstance(layer, SynthesisLayer)
        x = filtered(layer, x, dense(layer, ws[:, row]))
    return x * network.synthesis.output_scale


def dense(part: FourierInput | SynthesisLayer, w: Tensor) -> Tensor:
    affine = part.affine
    return w @ affine.weight.T / math.sqrt(w.shape[1]) + affine.bias


def features(first: FourierInput, style: Tensor, transform: Tensor | None = None) -> Tensor:
    """The waves, wave by wave as functions of a place on the canvas."""
    plan, own = first.plan, torch.eye(3) if transform is None else transform
    own = own.to(style)
    places = (torch.arange(plan.size, dtype=style.dtype) + 0.5 - plan.size / 2) / plan.rate
    y, x = torch.meshgrid(places, places, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1)
    pictures = []
    for c, s, dx, dy in (style / style[:, :2].norm(dim=1, keepdim=True)).tolist():
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]).to(style)
        move = torch.tensor([[1, 0, -dx], [0, 1, -dy], [0, 0, 1]]).to(style)
        whole = turn @ move @ own
        moved = (whole @ points)[:2]
        lengths = (first.freqs @ whole[:2, :2]).norm(dim=1)
        heights = 1 - (lengths - plan.bandwidth) / (plan.rate / 2 - plan.bandwidth)
        waves = torch.sin(2 * math.pi * (first.freqs @ moved + first.phases[:, None]))
        waves = waves * heights.clamp(0, 1)[:, None]
        pictures.append((first.weight / math.sqrt(plan.channels) @ waves).reshape(-1, *x.shape))
    return torch.stack(pictures)


def filtered(layer: SynthesisLayer, x: Tensor, style: Tensor) -> Tensor:
    """One layer."""
    plan = layer.plan
    weight = layer.weight
    if plan.paints:
        style = style / math.sqrt(plan.inputs * plan.kernel**2)
    else:
        weight = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        style = style / style.square().mean().sqrt()
    weights = weight[None] * style[:, None, :, None, None]
    if not plan.paints:
        power = weights.square().sum(dim=(2, 3, 4), keepdim=True)
        weights = weights * (power + 1e-8).rsqrt()
    weights = weights / layer.magnitude_ema.sqrt()
    n = len(x)
    y = F.conv2d(
        x.reshape(1, -1, *x.shape[2:]),
        weights.reshape(-1, *weights.shape[2:]),
        padding=plan.kernel - 1,
        groups=n,
    ).reshape(n, plan.outputs, *[size + plan.kernel - 1 for size in x.shape[2:]])
    y = y + layer.bias[:, None, None]
    y = convolved(spread(y, plan), layer.up_filter, plan.up**2)
    y = y if plan.paints else F.leaky_relu(y, 0.2) * math.sqrt(2)
    y = y if plan.clamp is None else y.clamp(-plan.clamp, plan.clamp)
    return convolved(y, layer.down_filter, 1)[:, :, :: plan.down, :: plan.down]


def spread(y: Tensor, plan: LayerPlan) -> Tensor:
    """Zeros between the samples and around them, for the filters that are to come."""
    n, c, h, w = y.shape
    y = F.pad(y[:, :, :, None, :, None], (0, plan.up - 1, 0, 0, 0, plan.up - 1))
    y = y.reshape(n, c, h * plan.up, w * plan.up)
    total = (plan.out_size - 1) * plan.down + 1 - h * plan.up + plan.up_taps + plan.down_taps - 2
    before = (total + plan.up) // 2
    return F.pad(y, (before, total - before, before, total - before))


def convolved(y: Tensor, kernel: Tensor | None, gain: float) -> Tensor:
    """The convolution of each channel with a filter, where it fits inside."""
    channels = y.shape[1]
    if kernel is None:
        return y * gain
    if kernel.ndim == 2:
        weight = gain * kernel.flip(0, 1).expand(channels, 1, -1, -1)
        return F.conv2d(y, weight, groups=channels)
    line = (math.sqrt(gain) * kernel.flip(0)).expand(channels, 1, -1)
    return F.conv2d(
        F.conv2d(y, line[:, :, None], groups=channels), line[..., None], groups=channels
    )


__all__ = ["picture"]
