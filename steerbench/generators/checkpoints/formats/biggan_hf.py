"""pytorch-pretrained-BigGAN of Hugging Face: ``pytorch_model.bin`` with ``config.json`` beside it.

The port of the published BigGAN-deep: a state dict of spectrally normalised weights
(``weight_orig``, ``weight_u``, ``weight_v``), and for every normalisation the statistics of 51
steps of truncation. Widths, classes and attention follow from shapes and names; which blocks
double the picture is written in ``config.json`` only. Without one every second block does, from
the second on, as in all published files. The first layer counts its outputs as TensorFlow does,
channels last; of the last layer's outputs only the first three are the picture.

Reference: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image
Synthesis" (2018, arXiv 1809.11096); https://github.com/huggingface/pytorch-pretrained-BigGAN
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.biggan import BigGAN, BlockShape
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    eps = _epsilon(weights.state.config)
    parts = weights.numbers(r"generator\.layers\.(\d+)\.(?:gamma|bn_0\.running_means)")
    if parts != list(range(len(parts))):
        raise CheckpointError(
            f"The layers of {weights.what} stand at {parts[:12]}; some are missing."
        )
    attention = [n for n in parts if f"generator.layers.{n}.gamma" in weights]
    blocks = [n for n in parts if n not in attention]
    ups = _doubling_blocks(weights.state.config, len(blocks))
    shapes = [_block(weights, f"generator.layers.{n}", up) for n, up in zip(blocks, ups)]
    state = {"embed.weight": weights.take("embeddings.weight", 2)}
    state |= _dense(weights, shapes[0].inputs)
    for n in blocks:
        state |= _block_weights(weights, f"generator.layers.{n}", f"layers.{n + 1}", eps)
    for n in attention:
        state |= _attention_weights(weights, f"generator.layers.{n}", f"layers.{n + 1}")
    last = f"layers.{len(parts) + 1}"
    picture = _normalise_weight(weights, "generator.conv_to_rgb")[:3]
    state |= _statistics(weights, "generator.bn", f"{last}.norm", eps) | {
        f"{last}.norm.gain": weights.take("generator.bn.weight", 1),
        f"{last}.norm.bias": weights.take("generator.bn.bias", 1),
        f"{last}.norm.gain_by": torch.zeros(shapes[-1].outputs, 0),
        f"{last}.norm.bias_by": torch.zeros(shapes[-1].outputs, 0),
        f"{last}.conv.weight": picture,
        f"{last}.conv.bias": weights.take("generator.conv_to_rgb.bias", 1)[:3],
    }
    embedding, classes = state["embed.weight"].shape
    config = {
        "z_dim": state["layers.0.linear.weight"].shape[1] - embedding,
        "classes": classes,
        "embedding": embedding,
        "reads": "whole",
        "blocks": [vars(shape) for shape in shapes],
        "attention": [n - place for place, n in enumerate(attention)],
        "channels": len(picture),
        "bottom": 4,
        "steps": len(weights.take("generator.bn.running_means", 2)),
    }
    return config, state


def _epsilon(config: Mapping[str, Any]) -> float:
    eps = config.get("eps")
    return float(eps) if isinstance(eps, float) and 0 < eps < 1 else 1e-4


def _doubling_blocks(config: Mapping[str, Any], count: int) -> list[bool]:
    """Return which blocks double the size."""
    layers = config.get("layers")
    if not isinstance(layers, list):
        return [place % 2 == 1 for place in range(count)]
    if len(layers) != count or not all(isinstance(row, list) and row for row in layers):
        raise CheckpointError(
            f"The config.json beside the file describes {len(layers)} blocks, the file holds "
            f"{count}. Put the config.json that belongs to it there, or none."
        )
    return [bool(row[0]) for row in layers]


def _block(weights: Weights, name: str, up: bool) -> BlockShape:
    hidden, inputs = weights.take(f"{name}.conv_0.weight_orig", 4).shape[:2]
    outputs = weights.take(f"{name}.conv_3.weight_orig", 4).shape[0]
    if outputs > inputs:
        raise CheckpointError(
            f"{name} of {weights.what} makes {outputs} channels of {inputs}; its shortcut can only "
            "drop some. The file is broken."
        )
    return BlockShape(inputs, outputs, hidden, up)


def _normalise_weight(weights: Weights, name: str) -> Tensor:
    """Return a weight divided by its spectral norm, as the kept vectors estimate it."""
    if f"{name}.weight" in weights:
        # Files of early versions hold the quotient itself, and may lack the second vector.
        weights.skip(f"{name}.weight_orig")
        return weights.take(f"{name}.weight")
    weight, u = weights.take(f"{name}.weight_orig"), weights.take(f"{name}.weight_u", 1)
    matrix = weight.flatten(1)
    given = f"{name}.weight_v" in weights
    v = weights.take(f"{name}.weight_v", 1) if given else F.normalize(matrix.T @ u, dim=0)
    return weight / torch.dot(u, matrix @ v)


def _dense(weights: Weights, width: int) -> dict[str, Tensor]:
    weight, bias = (
        _normalise_weight(weights, "generator.gen_z"),
        weights.take("generator.gen_z.bias", 1),
    )
    return {
        "layers.0.linear.weight": weight.unflatten(0, (4, 4, width)).movedim(2, 0).flatten(0, 2),
        "layers.0.linear.bias": bias.unflatten(0, (4, 4, width)).movedim(2, 0).flatten(),
    }


def _statistics(weights: Weights, source: str, target: str, eps: float) -> dict[str, Tensor]:
    return {
        f"{target}.means": weights.take(f"{source}.running_means", 2),
        f"{target}.variances": weights.take(f"{source}.running_vars", 2) + eps,
    }


def _block_weights(weights: Weights, source: str, target: str, eps: float) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for place in range(4):
        norm = f"{target}.norms.{place}"
        state |= _statistics(weights, f"{source}.bn_{place}", norm, eps)
        state[f"{norm}.gain_by"] = _normalise_weight(weights, f"{source}.bn_{place}.scale")
        state[f"{norm}.bias_by"] = _normalise_weight(weights, f"{source}.bn_{place}.offset")
        width = len(state[f"{norm}.gain_by"])
        state |= {f"{norm}.gain": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
        state[f"{target}.convs.{place}.weight"] = _normalise_weight(
            weights, f"{source}.conv_{place}"
        )
        state[f"{target}.convs.{place}.bias"] = weights.take(f"{source}.conv_{place}.bias", 1)
    return state


def _attention_weights(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    names = {"query": "theta", "key": "phi", "value": "g", "out": "o_conv"}
    state = {
        f"{target}.{ours}.weight": _normalise_weight(weights, f"{source}.snconv1x1_{theirs}")
        for ours, theirs in names.items()
    }
    return state | {f"{target}.gamma": weights.scalar(f"{source}.gamma")}


FORMAT = Format(
    name="biggan-hf",
    title="the BigGAN of pytorch-pretrained-BigGAN",
    architecture=BigGAN,
    required=(
        "embeddings.weight",
        "generator.gen_z.weight_orig",
        "generator.gen_z.weight_u",
        "generator.bn.running_means",
        "generator.conv_to_rgb.weight_orig",
    ),
    convert=convert,
    harmless=(r".*\.(weight_u|weight_v)",),
)
