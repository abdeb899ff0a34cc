"""StyleGAN of huangzh13/StyleGAN.pytorch: one state dict, ``g_mapping.map.dense0.weight``, ...

Gains and fused layers are the ones of the original, but the variance is met with an epsilon of
1e-5, and a file stores no noise: noise of every kind was drawn anew for each picture, so that
``noise="const"`` here draws one for each layer from the layer's number. Truncation happens in
training mode only there; the mean code is in the file, so that here it is at hand as always.
Classes have an embedded code each, which is joined to z before both are normalised.

Reference: https://github.com/huangzh13/StyleGAN.pytorch
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from steerbench.generators.checkpoints.common.layers import draw_noise, equalised_gain, odd_blur
from steerbench.generators.checkpoints.common.stylegan1 import dense, embedding
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.stylegan1 import StyleGAN1


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    config, state = _mapping(weights, settings)
    numbers = weights.numbers(r"g_synthesis\.to_rgb\.(\d+)\.weight")
    blocks = check_doubling([4 * 2**i for i in numbers])
    widths: dict[str, int] = {}
    for place, resolution in enumerate(blocks):
        block = f"g_synthesis.blocks.{place - 1}" if place else "g_synthesis.init_block"
        parts = ("conv0", "conv1") if place else ("const", "conv")
        for number, part in enumerate(parts):
            target = f"b{resolution}.{part}"
            state |= _epilogue(weights, f"{block}.epi{number + 1}", target, settings)
            state[f"{target}.noise_const"] = draw_noise(2 * place + number, resolution)
            state |= _convolution(weights, block, part, resolution, settings)
        picture = weights.take(f"g_synthesis.to_rgb.{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, 1.0, settings)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"g_synthesis.to_rgb.{place}.bias", 1)
        widths[str(resolution)] = picture.shape[1]
    config |= {
        "widths": widths,
        "channels": state["b4.torgb.weight"].shape[0],
        "taps": state["b8.conv0.blur"].shape[-1] if len(blocks) > 1 else 3,
        "eps": 1e-5,
    }
    return config, state


def _gain(weight: Tensor, gain: float, settings: Settings) -> float:
    return equalised_gain(weight, gain) if settings["use_wscale"] else 1.0


def _mapping(weights: Weights, settings: Settings) -> tuple[dict[str, Any], dict[str, Tensor]]:
    numbers = weights.numbers(r"g_mapping\.map\.dense(\d+)\.weight")
    rate = float(settings["mapping_lrmul"])
    state: dict[str, Tensor] = {}
    for number in numbers:
        weight = weights.take(f"g_mapping.map.dense{number}.weight", 2)
        bias = weights.take(f"g_mapping.map.dense{number}.bias", 1)
        gain = _gain(weight, math.sqrt(2.0), settings)
        state |= dense(f"mapping.fc{number}", weight * gain * rate, bias * rate)
    first = weights.take("g_mapping.map.dense0.weight", 2)
    config: dict[str, Any] = {
        "z_dim": first.shape[1],
        "w_dim": state[f"mapping.fc{max(numbers)}.bias"].shape[0],
        "mapping_layers": len(numbers),
        "mapping_width": first.shape[0],
    }
    if "class_embedding.weight" in weights:
        label = weights.take("class_embedding.weight", 2)
        config |= {"c_dim": label.shape[0], "embed_dim": label.shape[1]}
        config["z_dim"] -= label.shape[1]
        state |= embedding(label)
    if "truncation.avg_latent" in weights:
        state["mapping.w_avg"] = weights.take("truncation.avg_latent").reshape(-1)
    return config, state


def _epilogue(weights: Weights, source: str, target: str, settings: Settings) -> dict[str, Tensor]:
    style = weights.take(f"{source}.style_mod.lin.weight", 2)
    strength = f"{source}.top_epi.noise.weight"
    none = style.new_zeros(style.shape[0] // 2)
    return {
        f"{target}.noise_strength": weights.take(strength, 1) if strength in weights else none,
        f"{target}.affine.weight": style * _gain(style, 1.0, settings),
        f"{target}.affine.bias": weights.take(f"{source}.style_mod.lin.bias", 1),
    }


def _convolution(
    weights: Weights, block: str, part: str, resolution: int, settings: Settings
) -> dict[str, Tensor]:
    target = f"b{resolution}.{part}"
    if part == "const":
        return {
            f"{target}.const": weights.take(f"{block}.const", 4)[0],
            f"{target}.bias": weights.take(f"{block}.bias", 1),
        }
    source = f"{block}.conv0_up" if part == "conv0" else f"{block}.{part}"
    weight = weights.take(f"{source}.weight", 4)
    weight = weight * _gain(weight, math.sqrt(2.0), settings)
    state = {f"{target}.bias": weights.take(f"{source}.bias", 1)}
    if part != "conv0":
        return state | {f"{target}.weight": weight}
    # Layers are fused from 128 pixels on; scattering, as these do, turns what it scatters.
    state[f"{target}.weight"] = weight.flip(2, 3) if resolution >= 128 else weight
    blur = f"{source}.intermediate.kernel"
    state[f"{target}.blur"] = odd_blur(weights.take(blur) if blur in weights else torch.ones(1, 1))
    return state


FORMAT = Format(
    name="huangzh13-stylegan1",
    title="StyleGAN of huangzh13/StyleGAN.pytorch",
    architecture=StyleGAN1,
    required=(
        "g_mapping.map.dense0.weight",
        "g_synthesis.init_block.const",
        "g_synthesis.init_block.conv.weight",
        "g_synthesis.init_block.epi1.style_mod.lin.weight",
        "g_synthesis.to_rgb.0.weight",
    ),
    convert=convert,
    options={"mapping_lrmul": 0.01, "use_wscale": True},
)
