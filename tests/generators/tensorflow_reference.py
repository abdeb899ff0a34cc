"""StyleGAN2's formulas on TensorFlow's variables: slow, plain, in float64, and nobody's code.

Layers that change the resolution are written as what they are, one step after the other: zeros
between the pixels, the convolution, the low-pass filter. Nothing here is shared with
`steerbench.generators`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])).double() / 64


class Formulas:
    """The variables of a network, and what its layers do with them."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self.own = {k: torch.from_numpy(np.array(v)).double() for k, v in variables.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.own

    def dense(self, name: str, x: Tensor, rate: float = 1.0, weight: str = "weight") -> Tensor:
        """Scaled by the root of the inputs and the learning rate's multiplier."""
        matrix = self.own[f"{name}/{weight}"]
        bias = self.own.get(f"{name}/{weight.replace('weight', 'bias')}", torch.zeros(()))
        return x @ matrix * (rate / math.sqrt(len(matrix))) + rate * bias

    def convolution(self, name: str) -> Tensor:
        """The kernel as ``[out, in, k, k]``, scaled."""
        weight = self.own[f"{name}/weight"].permute(3, 2, 0, 1)
        return weight / math.sqrt(weight[0].numel())

    def bias(self, name: str) -> Tensor:
        return self.own[f"{name}/bias"][:, None, None]


def rectified(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def spread(x: Tensor) -> Tensor:
    """Zeros between the pixels."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide


def filtered(x: Tensor, gain: float, before: int, after: int) -> Tensor:
    """The low-pass filter, on a picture that is surrounded by zeros."""
    x = F.pad(x, (before, after, before, after))
    kernel = gain * FILTER.flip(0, 1).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
    return filtered(spread(x), 4, 2, 1)


def convolved_up(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """``doubled``, then the convolution, with all zeros added before."""
    wide = F.conv2d(F.pad(spread(x), (3, 2, 3, 2)), weight, groups=groups)
    return filtered(wide, 4, 0, 0)


def mapped(net: Formulas, z: Tensor, label: Tensor | None) -> Tensor:
    x = z.double()
    if "mapping/LabelConcat/weight" in net and label is not None:
        joined = label.double() @ net.own["mapping/LabelConcat/weight"]
        x = unit(torch.cat([x, joined], dim=1))
    elif label is not None:
        x = torch.cat([unit(x), unit(net.dense("mapping/LabelEmbed", label.double()))], dim=1)
    else:
        x = unit(x)
    for i in range(2):
        x = rectified(net.dense(f"mapping/Dense{i}", x, rate=0.01))
    return x


def modulated(net: Formulas, name: str, x: Tensor, w: Tensor, up: bool, demodulate: bool) -> Tensor:
    """A kernel for each picture of the batch, all of them side by side in groups."""
    n, inputs = x.shape[:2]
    style = net.dense(name, w, weight="mod_weight") + 1
    weight = net.convolution(name) * style[:, None, :, None, None]
    if demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    joined, weight = x.reshape(1, n * inputs, *x.shape[2:]), weight.flatten(0, 1)
    if up:
        y = convolved_up(joined, weight, n)
    else:
        y = F.conv2d(joined, weight, padding=weight.shape[-1] // 2, groups=n)
    return y.reshape(n, -1, *y.shape[2:])


def painted(net: Formulas, w: Tensor, architecture: str, blocks: int) -> Tensor:
    x = net.own["synthesis/4x4/Const/const"].repeat(len(w), 1, 1, 1)
    image: Tensor | None = None
    for place in range(blocks):
        size, shortcut = 4 * 2**place, x
        here = f"synthesis/{size}x{size}"
        for part in ("Conv0_up", "Conv1") if place else ("Conv",):
            up = part == "Conv0_up"
            x = modulated(net, f"{here}/{part}", x, w, up, True)
            noise = net.own[f"synthesis/noise{2 * place - up}"]
            x = x + net.own[f"{here}/{part}/noise_strength"] * noise
            x = rectified(x + net.bias(f"{here}/{part}"))
        if f"{here}/Skip/weight" in net:
            kernel = net.convolution(f"{here}/Skip")
            x = (x + doubled(F.conv2d(shortcut, kernel))) / math.sqrt(2)
        if architecture == "skip" or place == blocks - 1:
            paints = f"{here}/ToRGB"
            paints = paints if f"{paints}/weight" in net else "synthesis/ToRGB_lod0"
            rgb = modulated(net, paints, x, w, False, False) + net.bias(paints)
            image = rgb if image is None else doubled(image) + rgb
    assert image is not None
    return image


def judged(
    net: Formulas, image: Tensor, label: Tensor | None, architecture: str, blocks: int
) -> Tensor:
    image = image.double()
    x: Tensor | None = None
    for place in reversed(range(blocks)):
        here = f"{4 * 2**place}x{4 * 2**place}"
        paints = f"{here}/FromRGB" if f"{here}/FromRGB/weight" in net else "FromRGB_lod0"
        if architecture == "skip" or place == blocks - 1:
            seen = rectified(F.conv2d(image, net.convolution(paints)) + net.bias(paints))
            x = seen if x is None else x + seen
        assert x is not None
        if place == 0:
            break
        y = F.conv2d(x, net.convolution(f"{here}/Conv0"), padding=1)
        y = rectified(y + net.bias(f"{here}/Conv0"))
        y = F.conv2d(filtered(y, 1, 2, 2), net.convolution(f"{here}/Conv1_down"), stride=2)
        y = rectified(y + net.bias(f"{here}/Conv1_down"))
        if architecture == "resnet":
            path = F.conv2d(filtered(x, 1, 1, 1), net.convolution(f"{here}/Skip"), stride=2)
            y = (y + path) / math.sqrt(2)
        x, image = y, filtered(image, 1, 1, 1)[:, :, ::2, ::2]
    spread_over_batch = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = torch.cat([x, spread_over_batch.expand(len(x), 1, 4, 4)], dim=1)
    x = rectified(F.conv2d(x, net.convolution("4x4/Conv"), padding=1) + net.bias("4x4/Conv"))
    scores = net.dense("Output", rectified(net.dense("4x4/Dense0", x.flatten(1))))
    if label is None:
        return scores[:, 0]
    wanted = label.double()
    if "LabelEmbed/weight" in net:
        wanted = rectified(net.dense("Mapping0", unit(net.dense("LabelEmbed", wanted)), rate=0.1))
        wanted = wanted / math.sqrt(scores.shape[1])
    return (scores * wanted).sum(dim=1)
