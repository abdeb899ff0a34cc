"""Pictures as the space metrics see them: codes beside what a predictor read, in separate sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import PredictorError, SpaceError
from steerbench.metrics.reading import Reader
from steerbench.types import Generator, Latent, Predictor


@dataclass(frozen=True, eq=False)
class PictureSet:
    """A set of pictures as the metrics see it.

    Attributes:
        generator: It drew them.
        codes: ``[N, C]`` of the space.
        margins: ``[N, F]``: above 0 where a picture has an attribute; the size says how surely.
        space: The name of the space.
        seed: Of the first picture.
        features: Of pictures, for paths; none where the predictor has no features.
        candidates: Of the boosted trees.
        paths: Pairs of codes, for path lengths.
    """

    generator: Generator
    codes: Tensor
    margins: Tensor
    space: str
    seed: int
    features: Callable[[Tensor], Tensor] | None
    candidates: int | None
    paths: int


def coordinates(generator: Generator, latent: Latent, space: str) -> Tensor:
    """Return codes ``[N, C]`` of a latent in a space, flat.

    Args:
        generator: Whose.
        latent: In a space that leads there.
        space: Its name, or ``"pn"``: p on its principal axes, at unit variance.

    Raises:
        SpaceError: There is no way, or p was not measured.
    """
    if space != "pn":
        return generator.to(latent, space).data.detach().cpu().flatten(1)
    p = generator.spaces["p"]
    if p.mean is None or p.covariance is None:
        raise SpaceError("Space 'p' of this generator was not measured, so it cannot be whitened.")
    values, axes = torch.linalg.eigh(p.covariance.double().cpu())
    data = generator.to(latent, "p").data.detach().cpu().double() - p.mean.double().cpu()
    return (data @ axes.flip(1)) / values.flip(0).clamp_min(1e-12).sqrt()


def read_sets(
    generator: Generator,
    judge: Predictor,
    each: int,
    repeats: int,
    seed: int,
    attributes: Sequence[str] | None,
    rare: float = 0.05,
    least: int = 8,
) -> tuple[Latent, Tensor, list[str]]:
    """Read pictures: codes in the first space, margins ``[N, F]``, and attributes that vary.

    Args:
        generator: Draws the pictures.
        judge: Reads them.
        each: How many pictures a set has.
        repeats: How many sets there are.
        seed: Of the first picture.
        attributes: Which of the judge's names; its binary ones, or all, unless given.
        rare: An attribute is left out where a smaller part of a set has it, or lacks it.
        least: The same, as a number of pictures.

    Raises:
        PredictorError: Fewer than two attributes vary in every set.
    """
    reader = Reader(judge, attributes or getattr(judge, "binary_names", None))
    sure = getattr(judge, "logits", None)
    columns = [list(judge.names).index(name) for name in reader.names]
    n = each * repeats
    latents, scores, odds, batch = [], [], [], 64
    for start in tqdm(range(0, n, batch), desc="pictures", unit="batch", leave=False):
        codes = generator.sample(min(batch, n - start), seed=seed + start)
        pictures = generator.render(codes)
        latents.append(codes)
        scores.append(reader(pictures))
        if sure is not None:
            odds.append(sure(pictures)[:, columns].detach().cpu())
    read = torch.cat(scores)
    likely = torch.tensor([unit == "probability" for unit in reader.units])
    margins = read - torch.where(likely, 0.5, read.median(0).values)
    if odds:
        margins = torch.where(likely, torch.cat(odds), margins)
    count = (margins > 0).reshape(repeats, each, -1).sum(1)
    rarer = torch.minimum(count, each - count).amin(0)
    varied = (rarer >= max(least, rare * each)).nonzero()[:, 0].tolist()
    if len(varied) < 2:
        raise PredictorError(
            f"Of {len(reader.names)} attributes {len(varied)} vary enough in every set of {each} "
            "pictures; at least 2 are needed to tell apart. Draw more pictures, or choose others."
        )
    return Latent.cat(latents), margins[:, varied], [reader.names[j] for j in varied]


def shuffle_readings(pictures: PictureSet) -> PictureSet:
    """Give a set the readings of other pictures; attributes stay together."""
    order = np.random.RandomState(pictures.seed + 1).permutation(len(pictures.codes))
    return replace(pictures, margins=pictures.margins[order])
