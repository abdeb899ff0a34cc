"""How good a generator of a world's pictures is, measured by a network that did not train it.

The judge is an oracle of its own seed and shape (``rooms-attributes-2``). Its features place
every picture; its readings tell what is in it. Three sets of equal size are compared: generated
pictures (seeds 0 to n - 1), held-out renders, and renders of the training cache. The distances
between the two rendered sets are what a perfect generator would get.

Generated pictures are rounded to bytes first, because rendered ones were. How often an attribute
occurs is read by the judge in generated and rendered pictures alike, so that its own errors enter
both; the true share in the rendered set stands beside.

References: `steerbench.metrics.distribution`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import image, store
from steerbench.cards.models import Asset
from steerbench.cards.text import check_section, fill_section, generator_card, readme_section
from steerbench.errors import ArgumentError
from steerbench.generators import load
from steerbench.metrics import density_coverage, frechet_distance, kernel_distance, precision_recall
from steerbench.predictors import AttributePredictor, oracle
from steerbench.training import pictures as cache
from steerbench.types import Generator

SECTION = "quality"
"""The marks in a README between which the quality stands."""
Source = Callable[[int, int], Tensor]
"""From ``first`` and ``count`` to pictures ``[count, 3, H, W]``."""


@dataclass
class Reading:
    """What the judge saw in a set: ``features [N, D]`` and ``scores [N, names]``."""

    features: Tensor
    scores: Tensor


def read(
    judge: AttributePredictor,
    source: Source,
    n_samples: int,
    what: str,
    *,
    batch_size: int = 64,
) -> Reading:
    """Let the judge see ``n_samples`` pictures, so many at a time; ``what`` names the progress."""
    starts = range(0, n_samples, batch_size)
    features = []
    with torch.no_grad():
        for first in tqdm(starts, desc=what, unit="batch", mininterval=2):
            features.append(judge.features(source(first, min(batch_size, n_samples - first))))
        together = torch.cat(features)
        return Reading(together, judge.read(together))


def generator_source(generator: Generator) -> Source:
    """Draw pictures of seeds ``first .. first + count - 1``, as they are when exported."""

    def draw(first: int, count: int) -> Tensor:
        picture = generator.render(generator.sample(count, seed=first))
        return image.from_uint8(image.to_uint8(picture))

    return draw


def cache_source(pictures: cache.Pictures, start: int = 0) -> Source:
    """Take the pictures of a cache in their order, from one on."""
    return lambda first, count: pictures.images(np.arange(start + first, start + first + count))


def compare(real: Reading, other: Reading) -> dict[str, float]:
    """Measure every distance between a set and the real one."""
    precision, recall = precision_recall(real.features, other.features, k=3)
    density, coverage = density_coverage(real.features, other.features, k=5)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "density": round(density, 4),
        "coverage": round(coverage, 4),
        "frechet_distance": round(frechet_distance(real.features, other.features), 4),
        "kernel_distance": round(kernel_distance(real.features, other.features), 6),
    }


def frequencies(
    judge: AttributePredictor, fake: Reading, real: Reading, truth: Mapping[str, Tensor]
) -> list[dict[str, Any]]:
    """Return how often each binary attribute occurs, one row an attribute."""
    rows = []
    for name in judge.binary_names:
        column = judge.names.index(name)
        in_fake, in_real = (float((r.scores[:, column] > 0.5).float().mean()) for r in (fake, real))
        rows.append(
            {
                "attribute": name,
                "generated": round(in_fake, 4),
                "rendered": round(in_real, 4),
                "true": round(float(truth[name].mean()), 4),
                "difference": round(in_fake - in_real, 4),
            }
        )
    return rows


def measure(
    generator: Generator,
    judge: AttributePredictor,
    held_out: cache.Pictures,
    training: cache.Pictures,
    n_samples: int,
) -> dict[str, Any]:
    """Measure the quality of a generator, as plain numbers.

    Args:
        generator: Draws as many pictures.
        judge: Sees all of them.
        held_out: Renders that no network has seen.
        training: Renders that the generator may have seen.
        n_samples: Pictures of each set.

    Raises:
        ArgumentError: A cache holds fewer pictures.
    """
    for pictures in (held_out, training):
        if len(pictures) < n_samples:
            raise ArgumentError(
                f"{pictures.folder} holds {len(pictures)} pictures, {n_samples} are wanted. Render "
                f"more with: python -m steerbench.training pictures --out {pictures.folder} "
                f"--count {n_samples} (held-out ones with --first-seed {cache.HELD_OUT_SEED}), or "
                "lower --n-samples."
            )
    started = time.time()
    fake = read(judge, generator_source(generator), n_samples, "generated")
    generating = time.time() - started
    real = read(judge, cache_source(held_out), n_samples, "held out")
    second = read(judge, cache_source(training), n_samples, "rendered")
    truth = dict(zip(held_out.factor_names, held_out.factors[:n_samples].T))
    rows = frequencies(judge, fake, real, truth)
    return {
        "generator": generator.fingerprint,
        "judge": judge.name,
        "n": n_samples,
        "generated_against_rendered": compare(real, fake),
        "rendered_against_rendered": compare(real, second),
        "frequencies": rows,
        "largest_difference": max(rows, key=lambda row: abs(row["difference"])),
        "seconds": {
            "generating_and_reading": round(generating, 1),
            "all": round(time.time() - started, 1),
        },
    }


def run(
    path: Path,
    *,
    judge: str,
    data: Path,
    held_out: Path,
    out: Path,
    n_samples: int,
    hardware: str = "",
    readme: Path | None = None,
) -> dict[str, Any]:
    """Measure a generator's file; write the numbers and a sheet of 64 to ``out``, and its card.

    Args:
        path: The file; its card goes beside it.
        judge: An oracle that took no part in its training.
        data: A cache of renders that it learned from.
        held_out: A cache of others.
        out: A folder, for ``quality.json`` and ``grid.png``.
        n_samples: Pictures of each set.
        hardware: What it was trained on, where the file does not say so.
        readme: A file whose ``quality`` section is renewed.

    Raises:
        NotFoundError: There is no such generator, judge or cache.
        ArgumentError: A cache holds too few pictures, the judge helped to train, or the README has
            no marks.
    """
    header = store.read_header(path)
    if header.get("training", {}).get("settings", {}).get("judge") == judge:
        raise ArgumentError(
            f"{path} was trained with {judge!r}, which therefore cannot judge it; give another "
            "--judge."
        )
    if readme is not None:
        check_section(readme, SECTION)
    generator, network = load(path), oracle(judge)
    caches = cache.Pictures(held_out, limit=n_samples), cache.Pictures(data, limit=n_samples)
    result = measure(generator, network, *caches, n_samples)
    out.mkdir(parents=True, exist_ok=True)
    store.write_text_atomic(out / "quality.json", json.dumps(result, indent=1) + "\n")
    image.save(generator_source(generator)(0, 64), out / "grid.png")
    text = generator_card(Asset(path), result, hardware)
    store.write_text_atomic(path.with_suffix(".md"), text)
    if readme is not None:
        fill_section(readme, SECTION, readme_section(result, header.get("training", {})))
    return result
