"""Inversion: the code whose picture is the one that was given, found by going downhill.

    c* = argmin over c of  pixel * mean (G(c) - x)^2 + perceptual * d(G(c), x)

where d compares what a network makes of both pictures (`steerbench.inversion.losses`). In which
space to search is the choice that matters: z holds nothing but samples of the prior and few
photographs; w more; w+, with a code of its own for every layer, nearly everything, also what can no
longer be edited sensibly. The way down is `steerbench.inversion.engine`, where it begins
`steerbench.inversion.initial_codes`, stops and resumption `steerbench.inversion.search`.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> target = G.render(G.sample(1, seed=7))
>>> found = sb.invert(G, target, space="w", n_steps=20, init="mean")
>>> found.images.shape, found.latent.space, found.losses.shape
(torch.Size([1, 3, 64, 64]), 'w', torch.Size([1, 20]))

References: Zhu, Krähenbühl, Shechtman, Efros, "Generative Visual Manipulation on the Natural Image
Manifold" (2016, arXiv 1609.03552); w+: Abdal, Qin, Wonka, "Image2StyleGAN" (2019, arXiv
1904.03189); p: Zhu, Abdal, Qin, Femiani, Wonka, "Improved StyleGAN Embedding" (2020, arXiv
2012.09036); an encoder alone: Richardson et al., "Encoding in Style" (2020, arXiv 2008.00951).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench import store
from steerbench.bundles import missing, part, warn
from steerbench.errors import SpaceError, closest
from steerbench.generators import BaseGenerator
from steerbench.inversion.engine import OptimisationConfig
from steerbench.inversion.initial_codes import Init, Initialisation, Samples, initial_latents
from steerbench.inversion.losses import (
    Features,
    ReconstructionLoss,
    ReconstructionLossConfig,
    extract,
    perceptual_distance,
    perceptual_features,
)
from steerbench.inversion.photographs import PhotoFit, fit_pictures
from steerbench.inversion.search import Callback, SearchResult, search
from steerbench.metrics.reconstruction import mse, psnr, ssim
from steerbench.predictors import AttributePredictor
from steerbench.runs import RunFile
from steerbench.types import Latent, Predictor, Provenance


class OutOfDomainWarning(UserWarning):
    """A picture is further from all samples of a model than these are from one another."""


@dataclass(eq=False)
class Inversion:
    """What was found for some pictures.

    Attributes:
        latent: One code for each picture.
        images: What the generator draws from them, ``[N, C, H, W]``.
        wanted: The target pictures as the generator's size and channels have them.
        losses: The loss at every step ``[N, n_steps]``; NaN after the end.
        seconds: In all.
        report: A table, a row for each picture: ``mse``, ``psnr`` (dB), ``ssim``, ``perceptual``
            (None without features), ``loss``, ``start``, ``steps``, and ``ood_score``: the
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
        """Return the targets above the pictures found, ``[2 N, C, H, W]``, for `sb.show`."""
        return torch.cat([self.wanted, self.images.to(self.wanted.device)])


