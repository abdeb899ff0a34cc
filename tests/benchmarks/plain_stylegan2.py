"""StyleGAN2's synthesis as its paper writes it: what our own is measured against, and held to.

Every picture's style scales the weights of every convolution (modulation), each filter is scaled to
unit length (demodulation), and the batch is one convolution of as many groups as there are
pictures. On the way up the convolution is transposed, with stride 2, and followed by the 4x4
low-pass filter:

    w'_oik = s_i w_oik        w''_oik = w'_oik / sqrt(sum_ik w'_oik^2 + 1e-8)
    y = sqrt(2) lrelu(w'' * x + strength noise + bias)

It shares the weights of a `StyleGAN2Network` and not a line of its code.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958), section 2.2 and figure 7b (input/output skips).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.stylegan2.network import (
    StyleGAN2Network,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGB,
)


def modulated(weight: Tensor, style: Tensor) -> Tensor:
    """The weights ``[N, out, in, k, k]`` for the styles ``[N, in]``."""
    return weight[None] * style[:, None, :, None, None]


def convolution(layer: SynthesisLayer, x: Tensor, style: Tensor) -> Tensor:
    """x ``[N, in, H, W]`` to ``[N, out, H, W]``, or twice the size on the way up."""
    weights = modulated(layer.weight, style)
    weights = weights * (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    n, outputs, inputs = weights.shape[:3]
    height, width = x.shape[2:]
    x = x.reshape(1, n * inputs, height, width)
    if not layer.up:
        y = F.conv2d(x, weights.flatten(0, 1), padding=1, groups=n)
        return y.reshape(n, outputs, height, width)
    y = F.conv_transpose2d(x, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    y = y.reshape(n, outputs, 2 * height + 1, 2 * width + 1)
    blur = (4 * layer.resample_filter).flip(0, 1).expand(outputs, 1, 4, 4)
    return F.conv2d(y, blur, padding=1, groups=outputs)


def synthesis_layer(layer: SynthesisLayer, x: Tensor, style: Tensor) -> Tensor:
    """A whole layer, with the gain and the bound that a residual or a clamped network gives it."""
    y = convolution(layer, x, style)
    y = y + layer.noise_const * layer.noise_strength
    y = y + layer.bias[None, :, None, None]
    y = F.leaky_relu(y, 0.2) * (math.sqrt(2) * layer.gain)
    if layer.clamp is not None:
        y = y.clamp(-layer.clamp * layer.gain, layer.clamp * layer.gain)
    return y


def to_rgb(layer: ToRGB, x: Tensor, style: Tensor) -> Tensor:
    """The picture ``[N, channels, H, W]`` that one resolution adds."""
    n, inputs, height, width = x.shape
    weights = modulated(layer.weight, style / math.sqrt(inputs))
    x = x.reshape(1, n * inputs, height, width)
    rgb = F.conv2d(x, weights.flatten(0, 1), groups=n).reshape(n, -1, height, width)
    return rgb + layer.bias[None, :, None, None]


def doubled(image: Tensor, blur: Tensor) -> Tensor:
    """The picture at twice the size."""
    weight = (4 * blur).expand(image.shape[1], 1, 4, 4)
    return F.conv_transpose2d(image, weight, stride=2, padding=1, groups=image.shape[1])


def synthesis(network: SynthesisNetwork, ws: Tensor) -> Tensor:
    """Codes ``[N, num_ws, w_dim]`` to pictures, with the constant noise; skip architecture."""
    x = network.get_parameter("b4.const").expand(len(ws), -1, -1, -1)
    image: Tensor | None = None
    row = 0
    for resolution in network.widths:
        block = network.get_submodule(f"b{resolution}")
        if resolution > 4:
            x = synthesis_layer(block.conv0, x, block.conv0.affine(ws[:, row]))
            row += 1
        x = synthesis_layer(block.conv1, x, block.conv1.affine(ws[:, row]))
        row += 1
        rgb = to_rgb(block.torgb, x, block.torgb.affine(ws[:, row]))
        image = rgb if image is None else doubled(image, network.resample_filter) + rgb
    if image is None:
        raise ValueError("The network has no resolutions.")
    return image


def random_network(channel_base: int, resolution: int = 256, most: int = 512) -> StyleGAN2Network:
    """A frozen StyleGAN2 of published widths, with random weights, biases and noise strengths."""
    sizes = [2**k for k in range(2, resolution.bit_length())]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2Network(widths={size: min(channel_base // size, most) for size in sizes})
        for name, parameter in network.synthesis.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)
