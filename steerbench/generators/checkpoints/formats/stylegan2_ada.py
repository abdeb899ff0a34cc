"""stylegan2-ada-pytorch's ``.pkl``: a dictionary of G, D and G_ema, each a whole module.

The file is NVIDIA's persistence pickle: every module comes with the Python source of its class,
which is never read here; its parameters, buffers and the numbers it was made with are. G_ema, the
average over training, is the generator to use. All three architectures (skip, resnet, orig) and
files of torch 1.7 and later are covered, and StyleGAN2 networks that the stylegan3 code saved.
Names, gains and orientation are the ones that steerbench uses itself.

Reference: Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, "Training Generative Adversarial
Networks with Limited Data" (2020, arXiv 2006.06676); https://github.com/NVlabs/stylegan2-ada-pytorch
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.safe.records import Record, submodule
from steerbench.generators.checkpoints.weights import (
    Weights,
    doubling,
    four_taps,
    lacking,
    with_mean,
)
from steerbench.generators.stylegan2 import StyleGAN2

TITLE = "stylegan2-ada-pytorch"
REQUIRED = (
    "mapping.fc0.weight",
    "synthesis.b4.const",
    "synthesis.b4.conv1.weight",
    "synthesis.b4.conv1.affine.weight",
)
ROOTS: tuple[tuple[str, ...], ...] = (("G_ema",), ("G",), ())


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(contents.tensors(*root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents, root: tuple[str, ...] | None = None) -> StyleGAN2:
    """The generator (and discriminator) of a file.

    Args:
        contents: Of the file.
        root: The keys that lead to the generator; G_ema by default, G where there is none.
    """
    if root is None:
        root = next(path for path in ROOTS if not lacking(contents.tensors(*path), REQUIRED))
    module = contents.get(*root)
    weights = Weights(contents.tensors(*root), TITLE)
    config, state = generator(weights, module if isinstance(module, Record) else Record(""))
    judge = contents.get("D")
    if isinstance(judge, Record) and "b4.out.weight" in contents.tensors("D"):
        judge_config, judge_state = discriminator(Weights(contents.tensors("D"), TITLE), judge)
        config["discriminator"] = judge_config
        state |= {f"discriminator.{name}": value for name, value in judge_state.items()}
    return build(config, state, contents.path.stem)


def build(config: dict[str, Any], state: dict[str, Tensor], name: str) -> StyleGAN2:
    """The generator, its mean code measured where the file has none."""
    return with_mean(StyleGAN2, config, state, name)


def generator(weights: Weights, module: Record) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights of the generator, as `StyleGAN2.build` takes them."""
    resolutions = doubling(weights.numbers(r"synthesis\.b(\d+)\.conv1\.weight"))
    widths = {str(r): weights.take(f"synthesis.b{r}.conv1.weight", 4).shape[0] for r in resolutions}
    last = f"synthesis.b{max(resolutions)}"
    first = weights.take("mapping.fc0.weight", 2)
    label = mapping_options(weights, "mapping.")
    config = {
        **label,
        "z_dim": first.shape[1] - (label["embed_dim"] if label["c_dim"] else 0),
        "widths": widths,
        "channels": weights.take(f"{last}.torgb.weight", 4).shape[0],
        "architecture": _architecture(weights),
        "clamp": _clamp(module, f"synthesis.b{max(resolutions)}.conv1"),
    }
    _check_activations(module)
    state = {name: weights.take(name) for name in weights.tensors if _kept(name)}
    state |= mapping_state(weights, module, "mapping.")
    for resolution in resolutions:
        for part in ("conv0", "conv1"):
            layer = f"synthesis.b{resolution}.{part}"
            if f"{layer}.weight" in weights and f"{layer}.noise_const" not in weights:
                state[f"{layer}.noise_const"] = torch.zeros(resolution, resolution)
                state[f"{layer}.noise_strength"] = torch.zeros(())
    for name in [name for name in state if name.endswith("resample_filter")]:
        state[name] = four_taps(state[name])
    return config, state


def _kept(name: str) -> bool:
    parts = name.split(".")
    of_block = len(parts) == 3 and parts[-1] == "resample_filter"
    return parts[0] == "synthesis" and len(parts) > 2 and not of_block


def _architecture(weights: Weights) -> str:
    if "synthesis.b8.skip.weight" in weights:
        return "resnet"
    single = "synthesis.b8.conv1.weight" not in weights
    return "skip" if single or "synthesis.b4.torgb.weight" in weights else "orig"


def mapping_options(weights: Weights, prefix: str) -> dict[str, Any]:
    """The sizes of a mapping network, from its shapes."""
    layers = weights.numbers(rf"{prefix}fc(\d+)\.weight")
    label = weights.take(f"{prefix}embed.weight", 2) if f"{prefix}embed.weight" in weights else None
    return {
        "w_dim": weights.take(f"{prefix}fc{max(layers)}.weight", 2).shape[0],
        "c_dim": 0 if label is None else label.shape[1],
        "embed_dim": None if label is None else label.shape[0],
        "mapping_layers": len(layers),
        "mapping_width": weights.take(f"{prefix}fc0.weight", 2).shape[0],
    }


def mapping_state(weights: Weights, module: Record, prefix: str) -> dict[str, Tensor]:
    """The weights of a mapping network, for a learning-rate multiplier of 0.01."""
    state = {n: weights.take(n) for n in weights.tensors if n.startswith(prefix)}
    for name in weights.tensors:
        if not name.startswith(f"{prefix}fc"):
            continue
        layer = submodule(module, name.rsplit(".", 1)[0])
        gain = layer.get("bias_gain") if layer is not None else None
        if isinstance(gain, int | float) and gain != 0.01:
            state[name] = state[name] * (gain / 0.01)
    return state


def _clamp(module: Record, path: str) -> float | None:
    layer = submodule(module, path)
    clamp = layer.get("conv_clamp") if layer is not None else None
    return float(clamp) if isinstance(clamp, int | float) else None


def _check_activations(module: Record) -> None:
    for path in ("mapping.fc0", "synthesis.b4.conv1"):
        layer = submodule(module, path)
        given = layer.get("activation", "lrelu") if layer is not None else "lrelu"
        if given != "lrelu":
            raise CheckpointError(
                f"The generator uses the activation {str(given)[:40]!r} at {path}; published "
                "StyleGAN2 files use 'lrelu', and only that is read."
            )


def discriminator(weights: Weights, module: Record) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights of the discriminator."""
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
        "clamp": _clamp(module, "b4.conv"),
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
        state |= mapping_state(weights, module, "mapping.")
    for name in [name for name in state if name.endswith("resample_filter")]:
        state[name] = four_taps(state[name])
    return config, state


def scale(weight: Tensor) -> float:
    """The run-time gain of a convolution, for formats that multiply before they demodulate."""
    return 1 / math.sqrt(weight[0].numel())
