"""Restoration: what a picture lost, filled in by what a generator knows of pictures.

Somebody's picture I went through a known degradation D (`degradations`): a hole was cut,
colours or details are gone, noise came in. Of all pictures that a generator can draw, take one
that the same degradation would have left alike:

    c* = argmin over c of  |D G(c) - I|^2 + perceptual * d(D G(c), I) + prior * |(c - mean) / std|^2
                           + wish * (1 - cos(f(restored), g(prompt)))

and put what is known of the picture back into G(c*). For a hole with the mask m that is
c* = argmin |m . (G(c) - I)|. The last term, if a prompt is given, asks a CLIP that the restored
picture shows what it says. There are as many answers as starts: what was lost is lost, and
``proposals`` gives several to choose from.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> room = G.render(G.sample(1, seed=7)).clamp(-1, 1)
>>> mask = torch.zeros(64, 64)
>>> mask[20:40, 20:40] = 1
>>> found = restore(G, room, Hole(mask), steps=5, proposals=2, progress=False)
>>> found.images.shape, found.proposals.shape
(torch.Size([1, 3, 64, 64]), torch.Size([2, 1, 3, 64, 64]))

References: Pan, Zhan, Dai, Lin, Loy, Luo, "Exploiting Deep Generative Prior for Versatile Image
Restoration and Manipulation" (2020, arXiv 2003.13659); holes: Yeh, Chen, Lim, Schwing,
Hasegawa-Johnson, Do, "Semantic Image Inpainting with Deep Generative Models" (2017, arXiv
1607.07539); detail: Menon, Damian, Hu, Ravi, Rudin, "PULSE" (2020, arXiv 2003.03808).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from steerbench import assets
from steerbench.errors import ArgumentError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.degradations import Degradation, Grey, Hole, Noisy, Smaller
from steerbench.inversion.engine import Plan
from steerbench.inversion.initial_codes import Guess, Samples, Start, begin, known
from steerbench.inversion.optimize import features_of
from steerbench.inversion.perceptual import Features, described, difference
from steerbench.inversion.photographs import Crop, pictures
from steerbench.inversion.search import Callback, Found, search
from steerbench.types import Latent, Provenance


class ReadsAndSees(Protocol):
    """Places pictures and texts in one space, as `steerbench.predictors.clip.Clip` does."""

    def encode_image(self, images: Tensor) -> Tensor: ...

    def encode_text(self, texts: Sequence[str]) -> Tensor: ...


class Evidence:
    """The loss of restoration: how badly pictures explain what is left of the given ones.

    Args:
        degradation: What the given pictures went through.
        given: What is left of them, ``[N, c, h, w]``.
        features: What a network sees in pictures; None for pixels alone.
        perceptual: The weight of what it sees.
        clip, prompt, wish: A CLIP, what the restored pictures should show, and the weight of that.
    """

    def __init__(
        self,
        degradation: Degradation,
        given: Tensor,
        features: Features | None = None,
        *,
        perceptual: float = 0.1,
        clip: ReadsAndSees | None = None,
        prompt: str = "",
        wish: float = 0.1,
    ) -> None:
        self.degradation, self.given, self.wish = degradation, given, wish
        self.features = features if perceptual else None
        self.perceptual = perceptual
        with torch.no_grad():
            self.left = degradation.left(given)
            self.seen = [] if self.features is None else described(self.features, self.left)
        self.clip = clip if prompt else None
        self.text = None if self.clip is None else self.clip.encode_text([prompt]).detach()

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        rows = (rows % len(self.given)).to(images.device)
        left = self.degradation(images, rows)
        error = (left - self.left[rows]).square().flatten(1).mean(1)
        loss = (error - self.degradation.floor).clamp(min=0)
        if self.features is not None:
            seen = described(self.features, left)
            wanted = [part[rows] for part in self.seen]
            loss = loss + self.perceptual * difference(seen, wanted)
        if self.clip is None or self.text is None:
            return loss
        finished = self.degradation.finish(images, self.given[rows], rows)
        return loss + self.wish * (1 - (self.clip.encode_image(finished) @ self.text.T)[:, 0])


@dataclass(eq=False)
class Restoration:
    """What was found for some pictures.

    Attributes:
        images: The best proposal for each picture, finished, ``[N, C, H, W]`` in [-1, 1].
        latent: Its codes, one for each picture.
        drawn: What the generator draws from them, before what is known was put back.
        given: The pictures as they were taken, ``[N, c, h, w]``.
        plain: A restoration without a generator, to compare with.
        proposals: All of them, finished, ``[P, N, C, H, W]``, the best first.
        latents: The codes of each proposal.
        loss: Of each proposal, ``[P, N]``.
        losses: Of the best at every step, ``[N, steps]``; NaN after the end.
        seconds: In all.
        ended: ``"finished"``, ``"interrupted"`` or ``"stopped"``.
        provenance: How it was found.
    """

    images: Tensor
    latent: Latent
    drawn: Tensor
    given: Tensor
    plain: Tensor
    proposals: Tensor
    latents: list[Latent]
    loss: Tensor
    losses: Tensor
    seconds: float
    ended: str
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.latent)


def restore(
    generator: BaseGenerator,
    images: Any,
    degradation: Degradation,
    *,
    space: str | None = None,
    steps: int = 150,
    proposals: int = 1,
    starts: Start | Sequence[Start] | None = None,
    samples: int = 96,
    features: Features | str | None = "auto",
    perceptual: float | None = None,
    prior: float = 0.003,
    rate: float = 0.1,
    jitter: float = 0.0,
    clip: ReadsAndSees | None = None,
    prompt: str = "",
    wish: float = 0.1,
    patience: int | None = 50,
    race: float = 0.15,
    precision: str = "exact",
    encoder: Guess | None = None,
    label: Any = None,
    crop: Crop = "center",
    batch: int = 8,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
) -> Restoration:
    """Restore pictures of which something was lost.

    An interrupt, or a callback that returns False, gives back the best so far.

    Args:
        generator: What knows how pictures look.
        images: What is left: ``[N, c, h, w]`` in [-1, 1], or photographs as
            `invert` takes them. For a `Hole` whole pictures,
            of which the hole is not looked at; for `Grey` colours are taken out; for
            `Smaller` the small pictures.
        degradation: What happened to them.
        space: Where to search; by default what the degradation asks for, where there is one.
        steps: How many at most; without any, the best start is the answer.
        proposals: How many answers for each picture. One is the best of all starts; of several
            each has a start of its own.
        starts: As for `invert`; proposals beyond the last one begin
            at the nearest of other samples.
        samples: How many samples of the model to choose the nearest of.
        features, perceptual: What a network sees in what is left, and its weight; by default
            0.1 of the reader in the generator's bundle, and nothing where there is noise or no
            bundle.
        prior: The weight of the distance from the mean code, in standard deviations.
        clip, prompt, wish: A CLIP, what the restored pictures should show, and how much that
            weighs.
        rate, jitter, patience, race, precision, encoder, label, crop, batch, seed, progress: As
            for `invert`.
        callback: Called as ``callback(step, images, losses)`` with what the generator draws for
            a batch of proposals, before it is finished; returning False stops.

    Raises:
        ImageError, ShapeError: What was given is no picture, or does not fit the degradation.
        SpaceError: The generator has no such space.
        ArgumentError: A prompt was given without a CLIP, or a number makes no sense.
    """
    _check(proposals, clip, prompt)
    given = given_for(generator, images, degradation, crop)
    plain = degradation.plain(given)
    if perceptual is None:
        perceptual = 0.0 if degradation.floor else 0.1
    seen = features_of(generator, features, "reader")
    loss = Evidence(
        degradation, given, seen, perceptual=perceptual, clip=clip, prompt=prompt, wish=wish
    )
    space = space or _space(generator, degradation)
    codes = _starts(generator, space, plain, loss, starts, proposals, samples, seed, label, encoder)
    plan = Plan(
        steps=steps,
        rate=rate,
        prior=prior,
        jitter=jitter,
        patience=patience,
        precision=precision,
        seed=seed,
    )
    found = search(
        generator,
        codes,
        loss,
        plan,
        race=race,
        batch=batch,
        callback=callback,
        progress="restoring" if progress else None,
    )
    told = {"perceptual": perceptual, "prompt": prompt, "wish": wish, "proposals": proposals}
    return _restoration(generator, found, degradation, given, plain, asdict(plan) | told)


@torch.no_grad()
def given_for(
    generator: BaseGenerator, images: Any, degradation: Degradation, crop: Crop = "center"
) -> Tensor:
    """Pictures as a degradation of a generator's pictures would leave them, ``[N, c, h, w]``."""
    channels, *full = generator.render(generator.sample(1, seed=0)).shape[1:]
    height, width, left = degradation.shape(full[0], full[1], channels)
    given = pictures(images, (height, width), channels=left, crop=crop)
    degradation.check(given, (height, width))
    return given.to(generator.device)


