"""Chapter 03: which units match a concept, and what they do.

- ``03-units.csv``: the units that match each concept best, of 1,000 pictures.
- ``03-effects.csv``: removal and insertion of lamp, window, plant, picture and bed, with the units
  of the largest overlap and against random ones.
- ``03-search.csv``: the same for the sets that the search found.
- ``03-artefacts.csv``: the generator's distance to held-out renders without the units that spoil
  pictures the most, without random ones, and as it is.
- ``03-watermarks.csv``: how many pictures of the watermarked generator carry a mark, read by an
  oracle, without the units that the search found, and without random ones.

One segmenter chooses, a second one judges. Classes that make up one thing are joined, because a
window's frame alone is a line of pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor

from steerbench.generators import load
from steerbench.metrics import random_units
from steerbench.predictors import oracle, predictor
from steerbench.predictors.class_groups import ClassGroups
from steerbench.seeds import Codes
from steerbench.stats import wilson
from steerbench.studies import tables
from steerbench.supervised.dissection import Dissection
from steerbench.supervised.dissection.artefacts import ArtefactUnits
from steerbench.supervised.dissection.effects import UnitEffects
from steerbench.supervised.dissection.search import UnitSearch
from steerbench.training.pictures import HELD_OUT_SEED
from steerbench.types import UnitEdit
from steerbench.worlds import world

LAYER = "b16.conv1"


def things(name: str) -> ClassGroups:
    """Load a segmenter whose classes that make up one thing are joined."""
    groups = {"window": ["window", "sky", "hill", "tree"], "bed": ["bed", "headboard", "pillow"]}
    return ClassGroups(predictor(name), groups)


def dissect(models: Mapping[str, str], n_samples: int = 1000) -> Dissection:
    """Dissect a layer of the ``generator`` with the ``segmenter``."""
    found = Dissection(things(models["segmenter"]), LAYER, n_samples=n_samples, batch_size=32)
    return found.fit(load(models["generator"]))


def measure_units(out: Path, models: Mapping[str, str], n_samples: int = 1000) -> None:
    """Measure which units match each concept best."""
    found = dissect(models, n_samples)
    best = [found.best(name, 5) for name in found.labels_["concept"].unique()]
    tables.write(pd.concat(best), out / "03-units.csv")


def measure_effects(out: Path, models: Mapping[str, str], n_units: int = 16) -> None:
    """Measure what the units of the largest overlap do, against random ones."""
    concepts = ("lamp", "window", "plant", "picture", "bed")
    table = _effects(dissect(models), models, concepts, n_units, n_random=9)
    tables.write(table, out / "03-effects.csv")


def measure_search(
    out: Path,
    models: Mapping[str, str],
    concepts: Sequence[str] = ("lamp", "picture"),
    n_units: int = 16,
) -> None:
    """Measure what the sets do that gradient descent finds."""
    generator, found = load(models["generator"]), dissect(models)
    sets = {name: UnitSearch(found, name).fit(generator).best(n_units) for name in concepts}
    table = _effects(found, models, concepts, sets, n_random=1)
    table = table.query("units == 'matched'").drop(columns="p")
    by_overlap = {name: set(found.best(name, n_units)["unit"]) for name in concepts}
    both = {name: len(by_overlap[name] & set(sets[name])) for name in concepts}
    table = table.assign(units="searched", in_both=table["concept"].map(both))
    tables.write(table, out / "03-search.csv")


def _effects(
    found: Dissection,
    models: Mapping[str, str],
    concepts: Sequence[str],
    units: int | Mapping[str, Sequence[int]],
    n_random: int,
) -> pd.DataFrame:
    """Judge sets of units on 64 pictures of 320 that nobody has seen."""
    judge, generator = things(models["second_segmenter"]), load(models["generator"])
    fresh = {"n_samples": 64, "n_fresh_samples": 320, "batch_size": 32}
    study = UnitEffects(found, judge, concepts, units, n_random=n_random, **fresh)
    return study.fit(generator).effects_


def measure_artefacts(out: Path, models: Mapping[str, str], n_samples: int = 800) -> None:
    """Measure whether the generator is better without some units."""
    generator = load(models["generator"])
    size = generator.resolution
    real = world("rooms").sample(n_samples, seed=HELD_OUT_SEED, resolution=size).images
    features = oracle(models["judge"]).features
    study = ArtefactUnits(features, LAYER, n_units=8, n_samples=64, n_fresh_samples=400)
    tables.write(study.fit(generator, real).quality_, out / "03-artefacts.csv")


def measure_watermarks(
    out: Path, models: Mapping[str, str], layer: str = "b32.conv1", n_units: int = 24
) -> None:
    """Measure whether a learned watermark can be switched off."""
    generator, segmenter = load(models["generator"]), predictor(models["segmenter"])
    found = Dissection(segmenter, layer, n_samples=400, batch_size=32).fit(generator)
    chosen = UnitSearch(found, "watermark").fit(generator).best(n_units)
    random = random_units(generator.find_layer(layer).channels, chosen, 3, seed=0)
    codes = generator.sample(256, seed=Codes.EFFECTS.start)
    before, judge = generator.render(codes), predictor(models["judge"], ["watermark"])

    def rows() -> Iterator[dict[str, object]]:
        for name, units in [("none", ()), ("searched", chosen), *(("random", r) for r in random)]:
            after = generator.render(codes, edits=[UnitEdit(layer, units)] if units else [])
            yield {"removed": name} | _marks(judge.predict(after)[:, 0], before, after)

    tables.write(pd.DataFrame(rows()), out / "03-watermarks.csv")


def _marks(scores: Tensor, before: Tensor, after: Tensor) -> dict[str, object]:
    """Return the share of marked pictures with its interval, and how much pictures changed."""
    hits = int((scores > 0.5).sum())
    low, high = wilson(hits, len(after))
    change = float((after - before).abs().clamp(max=2).mean()) / 2
    row: dict[str, object] = {"marked": hits / len(after), "low": low, "high": high}
    return row | {"change": change, "pictures": len(after)}
