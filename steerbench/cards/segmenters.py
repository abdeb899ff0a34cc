"""How good two segmenters are: against the truth of renders, and on pictures that have none.

Held-out renders come with their masks. Of each class the intersection over union is stated:

    IoU_k = |read as k and is k| / |read as k or is k|        over all pixels of all pictures

and its mean over the classes that cover more than 1% of the pixels. Generated pictures have no
masks. Whether the networks still see rooms there is told by witnesses that learned apart: the two
segmenters, of different seeds and shapes, are compared with each other, on generated pictures and
on as many renders; and where an oracle reads that a thing is present, the segmenter should find at
least a few of its pixels. What fell from renders to generated pictures is what softness costs
(or the generator's own doing: a thing that is half there may be seen by one and not by the other).

The file ``grid.png`` shows what no number does; what was seen in it is a note of the card.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import image, store
from steerbench.cards.models import Asset
from steerbench.cards.quality import Source, cache_source, generator_source
from steerbench.cards.text import card, identity, learning
from steerbench.errors import ArgumentError
from steerbench.generators import load
from steerbench.predictors import (
    AttributePredictor,
    SegmentationPredictor,
    oracle,
    predictor,
)
from steerbench.training import pictures as cache
from steerbench.training.shared import check_held_out, watermark
from steerbench.worlds import world

LEAST_SHARE = 0.01
"""Classes that cover less of the pixels do not enter the mean: a few pixels decide their IoU."""
THINGS = {
    "window": ("window", "sky", "hill", "tree"),
    "curtains": ("curtain",),
    "picture": ("picture",),
    "plant": ("plant",),
    "rug": ("rug",),
    "lamp": ("lamp",),
}
"""Attribute of the oracle to the classes that show it."""
LEAST_PIXELS = 12
"""From how many of 64x64 pixels on a thing counts as found."""


def confusion(first: Tensor, second: Tensor, classes: int) -> Tensor:
    """Count how many pixels have each pair of labels of two labellings, ``[classes, classes]``."""
    return (first * classes + second).flatten().bincount(minlength=classes**2).view(classes, -1)


def summary(cells: Tensor) -> dict[str, Any]:
    """Say of a `confusion` (or a sum of such) how well the second labelling meets the first.

    Returns:
        ``accuracy``, the share of equal pixels; ``mean_iou`` over the classes of the first above
        `LEAST_SHARE`; ``shares`` and ``iou``, a list each (None where neither has the class).
    """
    cells, same = cells.double(), cells.diagonal().double()
    shares, union = cells.sum(1) / cells.sum(), cells.sum(0) + cells.sum(1) - same
    iou = same / union.clamp(min=1)
    return {
        "accuracy": round(float(same.sum() / cells.sum()), 4),
        "mean_iou": round(float(iou[shares > LEAST_SHARE].mean()), 4),
        "shares": [round(share, 4) for share in shares.tolist()],
        "iou": [round(v, 4) if u else None for v, u in zip(iou.tolist(), union.tolist())],
    }


def against_truth(
    segmenter: SegmentationPredictor, pictures: cache.Pictures, stamp_every: int = 10
) -> dict[str, Any]:
    """Measure a segmenter on a cache with masks: `summary`, every tenth picture stamped."""
    mark = watermark(world(pictures.world), pictures.resolution)
    mark_class, classes = segmenter.names.index("watermark"), len(segmenter.names)
    cells = torch.zeros(classes, classes, dtype=torch.int64)
    for indices in _batches(len(pictures), f"{segmenter.name}, held out"):
        images, masks = pictures.images(indices.numpy()), pictures.labels(indices.numpy())
        stamped = indices % stamp_every == 0
        images[stamped] = mark.on(images[stamped])
        masks[stamped] = torch.where(mark.ink, mark_class, masks[stamped])
        cells += confusion(masks, segmenter.predict(images), classes)
    return summary(cells)


@dataclass
class Testimony:
    """What all saw in the same pictures: labels ``[N, H, W]`` of each segmenter, and an oracle."""

    labels: list[Tensor]
    present: dict[str, Tensor]

    @classmethod
    def of(
        cls,
        segmenters: Sequence[SegmentationPredictor],
        witness: AttributePredictor,
        source: Source,
        n_samples: int,
        what: str,
    ) -> Testimony:
        """Show so many pictures of a source to all."""
        seen = []
        for indices in _batches(n_samples, what):
            images = source(int(indices[0]), len(indices))
            labels = [segmenter.predict(images) for segmenter in segmenters]
            seen.append((*labels, witness.predict(images)))
        *labels, scores = (torch.cat(parts) for parts in zip(*seen))
        return cls(labels, dict(zip(witness.names, scores.T > 0.5)))

    def agreement(self, names: Sequence[str]) -> dict[str, Any]:
        """Compare the first two segmenters: `summary` of one against the other."""
        first, second = self.labels
        return summary(confusion(first, second, len(names)))

    def with_oracle(self, which: int, names: Sequence[str]) -> dict[str, float]:
        """Say in which share of the pictures a segmenter and the oracle agree on what is there."""
        labels, rates = self.labels[which].flatten(1), {}
        least = LEAST_PIXELS / 64**2 * labels.shape[1]
        for thing, classes in THINGS.items():
            shows = torch.isin(labels, torch.tensor([names.index(name) for name in classes]))
            agreed = (shows.sum(1) >= least) == self.present[thing]
            rates[thing] = round(float(agreed.float().mean()), 4)
        return rates


def _batches(n: int, what: str, size: int = 64) -> Iterable[Tensor]:
    return tqdm(torch.arange(n).split(size), desc=what, unit="batch", mininterval=2)


def colour_maps(labels: Tensor) -> Tensor:
    """Draw label maps ``[N, H, W]`` as pictures ``[N, 3, H, W]``, a colour for each label."""
    colours = [
        colorsys.hsv_to_rgb(0.618 * label % 1, (0.9, 0.65, 0.4)[label % 3], (1.0, 0.7)[label % 2])
        for label in range(int(labels.max()) + 1)
    ]
    return (torch.tensor(colours) * 2 - 1)[labels].permute(0, 3, 1, 2)


def sheet(segmenters: Sequence[SegmentationPredictor], images: Tensor) -> Tensor:
    """Draw rows of eight pictures, each followed by every segmenter's maps, ``[3, H, W]``."""
    rows = []
    for part in images.split(8):
        rows += [part, *(colour_maps(segmenter.predict(part)) for segmenter in segmenters)]
    return image.grid(torch.cat(rows), columns=8)


