"""Restoration: what a picture lost, filled in by what a generator knows of pictures.

Somebody's picture I went through a known degradation D (`steerbench.inversion.degradations`): a
hole was cut, colours or details are gone, noise came in. Of all pictures that a generator can draw,
take one that the same degradation would have left alike:

    c* = argmin over c of  |D G(c) - I|^2 + perceptual * d(D G(c), I) + prior * |(c - mean) / std|^2
                           + text_weight * (1 - cos(f(restored), g(prompt)))

and put what is known of the picture back into G(c*). For a hole with the mask m that is
c* = argmin |m . (G(c) - I)|. The last term, if a prompt is given, asks a CLIP that the restored
picture shows what it says. There are as many answers as initial codes: what was lost is lost,
and ``n_proposals`` gives several to choose from.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> room = G.render(G.sample(1, seed=7)).clamp(-1, 1)
>>> mask = torch.zeros(64, 64)
>>> mask[20:40, 20:40] = 1
>>> found = restore(G, room, Hole(mask), n_steps=5, n_proposals=2)
>>> found.images.shape, found.proposals.shape
(torch.Size([1, 3, 64, 64]), torch.Size([2, 1, 3, 64, 64]))

References: Pan, Zhan, Dai, Lin, Loy, Luo, "Exploiting Deep Generative Prior for Versatile Image
Restoration and Manipulation" (2020, arXiv 2003.13659); holes: Yeh, Chen, Lim, Schwing,
Hasegawa-Johnson, Do, "Semantic Image Inpainting with Deep Generative Models" (2017, arXiv
1607.07539); detail: Menon, Damian, Hu, Ravi, Rudin, "PULSE" (2020, arXiv 2003.03808).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.degradations import Degradation, Grey, Hole, Noisy, Smaller
from steerbench.inversion.engine import OptimisationConfig
from steerbench.inversion.initial_codes import Init, Initialisation, Samples, initial_latents
from steerbench.inversion.losses import DegradationLoss, DegradationLossConfig
from steerbench.inversion.optimize import features_of
from steerbench.inversion.photographs import PhotoFit, fit_pictures
from steerbench.inversion.search import Callback, SearchResult, search
from steerbench.types import Latent, Provenance


@dataclass(frozen=True)
class RestorationConfig(OptimisationConfig):
    """How codes are optimised in a restoration: fewer steps, and nearer to the mean code."""

    n_steps: int = 150
    prior: float = 0.003


@dataclass(eq=False)
class Restoration:
    """What was found for some pictures.

    Attributes:
        images: The best proposal for each picture, finished, ``[N, C, H, W]`` in [-1, 1].
        latent: Its codes, one for each picture.
        drawn: What the generator draws from them, before what is known was put back.
        given: The pictures as they were taken, ``[N, c, h, w]``.
        baseline: A restoration without a generator, to compare with.
        proposals: All of them, finished, ``[P, N, C, H, W]``, the best first.
        latents: The codes of each proposal.
        loss: Of each proposal, ``[P, N]``.
        losses: Of the best at every step, ``[N, n_steps]``; NaN after the end.
        seconds: In all.
        ended: ``"finished"``, ``"interrupted"`` or ``"stopped"``.
        provenance: How it was found.
    """

    images: Tensor
    latent: Latent
    drawn: Tensor
    given: Tensor
    baseline: Tensor
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
    n_steps: int | None = None,
    n_proposals: int = 1,
    init: Initialisation | Init | Sequence[Init] | None = None,
    loss: DegradationLossConfig = DegradationLossConfig(),
    config: OptimisationConfig = RestorationConfig(),
    callback: Callback | None = None,
) -> Restoration:
    """Restore pictures of which something was lost.

    An interrupt, or a callback that returns False, gives back the best so far.

    Args:
        generator: What knows how pictures look.
        images: What is left: ``[N, c, h, w]`` in [-1, 1], or photographs as `sb.invert` takes them,
            of which the middle is cut out (`fit_degraded` cuts otherwise). For a `Hole` whole
            pictures, of which the hole is not looked at; for `Grey` colours are taken out; for
            `Smaller` the small pictures.
        degradation: What happened to them.
        space: Where to search; by default what the degradation asks for, where there is one.
        n_steps: How many at most, by default those of ``config`` (150); without any, the best
            initial code is the answer.
        n_proposals: How many answers for each picture. One is the best of all initial codes; of
            several each has an initial code of its own.
        init: As for `sb.invert`; proposals beyond the last one begin at the nearest of other
            samples.
        loss: What to go by: features and their weight; a CLIP, a prompt and its weight.
        config: How to go.
        callback: Called as ``callback(step, images, losses)`` with what the generator draws for
            a batch of proposals, before it is finished; returning False stops. It takes the place
            of the progress bar.

    Raises:
        ImageError, ShapeError: What was given is no picture, or does not fit the degradation.
        SpaceError: The generator has no such space.
        ArgumentError: A number makes no sense.
    """
    if not isinstance(n_proposals, int) or n_proposals < 1:
        raise ArgumentError(f"n_proposals={n_proposals!r}; give a whole number from 1 up.")
    config = config if n_steps is None else replace(config, n_steps=n_steps)
    given = fit_degraded(generator, images, degradation)
    baseline = degradation.baseline(given)
    features = features_of(generator, loss.features, "reader")
    criterion = DegradationLoss(degradation, given, features, loss)
    space = space or _space(generator, degradation)
    start = _Start(generator, space, baseline, criterion, Initialisation.of(init), config.seed)
    codes = [start.proposals(n_proposals)] if n_proposals > 1 else start.choices()
    result = search(generator, codes, criterion, config, callback=callback, title="restoring")
    settings = {"perceptual": criterion.perceptual, "prompt": loss.prompt, "space": space}
    settings |= {"text_weight": loss.text_weight, "n_proposals": n_proposals}
    provenance = _provenance(generator, degradation, asdict(config) | settings)
    return _restoration(generator, result, criterion, baseline, provenance)


def fit_degraded(
    generator: BaseGenerator, images: Any, degradation: Degradation, photo: PhotoFit | None = None
) -> Tensor:
    """Return pictures as a degradation of a generator's pictures would leave them.

    Args:
        generator: Whose pictures.
        images: See `restore`.
        degradation: What happened to them.
        photo: How photographs are fitted.

    Returns:
        ``[N, c, h, w]`` in [-1, 1].

    Raises:
        ImageError, ShapeError: What was given is no picture, or does not fit the degradation.
    """
    channels, *full = generator.picture_shape
    height, width, left = degradation.shape(full[0], full[1], channels)
    given = fit_pictures(images, (height, width), channels=left, photo=photo)
    degradation.check(given, (height, width))
    return given.to(generator.device)


@dataclass(frozen=True, eq=False)
class _Start:
    """Where a restoration begins."""

    generator: BaseGenerator
    space: str
    baseline: Tensor
    loss: DegradationLoss
    init: Initialisation
    seed: int

    def choices(self) -> list[Latent]:
        """Return codes of which the best is to go on, ``[N]`` each."""
        return [self._latents(each, 0) for each in self._inits()]

    def proposals(self, n: int) -> Latent:
        """Return one batch of codes ``[n * N]``, proposal by proposal."""
        inits = [*self._inits(), *["nearest"] * n][:n]
        return Latent.cat([self._latents(each, number) for number, each in enumerate(inits)])

    def _inits(self) -> tuple[Init, ...]:
        choices = self.init.choices(self.generator, self.space)
        # What knows the picture best comes first, where the user does not say otherwise.
        return choices if self.init.codes is not None else choices[::-1]

    def _latents(self, init: Init, number: int) -> Latent:
        seed = self.seed + number * self.init.n_samples
        samples = Samples(self.generator, self.init, seed)
        return initial_latents(self.generator, init, self.space, self.baseline, self.loss, samples)


@torch.no_grad()
def _restoration(
    generator: BaseGenerator,
    result: SearchResult,
    loss: DegradationLoss,
    baseline: Tensor,
    provenance: Provenance,
) -> Restoration:
    """Return the result of a search: finished, the best proposal of each picture first."""
    given, n = loss.given, len(loss.given)
    drawn = generator.render(result.latent)
    indices = torch.arange(len(drawn)) % n
    images = loss.degradation.finish(drawn, given[indices], indices).clamp(-1, 1)
    order = result.loss.view(-1, n).argsort(dim=0, stable=True)
    places = order * n + torch.arange(n)
    best = places[0]
    return Restoration(
        images=images[best],
        latent=result.latent[best.tolist()],
        drawn=drawn[best],
        given=given,
        baseline=baseline,
        proposals=images[places],
        latents=[result.latent[each.tolist()] for each in places],
        loss=result.loss[places],
        losses=result.losses[best],
        seconds=result.seconds,
        ended=result.ended,
        provenance=provenance,
    )


def _provenance(
    generator: BaseGenerator, degradation: Degradation, settings: dict[str, Any]
) -> Provenance:
    from steerbench import __version__

    return Provenance(
        method="restore",
        hyperparameters=settings | {"degradation": degradation.name},
        generator=generator.name,
        fingerprint=generator.fingerprint,
        seed=settings["seed"],
        reference="Pan et al. 2020, arXiv 2003.13659",
        version=__version__,
    )


def _space(generator: BaseGenerator, degradation: Degradation) -> str:
    there = (name for name in degradation.spaces if name in generator.spaces)
    return next(there, generator.latent_space)


__all__ = [
    "Grey",
    "Hole",
    "Noisy",
    "Restoration",
    "RestorationConfig",
    "Smaller",
    "fit_degraded",
    "restore",
]
