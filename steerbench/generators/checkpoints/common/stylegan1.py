"""StyleGAN's weights under genforce's names, which two formats are brought into.

genforce made its files of the TensorFlow ones, variable by variable. Gains are applied at run time
there: sqrt(2) over the root of the inputs, 1 for styles and pictures, all of it times 0.01 in the
mapping, whose rectifiers have no gain of their own. A label is joined to z before both are
normalised. Where enlarging is fused into a transposed convolution the kernel acts turned by 180
degrees.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common.layers import equalised_gain, odd_blur
from steerbench.generators.checkpoints.format import Parts, Settings
from steerbench.generators.checkpoints.options import Options
from steerbench.generators.checkpoints.weights import Weights, check_doubling

OPTIONS: Options = {
    "fused_scale": "auto",
    "final_tanh": False,
    "mapping_lr_mul": 0.01,
    "use_wscale": True,
}
"""What the weights do not say, under genforce's names."""


def assemble(weights: Weights, settings: Settings, level: float) -> Parts:
    """Return settings and weights of the generator.

    Args:
        weights: Under genforce's names.
        settings: All of `OPTIONS`.
        level: Of detail; 0 is the whole network, 1 leaves out the last block.
    """
    config, state = _mapping(weights, settings)
    blocks = check_doubling([4 * 2**i for i in weights.numbers(r"synthesis\.output(\d+)\.weight")])
    widths: dict[str, int] = {}
    for place, resolution in enumerate(blocks):
        parts = ("conv0", "conv1") if place else ("const", "conv")
        for number, part in enumerate(parts, start=2 * place):
            state |= _layer(weights, number, f"b{resolution}.{part}", settings)
        picture = weights.take(f"synthesis.output{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, 1.0, settings)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"synthesis.output{place}.bias", 1)
        widths[str(resolution)] = picture.shape[1]
    config |= {
        "widths": widths,
        "channels": state["b4.torgb.weight"].shape[0],
        "level": min(max(level, 0.0), len(blocks) - 1.0),
        "taps": state["b8.conv0.blur"].shape[-1] if len(blocks) > 1 else 3,
        "tanh": bool(settings["final_tanh"]),
    }
    return config, state


def _gain(weight: Tensor, gain: float, settings: Settings) -> float:
    return equalised_gain(weight, gain) if settings["use_wscale"] else 1.0


def _mapping(weights: Weights, settings: Settings) -> tuple[dict[str, Any], dict[str, Tensor]]:
    numbers = weights.numbers(r"mapping\.dense(\d+)\.weight")
    rate = float(settings["mapping_lr_mul"])
    state: dict[str, Tensor] = {}
    for number in numbers:
        weight = weights.take(f"mapping.dense{number}.weight", 2)
        bias = weights.take(f"mapping.dense{number}.bias", 1)
        gain = _gain(weight, math.sqrt(2.0), settings) * rate
        state |= dense(f"mapping.fc{number}", weight * gain, bias * rate)
    first = weights.take("mapping.dense0.weight", 2)
    config: dict[str, Any] = {
        "z_dim": first.shape[1],
        "w_dim": weights.take("synthesis.layer0.style.weight", 2).shape[1],
        "mapping_layers": len(numbers),
        "mapping_width": first.shape[0],
    }
    if config["w_dim"] != (given := state[f"mapping.fc{max(numbers)}.bias"].shape[0]):
        raise CheckpointError(
            f"The mapping network gives {given} numbers where layers read {config['w_dim']}: it "
            "was made with repeat_w off, which is not read. Use sb.wrap."
        )
    if "mapping.label_weight" in weights:
        label = weights.take("mapping.label_weight", 2)
        config |= {"c_dim": label.shape[0], "embed_dim": label.shape[1]}
        config["z_dim"] -= label.shape[1]
        state |= embedding(label)
    if "truncation.w_avg" in weights:
        state["mapping.w_avg"] = weights.take("truncation.w_avg").reshape(-1)
    return config, state


def dense(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Return a mapping layer, given as it acts, as `MappingNetwork` keeps it.

    That one divides weights by 100 and the root of the inputs, and multiplies what its rectifiers
    give by sqrt(2).

    Args:
        name: Ours, of the layer.
        weight: ``[out, in]``, as it acts.
        bias: ``[out]``, as it acts.
    """
    scale = 0.01 * math.sqrt(2.0)
    root = math.sqrt(weight.shape[1])
    return {f"{name}.weight": weight * (root / scale), f"{name}.bias": bias / scale}


def embedding(label: Tensor) -> dict[str, Tensor]:
    """Return an embedded code a class, ``[classes, dim]``, as `MappingNetwork` keeps it."""
    return {
        "mapping.embed.weight": label.T * math.sqrt(label.shape[0]),
        "mapping.embed.bias": label.new_zeros(label.shape[1]),
    }


def _layer(weights: Weights, number: int, target: str, settings: Settings) -> dict[str, Tensor]:
    source = f"synthesis.layer{number}"
    style = weights.take(f"{source}.style.weight", 2)
    noise = weights.take(f"{source}.apply_noise.noise", 4)
    state = {
        f"{target}.bias": weights.take(f"{source}.bias", 1),
        f"{target}.noise_strength": weights.take(f"{source}.apply_noise.weight", 1),
        f"{target}.noise_const": noise[0, 0],
        f"{target}.affine.weight": style * _gain(style, 1.0, settings),
        f"{target}.affine.bias": weights.take(f"{source}.style.bias", 1),
    }
    if number == 0:
        return state | {f"{target}.const": weights.take(f"{source}.const", 4)[0]}
    enlarges = number % 2 == 0
    kernel = _kernel(weights, source, noise.shape[-1] if enlarges else 0, settings)
    state[f"{target}.weight"] = kernel * _gain(kernel, math.sqrt(2.0), settings)
    if enlarges:
        blur = f"{source}.blur.kernel"
        taken = weights.take(blur, 4) if blur in weights else kernel.new_ones(1, 1)
        state[f"{target}.blur"] = odd_blur(taken)
    return state


def _kernel(weights: Weights, source: str, enlarged: int, settings: Settings) -> Tensor:
    """Return a kernel ``[out, in, 3, 3]`` as it acts on repeated pixels.

    Scattering, as fused layers do, turns what it scatters.

    Args:
        weights: Under genforce's names.
        source: The name of the layer.
        enlarged: The resolution that it enlarges to, or 0.
        settings: All of `OPTIONS`.
    """
    if f"{source}.fused" in weights:
        return weights.take(f"{source}.fused", 4).permute(3, 2, 0, 1).flip(2, 3)
    weight = weights.take(f"{source}.weight", 4)
    fused = enlarged >= 128 if settings["fused_scale"] == "auto" else bool(settings["fused_scale"])
    return weight.flip(2, 3) if fused and enlarged else weight


__all__ = ["OPTIONS", "assemble", "dense", "embedding"]
