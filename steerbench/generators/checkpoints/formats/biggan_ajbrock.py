"""BigGAN-PyTorch of Andrew Brock: ``G_ema.pth``, a state dict that says nothing of itself.

Widths, resolution, classes, attention, and whether the embedding is shared and the code split in
chunks, all follow from names and shapes. A ``config.json`` beside the file may add what they
cannot tell: ``BN_eps`` (1e-5 without), and for BigGAN-deep ``G_depth`` (2 without).

In evaluation that code still takes one step of the power method from the kept vector ``u0``, so
that a weight is divided by that estimate of its norm. Statistics lie in ``stored_mean``; in
``bn.stored_mean`` as sums over ``accumulation_counter`` batches, where standing statistics were
accumulated (``--mybn``); or in ``bn.running_mean`` (``--cross_replica``). Of these the last
evaluate in an unexpected way there, which is followed: the gain is added and not multiplied by.

Reference: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image
Synthesis" (2018, arXiv 1809.11096); https://github.com/ajbrock/BigGAN-PyTorch
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.biggan import BigGAN, BlockShape
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights

Number = TypeVar("Number", int, float)


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    reader = _Reader(weights)
    shapes, attention = reader.blocks()
    state, number = reader.first(shapes[0].inputs), 0
    for place in range(len(shapes)):
        number += 1
        state |= reader.block(place, f"layers.{number}")
        if place + 1 in attention:
            number += 1
            state |= reader.attention(place, f"layers.{number}")
    state |= reader.last(f"layers.{number + 1}")
    config = reader.codes(len(shapes) + 1) | {
        "blocks": [vars(shape) for shape in shapes],
        "attention": attention,
        "channels": len(state[f"layers.{number + 1}.conv.weight"]),
        "bottom": reader.bottom(shapes[0].inputs),
        "steps": 1,
    }
    return config, state


class _Reader:
    """Weights under Brock's names, turned into ours part by part."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.config = weights, weights.state.config
        self.deep = "blocks.0.0.conv4.weight" in weights
        self.shared = "shared.weight" in weights
        gain = weights.take("blocks.0.0.bn1.gain.weight", 2)
        if self.shared:
            self.classes, self.c_dim = weights.take("shared.weight", 2).shape
            self.chunk = gain.shape[1] - self.c_dim
        else:
            self.classes = self.c_dim = gain.shape[0]
            self.chunk = 0

    def option(self, name: str, otherwise: Number) -> Number:
        """Return a positive number of the config, or what stands without it."""
        value = self.config.get(name)
        return value if isinstance(value, type(otherwise)) and value > 0 else otherwise

    def codes(self, rows: int) -> dict[str, Any]:
        """Return how codes and classes are read."""
        first = self.weights.take("linear.weight", 2).shape[1]
        named = {"classes": self.classes, "embedding": self.c_dim if self.shared else 0}
        if self.deep:
            return named | {"z_dim": first - self.c_dim, "reads": "whole"}
        if self.chunk:
            return named | {"z_dim": self.chunk * rows, "reads": "chunks"}
        return named | {"z_dim": first, "reads": "first"}

    def blocks(self) -> tuple[list[BlockShape], list[int]]:
        """Return the blocks, and after how many of them attention stands."""
        numbers = self.weights.numbers(r"blocks\.(\d+)\.0\.conv1\.weight")
        depth = self.option("G_depth", 2) if self.deep else 1
        if numbers != list(range(len(numbers))) or len(numbers) % depth:
            raise CheckpointError(
                f"The blocks of {self.weights.what} stand at {numbers[:12]}; a multiple of {depth} "
                "without gaps was expected. Put the config.json that belongs to it beside it."
            )
        shapes = []
        for n in numbers:
            outputs, inputs = self.weights.take(f"blocks.{n}.0.conv1.weight", 4).shape[:2]
            hidden = outputs if self.deep else 0
            if self.deep:
                outputs = self.weights.take(f"blocks.{n}.0.conv4.weight", 4).shape[0]
            shapes.append(BlockShape(inputs, outputs, hidden, up=(n + 1) % depth == 0))
        return shapes, [n + 1 for n in numbers if f"blocks.{n}.1.gamma" in self.weights]

    def bottom(self, width: int) -> int:
        """Return pixels a side after the first layer."""
        return math.isqrt(len(self.weights.take("linear.bias", 1)) // width)

    def normalise_weight(self, name: str) -> Tensor:
        """Return a weight over its spectral norm, by one step of the power method from ``u0``."""
        weight = self.weights.take(f"{name}.weight")
        if f"{name}.u0" not in self.weights:
            return weight
        eps = self.option("SN_eps", 1e-12)
        matrix, u = weight.flatten(1), self.weights.take(f"{name}.u0", 2)
        v = F.normalize(u @ matrix, eps=eps)
        u = F.normalize(v @ matrix.T, eps=eps)
        return weight / (v @ matrix.T @ u.T).squeeze()

    def conditional_weight(self, name: str) -> Tensor:
        """Return the weights of a gain or bias, with the code's columns before the class's."""
        if not self.shared:
            return self.weights.take(f"{name}.weight", 2).T
        return self.normalise_weight(name).roll(-self.c_dim, dims=1)

    def first(self, width: int) -> dict[str, Tensor]:
        weight = self.normalise_weight("linear")
        state = {
            "layers.0.linear.weight": weight.roll(-self.c_dim, dims=1) if self.deep else weight,
            "layers.0.linear.bias": self.weights.take("linear.bias", 1),
        }
        if self.shared:
            state["embed.weight"] = self.weights.take("shared.weight", 2).T
        return state

    def norm(self, source: str, target: str, state: dict[str, Tensor], eps: float) -> None:
        """Add statistics to gains and biases that are in the state already."""
        width = len(state[f"{target}.gain"])
        mean, variance, added = torch.zeros(width), torch.ones(width), False
        if f"{source}.stored_mean" in self.weights:
            mean, variance = self.pair(f"{source}.stored")
        elif f"{source}.bn.stored_mean" in self.weights:
            mean, variance = self.pair(f"{source}.bn.stored")
            batches = self.weights.scalar(f"{source}.bn.accumulation_counter").clamp(min=1)
            mean, variance = mean / batches, variance / batches
        elif f"{source}.bn.running_mean" in self.weights:
            mean, variance = self.pair(f"{source}.bn.running")
            added = True
        elif self.config.get("norm_style") in (None, "nonorm"):
            eps = 0.0
        else:
            raise CheckpointError(
                f"{source} of {self.weights.what} normalises by {self.config['norm_style']!r}, "
                "which is not read. Build the module with its own code and use sb.wrap."
            )
        state[f"{target}.means"], state[f"{target}.variances"] = mean[None], variance[None] + eps
        if added:
            for part in ("", "_by"):
                gain = state[f"{target}.gain{part}"]
                state[f"{target}.bias{part}"] = state[f"{target}.bias{part}"] + gain
                state[f"{target}.gain{part}"] = torch.zeros_like(gain) if part else gain * 0 + 1

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        return self.weights.take(f"{name}_mean", 1), self.weights.take(f"{name}_var", 1)

    def block(self, place: int, target: str) -> dict[str, Tensor]:
        source = f"blocks.{place}.0"
        state: dict[str, Tensor] = {}
        for part in range(4 if self.deep else 2):
            norm, theirs = f"{target}.norms.{part}", f"{source}.bn{part + 1}"
            state[f"{norm}.gain_by"] = self.conditional_weight(f"{theirs}.gain")
            state[f"{norm}.bias_by"] = self.conditional_weight(f"{theirs}.bias")
            width = len(state[f"{norm}.gain_by"])
            state |= {f"{norm}.gain": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
            self.norm(theirs, norm, state, self.option("BN_eps", 1e-5))
            state |= self.convolution(f"{source}.conv{part + 1}", f"{target}.convs.{part}")
        if not self.deep:
            state |= self.convolution(f"{source}.conv_sc", f"{target}.shortcut")
        return state

    def convolution(self, source: str, target: str) -> dict[str, Tensor]:
        bias = self.weights.take(f"{source}.bias", 1)
        return {f"{target}.weight": self.normalise_weight(source), f"{target}.bias": bias}

    def attention(self, place: int, target: str) -> dict[str, Tensor]:
        names = {"query": "theta", "key": "phi", "value": "g", "out": "o"}
        state = {
            f"{target}.{ours}.weight": self.normalise_weight(f"blocks.{place}.1.{theirs}")
            for ours, theirs in names.items()
        }
        return state | {f"{target}.gamma": self.weights.scalar(f"blocks.{place}.1.gamma")}

    def last(self, target: str) -> dict[str, Tensor]:
        norm, gain = f"{target}.norm", self.weights.take("output_layer.0.gain", 1)
        state = {
            f"{norm}.gain": gain,
            f"{norm}.bias": self.weights.take("output_layer.0.bias", 1),
            f"{norm}.gain_by": gain.new_zeros(len(gain), 0),
            f"{norm}.bias_by": gain.new_zeros(len(gain), 0),
        }
        # That code leaves the epsilon of its last normalisation at the default.
        self.norm("output_layer.0", norm, state, 1e-5)
        picture = self.convolution("output_layer.2", f"{target}.conv")
        return state | {name: part[:3] for name, part in picture.items()}


FORMAT = Format(
    name="biggan-ajbrock",
    title="the BigGAN of BigGAN-PyTorch",
    architecture=BigGAN,
    required=(
        "linear.weight",
        "blocks.0.0.conv1.weight",
        "blocks.0.0.bn1.gain.weight",
        "output_layer.0.gain",
        "output_layer.2.weight",
    ),
    convert=convert,
    harmless=(r".*\.(u|sv)\d+", r".*\.accumulation_counter"),
)
