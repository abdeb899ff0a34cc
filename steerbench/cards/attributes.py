"""How well an oracle reads each factor of the world, from held-out renders, where it shows.

Of a binary factor the accuracy is stated, beside that of always giving the more frequent answer; of
a continuous one the share of its variance that is read, and the error in its unit. Where a factor
shows is a matter of `steerbench.worlds.rooms.visibility`. Every second picture is stamped with a
watermark, which the default world never shows.
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
from steerbench.predictors import AttributePredictor, oracle
from steerbench.training import pictures as cache
from steerbench.training.attributes import Examples
from steerbench.training.shared import check_held_out
from steerbench.worlds.rooms.visibility import RULES


def measure(reader: AttributePredictor, examples: Examples) -> dict[str, dict[str, Any]]:
    """Measure how well an oracle reads pictures that it never saw, where each factor shows.

    Returns:
        For each factor ``shows`` (the share of pictures where it does) and, if continuous,
        ``r2`` and ``rmse`` (in its unit); if binary, ``accuracy`` at 0.5, and ``majority``, the
        accuracy of always giving the more frequent answer.
    """
    parts = []
    for indices in np.array_split(np.arange(len(examples)), -(-len(examples) // 512)):
        stamped = torch.from_numpy(indices % 2 == 1)
        images, factors, shows = examples.batch(indices, stamped)
        parts.append((reader.predict(images), factors, shows))
    guesses, factors, shows = (torch.cat(columns) for columns in zip(*parts))
    return {
        attribute.name: {
            "shows": round(float(where.float().mean()), 4),
            **_score(attribute.kind, guess[where], truth[where]),
        }
        for attribute, guess, truth, where in zip(reader.attributes, guesses.T, factors.T, shows.T)
    }


def _score(kind: str, guess: Tensor, truth: Tensor) -> dict[str, float]:
    if kind == "binary":
        share = float(truth.mean())
        right = float(((guess > 0.5) == (truth > 0.5)).float().mean())
        return {"accuracy": round(right, 4), "majority": round(max(share, 1 - share), 4)}
    error = (guess - truth).double().square().mean()
    r2 = 1 - error / truth.double().var(correction=0)
    return {"r2": round(float(r2), 4), "rmse": round(float(error.sqrt()), 4)}


def attributes_card(
    asset: Asset, reader: AttributePredictor, result: Mapping[str, Mapping[str, Any]], n: int
) -> str:
    """Write the card of an oracle, in Markdown.

    Args:
        asset: Its file.
        reader: What it holds.
        result: What `measure` gives.
        n: Of how many pictures.
    """
    training, name = asset.header["training"], asset.name
    settings = training["settings"]
    weights = sum(tensor.numel() for tensor in reader.tensors().values())
    rows: dict[str, list[dict[str, Any]]] = {"binary": [], "continuous": []}
    for attribute in reader.attributes:
        rows[attribute.kind].append(_row(attribute.name, attribute.unit, result[attribute.name]))
    return card(
        {
            "title": name,
            "summary": f'Reads the {len(reader.names)} factors of the world "rooms" from a '
            f'picture: `sb.predictor("{name}")`.',
            "facts": {
                "architecture": f"convolutional network, widths {settings['widths']}, "
                f"{settings['features']} features, {weights:,} weights",
                "data": training["data"],
                "training": learning(training),
                "seed": settings["seed"],
                "hardware": training["hardware"],
                "judged on": f"{n:,} renders of the world rooms, seeds from "
                f"{cache.HELD_OUT_SEED}; every second one stamped with a watermark",
                **identity(asset),
                "licence": "MIT",
            },
            "tables": {
                "Binary attributes: accuracy where they show": rows["binary"],
                "Continuous attributes: R2 where they show": rows["continuous"],
            },
            "notes": [
                "An R2 near 0 says that the network cannot read this attribute; do not use it.",
                *training.get("notes", []),
            ],
        }
    )


def _row(name: str, unit: str, score: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"attribute": name}
    if "accuracy" in score:
        row |= {"accuracy": score["accuracy"], "always the majority": score["majority"]}
    else:
        row |= {"R2": score["r2"], "RMSE": score["rmse"], "unit": unit}
    shown = RULES[name].why if name in RULES else "always"
    return row | {"shows in": score["shows"], "where": shown}


def run(path: Path, *, held_out: Path) -> dict[str, dict[str, Any]]:
    """Measure an oracle's file on held-out renders and write its card beside it.

    Raises:
        NotFoundError, ArgumentError: There are too few held-out pictures, or no such file.
    """
    check_held_out(held_out)
    asset, reader, examples = Asset(path), oracle(path), Examples(held_out)
    result = measure(reader, examples)
    store.write_text_atomic(asset.card, attributes_card(asset, reader, result, len(examples)))
    return result