def run(
    paths: Sequence[Path],
    *,
    held_out: Path,
    generator: str,
    judge: str,
    n_samples: int,
    out: Path,
    note: str = "",
) -> list[dict[str, Any]]:
    """Measure two segmenters' files; write sheets and the numbers to ``out``, and their cards.

    Args:
        paths: The two files; cards go beside them.
        held_out: A cache of held-out renders.
        generator: Whose pictures they see as well.
        judge: An oracle that says what is there.
        n_samples: Generated pictures, and as many renders.
        out: A folder, for ``quality.json`` and the sheets.
        note: What was seen in the sheets; goes to the cards.

    Raises:
        NotFoundError: There is no such file, generator, judge or cache.
        ArgumentError: They are no two segmenters, or there are too few pictures.
    """
    check_held_out(held_out)
    pictures = cache.Pictures(held_out, with_masks=True)
    if n_samples > len(pictures):
        raise ArgumentError(
            f"{held_out} holds {len(pictures)} pictures, {n_samples} are wanted; lower --n-samples."
        )
    segmenters, drawn = [segmenter_of(path) for path in paths], load(generator)
    sources = {"rendered": cache_source(pictures), "generated": generator_source(drawn)}
    found = f"{drawn.name}, fingerprint `{drawn.fingerprint}`"
    common = {"generator": found, "judge": judge, "n": n_samples, "note": note}
    measured = _measure(segmenters, pictures, sources, judge, n_samples)
    results = [common | each for each in measured]
    for path, segmenter, result in zip(paths, segmenters, results):
        asset = Asset(path)
        store.write_text_atomic(asset.card, segmenter_card(asset, segmenter, result))
    out.mkdir(parents=True, exist_ok=True)
    store.write_text_atomic(out / "quality.json", json.dumps(results, indent=1) + "\n")
    image.save(sheet(segmenters, sources["generated"](0, 32))[None], out / "grid.png")
    image.save(sheet(segmenters, sources["rendered"](0, 16))[None], out / "grid-rendered.png")
    return results


