"""The network of BigGAN: residual blocks whose batch normalisation is set by code and class.

Every normalisation turns its condition (a part of the code z, and the class embedding c) into one
gain and one bias a channel,

    h = (x - mean) / std        y = h (g + G [z, c]) + (b + B [z, c])

where mean and std are kept statistics; a network may keep several, one a step of truncation. The
two published code bases differ in the block (two convolutions and a learned shortcut, or a
bottleneck of four whose shortcut drops channels) and in what of z each layer reads
(`READS`). Spectral normalisation divides a weight by a constant once training is over, so
that weights are kept divided.

Reference: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image
Synthesis" (2018, arXiv 1809.11096); attention: Zhang, Goodfellow, Metaxas, Odena, "Self-Attention
Generative Adversarial Networks" (2018, arXiv 1805.08318).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

READS = ("whole", "chunks", "first")
"""How z reaches the layers: all of it everywhere, a chunk to each, or all of it to the first."""


@dataclass(frozen=True)
class BlockShape:
    """One residual block.

    Attributes:
        inputs: Channels that come in.
        outputs: Channels that go out.
        hidden: Of the bottleneck; 0 for a block of two convolutions.
        up: Whether it doubles the size.
    """

    inputs: int
    outputs: int
    hidden: int = 0
    up: bool = True

    @property
    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Inputs, outputs and kernel size of each convolution."""
        if not self.hidden:
            return (self.inputs, self.outputs, 3), (self.outputs, self.outputs, 3)
        inside = (self.hidden, self.hidden, 3)
        return (self.inputs, self.hidden, 1), inside, inside, (self.hidden, self.outputs, 1)


class Norm(nn.Module):
    """Batch normalisation whose gain and bias are affine in a condition.

    In training mode a batch is normalised by itself and the statistics follow; else the kept ones
    are used, and mean and std become part of the gain and the bias.
    """

    def __init__(self, width: int, condition: int, steps: int = 1) -> None:
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.gain_by = nn.Parameter(0.02 * torch.randn(width, condition))
        self.bias_by = nn.Parameter(0.02 * torch.randn(width, condition))
        self.register_buffer("means", torch.zeros(steps, width))
        self.register_buffer("variances", torch.ones(steps, width))

    def affine(self, condition: Tensor, truncation: float = 1.0) -> Tensor:
        """Map a condition ``[N, condition]`` to gains and biases, joined: ``[N, 2 width]``."""
        gain = self.gain + F.linear(condition, self.gain_by)
        bias = self.bias + F.linear(condition, self.bias_by)
        if not self.training:
            gain = gain * self.at(self.get_buffer("variances"), truncation).rsqrt()
            bias = bias - self.at(self.get_buffer("means"), truncation) * gain
        return torch.cat([gain, bias], dim=1)

    @staticmethod
    def at(statistics: Tensor, truncation: float) -> Tensor:
        """Return the statistics ``[steps, width]`` of a truncation between 0 and 1.

        Between two steps they are mixed as the published code does it: with the weights swapped,
        and at a place that floating point decides (0.14 / 0.02 lies above 7, and means 8).
        """
        if len(statistics) == 1:
            return statistics[0]
        share, place = math.modf(truncation / (1 / (len(statistics) - 1)))
        lower = min(int(place), len(statistics) - 1)
        if share == 0:
            return statistics[lower]
        upper = min(lower + 1, len(statistics) - 1)
        return statistics[lower] * share + statistics[upper] * (1 - share)

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        if self.training:
            x = self.normalise_batch(x)
        gain, bias = affine.to(x.dtype)[..., None, None].chunk(2, dim=1)
        return x * gain + bias

    def normalise_batch(self, x: Tensor, momentum: float = 0.1, epsilon: float = 1e-5) -> Tensor:
        """Normalise a batch by its own statistics, which the kept ones follow.

        Args:
            x: ``[N, C, H, W]``.
            momentum: How far the kept statistics go towards those of the batch.
            epsilon: Added to variances; the kept ones hold it already.
        """
        with torch.no_grad():
            variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3))
            self.get_buffer("means").lerp_(mean, momentum)
            self.get_buffer("variances").lerp_(variance + epsilon, momentum)
        return F.batch_norm(x, None, None, training=True, eps=epsilon)


class Dense(nn.Module):
    """The first layer: a row of numbers to ``[N, width, bottom, bottom]``."""

    def __init__(self, inputs: int, width: int, bottom: int) -> None:
        super().__init__()
        self.shape = (width, bottom, bottom)
        self.linear = nn.Linear(inputs, width * bottom**2)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        return self.linear(row).to(x.dtype).unflatten(1, self.shape)


class Block(nn.Module):
    """A residual block; it reads the gains and biases of all its normalisations, joined."""

    def __init__(self, shape: BlockShape, condition: int, steps: int) -> None:
        super().__init__()
        self.shape = shape
        parts = shape.convolutions
        self.norms = nn.ModuleList(Norm(inputs, condition, steps) for inputs, _, _ in parts)
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, size, padding=size // 2) for inputs, outputs, size in parts
        )
        if not shape.hidden:
            self.shortcut = nn.Conv2d(shape.inputs, shape.outputs, 1)

    def affine(self, condition: Tensor, truncation: float = 1.0) -> Tensor:
        norms = cast(Iterable[Norm], self.norms)
        return torch.cat([norm.affine(condition, truncation) for norm in norms], dim=1)

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        shape, kept = self.shape, x
        widths = [2 * inputs for inputs, _, _ in shape.convolutions]
        for place, part in enumerate(affine.split(widths, dim=1)):
            x = F.relu(self.norms[place](x, part))
            if shape.up and place == len(widths) // 2 - 1:
                x = enlarge(x)
            x = convolve(self.convs[place], x)
        kept = kept[:, : shape.outputs] if shape.hidden else convolve(self.shortcut, kept)
        return x + (enlarge(kept) if shape.up else kept)


