"""StyleGAN2 and StyleGAN2-ADA of the TensorFlow years: ``stylegan2-ffhq-config-f.pkl``, ...

The file is described in `common.tensorflow`. Against the PyTorch files that came later: kernels of
up-sampling layers are turned by 180 degrees, the style's bias lacks its 1, and convolutions
multiply by their gain before they demodulate. StyleGAN2 joins an embedded label to z before both
are normalised, and its discriminator gives a score for each class; StyleGAN2-ADA normalises both
apart and compares picture and label in a space of their own. All architectures are read, those
without progressive growing (skip, resnet, orig) and those that grew (``ToRGB_lod0``) and are done.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958); https://github.com/NVlabs/stylegan2,
https://github.com/NVlabs/stylegan2-ada
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common import tensorflow
from steerbench.generators.checkpoints.common.layers import equalised_gain
from steerbench.generators.checkpoints.common.tensorflow import Network, kernel
from steerbench.generators.checkpoints.common.tensorflow_discriminator import add_discriminator
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.stylegan2 import StyleGAN2


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator, and of the discriminator beside it."""
    network = tensorflow.network(weights.state.module)
    network.expect(nonlinearity="lrelu", mapping_nonlinearity="lrelu", normalize_latents=True)
    config, state = _mapping(weights, network)
    more, synthesis = _synthesis(weights, network)
    return add_discriminator((config | more, state | synthesis), weights.state.beside)


def _mapping(weights: Weights, network: Network) -> tuple[dict[str, Any], dict[str, Tensor]]:
    numbers = weights.numbers(r"mapping/Dense(\d+)/weight")
    rate = network.number("mapping_lrmul", 0.01) / 0.01
    state: dict[str, Tensor] = {}
    for number in numbers:
        source, target = f"mapping/Dense{number}", f"mapping.fc{number}"
        state[f"{target}.weight"] = weights.take(f"{source}/weight", 2).T * rate
        state[f"{target}.bias"] = weights.take(f"{source}/bias", 1) * rate
    first = state["mapping.fc0.weight"]
    config: dict[str, Any] = {
        "z_dim": first.shape[1],
        "w_dim": state[f"mapping.fc{max(numbers)}.weight"].shape[0],
        "c_dim": 0,
        "mapping_layers": len(numbers),
        "mapping_width": first.shape[0],
    }
    joint = "mapping/LabelConcat/weight" in weights
    if joint or "mapping/LabelEmbed/weight" in weights:
        label = weights.take(f"mapping/Label{'Concat' if joint else 'Embed'}/weight", 2)
        classes, width = label.shape
        config |= {"c_dim": classes, "embed_dim": width, "joint": joint}
        config["z_dim"] -= width
        state["mapping.embed.weight"] = label.T * (math.sqrt(classes) if joint else 1)
        bias = label.new_zeros(width) if joint else weights.take("mapping/LabelEmbed/bias", 1)
        state["mapping.embed.bias"] = bias
    if "dlatent_avg" in weights:
        state["mapping.w_avg"] = weights.take("dlatent_avg", 1)
    return config, state


def _synthesis(weights: Weights, network: Network) -> tuple[dict[str, Any], dict[str, Tensor]]:
    blocks = check_doubling([4, *weights.numbers(r"synthesis/(\d+)x\1/Conv1/weight")])
    last = max(blocks)
    state = {"synthesis.b4.const": weights.take("synthesis/4x4/Const/const", 4)[0]}
    widths: dict[str, int] = {}
    for place, resolution in enumerate(blocks):
        here = f"{resolution}x{resolution}"
        parts = {"conv0": "Conv0_up", "conv1": "Conv1"} if place else {"conv1": "Conv"}
        for part, name in parts.items():
            number = 2 * place - (part == "conv0")
            target = f"synthesis.b{resolution}.{part}"
            state |= _layer(weights, f"synthesis/{here}/{name}", target, number, resolution)
        if f"synthesis/{here}/Skip/weight" in weights:
            skip = kernel(weights.take(f"synthesis/{here}/Skip/weight", 4))
            state[f"synthesis.b{resolution}.skip.weight"] = skip
        paints = f"synthesis/{here}/ToRGB"
        if resolution == last and "synthesis/ToRGB_lod0/weight" in weights:
            paints = "synthesis/ToRGB_lod0"
        if f"{paints}/weight" in weights:
            state |= _to_rgb(weights, paints, f"synthesis.b{resolution}.torgb")
        widths[str(resolution)] = state[f"synthesis.b{resolution}.conv1.bias"].shape[0]
    for name in [name for name in state if name.endswith((".noise_const", ".skip.weight"))]:
        state[f"{name.rpartition('.')[0]}.resample_filter"] = tensorflow.resample_filter(network)
    _check_grown(weights)
    architecture = "skip" if last == 4 or "synthesis.b4.torgb.weight" in state else "orig"
    config = {
        "widths": widths,
        "channels": weights.take(f"{paints}/weight", 4).shape[-1],
        "architecture": "resnet" if "synthesis.b8.skip.weight" in state else architecture,
        "clamp": tensorflow.bound(network),
    }
    return config, state


def _check_grown(weights: Weights) -> None:
    level = tensorflow.level_of_detail(weights)
    if level > 0:
        raise CheckpointError(
            f"The network has not grown up: its level of detail is {level}. "
            "Only finished networks of this kind are read."
        )


def _layer(
    weights: Weights, source: str, target: str, number: int, resolution: int
) -> dict[str, Tensor]:
    weight = kernel(weights.take(f"{source}/weight", 4))
    weight = weight.flip(2, 3) if source.endswith("_up") else weight
    noise, strength = f"synthesis/noise{number}", f"{source}/noise_strength"
    silent = noise not in weights or strength not in weights
    return {
        f"{target}.weight": weight * equalised_gain(weight),
        f"{target}.bias": weights.take(f"{source}/bias", 1),
        f"{target}.noise_strength": torch.zeros(()) if silent else weights.scalar(strength),
        f"{target}.noise_const": torch.zeros(resolution, resolution)
        if silent
        else weights.take(noise, 4)[0, 0],
        f"{target}.affine.weight": weights.take(f"{source}/mod_weight", 2).T,
        f"{target}.affine.bias": weights.take(f"{source}/mod_bias", 1) + 1,
    }


def _to_rgb(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    return {
        f"{target}.weight": kernel(weights.take(f"{source}/weight", 4)),
        f"{target}.bias": weights.take(f"{source}/bias", 1),
        f"{target}.affine.weight": weights.take(f"{source}/mod_weight", 2).T,
        f"{target}.affine.bias": weights.take(f"{source}/mod_bias", 1) + 1,
    }


FORMAT = Format(
    name="stylegan2-tensorflow",
    title="StyleGAN2 of TensorFlow",
    architecture=StyleGAN2,
    required=(
        "mapping/Dense0/weight",
        "synthesis/4x4/Const/const",
        "synthesis/4x4/Conv/weight",
        "synthesis/4x4/Conv/mod_weight",
    ),
    convert=convert,
    harmless=(r"synthesis/ToRGB_lod[1-9]\d*/\w+", r"synthesis/noise\d+"),
)
