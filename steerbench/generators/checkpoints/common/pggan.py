"""Progressive GANs' weights under genforce's names, which two formats are brought into.

Gains are applied at run time: sqrt(2) over the root of the inputs, 1 for pictures. The first layer
is a convolution over a padded pixel, so that its kernel acts turned by 180 degrees. In genforce's
files a fused kernel has its channels the other way round, which shows where a layer has more of
them on one side. How much of the first layer's input is a label does not show at all.
"""

from __future__ import annotations

import math

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common.layers import equalised_gain
from steerbench.generators.checkpoints.format import Parts, Settings
from steerbench.generators.checkpoints.options import Options
from steerbench.generators.checkpoints.weights import Weights, check_doubling

OPTIONS: Options = {
    "label_size": 0,
    "fused_scale": "auto",
    "final_tanh": False,
    "use_wscale": True,
}
"""What the weights do not say, under genforce's names."""


def assemble(weights: Weights, settings: Settings, level: float, joint: bool = False) -> Parts:
    """Return settings and weights of the generator.

    Args:
        weights: Under genforce's names.
        settings: All of `OPTIONS`.
        level: Of detail; 0 is the whole network, 1 leaves out the last block.
        joint: Whether code and label are normalised together.
    """
    first = weights.take("layer0.weight", 4)
    kernel = (first * _gain(first, settings)).flip(2, 3)
    state = {
        "b4.dense.weight": kernel.permute(0, 2, 3, 1).flatten(0, 2),
        "b4.dense.bias": weights.take("layer0.bias", 1).repeat_interleave(16),
    }
    blocks = check_doubling([4 * 2**i for i in weights.numbers(r"output(\d+)\.weight")])
    widths = {r: weights.take(f"output{i}.weight", 4).shape[1] for i, r in enumerate(blocks)}
    fused = _is_fused(weights, list(widths.values()), settings)
    for place, resolution in enumerate(blocks):
        parts = {"conv": 1} if place == 0 else {"conv0": 2 * place, "conv1": 2 * place + 1}
        for part, number in parts.items():
            kernel = _kernel(weights, f"layer{number}", fused and part == "conv0")
            state[f"b{resolution}.{part}.weight"] = kernel * _gain(kernel, settings)
            state[f"b{resolution}.{part}.bias"] = weights.take(f"layer{number}.bias", 1)
        picture = weights.take(f"output{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, settings, 1.0)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"output{place}.bias", 1)
    config = {
        "z_dim": first.shape[1] - _label_size(first.shape[1], settings),
        "widths": {str(resolution): width for resolution, width in widths.items()},
        "channels": state["b4.torgb.weight"].shape[0],
        "level": min(max(level, 0.0), len(blocks) - 1.0),
        "c_dim": _label_size(first.shape[1], settings),
        "joint": joint,
        "tanh": bool(settings["final_tanh"]),
    }
    return config, state


def _label_size(inputs: int, settings: Settings) -> int:
    size = int(settings["label_size"])
    if size >= inputs:
        raise CheckpointError(
            f"A label of {size} numbers was spoken of, but code and label together have {inputs}."
        )
    return size


def _gain(weight: Tensor, settings: Settings, gain: float = math.sqrt(2.0)) -> float:
    return equalised_gain(weight, gain) if settings["use_wscale"] else 1.0


def _is_fused(weights: Weights, widths: list[int], settings: Settings) -> bool:
    """Return whether genforce's kernels that enlarge are stored for scattering, inputs first."""
    if settings["fused_scale"] != "auto":
        return bool(settings["fused_scale"])
    for place in range(1, len(widths)):
        name = f"layer{2 * place}.weight"
        if widths[place] != widths[place - 1] and name in weights:
            return weights.take(name, 4).shape[0] == widths[place - 1]
    return False


def _kernel(weights: Weights, name: str, fused: bool) -> Tensor:
    """Return a kernel ``[out, in, 3, 3]``; scattering turns what it scatters."""
    if f"{name}.fused" in weights:
        return weights.take(f"{name}.fused", 4).permute(3, 2, 0, 1).flip(2, 3)
    weight = weights.take(f"{name}.weight", 4)
    return weight.transpose(0, 1).flip(2, 3) if fused else weight


__all__ = ["OPTIONS", "assemble"]
