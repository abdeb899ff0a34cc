"""Inversion: the code whose picture is the one that was given, found by going downhill.

    c* = argmin over c of  pixel * mean (G(c) - x)^2 + perceptual * d(G(c), x)

where d compares what a network sees (`perceptual`). In which space to search is the choice
that matters: z holds nothing but samples of the prior and few photographs; w more; w+, with a code
of its own for every layer, nearly everything, also what can no longer be edited sensibly. The way
down is `descent`, starts and stops are `search`.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> wanted = G.render(G.sample(1, seed=7))
>>> found = sb.invert(G, wanted, space="w", steps=20, starts=["mean"], progress=False)
>>> found.images.shape, found.latent.space, found.losses.shape
(torch.Size([1, 3, 64, 64]), 'w', torch.Size([1, 20]))

References: Zhu, Krähenbühl, Shechtman, Efros, "Generative Visual Manipulation on the Natural Image
Manifold" (2016, arXiv 1609.03552); w+: Abdal, Qin, Wonka, "Image2StyleGAN" (2019, arXiv
1904.03189); p: Zhu, Abdal, Qin, Femiani, Wonka, "Improved StyleGAN Embedding" (2020, arXiv
2012.09036).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench import store
from steerbench.bundles import missing, part, warn
from steerbench.errors import ArgumentError, SpaceError, closest
from steerbench.generators import BaseGenerator
from steerbench.inversion.engine import Plan
from steerbench.inversion.initial_codes import Guess, Samples, Start, begin, known
from steerbench.inversion.perceptual import Features, described, difference, seen_by
from steerbench.inversion.photographs import Align, Crop, pictures
from steerbench.inversion.search import Callback, Found, search
from steerbench.metrics.reconstruction import mse, psnr, ssim
from steerbench.predictors import AttributePredictor
from steerbench.types import Latent, Predictor, Provenance

PIXELS = "with layers sees more than pixels, which are all that is compared now"
"""What is said where no network sees pictures."""


class OutOfDomainWarning(UserWarning):
    """A picture is further from all samples of a model than these are from one another."""


class Likeness:
    """The loss of inversion: how unlike the wanted pictures others are.

    Args:
        wanted: ``[N, C, H, W]`` in [-1, 1].
        features: What a network sees, see `perceptual`; None for pixels alone.
        pixel, perceptual: The weights of the two parts.
    """

    def __init__(
        self,
        wanted: Tensor,
        features: Features | None = None,
        *,
        pixel: float = 1.0,
        perceptual: float = 0.1,
    ) -> None:
        self.wanted, self.features = wanted, features
        self.pixel, self.perceptual = pixel, perceptual if features is not None else 0.0
        with torch.no_grad():
            self.seen = [] if features is None else described(features, wanted)

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        rows = rows.to(images.device)
        loss = self.pixel * (images - self.wanted[rows]).square().flatten(1).mean(1)
        if self.features is None or not self.perceptual:
            return loss
        seen = described(self.features, images)
        return loss + self.perceptual * difference(seen, [part[rows] for part in self.seen])


@dataclass(eq=False)
class Inversion:
    """What was found for some pictures.

    Attributes:
        latent: One code for each picture.
        images: What the generator draws from them, ``[N, C, H, W]``.
        wanted: The pictures as the generator's size and channels have them.
        losses: The loss at every step ``[N, steps]``; NaN after the end.
        seconds: In all.
        report: A table, a row for each picture: ``mse``, ``psnr`` (dB), ``ssim``, ``perceptual``
            (None without features), ``loss``, ``start``, ``steps``, and ``strangeness``: the
            distance to the nearest sample of the model, in multiples of what is usual among
            samples.
        provenance: How it was found.
        noise: The optimised noise by layer, for ``G.render(latent, noise=...)``; or ``"const"``.
        ended: ``"finished"``, ``"interrupted"`` or ``"stopped"``.
    """

    latent: Latent
    images: Tensor
    wanted: Tensor
    losses: Tensor
    seconds: float
    report: pd.DataFrame
    provenance: Provenance
    noise: str | dict[str, Tensor] = "const"
    ended: str = "finished"

    def __len__(self) -> int:
        return len(self.latent)

    def sheet(self) -> Tensor:
        """The wanted pictures above the found ones, ``[2 N, C, H, W]``, for `sb.show`."""
        return torch.cat([self.wanted, self.images.to(self.wanted.device)])


def invert(
    generator: BaseGenerator,
    images: Any,
    *,
    space: str | None = None,
    steps: int = 300,
    starts: Start | Sequence[Start] | None = None,
    samples: int = 96,
    features: Features | str | None = "auto",
    judge: Features | str | None = "auto",
    pixel: float = 1.0,
    perceptual: float = 0.1,
    rate: float = 0.1,
    prior: float = 0.0,
    jitter: float = 0.0,
    noise: float | None = None,
    patience: int | None = 50,
    race: float = 0.15,
    precision: str = "exact",
    encoder: Guess | None = None,
    label: Any = None,
    crop: Crop = "center",
    align: Align | None = None,
    batch: int = 8,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
    state: str | os.PathLike[str] | None = None,
) -> Inversion:
    """Find codes whose pictures look like the given ones.

    An interrupt gives back the best codes so far, marked ``ended == "interrupted"``.

    Args:
        generator: What draws the pictures.
        images: ``[N, C, H, W]`` in [-1, 1]; or photographs, one or several: paths, bytes, Pillow
            images, arrays, the value of an upload button.
        space: Where to search; by default w+ where there is one, or the first space.
        steps: How many at most; without any, the best start is the answer.
        starts: ``"mean"``, ``"nearest"``, ``"encoder"``, a Latent, or several of them, of which
            the best after the ``race`` goes on; by default all that the space has.
        samples: How many samples of the model to compare with.
        features: What a network sees in pictures (`perceptual`), or the name of an oracle;
            ``"auto"`` is the layers of the reader in the generator's bundle, or else none.
        judge: As ``features``, for the report alone; ``"auto"`` is those of the bundle's judge, or
            else ``features``.
        pixel, perceptual: The weights of the two parts of the loss.
        rate, prior, jitter, patience: See `Plan`.
        noise: The weight of the noise's correlations, where it is to be optimised too (about 10);
            None leaves it as it is.
        race: The share of the steps that all starts run.
        precision: ``"exact"``, or ``"fast"`` for half precision where it is quick.
        encoder: A function from pictures to codes, for the start ``"encoder"``.
        label: For conditional generators; None draws one with every sample.
        crop, align: How photographs are fitted, see `photographs`.
        batch: Pictures at a time.
        seed: Of the samples and the jitter.
        callback: Called as ``callback(step, images, losses)``; returning False stops.
        progress: Whether to show a bar.
        state: A file to keep what was reached in, and to go on from by the same call.

    Raises:
        SpaceError: The generator has no such space.
        ImageError, ShapeError: Something given is no picture.
        CapabilityError: A start needs an encoder that is not there.
        CheckpointError: The state belongs to another search.

    Warns:
        OutOfDomainWarning: A picture is unlike anything that the model draws.
        BundleWarning: No bundle says which network sees the model's pictures: pixels alone count.
    """
    space = _space(generator, space)
    wanted = wanted_of(generator, images, crop, align)
    seen = features_of(generator, features, "reader")
    judged = features_of(generator, judge, "judge") or seen
    loss = Likeness(wanted, seen, pixel=pixel, perceptual=perceptual)
    drawn = _Once(generator, samples, seed, label, batch)
    chosen = known(generator, space) if starts is None else _listed(starts)
    if encoder is not None and starts is None:
        chosen = (*chosen[:2], "encoder")
    codes = [
        begin(generator, start, space, wanted, loss=loss, samples=drawn, label=label, guess=encoder)
        for start in chosen
    ]
    plan = Plan(
        steps=steps,
        rate=rate,
        prior=prior,
        jitter=jitter,
        maps=noise,
        patience=patience,
        precision=precision,
        seed=seed,
    )
    told = {"pixel": pixel, "perceptual": loss.perceptual, "race": race, "samples": samples}
    key = store.fingerprint({"wanted": wanted, **{f"{i}": c.data for i, c in enumerate(codes)}})
    found = search(
        generator,
        codes,
        loss,
        plan,
        race=race,
        batch=batch,
        callback=callback,
        progress="inverting" if progress else None,
        state=state,
        key=f"{generator.fingerprint} {space} {key} {asdict(plan)} {told}",
    )
    names = [start if isinstance(start, str) else "given" for start in chosen]
    return reported(
        generator, found, wanted, judged, names, asdict(plan) | told, seed, samples=drawn
    )


def reported(
    generator: BaseGenerator,
    found: Found,
    wanted: Tensor,
    judge: Features | None,
    names: list[str],
    settings: dict[str, Any],
    seed: int,
    *,
    samples: Callable[[], Samples] | None = None,
    method: str = "invert",
) -> Inversion:
    """The result of a search, measured: pictures, table, where it came from."""
    noise: str | dict[str, Tensor] = found.maps or "const"
    with torch.no_grad():
        images = generator.render(found.latent, noise=noise)
    report = pd.DataFrame({"mse": mse(images, wanted).tolist()})
    report["psnr"], report["ssim"] = psnr(images, wanted).tolist(), ssim(images, wanted).tolist()
    report["perceptual"] = apart(judge, images, wanted).tolist() if judge is not None else None
    report["loss"], report["steps"] = found.loss.tolist(), found.steps.tolist()
    report["start"] = [names[index] for index in found.start.tolist()]
    report["strangeness"] = torch.nan
    if samples is not None:
        report["strangeness"] = strangeness(wanted, samples().images, judge).tolist()
        _warn(generator, report["strangeness"])
    provenance = Provenance(
        method=method,
        hyperparameters=settings | {"starts": names, "space": found.latent.space},
        generator=generator.name,
        fingerprint=generator.fingerprint,
        seed=seed,
        n_samples=settings.get("samples"),
        scores={name: float(report[name].mean()) for name in ("mse", "psnr", "ssim")},
        reference="Zhu et al. 2016, arXiv 1609.03552; Karras et al. 2020, arXiv 1912.04958",
        version=_version(),
    )
    return Inversion(
        latent=found.latent,
        images=images,
        wanted=wanted,
        losses=found.losses,
        seconds=found.seconds,
        report=report,
        provenance=provenance,
        noise=noise,
        ended=found.ended,
    )


def _warn(generator: BaseGenerator, strange: pd.Series) -> None:
    rows = strange.index[strange > 1].tolist()
    if rows:
        warnings.warn(
            f"{len(rows)} of {len(strange)} pictures ({', '.join(map(str, rows[:8]))}) are further "
            f"from the samples of {generator.name!r} than these are from one another. Expect a "
            "code that draws something else, or that cannot be edited well.",
            OutOfDomainWarning,
            stacklevel=4,
        )


@torch.no_grad()
def apart(features: Features, images: Tensor, originals: Tensor, batch: int = 32) -> Tensor:
    """The perceptual distance ``[N]`` between pictures and their originals."""
    parts = zip(images.clamp(-1, 1).split(batch), originals.clamp(-1, 1).split(batch))
    return torch.cat([difference(described(features, a), described(features, b)) for a, b in parts])


@torch.no_grad()
def strangeness(images: Tensor, samples: Tensor, features: Features | None) -> Tensor:
    """How far pictures ``[N, C, H, W]`` are from a model's samples, 1 being the farthest usual.

    The distance to the nearest sample, by the last part of the features (or pixels at 16x16), over
    the largest distance from a sample to the nearest other one, leaving out the most distant
    twentieth.
    """
    given, own = (_place(part.clamp(-1, 1), features) for part in (images, samples))
    between = torch.cdist(own, own).fill_diagonal_(torch.inf).amin(1)
    return torch.cdist(given, own).amin(1) / between.quantile(0.95).clamp(min=1e-12)


def _place(images: Tensor, features: Features | None, batch: int = 64) -> Tensor:
    if features is None:
        height, width = (min(16, side) for side in images.shape[2:])
        return F.adaptive_avg_pool2d(images, (height, width)).flatten(1).double()
    parts = [described(features, part)[-1].flatten(1) for part in images.split(batch)]
    return torch.cat(parts).double()


class _Once:
    """The samples, drawn the first time that something asks for them."""

    def __init__(self, generator: BaseGenerator, n: int, seed: int, label: Any, batch: int) -> None:
        if n < 2:
            raise ArgumentError(f"samples={n}; give at least 2 to compare with.")
        self._draw = cache(lambda: Samples(generator, n, seed, label, max(8, batch)))

    def __call__(self) -> Samples:
        return self._draw()


def _space(generator: BaseGenerator, space: str | None) -> str:
    if space is None:
        return "w+" if "w+" in generator.spaces else generator.latent_space
    if space not in generator.spaces:
        raise SpaceError(
            f"{generator.name!r} has no space {space!r}. {closest(space, generator.spaces)}"
        )
    return space


@torch.no_grad()
def wanted_of(generator: BaseGenerator, images: Any, crop: Crop, align: Align | None) -> Tensor:
    """The pictures in the size and channels of what the generator draws."""
    drawn = generator.render(generator.sample(1, seed=0))
    height, width = drawn.shape[2:]
    channels = drawn.shape[1]
    given = pictures(images, (height, width), channels=channels, crop=crop, align=align)
    return given.to(drawn)


def features_of(
    generator: BaseGenerator, given: Features | str | None, role: str
) -> Features | None:
    """Return what sees pictures: what was given, or the layers of a bundle's network.

    Args:
        generator: Whose bundle ``"auto"`` asks.
        given: Features, the name of an oracle, ``"auto"``, or None.
        role: ``"reader"`` or ``"judge"``, the part of the bundle.
    """
    if given != "auto":
        return seen_by(given) if isinstance(given, str) else given
    network = part(generator, role)
    if isinstance(network, AttributePredictor):
        return seen_by(network)
    if role == "reader":
        warn(generator, _pixels_alone(generator, network))
    return None


def _pixels_alone(generator: BaseGenerator, reader: Predictor | None) -> str:
    if reader is None:
        return missing(generator, "reader", PIXELS, "features=")
    return (
        f"The reader of {generator.name!r} is no oracle, whose layers see pictures: they are "
        "compared by their pixels alone. Give features=, a function from pictures to a tensor."
    )


def _listed(starts: Start | Sequence[Start]) -> tuple[Start, ...]:
    return (starts,) if isinstance(starts, (str, Latent)) else tuple(starts)


def _version() -> str:
    from steerbench import __version__

    return __version__


__all__ = ["Inversion", "Likeness", "OutOfDomainWarning", "invert"]
