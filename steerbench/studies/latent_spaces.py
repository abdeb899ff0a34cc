"""The table of the chapter on latent spaces, ``assets/results/14-spaces.csv``.

Every space of the default generator, and z of its older siblings, against the second oracle,
which had no part in training any of them. Rows are those of
`steerbench.metrics.space_metrics`, with the generator's name in front; the file is written
again after each space.

>>> list(STUDIED)
['rooms', 'rooms-dcgan', 'rooms-pggan']
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from steerbench import store
from steerbench.generators import load
from steerbench.metrics import space_metrics
from steerbench.predictors import oracle

STUDIED = {"rooms": ("z", "w", "s", "p", "pn"), "rooms-dcgan": ("z",), "rooms-pggan": ("z",)}
"""Generators and their spaces."""
PATHS = 50
"""Pairs of codes in each of the four sets, for path lengths."""


def measure(
    out: Path, *, n: int = 2000, judge: str = "rooms-attributes-2", seed: int = 0
) -> pd.DataFrame:
    """Measure all of them and write the table."""
    out.parent.mkdir(parents=True, exist_ok=True)
    reader = oracle(judge)
    done: list[pd.DataFrame] = []
    for name, spaces in STUDIED.items():

        def write(found: pd.DataFrame, name: str = name) -> None:
            table = pd.concat([*done, _named(found, name, n)])
            store.write_text_atomic(out, table.round(4).to_csv(index=False))

        found = space_metrics(
            load(name), reader, spaces, n_samples=n, seed=seed, paths=PATHS, after_space=write
        )
        done.append(_named(found, name, n))
    return pd.concat(done, ignore_index=True)


def _named(found: pd.DataFrame, generator: str, n: int) -> pd.DataFrame:
    table = found.assign(pictures=n)
    table.insert(0, "generator", generator)
    return table
