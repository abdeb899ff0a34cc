"""StyleGAN2 in genforce's ``.pth``, as SeFa uses it: state dicts of numbered layers.

The file holds ``generator`` and ``generator_smooth`` (the average, the one to use), is a training
snapshot with both under ``models``, or is a state dict alone. Against NVIDIA's files: kernels of
up-sampling layers are turned by 180 degrees, the style's bias lacks its 1, convolutions multiply
by their gain before they demodulate, and a label is joined to z before both are normalised. In
StyleGAN2-ADA, which differs by that alone, z and the label are normalised each by itself.

Reference: Shen, Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (2021, arXiv
2007.06600); https://github.com/genforce/sefa
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.common.layers import equalised_gain, four_taps
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.stylegan2 import StyleGAN2
from steerbench.generators.stylegan2.layers import resampling_filter


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    config, state = _mapping(weights)
    state["synthesis.b4.const"] = weights.take("synthesis.early_layer.const", 4)[0]
    numbers = weights.numbers(r"synthesis\.layer(\d+)\.weight")
    widths: dict[str, int] = {}
    for index in numbers:
        resolution = 4 * 2 ** ((index + 1) // 2)
        target = f"synthesis.b{resolution}.conv{0 if index % 2 else 1}"
        state |= _layer(weights, f"synthesis.layer{index}", target)
        widths[str(resolution)] = state[f"{target}.weight"].shape[0]
        if f"synthesis.output{index // 2}.weight" in weights and index % 2 == 0:
            paints = f"synthesis.b{resolution}.torgb"
            state |= _to_rgb(weights, f"synthesis.output{index // 2}", paints)
    skip = "synthesis.output0.weight" in weights or len(numbers) == 1
    config |= {
        "widths": widths,
        "channels": weights.take(f"synthesis.output{max(numbers) // 2}.weight", 4).shape[0],
        "architecture": "skip" if skip else "orig",
    }
    return config, state


def _mapping(weights: Weights) -> tuple[dict[str, Any], dict[str, Tensor]]:
    numbers = weights.numbers(r"mapping\.dense(\d+)\.weight")
    state = {
        f"mapping.fc{index}.{kind}": weights.take(f"mapping.dense{index}.{kind}")
        for index in numbers
        for kind in ("weight", "bias")
    }
    first = weights.take("mapping.dense0.weight", 2)
    config: dict[str, Any] = {
        "z_dim": first.shape[1],
        "w_dim": weights.take(f"mapping.dense{max(numbers)}.weight", 2).shape[0],
        "c_dim": 0,
        "mapping_layers": len(numbers),
        "mapping_width": first.shape[0],
    }
    if "mapping.label_weight" in weights:
        label = weights.take("mapping.label_weight", 2)
        config |= {"c_dim": label.shape[0], "embed_dim": label.shape[1], "joint": True}
        config["z_dim"] -= label.shape[1]
        state["mapping.embed.weight"] = label.T * math.sqrt(label.shape[0])
        state["mapping.embed.bias"] = label.new_zeros(label.shape[1])
    if "mapping.LabelEmbed.weight" in weights:
        label = weights.take("mapping.LabelEmbed.weight", 2)
        config |= {"c_dim": label.shape[1], "embed_dim": label.shape[0]}
        config["z_dim"] -= label.shape[0]
        state["mapping.embed.weight"] = label
        state["mapping.embed.bias"] = weights.take("mapping.LabelEmbed.bias", 1)
    if "truncation.w_avg" in weights:
        state["mapping.w_avg"] = weights.take("truncation.w_avg").reshape(-1)
    return config, state


def _layer(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    weight = weights.take(f"{source}.weight", 4)
    kernel = resampling_filter()
    if target.endswith("conv0"):
        weight = weight.flip(2, 3)
        if f"{source}.filter.kernel" in weights:
            kernel = four_taps(weights.take(f"{source}.filter.kernel"))
    return {
        f"{target}.weight": weight * equalised_gain(weight),
        f"{target}.bias": weights.take(f"{source}.bias", 1),
        f"{target}.noise_strength": weights.scalar(f"{source}.noise_strength"),
        f"{target}.noise_const": weights.take(f"{source}.noise", 4)[0, 0],
        f"{target}.affine.weight": weights.take(f"{source}.style.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.style.bias", 1) + 1,
        f"{target}.resample_filter": kernel,
    }


def _to_rgb(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    return {
        f"{target}.weight": weights.take(f"{source}.weight", 4),
        f"{target}.bias": weights.take(f"{source}.bias", 1),
        f"{target}.affine.weight": weights.take(f"{source}.style.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.style.bias", 1) + 1,
    }


FORMAT = Format(
    name="genforce-stylegan2",
    title="StyleGAN2 of genforce",
    architecture=StyleGAN2,
    required=(
        "mapping.dense0.weight",
        "synthesis.early_layer.const",
        "synthesis.layer0.weight",
        "synthesis.layer0.noise_strength",
        "synthesis.layer0.style.weight",
    ),
    convert=convert,
    harmless=(r"synthesis\.upsample\.kernel", r"synthesis\.lod"),
)
