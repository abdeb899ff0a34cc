"""Glow: an invertible generator, which codes every picture exactly and knows how likely it is.

A picture x is squeezed (2x2 pixels become channels) and runs through the steps of a level; half of
the channels leave as the level's part of the code, the rest goes on to the next level. A step is a
scale and shift a channel, an invertible 1x1 convolution, and a coupling, in which one half of the
channels changes the other:

    y_a = x_a        y_b = sigmoid(log_s(x_a) + 2) * (x_b + t(x_a))       or  y_b = x_b + t(x_a)

so each step is undone exactly, and its Jacobian determinant is a product of known numbers. The
part of the code that leaves a level is normal with a mean and a deviation that what goes on
predicts; z is that part standardised, the levels' parts joined, finest first, and
``spaces["z"].slices`` says which numbers belong to which level. Then z is standard normal, and

    log p(x) = log N(z; 0, 1) + log |det dz/dx|.

The layers are the steps, walked from the code to the picture:

    b4.flow31  b4.flow30 ... b4.flow0  b8.flow31 ... b32.flow0

The network is convolutional and has no size of its own: codes and pictures of any side that the
levels divide are accepted, and `Glow.at_resolution` changes the side that samples have.
Drawing with a temperature below 1, as is usual, is ``sample(n, truncation=0.7)``: z times 0.7.

Conventions. The network's pictures lie in [-0.5, 0.5], ours in [-1, 1]; ``log_prob`` is the density
of the pictures as given, in nats. The published loss counts in bits a dimension for pictures of a
few levels of grey with uniform noise below a level: `Glow.bits_per_dim`. "Fast" precision is
the exact one, because the inverse amplifies rounding.

Reference: Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions" (2018, arXiv
1807.03039).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CapabilityError, CheckpointError, ShapeError
from steerbench.generators.base import BaseGenerator
from steerbench.generators.glow.network import GlowNetwork
from steerbench.types import Latent, Layer, Space, State


class Glow(BaseGenerator):
    """A Glow; its one space is z."""

    architecture = "glow"

    def __init__(self, network: GlowNetwork, *, name: str, resolution: int | None = None) -> None:
        self.network = network
        levels = len(network.levels)
        # Published networks end at 4x4; their files do not say at which size they were trained.
        side = resolution or 4 * 2**levels
        self.walk = [
            (level, step)
            for level in reversed(range(levels))
            for step in reversed(range(network.n_flows))
        ]
        slices, start = {}, 0
        for place, shape in enumerate(self._part_shapes(side)):
            slices[f"b{side // 2 ** (place + 1)}"] = slice(start, start + math.prod(shape))
            start += math.prod(shape)
        self.slices = slices
        code = Space("z", (start,), slices=slices)
        layers = _layers(network, self.walk, side)
        super().__init__(network, name=name, spaces=[code], layers=layers)
        self.resolution = side

    def _rebind(self) -> None:
        if isinstance(self.module, GlowNetwork):
            self.network = self.module

    def at_resolution(self, side: int) -> Glow:
        """Return the same network, drawing samples of another side.

        Raises:
            ShapeError: The side cannot be halved once a level.
        """
        if side < 1 or side % 2 ** len(self.network.levels):
            raise ShapeError(self._sides(f"A side of {side} pixels was asked for"))
        return Glow(self.network, name=self.name, resolution=side)

    def _part_shapes(self, side: int) -> list[tuple[int, int, int]]:
        """Return the shape of each level's part of a code, the finest first."""
        count, channels = len(self.network.levels), self.network.channels
        return [
            (channels * 2 ** (place + (1 if place < count - 1 else 2)), small, small)
            for place in range(count)
            for small in [side // 2 ** (place + 1)]
        ]

    def _side(self, size: int) -> int | None:
        """Return the side of the pictures whose codes have so many numbers, or none."""
        side = math.isqrt(size // self.network.channels)
        whole = side > 0 and side % 2 ** len(self.network.levels) == 0
        return side if whole and self.network.channels * side**2 == size else None

    def _is_code(self, space: str, shape: Sequence[int]) -> bool:
        return len(shape) == 1 and self._side(shape[0]) is not None

    def _sides(self, given: str) -> str:
        step = 2 ** len(self.network.levels)
        return (
            f"{given}; {self.name!r} takes square pictures of {self.network.channels} channels "
            f"whose side is a multiple of {step}, for example {self.resolution}."
        )

    # From codes to pictures.

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
        label: Any = None,
    ) -> Latent:
        """Draw codes as every generator does; ``truncation`` is the temperature."""
        return super().sample(n, seed=seed, space=space or "z", truncation=truncation, label=label)

    def _truncate(self, latent: Latent, psi: float, cutoff: int | None) -> Latent:
        if cutoff is not None:
            raise CapabilityError(
                f"A truncation cutoff was given, but a code of {self.name!r} has no rows. Leave it "
                "out."
            )
        return latent.with_data(latent.data * psi)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        code = latent.data.to(next(self.network.parameters()).dtype)
        shapes = self._part_shapes(cast(int, self._side(code.shape[1])))
        parts = code.split([math.prod(shape) for shape in shapes], dim=1)
        inputs = tuple(
            parts[level].unflatten(1, shapes[level])
            if step == self.network.n_flows - 1
            else code[:, :0]
            for level, step in self.walk
        )
        return State(0, inputs, code.new_zeros(len(code), 0, 1, 1), None, noise)

    def layer(self, state: State) -> Tensor:
        place, step = self.walk[state.index]
        level, x = self.network.level(place), state.x
        if step == self.network.n_flows - 1:
            x = level.join(None if level.last else F.pixel_shuffle(x, 2), state.inputs[state.index])
        return level.step(step).inverse(x)

    def finish(self, state: State) -> Tensor:
        return 2 * F.pixel_shuffle(state.x, 2)

    # From pictures to codes.

    def encode(self, images: Tensor) -> Latent:
        """Return codes of pictures ``[N, C, H, W]`` in [-1, 1]; rendering them gives the pictures.

        Differentiable when the pictures require a gradient.

        Raises:
            ShapeError: The pictures have another shape than the network can take.
        """
        parts, _, _, _ = self.network(self._own_range(images))
        return self._bind("z", torch.cat([part.flatten(1) for part in parts], dim=1), None, None)

    def log_prob(self, images: Tensor) -> Tensor:
        """Return the log density ``[N]`` of pictures ``[N, C, H, W]`` in [-1, 1], in nats.

        It is the density of the pictures as they are given; for the network's own range add
        ``numel * log 2``. A picture of whole grey levels has no density worth the name: see
        `bits_per_dim`.
        """
        x = self._own_range(images)
        _, _, log_p, logdet = self.network(x)
        return log_p + logdet - x[0].numel() * math.log(2)

    def bits_per_dim(self, images: Tensor, *, bits: int = 8, seed: int = 0) -> Tensor:
        """Return the bits ``[N]`` that a channel of a pixel takes, cut to ``2**bits`` levels.

        Uniform noise fills each level, so this is a bound from above, as the published loss is;
        published networks of faces were trained with 5 bits.
        """
        levels = 2**bits
        grey = ((images + 1) * 127.5).round().clamp(0, 255)
        cell = (grey / 2 ** (8 - bits)).floor()
        drawn = np.random.RandomState(seed).rand(*images.shape)
        noisy = (cell + torch.from_numpy(drawn).to(cell)) / levels - 0.5
        size = images[0].numel()
        nats = self.log_prob(2 * noisy) + size * math.log(2 / levels)
        return -nats / (size * math.log(2))

    def _own_range(self, images: Tensor) -> Tensor:
        """Return pictures at the network's range and precision."""
        shape = tuple(images.shape)
        square = len(shape) == 4 and shape[1] == self.network.channels and shape[2] == shape[3]
        if not square or not shape[3] or shape[3] % 2 ** len(self.network.levels):
            raise ShapeError(self._sides(f"Pictures of shape {list(shape)} were given"))
        return images.to(self.device, next(self.network.parameters()).dtype) / 2

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network = self.network
        return {
            "channels": network.channels,
            "flows": network.n_flows,
            "levels": len(network.levels),
            "width": network.width,
            "affine": network.affine,
            "resolution": self.resolution,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str) -> Glow:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.

        Raises:
            CheckpointError: A step of the flow cannot be taken back.
        """
        options = dict(config)
        resolution = options.pop("resolution", None)
        with torch.device("meta"):
            network = GlowNetwork(**options)
        copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        stuck = network.find_singular()
        if stuck:
            raise CheckpointError(
                f"The matrix of {stuck} is singular, so that no picture can be drawn from a code. "
                "Get the file again from where it came from."
            )
        return cls(network, name=name, resolution=resolution)


def _layers(network: GlowNetwork, walk: Sequence[tuple[int, int]], side: int) -> list[Layer]:
    return [
        Layer(
            f"b{side // 2 ** (level + 1)}.flow{step}",
            index,
            4 * network.channels * 2**level,
            side // 2 ** (level + 1),
            side // 2 ** (level + 1),
            aliases=(f"blocks.{level}.flows.{step}",),
        )
        for index, (level, step) in enumerate(walk)
    ]


__all__ = ["Glow"]
