"""NVIDIA's modules of PyTorch, which StyleGAN2-ADA's and StyleGAN3's files hold whole.

Both keep the mapping network and the discriminator in the same way. Names, gains and orientation
are the ones that steerbench uses itself; what leaves no trace in the weights (a bound on
activations, the rate of the mapping) is among the numbers that a module was made with.

Reference: https://github.com/NVlabs/stylegan2-ada-pytorch, https://github.com/NVlabs/stylegan3
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.common.layers import four_taps
from steerbench.generators.checkpoints.format import Parts
from steerbench.generators.checkpoints.safe.records import Record, module_state, submodule
from steerbench.generators.checkpoints.state_dicts import StateDict
from steerbench.generators.checkpoints.weights import Weights


def mapping_options(weights: Weights, prefix: str) -> dict[str, Any]:
    """Return the sizes of a mapping network, from its shapes."""
    layers = weights.numbers(rf"{prefix}fc(\d+)\.weight")
    label = weights.take(f"{prefix}embed.weight", 2) if f"{prefix}embed.weight" in weights else None
    return {
        "w_dim": weights.take(f"{prefix}fc{max(layers)}.weight", 2).shape[0],
        "c_dim": 0 if label is None else label.shape[1],
        "embed_dim": None if label is None else label.shape[0],
        "mapping_layers": len(layers),
        "mapping_width": weights.take(f"{prefix}fc0.weight", 2).shape[0],
    }


def mapping_state(weights: Weights, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a mapping network, for a learning-rate multiplier of 0.01."""
    state = {n: weights.take(n) for n in weights.tensors if n.startswith(prefix)}
    for name in weights.tensors:
        if not name.startswith(f"{prefix}fc"):
            continue
        layer = submodule(weights.state.module, name.rsplit(".", 1)[0])
        gain = layer.get("bias_gain") if layer is not None else None
        if isinstance(gain, int | float) and gain != 0.01:
            state[name] = state[name] * (gain / 0.01)
    return state


def bound(module: Record, path: str) -> float | None:
    """Return the bound on the activations of a layer, where its module states one."""
    layer = submodule(module, path)
    clamp = layer.get("conv_clamp") if layer is not None else None
    return float(clamp) if isinstance(clamp, int | float) else None


def add_discriminator(parts: Parts, weights: Weights) -> Parts:
    """Return the parts with the discriminator that lies beside the generator, where one does.

    Args:
        parts: Of the generator.
        weights: Of the generator.
    """
    module = weights.state.beside.get("D")
    tensors = module_state(module) if isinstance(module, Record) else {}
    if not isinstance(module, Record) or "b4.out.weight" not in tensors:
        return parts
    beside = StateDict(keys=("D",), tensors=tensors, module=module)
    config, state = discriminator(Weights(beside, f"the discriminator of {weights.what}"))
    own = {f"discriminator.{name}": tensor for name, tensor in state.items()}
    return parts[0] | {"discriminator": config}, parts[1] | own


def discriminator(weights: Weights) -> Parts:
    """Return settings and weights of the discriminator."""
    module = weights.state.module
    resolutions = weights.numbers(r"b(\d+)\.conv0\.weight")
    widths = {str(r): weights.take(f"b{r}.conv0.weight", 4).shape[0] for r in resolutions}
    widths["4"] = weights.take("b4.fc.weight", 2).shape[0]
    top = max(resolutions, default=4)
    architecture = "orig"
    if f"b{top}.skip.weight" in weights:
        architecture = "resnet"
    elif "b4.fromrgb.weight" in weights:
        architecture = "skip"
    config: dict[str, Any] = {
        "widths": widths,
        "channels": weights.take(f"b{top}.fromrgb.weight", 4).shape[1],
        "architecture": architecture,
        "maps": weights.take("b4.conv.weight", 4).shape[1] - widths["4"],
        "clamp": bound(module, "b4.conv"),
    }
    deviation = submodule(module, "b4.mbstd")
    group = deviation.get("group_size", 4) if deviation is not None else 4
    config["group"] = group if isinstance(group, int) else 2**16
    state = {n: weights.take(n) for n in weights.tensors if not n.startswith("mapping.")}
    if "mapping.embed.weight" in weights:
        label = mapping_options(weights, "mapping.")
        config |= {
            "c_dim": label["c_dim"],
            "label_width": label["w_dim"],
            "mapping_layers": label["mapping_layers"],
        }
        state |= mapping_state(weights, "mapping.")
    for name in [name for name in state if name.endswith("resample_filter")]:
        state[name] = four_taps(state[name])
    return config, state


__all__ = ["add_discriminator", "bound", "discriminator", "mapping_options", "mapping_state"]
