"""The discriminator in StyleGAN2's files of the TensorFlow years (see `tensorflow`).

StyleGAN2 gives a score for each class, of which the label picks its own; that is a comparison in
the space of one-hot labels. StyleGAN2-ADA compares picture and label in a space of their own. What
its authors tried besides (spectral normalisation, PA-GAN) is left out, as is a discriminator whose
shapes are others: the generator does not need it.

Reference: https://github.com/NVlabs/stylegan2, https://github.com/NVlabs/stylegan2-ada; scores a
class: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?" (2018,
arXiv 1801.04406).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steerbench.generators.checkpoints.common import tensorflow
from steerbench.generators.checkpoints.common.tensorflow import Network, kernel
from steerbench.generators.checkpoints.format import Parts
from steerbench.generators.checkpoints.safe.records import Record, variables
from steerbench.generators.checkpoints.state_dicts import StateDict
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.stylegan2.discriminator import PublishedDiscriminator


def add_discriminator(parts: Parts, beside: Mapping[str, Any]) -> Parts:
    """Return the parts of a generator with those of the discriminator in the same file.

    Args:
        parts: Of the generator.
        beside: What lies beside it.
    """
    module = beside.get("D")
    judge = _convert(module) if isinstance(module, Record) else None
    if judge is None:
        return parts
    own = {f"discriminator.{name}": tensor for name, tensor in judge[1].items()}
    return parts[0] | {"discriminator": judge[0]}, parts[1] | own


def _convert(module: Record) -> Parts | None:
    """Return settings and weights, or none where it is of another kind."""
    network, tensors = tensorflow.network(module), variables(module)
    settings = network.settings
    usual = settings.get("nonlinearity", "lrelu") == "lrelu"
    if not usual or settings.get("use_pagan") or settings.get("use_spectral_norm"):
        return None
    if not {"4x4/Conv/weight", "4x4/Dense0/weight", "Output/weight"} <= tensors.keys():
        return None
    state_dict = StateDict(keys=("D",), tensors=tensors, module=module)
    weights = Weights(state_dict, "StyleGAN2's discriminator of TensorFlow")
    config, state = _layers(weights, network)
    if "LabelEmbed/weight" in weights:
        _compare_in_a_space(weights, network, config, state)
    elif network.number("label_size", 0) > 0:
        _score_each_class(config, state)
    with torch.device("meta"):
        expected = PublishedDiscriminator(**config).state_dict()
    for name in expected:
        if name.endswith("resample_filter"):
            state[name] = tensorflow.resample_filter(network)
    fits = {k: v.shape for k, v in expected.items()} == {k: v.shape for k, v in state.items()}
    return (config, state) if fits else None


def _layers(weights: Weights, network: Network) -> Parts:
    resolutions = weights.numbers(r"(\d+)x\1/Conv0/weight")
    top = max(resolutions, default=4)
    state: dict[str, Tensor] = {}
    for target, source in (("fc", "4x4/Dense0"), ("out", "Output")):
        state[f"b4.{target}.weight"] = weights.take(f"{source}/weight", 2).T
        state[f"b4.{target}.bias"] = weights.take(f"{source}/bias", 1)
    for resolution in [4, *resolutions]:
        here = f"{resolution}x{resolution}"
        names = dict(conv="Conv", conv0="Conv0", conv1="Conv1_down", skip="Skip", fromrgb="FromRGB")
        sources = {part: f"{here}/{name}" for part, name in names.items()}
        if resolution == top and "FromRGB_lod0/weight" in weights:
            sources["fromrgb"] = "FromRGB_lod0"
        for part, source in sources.items():
            if f"{source}/weight" in weights:
                taken = kernel(weights.take(f"{source}/weight", 4))
                state[f"b{resolution}.{part}.weight"] = taken
            if f"{source}/bias" in weights:
                state[f"b{resolution}.{part}.bias"] = weights.take(f"{source}/bias", 1)
    widths = {str(r): state[f"b{r}.conv0.weight"].shape[0] for r in resolutions}
    widths["4"] = state["b4.conv.weight"].shape[0]
    architecture = "skip" if "b4.fromrgb.weight" in state and top > 4 else "orig"
    config = {
        "widths": widths,
        "channels": state[f"b{top}.fromrgb.weight"].shape[1],
        "architecture": "resnet" if f"b{top}.skip.weight" in state else architecture,
        "group": _group(network),
        "maps": state["b4.conv.weight"].shape[1] - widths["4"],
        "clamp": tensorflow.bound(network),
    }
    return config, state


def _group(network: Network) -> int:
    """Return over how many pictures the deviation goes; StyleGAN2-ADA's function assumes all."""
    usual = None if network.function == "D_main" else 4
    group = network.settings.get("mbstd_group_size", usual)
    # More pictures than a batch has: the group is the whole batch.
    return group if isinstance(group, int) and group > 0 else 2**16


def _compare_in_a_space(
    weights: Weights, network: Network, config: dict[str, Any], state: dict[str, Tensor]
) -> None:
    embed = weights.take("LabelEmbed/weight", 2)
    numbers = weights.numbers(r"Mapping(\d+)/weight")
    rate = network.number("mapping_lrmul", 0.1) / 0.01
    state["mapping.embed.weight"] = embed.T
    state["mapping.embed.bias"] = weights.take("LabelEmbed/bias", 1)
    for number in numbers:
        state[f"mapping.fc{number}.weight"] = weights.take(f"Mapping{number}/weight", 2).T * rate
        state[f"mapping.fc{number}.bias"] = weights.take(f"Mapping{number}/bias", 1) * rate
    config |= {
        "c_dim": embed.shape[0],
        "label_width": embed.shape[1],
        "mapping_layers": len(numbers),
    }


def _score_each_class(config: dict[str, Any], state: dict[str, Tensor]) -> None:
    classes = state["b4.out.bias"].shape[0]
    # The gain of the embedding makes this the identity, and its normalisation and the division by
    # the root of the width undo each other.
    state["mapping.embed.weight"] = math.sqrt(classes) * torch.eye(classes)
    state["mapping.embed.bias"] = torch.zeros(classes)
    config |= {"c_dim": classes, "label_width": classes, "mapping_layers": 0}


__all__ = ["add_discriminator"]
