"""Chapter 17: how well pictures are restored, against plain ways that know no generator.

``17-restoration.csv``: fifty held-out renders of the world, and fifty samples of the generator
itself, each with a hole in the middle, without colours, four times smaller, and under noise. A row
for each set, degradation and way:

- ``original``: the picture before anything was lost: what the judge reads at best.
- ``plain``: the hole in the mean colour, grey, bicubic, or a Gaussian.
- ``better``: a stronger way without a generator: the rim carried into the hole (``spread``), total
  variation (scikit-image's) against noise; the others have none.
- ``drawn``: what the generator draws from the code that was found.
- ``restored``: the same, with what is known put back: what `restore` gives.

PSNR (dB; of a hole the pixels inside alone), SSIM, the perceptual distance in the judge's layers,
and the share of binary attributes that the judge reads as they were: as the world knows them for
renders, as it read them in the original for samples. Each with an interval of 95 % over pictures.
Codes are searched from the encoder's guess at the plain way, with the first oracle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.generators import BaseGenerator, load
from steerbench.inversion import (
    Degradation,
    Grey,
    Hole,
    Noisy,
    Restoration,
    RestorationConfig,
    Smaller,
    restore,
)
from steerbench.inversion.losses import perceptual_distance, perceptual_features
from steerbench.metrics.reconstruction import psnr, ssim
from steerbench.predictors import oracle
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.studies import tables
from steerbench.training.pictures import HELD_OUT_SEED
from steerbench.worlds import world


def measure(out: Path, models: Mapping[str, str], n_samples: int = 50, n_steps: int = 30) -> None:
    """Restore both sets and write the table to a folder; what it holds already is not redone."""
    path = out / "17-restoration.csv"
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    done = {(row["pictures"], row["lost"]) for row in rows}
    generator, judge = load(models["generator"]), Judge(models["judge"])
    for group in ("renders", "samples"):
        images, truth = _set(generator, judge, group, n_samples)
        for name, degradation, known in _losses(images):
            if (group, name) in done:
                continue
            config = RestorationConfig(precision="fast", batch_size=25)
            found = restore(
                generator, known, degradation, n_steps=n_steps, init="encoder", config=config
            )
            rows += _rows(group, name, degradation, found, images, truth, judge)
            tables.write(pd.DataFrame(rows), path)


class Judge:
    """An oracle that took no part: which binary attributes it sees, and its layers."""

    def __init__(self, name: str) -> None:
        self.oracle, self.features = oracle(name), perceptual_features(name)
        self.names = self.oracle.binary_names

    def attributes(self, images: Tensor) -> Tensor:
        """Read which binary attributes pictures have, ``[N, attributes]`` bool."""
        columns = [self.oracle.names.index(name) for name in self.names]
        return self.oracle.predict(images)[:, columns] > 0.5

    def scores(
        self, images: Tensor, originals: Tensor, truth: Tensor, box: Tensor | None
    ) -> dict[str, object]:
        """Return every measure's mean, with its interval; ``box`` is the hole, where it is one."""
        hits = (self.attributes(images) == truth).double().mean(1)
        values = {
            "psnr": psnr(*(_inside(part, box) for part in (images, originals))),
            "ssim": ssim(images, originals),
            "perceptual": perceptual_distance(self.features, images, originals),
            "attributes": hits,
        }
        row: dict[str, object] = {"n": len(images)}
        for name, each in values.items():
            low, high = (float(end) for end in bootstrap(each))
            row |= {name: float(each.mean()), f"{name}_low": low, f"{name}_high": high}
        return row


def _set(generator: BaseGenerator, judge: Judge, group: str, n: int) -> tuple[Tensor, Tensor]:
    """Draw pictures, and say which binary attributes they have ``[n, attributes]``."""
    if group == "samples":
        own = generator.render(generator.sample(n, seed=Codes.RESTORATION.start)).clamp(-1, 1)
        return own, judge.attributes(own)
    drawn = world("rooms").sample(n, seed=HELD_OUT_SEED, resolution=generator.resolution)
    return drawn.images, torch.stack([drawn.factors[name] > 0.5 for name in judge.names], 1)


def _rows(
    group: str,
    name: str,
    degradation: Degradation,
    found: Restoration,
    images: Tensor,
    truth: Tensor,
    judge: Judge,
) -> list[dict[str, object]]:
    box = degradation.hole[0, 0] if isinstance(degradation, Hole) else None
    rows = [
        {"pictures": group, "lost": name, "way": way}
        | judge.scores(pictures.clamp(-1, 1), images, truth, box)
        for way, pictures in _ways(images, degradation, found).items()
    ]
    rows[-1]["seconds"] = round(found.seconds / len(images), 2)
    return rows


def _losses(
    images: Tensor, side: int = 24, factor: int = 4, deviation: float = 0.25
) -> Iterator[tuple[str, Degradation, Tensor]]:
    """Yield each loss by name, and pictures that suffered it."""
    mask, start = torch.zeros(images.shape[2:]), (images.shape[2] - side) // 2
    mask[start : start + side, start : start + side] = 1
    random = torch.Generator().manual_seed(0)
    noise = deviation * torch.randn(images.shape, generator=random)
    grey, smaller = Grey(), Smaller(factor)
    yield "hole", Hole(mask), images
    yield "colour", grey, grey(images)
    yield "detail", smaller, smaller(images)
    yield "noise", Noisy(deviation), images + noise


def _ways(images: Tensor, degradation: Degradation, found: Restoration) -> dict[str, Tensor]:
    better = _better(found.given, degradation)
    ways = {"original": images, "plain": found.baseline}
    ways |= {} if better is None else {"better": better}
    return ways | {"drawn": found.drawn, "restored": found.images}


def _better(given: Tensor, degradation: Degradation) -> Tensor | None:
    if isinstance(degradation, Hole):
        far = Hole(degradation.hole, feather=1e6)
        return far.finish(torch.zeros_like(given), given)
    if isinstance(degradation, Noisy):
        try:
            from skimage.restoration import denoise_tv_chambolle
        except ModuleNotFoundError as error:
            raise CapabilityError(
                "The baseline of noisy pictures needs scikit-image, which is not installed. "
                'Install it with: pip install "steerbench[eval]".'
            ) from error

        # The best PSNR on two dozen other renders, of weights from 0.4 to 2.4 deviations.
        weight = 0.8 * degradation.deviation
        smooth = [denoise_tv_chambolle(x.numpy(), weight, channel_axis=0) for x in given]
        return torch.stack([torch.from_numpy(x) for x in smooth]).to(given)
    return None


def _inside(images: Tensor, box: Tensor | None) -> Tensor:
    if box is None:
        return images
    rows, columns = (box.any(axis).nonzero()[:, 0] for axis in (1, 0))
    return images[:, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
