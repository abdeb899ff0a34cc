"""How many directions does it take? StyleSpace against as many channels that nobody chose.

``10-channels.csv``: recovered factors among the first so many directions, by the protocol of
`steerbench.leaderboard`, for StyleSpace's channels of s by its own order and for channels
drawn by chance. Last, what labels can do: the boundaries in w of all that the first oracle reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from steerbench import store
from steerbench.generators import load
from steerbench.leaderboard import FinderRun, summary
from steerbench.leaderboard.judging import evaluate_prefixes, readable
from steerbench.methods import FINDERS
from steerbench.predictors import AttributePredictor, oracle
from steerbench.supervised.boundaries.higan import LatentBoundaries
from steerbench.types import Direction, Generator

KINDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "stylespace": ("stylespace", {}),
    "random channels": ("random_directions", {"space": "s", "kind": "channels"}),
}
LABELLED = "boundaries, with labels"
COLUMNS = ["recovered", "recovered_low", "recovered_high", "surely", "factors", "share", "leakage"]


def measure(out: Path, counts: tuple[int, ...] = (32, 128, 384), seed: int = 0) -> pd.DataFrame:
    """Measure each kind and write the table after each."""
    rooms = load("rooms")
    first, judge = oracle("rooms-attributes"), oracle("rooms-attributes-2")
    factors = readable(rooms, first, judge)
    tables: list[pd.DataFrame] = []
    for kind in (*KINDS, LABELLED):
        directions = _directions(kind, rooms, first, counts[-1], seed)
        steps = [count for count in counts if count < len(directions)] + [len(directions)]
        found = evaluate_prefixes(
            directions, steps, rooms, first, judge, factors, choosing=24, judging=96
        )
        for count, verdict in found.items():
            row = summary([(FinderRun(kind, tuple(directions[:count])), verdict)])[COLUMNS]
            row.insert(0, "directions", count)
            row.insert(0, "kind", kind)
            tables.append(row)
        table = pd.concat(tables, ignore_index=True)
        store.write_text_atomic(out / "10-channels.csv", table.round(4).to_csv(index=False))
    return table


def _directions(
    kind: str, rooms: Generator, oracle: AttributePredictor, count: int, seed: int
) -> list[Direction]:
    if kind == LABELLED:
        found = LatentBoundaries(
            oracle,
            "w",
            n_samples=3072,
            chosen=0.25,
            c=0.01,
            n_fresh_samples=2,
            n_random=0,
            seed=seed,
        )
        return found.fit(rooms).directions_
    name, options = KINDS[kind]
    return FINDERS[name](n_directions=count, seed=seed, **options).fit(rooms).directions_
