"""How good a CLIP is: which sentence belongs to which picture, and what words alone can read.

Retrieval: held-out renders are taken a hundred at a time with their captions, and each picture
looks for its own caption among the hundred (and each caption for its picture). Rooms that look
alike may share a caption, so even a perfect reader misses a few.

Zero-shot: of two opposite sentences (`steerbench.worlds.rooms.statements`) the one that fits
better is the answer, beside what an oracle answers that learned the factor from labels. Whether the
lamp is lit, and on which side it stands, is asked where a lamp is in view.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench import store
from steerbench.cards.models import Asset
from steerbench.cards.text import card, identity, learning
from steerbench.predictors import oracle
from steerbench.predictors.clip import Clip, clip
from steerbench.stats import wilson
from steerbench.training import attributes
from steerbench.training import pictures as cache
from steerbench.training.shared import check_held_out
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.statements import OPPOSITES


def retrieval(reader: Clip, images: Tensor, captions: list[str], among: int) -> Tensor:
    """Ask which pictures find their own caption among so many, and the reverse.

    Args:
        reader: The CLIP.
        images: ``[N, 3, H, W]``.
        captions: One a picture.
        among: How many at a time.

    Returns:
        ``[2, N]`` bool: captions found by their pictures, and pictures by their captions.
    """
    features, texts = reader.encode_image(images), reader.encode_text(captions)
    found = []
    for rows in torch.arange(len(images) // among * among).split(among):
        fits = features[rows] @ texts[rows].T
        own = torch.arange(among)
        found.append(torch.stack([fits.argmax(1) == own, fits.argmax(0) == own]))
    return torch.cat(found, dim=1)


def measure(
    reader: Clip, held_out: Path, judge: str, n_samples: int, among: int = 100
) -> dict[str, Any]:
    """Measure everything that a card says, for one CLIP.

    Args:
        reader: The CLIP.
        held_out: A cache of held-out renders.
        judge: An oracle to stand beside.
        n_samples: How many renders.
        among: How many captions a picture chooses from.
    """
    examples = attributes.Examples(held_out, limit=n_samples)
    shares = _shares(examples, n_samples)
    captions = [
        caption(dict(zip(examples.names, row)), share)
        for row, share in zip(examples.factors[:n_samples].tolist(), shares)
    ]
    plain = examples.pictures.images(np.arange(n_samples))
    found = retrieval(reader, plain, captions, among)
    return {
        "n": n_samples,
        "among": among,
        "retrieval": [
            {"asked": asked, "top-1": _share(hits), "95% interval": _interval(hits)}
            for asked, hits in zip(("picture finds caption", "caption finds picture"), found)
        ],
        "different captions": len(set(captions)),
        "zero_shot": zero_shot(reader, examples, judge, shares),
    }


def _shares(examples: attributes.Examples, n: int) -> list[dict[str, float]]:
    """Return what share of each picture's pixels each class covers."""
    classes = examples.world.class_names
    masks = np.concatenate(examples.pictures.masks)[:n].reshape(n, -1)
    counts = [np.bincount(mask, minlength=len(classes)) / mask.size for mask in masks]
    return [dict(zip(classes, row.tolist())) for row in counts]


def zero_shot(
    reader: Clip,
    examples: attributes.Examples,
    judge: str,
    shares: list[dict[str, float]],
    least_pixels: int = 12,
) -> list[dict[str, Any]]:
    """Ask for each factor which of two opposite sentences fits, where the factor shows.

    Args:
        reader: The CLIP.
        examples: The renders, of which every second one is stamped.
        judge: An oracle that answers as well.
        shares: What share of each picture each class covers.
        least_pixels: From how many of 64x64 pixels on a lamp is in view.
    """
    n = len(shares)
    images, factors, shows = examples.batch(np.arange(n), torch.arange(n) % 2 == 1)
    lamp = torch.tensor([share["lamp"] * 64 * 64 >= least_pixels for share in shares])
    guesses = reader.predictor(OPPOSITES).predict(images) > 0.5
    rival = oracle(judge).only(list(OPPOSITES)).predict(images) > 0.5
    rows = []
    for column, name in enumerate(OPPOSITES):
        at = examples.names.index(name)
        where = shows[:, at] & lamp if name in ("lamp_on", "side") else shows[:, at]
        truth = factors[where, at] > 0.5
        share = float(truth.float().mean())
        rows.append(
            {
                "factor": name,
                "by words": _share(guesses[where, column] == truth),
                judge: _share(rival[where, column] == truth),
                "always the majority": round(max(share, 1 - share), 4),
            }
        )
    return rows


def _share(hits: Tensor) -> float:
    return round(float(hits.float().mean()), 4)


def _interval(hits: Tensor) -> str:
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{low:.3f} to {high:.3f}"


def clip_card(asset: Asset, reader: Clip, result: Mapping[str, Any]) -> str:
    """Write the card of a CLIP, in Markdown."""
    training, name = asset.header["training"], asset.name
    settings = training["settings"]
    weights = sum(tensor.numel() for tensor in reader.network.state_dict().values())
    return card(
        {
            "title": name,
            "summary": f"Compares pictures of rooms with what is said of them: "
            f'`sb.clip("{name}")`.',
            "facts": {
                "architecture": f"CLIP of open_clip: a residual network of {settings['layers']} "
                f"blocks from width {settings['width']}, a transformer of "
                f"{settings['text_layers']} layers of width {settings['text_width']}, "
                f"{settings['features']} features, {weights:,} weights",
                "vocabulary": f"{len(reader.vocabulary)} words, up to {reader.context_length - 2} "
                "of them a text",
                "data": training["data"] + "; a caption and a short statement a picture, worded "
                "anew each time",
                "training": learning(training),
                "seed": settings["seed"],
                "hardware": training["hardware"],
                "judged on": f"{result['n']:,} renders of the world rooms, seeds from "
                f"{cache.HELD_OUT_SEED}",
                **identity(asset),
                "licence": "MIT",
            },
            "tables": {
                f"Its own among {result['among']}": result["retrieval"],
                "Zero-shot accuracy where the factor shows": result["zero_shot"],
            },
            "notes": [
                f"The {result['n']:,} pictures have {result['different captions']:,} different "
                "captions.",
                "For zero-shot every second picture is stamped with a watermark. The sentences "
                "are those of `steerbench.worlds.rooms.statements.OPPOSITES`. `window_side` has "
                "no sentence of its own.",
                *training.get("notes", []),
            ],
        }
    )


def run(
    path: Path, *, held_out: Path, judge: str, n_samples: int, among: int = 100
) -> dict[str, Any]:
    """Measure a CLIP's file and write its card beside it.

    Args:
        path: The file.
        held_out: A cache of held-out renders.
        judge: An oracle to stand beside.
        n_samples: How many renders.
        among: How many captions a picture chooses from.

    Raises:
        NotFoundError, ArgumentError: There are too few held-out pictures, or no such file.
    """
    check_held_out(held_out)
    asset, reader = Asset(path), clip(str(path))
    result = measure(reader, held_out, judge, n_samples, among)
    store.write_text_atomic(asset.card, clip_card(asset, reader, result))
    return result
