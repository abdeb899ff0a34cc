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
from steerbench.cards.text import card
from steerbench.predictors import oracle
from steerbench.predictors.clip import Clip, clip
from steerbench.stats import wilson
from steerbench.training import attributes
from steerbench.training import pictures as cache
from steerbench.training.shared import check_held_out
from steerbench.worlds import world
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.statements import OPPOSITES

AMONG = 100
IN_VIEW = ("lamp_on", "side")
"""Factors that are asked where the lamp is in view."""
LEAST_PIXELS = 12


def retrieval(reader: Clip, images: Tensor, captions: list[str], among: int) -> Tensor:
    """Which pictures find their own caption among so many, and the reverse: ``[2, N]`` bool."""
    features, texts = reader.encode_image(images), reader.encode_text(captions)
    found = []
    for rows in torch.arange(len(images) // among * among).split(among):
        fits = features[rows] @ texts[rows].T
        own = torch.arange(among)
        found.append(torch.stack([fits.argmax(1) == own, fits.argmax(0) == own]))
    return torch.cat(found, dim=1)


def measured(reader: Clip, held_out: Path, judge: str, n: int) -> dict[str, Any]:
    """Everything a card says, for one CLIP."""
    examples = attributes.Examples(held_out, limit=n)
    classes = world("rooms").class_names
    marked = torch.arange(n) % 2 == 1
    images, factors, shows = examples.batch(np.arange(n), marked)
    plain = examples.pictures.images(np.arange(n))
    masks = np.concatenate(examples.pictures.masks)[:n].reshape(n, -1)
    rows = [dict(zip(examples.names, row)) for row in examples.factors[:n].tolist()]
    shares = [np.bincount(mask, minlength=len(classes)) / mask.size for mask in masks]
    captions = [caption(row, dict(zip(classes, s.tolist()))) for row, s in zip(rows, shares)]
    found = retrieval(reader, plain, captions, AMONG)
    lamp = torch.tensor([s[classes.index("lamp")] * 4096 >= LEAST_PIXELS for s in shares])
    guesses = reader.predictor(OPPOSITES).predict(images) > 0.5
    rival = oracle(judge).only(list(OPPOSITES)).predict(images) > 0.5
    zero_shot = []
    for column, name in enumerate(OPPOSITES):
        at = examples.names.index(name)
        where = shows[:, at] & lamp if name in IN_VIEW else shows[:, at]
        truth = factors[where, at] > 0.5
        share = float(truth.float().mean())
        zero_shot.append(
            {
                "factor": name,
                "by words": _share(guesses[where, column] == truth),
                judge: _share(rival[where, column] == truth),
                "always the majority": round(max(share, 1 - share), 4),
            }
        )
    return {
        "n": n,
        "among": AMONG,
        "retrieval": [
            {"asked": asked, "top-1": _share(hits), "95% interval": _interval(hits)}
            for asked, hits in zip(("picture finds caption", "caption finds picture"), found)
        ],
        "different captions": len(set(captions)),
        "zero_shot": zero_shot,
    }


def _share(hits: Tensor) -> float:
    return round(float(hits.float().mean()), 4)


def _interval(hits: Tensor) -> str:
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{low:.3f} to {high:.3f}"


def clip_card(reader: Clip, training: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The card of a CLIP, in Markdown."""
    settings, name = training["settings"], reader.name
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
                "training": f"{settings['images']:,} pictures in batches of {settings['batch']}, "
                f"{training['seconds'] / 60:.0f} minutes of one core's time",
                "seed": settings["seed"],
                "hardware": training["hardware"],
                "judged on": f"{result['n']:,} renders of the world rooms, seeds from "
                f"{cache.HELD_OUT_SEED}",
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


def run(paths: list[Path], held_out: Path, judge: str, n: int) -> list[dict[str, Any]]:
    """Measure CLIPs and write their cards beside them.

    Raises:
        NotFoundError, SteerbenchError: There are too few held-out pictures, or no such file.
    """
    check_held_out(held_out)
    results = []
    for path in paths:
        reader, header = clip(str(path)), store.read_header(path)
        result = measured(reader, held_out, judge, n)
        text = clip_card(reader, header["training"], result)
        store.write_text_atomic(path.with_suffix(".md"), text)
        results.append(result)
    return results
