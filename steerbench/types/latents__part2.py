"""Codes with the space and the generator that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steerbench.errors import SpaceError

if TYPE_CHECKING:
    from steerbench.types.latents import Direction
    from steerbench.types.latents import Move


@dataclass(frozen=True, eq=False)
class Latent:
    """A batch of codes.

    ``latent + 2.0 * direction`` is a Latent. Adding a direction that is limited to some layers to
    a latent of one code turns it into its layer-wise form (w becomes w+).

    Attributes:
        space: The name of the space.
        data: ``[N, *shape]`` floating point.
        generator: The fingerprint of the generator it belongs to; empty where it is not known.
        seed: The seed of the first code, where the codes were sampled.
        label: Class indices ``[N]`` or weights ``[N, classes]``, for conditional generators.
        rows: How many rows the layer-wise form of this space has.
    """

    space: str
    data: Tensor
    generator: str = ""
    seed: int | None = None
    label: Tensor | None = None
    rows: int | None = None

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, key: int | slice | Sequence[int]) -> Latent:
        """Some of the codes, always as a batch: ``latent[3]`` holds one."""
        seed = None
        if isinstance(key, int):
            if not -len(self) <= key < len(self):
                raise IndexError(f"Code {key} of {len(self)} was asked for.")
            key = key % len(self)
            seed = None if self.seed is None else self.seed + key
            chosen: slice | list[int] = slice(key, key + 1)
        elif isinstance(key, slice):
            start, _, step = key.indices(len(self))
            seed = self.seed + start if self.seed is not None and step == 1 else None
            chosen = key
        else:
            chosen = list(key)
        label = None if self.label is None else self.label[chosen]
        return replace(self, data=self.data[chosen], label=label, seed=seed)

    def __add__(self, other: Move | Direction) -> Latent:
        from steerbench.types.latents import Direction
        from steerbench.types.latents import Move, apply_move

        if isinstance(other, Direction):
            other = Move(other, 1.0)
        if not isinstance(other, Move):
            return NotImplemented
        return apply_move(self, other)

    def __sub__(self, other: Move | Direction) -> Latent:
        return self + (-other)

    def with_data(self, data: Tensor, space: str | None = None) -> Latent:
        """The same latent with other numbers, in this space or another; the seed stays."""
        return replace(self, data=data, space=space or self.space)

    def detach(self) -> Latent:
        """The same codes outside any gradient."""
        return replace(self, data=self.data.detach())

    def requires_grad_(self) -> Latent:
        """A copy whose codes collect gradients."""
        return replace(self, data=self.data.detach().clone().requires_grad_())

    @property
    def grad(self) -> Tensor | None:
        """The gradient collected by the codes."""
        return self.data.grad

    @staticmethod
    def cat(latents: Sequence[Latent]) -> Latent:
        """One batch out of several of the same space and generator."""
        first = latents[0]
        for latent in latents[1:]:
            if (latent.space, latent.generator) != (first.space, first.generator):
                raise SpaceError(
                    f"Latents of {first.space!r} (generator {first.generator}) and "
                    f"{latent.space!r} (generator {latent.generator}) cannot be joined. "
                    f"Convert them with G.to(latent, {first.space!r}) first."
                )
        labels = [latent.label for latent in latents]
        known = [label for label in labels if label is not None]
        label = torch.cat(known) if len(known) == len(labels) else None
        data = torch.cat([latent.data for latent in latents])
        return replace(first, data=data, seed=None, label=label)
