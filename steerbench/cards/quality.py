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
from steerbench.cards.text import generator_card, readme_section
from steerbench.errors import ArgumentError
from steerbench.generators import load
from steerbench.metrics import density_coverage, frechet_distance, kernel_distance, precision_recall
from steerbench.predictors import AttributePredictor, oracle
from steerbench.training import pictures as cache
from steerbench.types import Generator

BATCH = 64


@dataclass
class Reading:
    """What the judge saw in a set: ``features [N, D]`` and ``scores [N, names]``."""

    features: Tensor
    scores: Tensor


def read(
    judge: AttributePredictor, draw: Callable[[int, int], Tensor], n: int, what: str
) -> Reading:
    """Let the judge see ``n`` pictures, ``draw(first, count)`` at a time."""
    features = []
    with torch.no_grad():
        for first in tqdm(range(0, n, BATCH), desc=what, unit="batch", mininterval=2):
            features.append(judge.features(draw(first, min(BATCH, n - first))))
        together = torch.cat(features)
        return Reading(together, judge.read(together))


def generated(generator: Generator) -> Callable[[int, int], Tensor]:
    """Pictures of seeds ``first .. first + count - 1``, as they are when exported."""

    def draw(first: int, count: int) -> Tensor:
        picture = generator.render(generator.sample(count, seed=first))
        return image.from_uint8(image.to_uint8(picture))

    return draw


def rendered(pictures: cache.Pictures) -> Callable[[int, int], Tensor]:
    """The pictures of a cache in their order."""
    return lambda first, count: pictures.images(np.arange(first, first + count))


def compare(real: Reading, other: Reading) -> dict[str, float]:
    """Every distance between a set and the real one."""
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
    """How often each binary attribute occurs, one row an attribute."""
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
    n: int,
) -> dict[str, Any]:
    """The quality table of a generator as plain numbers.

    Raises:
        ArgumentError: A cache holds fewer than ``n`` pictures.
    """
    for pictures in (held_out, training):
        if len(pictures) < n:
            raise ArgumentError(
                f"{pictures.folder} holds {len(pictures)} pictures, {n} are wanted. Render more "
                f"with: python -m steerbench.training pictures --out {pictures.folder} --count {n} "
                f"(held-out ones with --first-seed {cache.HELD_OUT_SEED}), or lower --n."
            )
    started = time.time()
    fake = read(judge, generated(generator), n, "generated")
    generating = time.time() - started
    real = read(judge, rendered(held_out), n, "held out")
    second = read(judge, rendered(training), n, "rendered")
    truth = dict(zip(held_out.factor_names, held_out.factors[:n].T))
    rows = frequencies(judge, fake, real, truth)
    return {
        "generator": generator.fingerprint,
        "judge": judge.name,
        "n": n,
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
    source: Path,
    *,
    judge: str = "rooms-attributes-2",
    data: Path,
    held_out: Path,
    out: Path,
    n: int,
    hardware: str,
    readme: Path | None = None,
) -> dict[str, Any]:
    """Measure a generator's file; write ``quality.json`` and ``grid.png`` to ``out``, and its card.

    The section between the ``quality`` marks of ``readme``, where one is given, is renewed.

    Raises:
        NotFoundError: There is no such generator, judge or cache.
        ArgumentError: A cache holds too few pictures, or the judge helped to train.
    """
    header = store.read_header(source)
    if header.get("training", {}).get("settings", {}).get("judge") == judge:
        raise ArgumentError(
            f"{source} was trained with {judge!r}, which therefore cannot judge it; give another "
            "--judge."
        )
    generator, network = load(source), oracle(judge)
    caches = cache.Pictures(held_out, limit=n), cache.Pictures(data, limit=n)
    result = measure(generator, network, *caches, n)
    out.mkdir(parents=True, exist_ok=True)
    store.write_text_atomic(out / "quality.json", json.dumps(result, indent=1) + "\n")
    image.save(generated(generator)(0, 64), out / "grid.png")
    text = generator_card(source.stem, header, result, hardware)
    store.write_text_atomic(source.with_suffix(".md"), text)
    if readme is not None:
        fill_readme(readme, readme_section(result, header["training"]["images"]))
    return result


def fill_readme(readme: Path, section: str) -> None:
    """Put a section between the ``quality`` marks of a Markdown file.

    Raises:
        ArgumentError: The file has no such marks.
    """
    start, end = "<!-- quality -->", "<!-- /quality -->"
    text = readme.read_text(encoding="utf-8")
    if start not in text or end not in text:
        raise ArgumentError(f"{readme} has no {start} ... {end}. Put both where it should go.")
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    store.write_text_atomic(readme, f"{before}{start}\n{section}\n{end}{after}")
