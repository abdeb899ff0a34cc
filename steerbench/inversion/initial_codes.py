"""Where a search begins: the mean code, the nearest of many samples, an encoder's guess, or given.

A loss that is full of valleys ends in the one it began in, so where to begin decides much.

- ``"mean"``: the mean of w, or of the space itself. In the first space of a model that maps it on
  (z of a StyleGAN, which has no preferred length), the sample whose next code lies nearest to its
  mean.
- ``"nearest"``: of many samples of the prior the one whose picture has the lowest loss.
- ``"encoder"``: what an encoder makes of the target picture.
- a Latent: one code for all pictures, or one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from steerbench.errors import ArgumentError, CapabilityError, SpaceError, unknown
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.encoders import Encoder, encoder_for
from steerbench.inversion.engine import Loss
from steerbench.types import Latent

Init = str | Latent
Encode = Callable[[Tensor], Any]
"""Pictures to codes: a Latent, or numbers of the space that is searched."""


@dataclass(frozen=True, eq=False)
class Initialisation:
    """Where a search begins.

    Attributes:
        codes: ``"mean"``, ``"nearest"``, ``"encoder"``, a Latent, or several of them, of which
            the best goes on after the warm-up; None for all that the space has.
        n_samples: How many samples of the model to choose the nearest of, and to compare with.
        encoder: A function from pictures to codes, for ``"encoder"``; by default that of the
            generator's bundle, or the model's way back.
        label: For conditional generators; None draws one with every sample.

    Raises:
        ArgumentError: Fewer than two samples.
    """

    codes: Init | Sequence[Init] | None = None
    n_samples: int = 96
    encoder: Encode | None = None
    label: Any = None

    def __post_init__(self) -> None:
        if self.n_samples < 2:
            raise ArgumentError(
                f"n_samples={self.n_samples}; give at least 2 samples to compare with."
            )

    @classmethod
    def of(cls, init: Initialisation | Init | Sequence[Init] | None) -> Initialisation:
        """Return what a caller said in short, in full."""
        return init if isinstance(init, Initialisation) else cls(init)

    def choices(self, generator: BaseGenerator, space: str) -> tuple[Init, ...]:
        """Return the codes to try, the cheapest first."""
        if isinstance(self.codes, (str, Latent)):
            return (self.codes,)
        if self.codes is not None:
            return tuple(self.codes)
        guess = _encode(generator, space, self.encoder) is not None
        return ("mean", "nearest", "encoder") if guess else ("mean", "nearest")


class Samples:
    """Samples of a generator's prior with their pictures, drawn when they are first asked for.

    Args:
        generator: What draws them.
        init: How many, and of which label.
        seed: Of the first.
        batch_size: Pictures at a time.
    """

    def __init__(
        self, generator: BaseGenerator, init: Initialisation, seed: int, batch_size: int = 32
    ) -> None:
        self.generator, self.init, self.seed, self.batch_size = generator, init, seed, batch_size

    @cached_property
    def latent(self) -> Latent:
        """Their codes."""
        init = self.init
        return self.generator.sample(init.n_samples, seed=self.seed, label=init.label)

    @cached_property
    def images(self) -> Tensor:
        """Their pictures ``[n_samples, C, H, W]``."""
        starts = range(0, len(self.latent), self.batch_size)
        parts = [self.latent[i : i + self.batch_size] for i in starts]
        with torch.no_grad():
            return torch.cat([self.generator.render(part, precision="fast") for part in parts])

    @torch.no_grad()
    def nearest(self, loss: Loss, n: int, batch_size: int = 64) -> Latent:
        """Return the sample of the lowest loss for each of the targets.

        Args:
            loss: Of pictures and the targets that they stand for.
            n: How many targets.
            batch_size: Pictures at a time.
        """
        chosen = []
        for index in range(n):
            parts = [
                loss(images, torch.full((len(images),), index))
                for images in self.images.split(batch_size)
            ]
            chosen.append(int(torch.cat(parts).argmin()))
        return self.latent[chosen]


def initial_latents(
    generator: BaseGenerator,
    init: Init,
    space: str,
    images: Tensor,
    loss: Loss,
    samples: Samples,
) -> Latent:
    """Return the codes ``[N, *shape]`` of a space in which a search for N pictures begins.

    Args:
        generator: Whose codes.
        init: See the top of this page.
        space: To search in.
        images: The target pictures ``[N, C, H, W]``.
        loss: What "nearest" goes by.
        samples: To choose the nearest of; their initialisation says the label and the encoder.

    Raises:
        ArgumentError: There is no such start.
        CapabilityError: There is no encoder for this space.
        SpaceError, ShapeError: A given latent does not lead to the space, or has another number.
    """
    n, label = len(images), samples.init.label
    if isinstance(init, Latent):
        return _convert(generator, init, space, n)
    if init == "mean":
        return _mean(generator, space, n, label)
    if init == "nearest":
        return generator.to(samples.nearest(loss, n), space)
    if init != "encoder":
        raise ArgumentError(unknown("start", init, ("mean", "nearest", "encoder")))
    encode = _encode(generator, space, samples.init.encoder)
    if encode is None:
        raise CapabilityError(
            f"There is no encoder that gives codes of {space!r} for {generator.name!r}. Leave "
            "'encoder' out of init, or give init=Initialisation('encoder', encoder=f), where f is "
            "a function from pictures to codes."
        )
    codes = encode(images)
    latent = codes if isinstance(codes, Latent) else generator.latent(codes, space, label)
    return _convert(generator, latent, space, n)


def _encode(generator: BaseGenerator, space: str, encoder: Encode | None) -> Encode | None:
    """Return a way from pictures to codes from which a space can be reached."""
    if isinstance(encoder, Encoder):
        return lambda images: encoder.encode(images, "w" if space in ("w", "p") else "w+")
    if encoder is not None:
        return encoder
    own = encoder_for(generator)
    if isinstance(own, Encoder):
        return None if space == generator.latent_space else _encode(generator, space, own)
    if own is not None:
        return own
    if type(generator).encode is not BaseGenerator.encode and space == generator.latent_space:
        return generator.encode
    return None


def _convert(generator: BaseGenerator, latent: Latent, space: str, n: int) -> Latent:
    """Return given codes in a space, one for each of ``n`` pictures."""
    if len(latent) not in (1, n):
        raise ArgumentError(
            f"A start of {len(latent)} codes was given for {n} pictures. Give one for all, or one "
            "for each."
        )
    try:
        there = generator.to(latent.detach(), space)
    except SpaceError as error:
        raise SpaceError(f"The start cannot be used to search in {space!r}. {error}") from error
    return there[[0] * n] if len(there) < n else there


def _mean(generator: BaseGenerator, space: str, n: int, label: Any) -> Latent:
    first = generator.latent_space
    after = next((s.name for s in generator.spaces.values() if s.parent == first), None)
    if space == first and _ignores_length(generator, label):
        code, root = _middle(generator, first, after, label), first
    else:
        root = after if after is not None and _leads(generator, after, space) else space
        mean = generator.spaces[root].mean
        if mean is None:
            raise CapabilityError(f"{generator.name!r} does not know the mean of {root!r}.")
        code = mean
    return _convert(generator, generator.latent(code[None], root, label), space, n)


@torch.no_grad()
def _ignores_length(generator: BaseGenerator, label: Any) -> bool:
    """Return whether a code of twice the length draws the same picture, so that zero draws none."""
    code = generator.sample(1, seed=0, label=label)
    once, twice = (generator.render(code.with_data(k * code.data)) for k in (1, 2))
    return torch.allclose(once, twice, atol=1e-3)


@torch.no_grad()
def _middle(generator: BaseGenerator, first: str, after: str | None, label: Any) -> Tensor:
    """Return the sample whose code in the next space, or else picture, is nearest to the mean."""
    if after is None:
        samples = generator.sample(64, seed=0, label=label)
        onwards = generator.render(samples).flatten(1)
        return samples.data[(onwards - onwards.mean(0)).square().sum(1).argmin()]
    codes = torch.cat([*generator.statistics.codes(first)])
    onwards = torch.cat([*generator.statistics.codes(after)]).flatten(1)
    return codes[(onwards - onwards.mean(0)).square().sum(1).argmin()]


def _leads(generator: BaseGenerator, source: str, target: str) -> bool:
    try:
        generator.to(generator.sample(1, space=source), target)
    except SpaceError:
        return False
    return True


__all__ = ["Encode", "Init", "Initialisation", "Samples", "initial_latents"]
