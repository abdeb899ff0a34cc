"""A generator as a function of a step: what methods that differentiate it have in common.

`StepFunction` adds steps ``[N, *shape]`` to codes, in all rows of the layer-wise latent or in some,
and gives what comes out: pictures, or the activations of a layer. It differentiates in either mode,
and changes nothing.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> codes = G.sample(2, space="w")
>>> steps = torch.zeros(2, 128)
>>> torch.equal(StepFunction(G, "w")(codes, steps), G.render(codes))
True
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from steerbench.errors import SpaceError, unknown
from steerbench.types import Generator, Latent
from steerbench.unsupervised.shared import rows_of


class StepFunction:
    """What a generator makes of codes that were moved.

    Args:
        generator: Any.
        space: Where steps are taken; the natural one by default.
        layers: The rows of the layer-wise latent that a step changes.
        output: A layer whose activations are looked at; the picture by default.
        precision: Of pictures, ``"exact"`` or ``"fast"``.

    Attributes:
        space: The name of the space.
        size: How many numbers a step has.
        rows: The rows that it changes; none for all.

    Raises:
        SpaceError: The generator has no such space.
        LayerError: It has no such row or layer.
    """

    def __init__(
        self,
        generator: Generator,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        output: str | None = None,
        precision: str = "exact",
    ) -> None:
        self.space = generator.natural_space if space is None else space
        if self.space not in generator.spaces:
            raise SpaceError(unknown("space", self.space, generator.spaces))
        self.generator, self.output, self.precision = generator, output, precision
        self.rows = rows_of(generator, self.space, layers)
        self.size = generator.spaces[self.space].size

    def sample(self, n: int, seed: int) -> Latent:
        """Return codes of the prior in the space, with memory of their own."""
        codes = self.generator.sample(n, seed=seed, space=self.space)
        return codes.with_data(codes.data.detach().clone())

    def __call__(self, codes: Latent, steps: Tensor) -> Tensor:
        """Return pictures or activations ``[N, C, H, W]`` of codes moved by steps ``[N, size]``."""
        steps = steps.to(codes.data).reshape(-1, *self.generator.spaces[self.space].shape)
        if self.rows is None or self.space.endswith("+"):
            moved = codes.with_data(codes.data + self._limit(steps))
        else:
            layered = self.generator.to(codes, self.space + "+")
            chosen = torch.zeros(layered.data.shape[1], 1).to(steps)
            chosen[list(self.rows)] = 1
            moved = layered.with_data(layered.data + chosen * steps[:, None])
        if self.output is not None:
            return self.generator.capture(moved, [self.output])[self.output]
        return self.generator.render(moved, precision=self.precision)

    def _limit(self, steps: Tensor) -> Tensor:
        """Steps of a layer-wise space, in the chosen rows only."""
        if self.rows is None:
            return steps
        chosen = torch.zeros(steps.shape[1], 1).to(steps)
        chosen[list(self.rows)] = 1
        return chosen * steps
