"""Where a search begins: the mean code, the nearest of many samples, an encoder's guess, or given.

A loss that is full of valleys ends in the one it began in, so where to begin decides much.

- ``"mean"``: the mean of w, or of the space itself. In the first space of a model that maps it on
  (z of a StyleGAN, which has no preferred length), the sample whose next code lies nearest to its
  mean.
- ``"nearest"``: of many samples of the prior the one whose picture has the lowest loss.
- ``"encoder"``: what an encoder makes of the wanted picture.
- a Latent: one code for all pictures, or one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from steerbench.errors import ArgumentError, CapabilityError, SpaceError, unknown
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.encoders import Encoder, encoder_for
from steerbench.inversion.engine import Loss
from steerbench.types import Latent

NAMES = ("mean", "nearest", "encoder")
Start = str | Latent
Guess = Callable[[Tensor], Any]
"""Pictures to codes: a Latent, or numbers of the space that is searched."""


class Samples:
    """Samples of a generator's prior with their pictures, drawn once for all that look at them."""

    def __init__(self, generator: BaseGenerator, n: int, seed: int, label: Any, batch: int) -> None:
        self.latent = generator.sample(n, seed=seed, label=label)
        parts = [self.latent[i : i + batch] for i in range(0, n, batch)]
        with torch.no_grad():
            self.images = torch.cat([generator.render(part, precision="fast") for part in parts])

    @torch.no_grad()
    def nearest(self, loss: Loss, n: int, batch: int = 64) -> Latent:
        """The sample of the lowest loss for each of ``n`` wanted pictures."""
        chosen = []
        for row in range(n):
            parts = [
                loss(images, torch.full((len(images),), row)) for images in self.images.split(batch)
            ]
            chosen.append(int(torch.cat(parts).argmin()))
        return self.latent[chosen]


def known(generator: BaseGenerator, space: str) -> tuple[str, ...]:
    """The starts that a generator's space has."""
    return NAMES if _guess(generator, space, None) is not None else NAMES[:2]


def begin(
    generator: BaseGenerator,
    start: Start,
    space: str,
    images: Tensor,
    *,
    loss: Loss,
    samples: Callable[[], Samples],
    label: Any = None,
    guess: Guess | None = None,
) -> Latent:
    """The codes ``[N, *shape]`` of a space in which a search for N pictures begins.

    Args:
        generator: Whose codes.
        start: See the top of this page.
        space: To search in.
        images: The wanted pictures ``[N, C, H, W]``.
        loss: What "nearest" goes by.
        samples: Gives the samples to choose the nearest of.
        label: For conditional generators.
        guess: An encoder of one's own; by default that of the bundle, or the model's way back.

    Raises:
        ArgumentError: There is no such start.
        CapabilityError: There is no encoder for this space.
        SpaceError, ShapeError: A given latent does not lead to the space, or has another number.
    """
    n = len(images)
    if isinstance(start, Latent):
        return _given(generator, start, space, n)
    if start == "mean":
        return _mean(generator, space, n, label)
    if start == "nearest":
        return generator.to(samples().nearest(loss, n), space)
    if start != "encoder":
        raise ArgumentError(unknown("start", start, NAMES))
    way = _guess(generator, space, guess)
    if way is None:
        raise CapabilityError(
            f"There is no encoder that gives codes of {space!r} for {generator.name!r}. Leave "
            "'encoder' out of the starts, or give encoder=, a function from pictures to codes."
        )
    found = way(images)
    found = found if isinstance(found, Latent) else generator.latent(found, space, label)
    return _given(generator, found, space, n)


def _guess(generator: BaseGenerator, space: str, given: Guess | None) -> Guess | None:
    """A way from pictures to codes from which a space can be reached."""
    if isinstance(given, Encoder):
        return lambda images: given.encode(images, "w" if space in ("w", "p") else "w+")
    if given is not None:
        return given
    own = encoder_for(generator)
    if isinstance(own, Encoder):
        return None if space == generator.latent_space else _guess(generator, space, own)
    if own is not None:
        return own
    if type(generator).encode is not BaseGenerator.encode and space == generator.latent_space:
        return generator.encode
    return None


def _given(generator: BaseGenerator, latent: Latent, space: str, n: int) -> Latent:
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
    if space == first and _looks_at_directions(generator, label):
        code, root = _middle(generator, first, after, label), first
    else:
        root = after if after is not None and _leads(generator, after, space) else space
        mean = generator.spaces[root].mean
        if mean is None:
            raise CapabilityError(f"{generator.name!r} does not know the mean of {root!r}.")
        code = mean
    return _given(generator, generator.latent(code[None], root, label), space, n)


@torch.no_grad()
def _looks_at_directions(generator: BaseGenerator, label: Any) -> bool:
    """Whether a code of twice the length draws the same picture, so that zero draws none."""
    code = generator.sample(1, seed=0, label=label)
    once, twice = (generator.render(code.with_data(k * code.data)) for k in (1, 2))
    return torch.allclose(once, twice, atol=1e-3)


@torch.no_grad()
def _middle(generator: BaseGenerator, first: str, after: str | None, label: Any) -> Tensor:
    """The sample whose code in the next space, or else picture, lies nearest to the mean."""
    if after is None:
        drawn = generator.sample(64, seed=0, label=label)
        onwards = generator.render(drawn).flatten(1)
        return drawn.data[(onwards - onwards.mean(0)).square().sum(1).argmin()]
    codes = torch.cat([*generator.statistics.codes(first)])
    onwards = torch.cat([*generator.statistics.codes(after)]).flatten(1)
    return codes[(onwards - onwards.mean(0)).square().sum(1).argmin()]


def _leads(generator: BaseGenerator, source: str, target: str) -> bool:
    try:
        generator.to(generator.sample(1, space=source), target)
    except SpaceError:
        return False
    return True


__all__ = ["NAMES", "Guess", "Samples", "Start", "begin", "known"]