def _starts(
    generator: BaseGenerator,
    space: str,
    plain: Tensor,
    loss: Evidence,
    starts: Start | Sequence[Start] | None,
    proposals: int,
    samples: int,
    seed: int,
    label: Any,
    encoder: Guess | None,
) -> list[Latent]:
    """Codes to race for one proposal, or one batch of codes ``[P * N]``, proposal by proposal."""
    chosen: list[Start] = [starts] if isinstance(starts, (str, Latent)) else list(starts or ())
    chosen.extend(() if chosen else reversed(known(generator, space)))

    def begun(start: Start, number: int) -> Latent:
        return begin(
            generator,
            start,
            space,
            plain,
            loss=loss,
            samples=lambda: Samples(generator, samples, seed + number * samples, label, 32),
            label=label,
            guess=encoder,
        )

    if proposals == 1:
        return [begun(start, 0) for start in chosen]
    listed = [*chosen, *["nearest"] * proposals][:proposals]
    return [Latent.cat([begun(start, number) for number, start in enumerate(listed)])]


@torch.no_grad()
def _restoration(
    generator: BaseGenerator,
    found: Found,
    degradation: Degradation,
    given: Tensor,
    plain: Tensor,
    settings: dict[str, Any],
) -> Restoration:
    """The result of a search: finished, the best proposal of each picture first."""
    n = len(given)
    drawn = generator.render(found.latent)
    rows = torch.arange(len(drawn)) % n
    images = degradation.finish(drawn, given[rows], rows).clamp(-1, 1)
    order = found.loss.view(-1, n).argsort(dim=0, stable=True)
    places = order * n + torch.arange(n)
    best = places[0]
    return Restoration(
        images=images[best],
        latent=found.latent[best.tolist()],
        drawn=drawn[best],
        given=given,
        plain=plain,
        proposals=images[places],
        latents=[found.latent[row.tolist()] for row in places],
        loss=found.loss[places],
        losses=found.losses[best],
        seconds=found.seconds,
        ended=found.ended,
        provenance=_provenance(generator, degradation, found.latent.space, settings),
    )


def _provenance(
    generator: BaseGenerator, degradation: Degradation, space: str, settings: dict[str, Any]
) -> Provenance:
    from steerbench import __version__

    return Provenance(
        method="restore",
        hyperparameters=settings | {"degradation": degradation.name, "space": space},
        generator=generator.name,
        fingerprint=generator.fingerprint,
        seed=settings["seed"],
        reference="Pan et al. 2020, arXiv 2003.13659",
        version=__version__,
    )


def _space(generator: BaseGenerator, degradation: Degradation) -> str:
    there = (name for name in degradation.spaces if name in generator.spaces)
    return next(there, generator.latent_space)


def _check(proposals: int, clip: ReadsAndSees | None, prompt: str) -> None:
    if not isinstance(proposals, int) or proposals < 1:
        raise ArgumentError(f"proposals={proposals!r}; give a whole number from 1 up.")
    if prompt and clip is None:
        raise ArgumentError(
            f"The prompt {prompt!r} needs a CLIP that reads it: clip=sb.clip(NAME), with NAME one "
            f"of {', '.join(map(repr, assets.names('clips')))} or a model of open_clip."
        )


__all__ = ["Evidence", "Grey", "Hole", "Noisy", "Restoration", "Smaller", "given_for", "restore"]