def invert(
    generator: BaseGenerator,
    images: Any,
    *,
    space: str | None = None,
    n_steps: int | None = None,
    init: Initialisation | Init | Sequence[Init] | None = None,
    loss: ReconstructionLossConfig = ReconstructionLossConfig(),
    config: OptimisationConfig = OptimisationConfig(),
    photo: PhotoFit = PhotoFit(),
    callback: Callback | None = None,
    state: str | os.PathLike[str] | None = None,
) -> Inversion:
    """Find codes whose pictures look like the given ones.

    An interrupt gives back the best codes so far, marked ``ended == "interrupted"``.

    Args:
        generator: What draws the pictures.
        images: ``[N, C, H, W]`` in [-1, 1]; or photographs, one or several: paths, bytes, Pillow
            images, arrays, the value of an upload button.
        space: Where to search; by default w+ where there is one, or the first space.
        n_steps: How many at most, by default those of ``config`` (300); without any, the best
            initial code is the answer.
        init: Where to begin: ``"mean"``, ``"nearest"``, ``"encoder"``, a Latent, or several of
            them, of which the best after the warm-up goes on; by default all that the space has.
            An `Initialisation` also says how many samples to compare with, an encoder of one's
            own, and the label of a conditional generator.
        loss: What to go by: the weights of pixels and features, and which features.
        config: How to go: learning rate, noise, jitter, patience, precision, batch size, seed.
        photo: How photographs are cropped or aligned.
        callback: Called as ``callback(step, images, losses)``; returning False stops. It takes the
            place of the progress bar.
        state: A file to keep what was reached in, and to go on from by the same call.

    Raises:
        SpaceError: The generator has no such space.
        ImageError, ShapeError: Something given is no picture.
        CapabilityError: A start needs an encoder that is not there.
        ArgumentError: The state belongs to another search.
        CheckpointError: The state is damaged.

    Warns:
        OutOfDomainWarning: A picture is unlike anything that the model draws.
        BundleWarning: No bundle says which network sees the model's pictures: pixels alone count.
    """
    space = _space(generator, space)
    init = Initialisation.of(init)
    config = config if n_steps is None else replace(config, n_steps=n_steps)
    targets = fit_targets(generator, images, photo)
    features = features_of(generator, loss.features, "reader")
    criterion = ReconstructionLoss(targets, features, pixel=loss.pixel, perceptual=loss.perceptual)
    samples = Samples(generator, init, config.seed, max(8, config.batch_size))
    choices = init.choices(generator, space)
    codes = [
        initial_latents(generator, each, space, targets, criterion, samples) for each in choices
    ]
    settings = asdict(config) | {"pixel": loss.pixel, "perceptual": criterion.perceptual}
    settings |= {"n_samples": init.n_samples, "space": space}
    file = _run_file(state, generator, targets, codes, settings)
    result = search(generator, codes, criterion, config, callback=callback, file=file)
    names = [each if isinstance(each, str) else "given" for each in choices]
    return report_inversion(
        generator,
        result,
        targets,
        features_of(generator, loss.judge, "judge") or features,
        samples=samples,
        provenance=Provenance(
            method="invert",
            hyperparameters=settings | {"init": names},
            seed=config.seed,
            n_samples=init.n_samples,
            reference=_reference(space, names, config.n_steps),
        ),
    )


def _run_file(
    state: str | os.PathLike[str] | None,
    generator: BaseGenerator,
    targets: Tensor,
    codes: Sequence[Latent],
    settings: dict[str, Any],
) -> RunFile:
    """Return the file of a search, which its pictures and initial codes tell from others too."""
    decides = {
        "generator": generator.fingerprint,
        "images": store.fingerprint({"images": targets}),
        "init": store.fingerprint({str(i): each.data for i, each in enumerate(codes)}),
    }
    return RunFile(state, "steerbench inversion run", decides | settings, every=10.0)


def _reference(space: str, names: Sequence[str], n_steps: int) -> str:
    """Return who proposed to search such a space, or to ask an encoder alone."""
    if not n_steps and [*names] == ["encoder"]:
        return "Richardson et al. 2020, arXiv 2008.00951"
    if space in ("p", "p+"):
        return "Zhu, Abdal et al. 2020, arXiv 2012.09036"
    if space == "w+":
        return "Abdal et al. 2019, arXiv 1904.03189"
    return "Zhu et al. 2016, arXiv 1609.03552"


def report_inversion(
    generator: BaseGenerator,
    result: SearchResult,
    targets: Tensor,
    judge: Features | None,
    *,
    samples: Samples | None = None,
    provenance: Provenance,
) -> Inversion:
    """Return the result of a search, measured: pictures, table, where it came from.

    Args:
        generator: What draws the pictures.
        result: Of the search.
        targets: The pictures that were searched for, ``[N, C, H, W]``.
        judge: What measures the perceptual distance; None for no such column.
        samples: Of the model, to compare the targets with; None for no comparison.
        provenance: Its method, settings (``init`` among them), seed and reference; the rest is
            filled in here.

    Warns:
        OutOfDomainWarning: A picture is unlike anything that the model draws.
    """
    noise: str | dict[str, Tensor] = result.noise or "const"
    with torch.no_grad():
        images = generator.render(result.latent, noise=noise)
    report = _report(images, targets, judge)
    names = provenance.hyperparameters["init"]
    report["loss"], report["steps"] = result.loss.tolist(), result.steps.tolist()
    report["start"] = [names[index] for index in result.start.tolist()]
    report["ood_score"] = torch.nan
    if samples is not None:
        report["ood_score"] = ood_score(targets, samples.images, judge).tolist()
        _warn(generator, report["ood_score"])
    provenance = replace(
        provenance,
        generator=generator.name,
        fingerprint=generator.fingerprint,
        scores={name: float(report[name].mean()) for name in ("mse", "psnr", "ssim")},
        version=_version(),
    )
    return Inversion(
        latent=result.latent,
        images=images,
        wanted=targets,
        losses=result.losses,
        seconds=result.seconds,
        report=report,
        provenance=provenance,
        noise=noise,
        ended=result.ended,
    )


