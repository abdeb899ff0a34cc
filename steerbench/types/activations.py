"""A picture that begins in the middle: activations at a layer, and the codes of the layers after.

Some pictures have no code that a generator's first layer could read: the features of several codes
composed with a weight for each channel (multi-code inversion), or features found by optimisation
for a photograph (layered inversion). What is left of such a search is an `ActivationState`, inert
like a latent:

    x_l = sum_n  F_l(z_n) * a_n            activations of layer l, already composed
    picture = the layers after l, from x_l * weights, with the styles of `latent`

`G.render`, the Renderer and recipes take one wherever they take a latent. Moves change the codes
that the later layers read, unit edits the later layers.

>>> state = ActivationState("b8.conv1", torch.ones(1, 4, 8, 8), weights=torch.tensor([1, 1, 0, 0]))
>>> state.weighted()[0, :, 0, 0]
tensor([1., 1., 0., 0.])

References: Gu, Shen, Zhou, "Image Processing Using Multi-Code GAN Prior" (2020, arXiv 1912.07116);
Bau et al., "Seeing What a GAN Cannot Generate" (2019, arXiv 1910.11626).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steerbench.errors import LatentError, ShapeError, SpaceError

if TYPE_CHECKING:
    from steerbench.types.latents import Latent, Move, Traversal


@dataclass(frozen=True, eq=False)
class ActivationState:
    """Activations at a layer, from which a generator goes on.

    Attributes:
        layer: The layer that gave them, or would have.
        activations: ``[N, C, H, W]`` floating point.
        weights: ``[C]`` or ``[N, C]``, a factor for each channel; None for ones.
        latent: N codes that the layers after this one read; None where they read nothing, as in a
            DCGAN.
        image: ``[N, channels, h, w]``, the picture so far, in architectures that sum up their
            picture on the way; None for what the codes draw so far.
        generator: The fingerprint of the generator; empty where it is not known.

    Raises:
        ShapeError: Numbers of pictures or channels differ.
        LatentError: Activations or weights hold NaN or infinity.
    """

    layer: str
    activations: Tensor
    weights: Tensor | None = None
    latent: Latent | None = None
    image: Tensor | None = None
    generator: str = ""

    def __post_init__(self) -> None:
        shape = tuple(self.activations.shape)
        if len(shape) != 4 or not self.activations.is_floating_point():
            raise ShapeError(
                f"Activations {list(shape)} of {self.activations.dtype} were given for layer "
                f"{self.layer!r}. Give [N, C, H, W] of floating point."
            )
        allowed = ((shape[1],), shape[:2], (1, shape[1]))
        if self.weights is not None and tuple(self.weights.shape) not in allowed:
            raise ShapeError(
                f"Weights {list(self.weights.shape)} were given for activations {list(shape)}. "
                f"Give {[shape[1]]}, or {list(shape[:2])}."
            )
        for name, count in (("latent", self.latent), ("image", self.image)):
            if count is not None and len(count) != len(self):
                raise ShapeError(
                    f"{len(self)} activations and a {name} of {len(count)} were given. Give one "
                    "for each."
                )
        if not torch.isfinite(self.weighted().detach()).all():
            raise LatentError(
                f"Activations or weights of layer {self.layer!r} hold NaN or infinity. A step of "
                "optimisation that was too large is the usual cause."
            )

    def __len__(self) -> int:
        return int(self.activations.shape[0])

    def __getitem__(self, key: int | slice | Sequence[int]) -> ActivationState:
        """Some of the states, always as a batch."""
        if isinstance(key, int):
            key = range(len(self))[key]
        chosen = [key] if isinstance(key, int) else key
        weights = self.weights
        if weights is not None and weights.ndim == 2 and len(weights) == len(self):
            weights = weights[chosen]
        return replace(
            self,
            activations=self.activations[chosen],
            weights=weights,
            latent=None if self.latent is None else self.latent[chosen],
            image=None if self.image is None else self.image[chosen],
        )

    def __add__(self, other: Move | Traversal) -> ActivationState:
        return self.with_latent(self.codes() + other)

    def __sub__(self, other: Move | Traversal) -> ActivationState:
        return self.with_latent(self.codes() - other)

    def codes(self) -> Latent:
        """Return the codes that later layers read.

        Raises:
            SpaceError: There are none.
        """
        if self.latent is None:
            raise SpaceError(
                f"These activations of layer {self.layer!r} come without codes, so there is "
                "nothing to move. Edit units of later layers, or give latent=."
            )
        return self.latent

    def weighted(self) -> Tensor:
        """Return the activations ``[N, C, H, W]`` with their channels weighted."""
        if self.weights is None:
            return self.activations
        return self.activations * self.weights.to(self.activations)[..., None, None]

    def with_latent(self, latent: Latent | None) -> ActivationState:
        """Return the same activations with other codes for the layers after."""
        return replace(self, latent=latent)

    def detach(self) -> ActivationState:
        """Return the same outside any gradient."""
        return replace(
            self,
            activations=self.activations.detach(),
            weights=None if self.weights is None else self.weights.detach(),
            latent=None if self.latent is None else self.latent.detach(),
            image=None if self.image is None else self.image.detach(),
        )