class Attention(nn.Module):
    """Every pixel looks at all others, of which the strongest of each four are kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, width // 8, 1, bias=False)
        self.key = nn.Conv2d(width, width // 8, 1, bias=False)
        self.value = nn.Conv2d(width, width // 2, 1, bias=False)
        self.out = nn.Conv2d(width // 2, width, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, nothing: Tensor) -> Tensor:
        query = convolve(self.query, x).flatten(2)
        key = F.max_pool2d(convolve(self.key, x), 2).flatten(2)
        value = F.max_pool2d(convolve(self.value, x), 2).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        seen = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma.to(x.dtype) * convolve(self.out, seen)


class ToRGB(nn.Module):
    """The last layer: the picture before its tanh."""

    def __init__(self, width: int, channels: int, steps: int) -> None:
        super().__init__()
        self.norm = Norm(width, 0, steps)
        self.conv = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        return convolve(self.conv, F.relu(self.norm(x, affine)))


class BigGANNetwork(nn.Module):
    """The trainable part: a list of layers, of which each takes the activations and its input.

    Args:
        z_dim: Length of a code.
        classes: How many.
        embedding: Length of the class embedding; 0 where the weights of the classes are read as
            they are, so that every normalisation has its own embedding.
        reads: One of `READS`.
        blocks: The residual blocks.
        attention: Where attention stands: after how many blocks.
        channels: Of the picture.
        bottom: Pixels a side after the first layer.
        steps: Steps of truncation that statistics are kept for.
    """

    def __init__(
        self,
        *,
        z_dim: int,
        classes: int,
        embedding: int,
        blocks: Sequence[BlockShape],
        reads: str = "chunks",
        attention: Sequence[int] = (),
        channels: int = 3,
        bottom: int = 4,
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.z_dim, self.classes, self.embedding = z_dim, classes, embedding
        self.reads, self.blocks, self.attention = reads, tuple(blocks), tuple(attention)
        self.channels, self.bottom, self.steps = channels, bottom, steps
        self.rows = len(self.blocks) + 1
        self.chunk = z_dim // self.rows if reads == "chunks" else z_dim
        self.c_dim = embedding or classes
        if embedding:
            self.embed = nn.Linear(classes, embedding, bias=False)
        condition = self.c_dim + (0 if reads == "first" else self.chunk)
        first = self.chunk + (self.c_dim if reads == "whole" else 0)
        layers: list[nn.Module] = [Dense(first, self.blocks[0].inputs, bottom)]
        width = self.blocks[0].inputs
        for place in range(self.rows):
            if place in self.attention:
                layers.append(Attention(width))
            if place < len(self.blocks):
                layers.append(Block(self.blocks[place], condition, steps))
                width = self.blocks[place].outputs
        layers.append(ToRGB(width, channels, steps))
        self.layers = nn.ModuleList(layers)

    def options(self) -> dict[str, Any]:
        """Return what makes the same network again, as plain values."""
        names = ("z_dim", "classes", "embedding", "reads", "channels", "bottom", "steps")
        return {name: getattr(self, name) for name in names} | {
            "blocks": [asdict(shape) for shape in self.blocks],
            "attention": list(self.attention),
        }

    def embed_classes(self, weights: Tensor) -> Tensor:
        """Map weights of the classes ``[N, classes]`` to class embeddings ``[N, c_dim]``."""
        return self.embed(weights) if self.embedding else weights

    def split_code(self, z: Tensor) -> Tensor:
        """Split z ``[N, z_dim]`` into the rows that the layers read, ``[N, rows, chunk]``."""
        if self.reads == "chunks":
            return z.unflatten(1, (self.rows, self.chunk))
        return z[:, None].expand(-1, self.rows, -1)

    def inputs(self, rows: Tensor, truncation: float = 1.0) -> list[Tensor]:
        """Return what each layer reads of ``[N, rows, chunk + c_dim]``, codes and embeddings."""
        first = rows[:, 0] if self.reads == "whole" else rows[:, 0, : self.chunk]
        given, place = [first], 1
        for layer in list(self.layers)[1:]:
            if isinstance(layer, Block):
                row = rows[:, place, self.chunk :] if self.reads == "first" else rows[:, place]
                given.append(layer.affine(row, truncation))
                place += 1
            elif isinstance(layer, ToRGB):
                given.append(layer.norm.affine(rows[:, 0, :0], truncation))
            else:
                given.append(rows[:, 0, :0])
        return given

    def forward(self, z: Tensor, weights: Tensor, truncation: float = 1.0) -> Tensor:
        """Map codes ``[N, z_dim]`` and weights of the classes to pictures ``[N, C, H, W]``."""
        c = self.embed_classes(weights)[:, None].expand(-1, self.rows, -1)
        rows = torch.cat([self.split_code(z), c], dim=2)
        x = z[:, :0, None, None]
        for layer, given in zip(self.layers, self.inputs(rows, truncation)):
            x = layer(x, given)
        return x.tanh()


def convolve(part: nn.Module, x: Tensor) -> Tensor:
    """Return a convolution at the precision of the activations."""
    weight = part.get_parameter("weight").to(x.dtype)
    bias = getattr(part, "bias", None)
    bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


__all__ = ["READS", "Attention", "BigGANNetwork", "Block", "BlockShape", "Dense", "Norm", "ToRGB"]