def _measure(
    segmenters: Sequence[SegmentationPredictor],
    pictures: cache.Pictures,
    sources: Mapping[str, Source],
    judge: str,
    n: int,
) -> list[dict[str, Any]]:
    """Measure each segmenter against the truth, against the other one, and against an oracle."""
    witness, names = oracle(judge), segmenters[0].names
    heard = {kind: Testimony.of(segmenters, witness, s, n, kind) for kind, s in sources.items()}
    each_other = {kind: seen.agreement(names) for kind, seen in heard.items()}
    held_out = (
        f"{len(pictures):,} renders of the world {pictures.world}, seeds from "
        f"{cache.HELD_OUT_SEED}; every tenth one stamped with a watermark"
    )
    return [
        {
            "held_out": held_out,
            "truth": against_truth(segmenter, pictures),
            "each_other": each_other,
            "oracle": {kind: seen.with_oracle(which, names) for kind, seen in heard.items()},
        }
        for which, segmenter in enumerate(segmenters)
    ]


def segmenter_of(path: Path) -> SegmentationPredictor:
    """Load the segmenter in a file.

    Raises:
        ArgumentError: The file holds another kind of predictor.
    """
    found = predictor(path)
    if not isinstance(found, SegmentationPredictor):
        raise ArgumentError(f"{path} holds {found!r}, expected a segmenter; give another file.")
    return found


def segmenter_card(
    asset: Asset, segmenter: SegmentationPredictor, result: Mapping[str, Any]
) -> str:
    """Write the card of a segmenter, in Markdown."""
    training, truth, name = asset.header["training"], result["truth"], asset.name
    weights = sum(tensor.numel() for tensor in segmenter.tensors().values())
    return card(
        {
            "title": name,
            "summary": f'Names the class of every pixel of a room: `sb.predictor("{name}")`.',
            "facts": {
                "architecture": f"U-Net, widths {training['settings']['widths']} from 64x64 down "
                f"to 4x4, {weights:,} weights",
                "data": training["data"],
                "training": learning(training),
                "seed": training["settings"]["seed"],
                "hardware": training["hardware"],
                "judged on": result["held_out"],
                "pixel accuracy": truth["accuracy"],
                "mean IoU": f"{truth['mean_iou']} over the classes that cover more than "
                f"{LEAST_SHARE:.0%} of the pixels",
                **identity(asset),
                "licence": asset.header.get("licence", "MIT"),
            },
            "tables": _tables(segmenter.names, result),
            "notes": [
                f"Generated pictures are those of {result['generator']}, seeds from 0. They have "
                "no true masks: the two last tables compare witnesses that learned apart. A thing "
                f"counts as found from {LEAST_PIXELS} of 64x64 pixels on.",
                *([result["note"]] if result["note"] else []),
            ],
        }
    )


def _tables(names: Sequence[str], result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a card: class by class, against each other, against an oracle."""
    truth, judge, n = result["truth"], result["judge"], result["n"]
    return {
        "Held-out renders, class by class": [
            {"class": k, "share of pixels": share, "IoU": "none there" if v is None else v}
            for k, share, v in zip(names, truth["shares"], truth["iou"])
        ],
        f"The two segmenters against each other, {n:,} pictures": [
            {"pictures": kind, "pixel accuracy": row["accuracy"], "mean IoU": row["mean_iou"]}
            for kind, row in result["each_other"].items()
        ],
        f"Agreement with `{judge}` on what is there, {n:,} pictures": [
            {"thing": thing, **{kind: result["oracle"][kind][thing] for kind in result["oracle"]}}
            for thing in THINGS
        ],
    }