def _report(images: Tensor, targets: Tensor, judge: Features | None) -> pd.DataFrame:
    """Return how near pictures are to their targets, a row each."""
    distance = None if judge is None else perceptual_distance(judge, images, targets).tolist()
    report = pd.DataFrame({"mse": mse(images, targets).tolist()})
    report["psnr"], report["ssim"] = psnr(images, targets).tolist(), ssim(images, targets).tolist()
    report["perceptual"] = distance
    return report


def _warn(generator: BaseGenerator, scores: pd.Series) -> None:
    rows = scores.index[scores > 1].tolist()
    if rows:
        warnings.warn(
            f"{len(rows)} of {len(scores)} pictures ({', '.join(map(str, rows[:8]))}) are further "
            f"from the samples of {generator.name!r} than these are from one another. Expect a "
            "code that draws something else, or that cannot be edited well.",
            OutOfDomainWarning,
            stacklevel=4,
        )


@torch.no_grad()
def ood_score(images: Tensor, samples: Tensor, features: Features | None) -> Tensor:
    """Return how far pictures are from a model's samples, ``[N]``, 1 being the farthest usual.

    The distance to the nearest sample, by the last part of the features (or pixels at 16x16), over
    the largest distance from a sample to the nearest other one, leaving out the most distant
    twentieth.

    Args:
        images: ``[N, C, H, W]``.
        samples: ``[M, C, H, W]``.
        features: What a network makes of pictures; None for pixels.
    """
    given, own = (_describe(part.clamp(-1, 1), features) for part in (images, samples))
    between = torch.cdist(own, own).fill_diagonal_(torch.inf).amin(1)
    return torch.cdist(given, own).amin(1) / between.quantile(0.95).clamp(min=1e-12)


def _describe(images: Tensor, features: Features | None, batch_size: int = 64) -> Tensor:
    if features is None:
        height, width = (min(16, side) for side in images.shape[2:])
        return F.adaptive_avg_pool2d(images, (height, width)).flatten(1).double()
    parts = [extract(features, part)[-1].flatten(1) for part in images.split(batch_size)]
    return torch.cat(parts).double()


def _space(generator: BaseGenerator, space: str | None) -> str:
    if space is None:
        return "w+" if "w+" in generator.spaces else generator.latent_space
    if space not in generator.spaces:
        raise SpaceError(
            f"{generator.name!r} has no space {space!r}. {closest(space, generator.spaces)}"
        )
    return space


def fit_targets(generator: BaseGenerator, images: Any, photo: PhotoFit) -> Tensor:
    """Return pictures in the size and channels of what a generator draws, ``[N, C, H, W]``.

    Args:
        generator: Whose size.
        images: See `invert`.
        photo: How photographs are fitted.
    """
    channels, height, width = generator.picture_shape
    targets = fit_pictures(images, (height, width), channels=channels, photo=photo)
    return targets.float().to(generator.device)


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
        return perceptual_features(given) if isinstance(given, str) else given
    network = part(generator, role)
    if isinstance(network, AttributePredictor):
        return perceptual_features(network)
    if role == "reader":
        warn(generator, _pixels_alone(generator, network))
    return None


def _pixels_alone(generator: BaseGenerator, reader: Predictor | None) -> str:
    if reader is None:
        use = "with layers sees more than pixels, which are all that is compared now"
        return missing(generator, "reader", use, "features= in the loss")
    return (
        f"The reader of {generator.name!r} is no oracle, whose layers see pictures: they are "
        "compared by their pixels alone. Give features= in the loss, a function from pictures to a "
        "tensor."
    )


def _version() -> str:
    from steerbench import __version__

    return __version__


__all__ = ["Inversion", "OutOfDomainWarning", "invert", "ood_score"]
