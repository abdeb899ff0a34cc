"""The measurements of the chapter on units that take minutes: tables in ``assets/results/``.

- ``03-units.csv``: the units that match each concept best, of 1,000 pictures
- ``03-effects.csv``: removal and insertion of lamp, window, plant, picture and bed, with the
  units of the largest overlap and against random ones
- ``03-search.csv``: the same for the sets that the search found
- ``03-artefacts.csv``: the generator's distance to held-out renders without the units that spoil
  pictures the most, without random ones, and as it is
- ``03-watermarks.csv``: how many pictures of ``rooms-watermarked`` carry a mark, read by the
  second oracle, without the units that the search found, and without random ones

``rooms-segmenter`` chooses, ``rooms-segmenter-2`` judges. Classes that make up one thing are
joined, because a window's frame alone is a line of pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from steerbench.errors import ArgumentError, unknown
from steerbench.generators import load
from steerbench.metrics import random_units
from steerbench.predictors import oracle, predictor
from steerbench.predictors.class_groups import ClassGroups
from steerbench.seeds import Codes
from steerbench.stats import wilson
from steerbench.supervised.dissection import Dissection
from steerbench.supervised.dissection.artefacts import ArtefactUnits
from steerbench.supervised.dissection.effects import UnitEffects
from steerbench.supervised.dissection.search import UnitSearch
from steerbench.training.pictures import HELD_OUT_SEED
from steerbench.types import UnitEdit
from steerbench.worlds import world

LAYER = "b16.conv1"
THINGS = {"window": ["window", "sky", "hill", "tree"], "bed": ["bed", "headboard", "pillow"]}
CONCEPTS = ("lamp", "window", "plant", "picture", "bed")
SEARCHED = ("lamp", "picture")
UNITS = 16
FRESH = {"n_samples": 64, "n_fresh_samples": 320, "batch_size": 32}
MARK_LAYER, MARK_UNITS = "b32.conv1", 24


def units(out: Path, segmenter: str, judge: str) -> None:
    """What units match, and what they do."""
    found, second = _dissected(segmenter), ClassGroups(predictor(judge), THINGS)
    best = [found.best(name, 5) for name in found.labels_["concept"].unique()]
    _write(pd.concat(best), out / "03-units.csv")
    effects = UnitEffects(found, second, CONCEPTS, UNITS, n_random=9, **FRESH).fit(load("rooms"))
    _write(effects.effects_, out / "03-effects.csv")


def search(out: Path, segmenter: str, judge: str) -> None:
    """What the sets do that gradient descent finds."""
    rooms, found = load("rooms"), _dissected(segmenter)
    second = ClassGroups(predictor(judge), THINGS)
    sets = {name: UnitSearch(found, name).fit(rooms).best(UNITS) for name in SEARCHED}
    effects = UnitEffects(found, second, SEARCHED, sets, n_random=1, **FRESH).fit(rooms)
    table = effects.effects_.query("units == 'matched'").drop(columns="p")
    by_overlap = {name: set(found.best(name, UNITS)["unit"]) for name in SEARCHED}
    both = {name: len(by_overlap[name] & set(sets[name])) for name in SEARCHED}
    _write(
        table.assign(units="searched", in_both=table["concept"].map(both)), out / "03-search.csv"
    )


def artefacts(out: Path, segmenter: str, judge: str) -> None:
    """Whether the generator is better without some units."""
    rooms = load("rooms")
    real = world("rooms").sample(800, seed=HELD_OUT_SEED, resolution=rooms.resolution).images
    features = oracle("rooms-attributes-2").features
    study = ArtefactUnits(features, LAYER, n_units=8, n_samples=64, n_fresh_samples=400)
    _write(study.fit(rooms, real).quality_, out / "03-artefacts.csv")


def watermarks(out: Path, segmenter: str, judge: str) -> None:
    """Whether a learned watermark can be switched off."""
    marked = load("rooms-watermarked")
    found = Dissection(predictor(segmenter), MARK_LAYER, n_samples=400, batch_size=32).fit(marked)
    chosen = UnitSearch(found, "watermark").fit(marked).best(MARK_UNITS)
    count = marked.find_layer(MARK_LAYER).channels
    rivals = random_units(count, chosen, 3, seed=0)
    codes = marked.sample(256, seed=Codes.EFFECTS.start)
    before, second = marked.render(codes), predictor("rooms-attributes-2", ["watermark"])
    rows = []
    for name, group in [("none", ()), ("searched", chosen), *(("random", r) for r in rivals)]:
        after = marked.render(codes, edits=[UnitEdit(MARK_LAYER, group)] if group else [])
        hits = int((second.predict(after)[:, 0] > 0.5).sum())
        low, high = wilson(hits, len(after))
        change = float((after - before).clamp(-2, 2).abs().mean()) / 2
        rows.append(
            {"removed": name, "marked": hits / len(after), "low": low, "high": high}
            | {"change": change, "pictures": len(after)}
        )
    _write(pd.DataFrame(rows), out / "03-watermarks.csv")


STUDIES: dict[str, Callable[[Path, str, str], None]] = {
    "units": units,
    "search": search,
    "artefacts": artefacts,
    "watermarks": watermarks,
}


def measure(out: Path, study: str, segmenter: str, judge: str) -> None:
    """Run one study, or ``"all"``, and write its tables to a folder."""
    if study not in ("all", *STUDIES):
        raise ArgumentError(unknown("study", study, ["all", *STUDIES]))
    out.mkdir(parents=True, exist_ok=True)
    for name, work in STUDIES.items():
        if study in ("all", name):
            work(out, segmenter, judge)


def _dissected(segmenter: str) -> Dissection:
    chooser = ClassGroups(predictor(segmenter), THINGS)
    return Dissection(chooser, LAYER, n_samples=1000, batch_size=32).fit(load("rooms"))


def _write(table: pd.DataFrame, path: Path) -> None:
    table.round(4).to_csv(path, index=False)
