"""rosinality/stylegan2-pytorch's ``.pt``: a state dict under ``g_ema``, and perhaps the mean code.

Training files hold ``g``, ``d``, ``g_ema``, optimisers and an argparse Namespace; converted ones
hold ``g_ema`` and ``latent_avg``; some people keep the state dict alone. Weights lie as NVIDIA's
do. Convolutions multiply by their gain before they demodulate, which shifts the epsilon; blur
kernels are stored four times as strong. The row of a ToRGB is the one of the next convolution, as
everywhere. Where there is no mean code it is measured.

Reference: https://github.com/rosinality/stylegan2-pytorch
"""

from __future__ import annotations

from torch import Tensor

from steerbench.generators.checkpoints.formats.stylegan2_ada import build, scale
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import (
    Weights,
    doubling,
    four_taps,
    lacking,
    noise_of,
)
from steerbench.generators.stylegan2 import StyleGAN2
from steerbench.generators.stylegan2.layers import resampling_filter

TITLE = "rosinality/stylegan2-pytorch"
REQUIRED = (
    "style.1.weight",
    "input.input",
    "conv1.conv.weight",
    "conv1.conv.modulation.weight",
    "to_rgb1.conv.weight",
)
ROOTS: tuple[tuple[str, ...], ...] = (("g_ema",), ("g",), ())


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(contents.tensors(*root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents) -> StyleGAN2:
    """The generator of a file."""
    root = next(path for path in ROOTS if not lacking(contents.tensors(*path), REQUIRED))
    weights = Weights(contents.tensors(*root), TITLE)
    state = _mapping(weights)
    first = weights.take("style.1.weight", 2)
    state["synthesis.b4.const"] = weights.take("input.input", 4)[0]
    blocks = doubling([4 * 2**i for i in (0, *weights.numbers(r"to_rgbs\.(\d+)\.bias", 1))])
    widths: dict[str, int] = {}
    for index, resolution in enumerate(blocks):
        block = f"synthesis.b{resolution}"
        if index:
            up = _layer(weights, f"convs.{2 * index - 2}", f"{block}.conv0", 2 * index - 1)
            blur = weights.take(f"convs.{2 * index - 2}.conv.blur.kernel", 2)
            state |= up | {f"{block}.conv0.resample_filter": four_taps(blur)}
        source = f"convs.{2 * index - 1}" if index else "conv1"
        state |= _layer(weights, source, f"{block}.conv1", 2 * index)
        state |= _to_rgb(weights, f"to_rgbs.{index - 1}" if index else "to_rgb1", f"{block}.torgb")
        widths[str(resolution)] = state[f"{block}.conv1.weight"].shape[0]
    mean = contents.get("latent_avg")
    if isinstance(mean, Tensor):
        state["mapping.w_avg"] = mean.float().reshape(-1)
    config = {
        "z_dim": first.shape[1],
        "w_dim": weights.take("conv1.conv.modulation.weight", 2).shape[1],
        "c_dim": 0,
        "mapping_layers": len(weights.numbers(r"style\.(\d+)\.weight")),
        "mapping_width": first.shape[0],
        "widths": widths,
        "channels": state["synthesis.b4.torgb.weight"].shape[0],
    }
    return build(config, state, contents.path.stem)


def _mapping(weights: Weights) -> dict[str, Tensor]:
    return {
        f"mapping.fc{index}.{kind}": weights.take(f"style.{number}.{kind}")
        for index, number in enumerate(weights.numbers(r"style\.(\d+)\.weight"))
        for kind in ("weight", "bias")
    }


def _layer(weights: Weights, source: str, target: str, index: int) -> dict[str, Tensor]:
    weight = weights.take(f"{source}.conv.weight", 5)[0]
    return {
        f"{target}.weight": weight * scale(weight),
        f"{target}.bias": weights.take(f"{source}.activate.bias").reshape(-1),
        f"{target}.noise_strength": weights.scalar(f"{source}.noise.weight"),
        f"{target}.noise_const": _noise(weights, index),
        f"{target}.affine.weight": weights.take(f"{source}.conv.modulation.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.conv.modulation.bias", 1),
        f"{target}.resample_filter": resampling_filter(),
    }


def _noise(weights: Weights, index: int) -> Tensor:
    """The fixed noise of a layer; drawn from the layer's number where an old file has none."""
    if f"noises.noise_{index}" in weights:
        return weights.take(f"noises.noise_{index}", 4)[0, 0]
    return noise_of(index, 4 * 2 ** ((index + 1) // 2))


def _to_rgb(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    return {
        f"{target}.weight": weights.take(f"{source}.conv.weight", 5)[0],
        f"{target}.bias": weights.take(f"{source}.bias").reshape(-1),
        f"{target}.affine.weight": weights.take(f"{source}.conv.modulation.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.conv.modulation.bias", 1),
    }
