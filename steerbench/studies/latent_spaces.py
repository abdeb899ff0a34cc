"""Chapter 14: in which space single numbers stand for single things.

``14-spaces.csv``: every space of the default generator, and z of its older siblings, against the
second oracle, which had no part in training any of them. Rows are those of
`steerbench.metrics.space_metrics`, with the generator's name in front; the file is written again
after each space.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from steerbench.generators import load
from steerbench.metrics import space_metrics
from steerbench.predictors import oracle
from steerbench.studies import tables


def measure(
    out: Path,
    models: Mapping[str, str],
    *,
    n_samples: int = 2000,
    n_paths: int = 50,
    seed: int = 0,
) -> None:
    """Measure every space of every generator and write the table to a folder.

    Args:
        out: The folder.
        models: Names of a ``generator``, a ``second_generator`` and a ``third_generator``, and of
            the ``judge`` that reads their pictures.
        n_samples: Pictures of each generator.
        n_paths: Pairs of codes in each of the four sets, for path lengths.
        seed: Of the codes.
    """
    judge, done = oracle(models["judge"]), list[pd.DataFrame]()
    spaces = {
        models["generator"]: ("z", "w", "s", "p", "pn"),
        models["second_generator"]: ("z",),
        models["third_generator"]: ("z",),
    }
    for name, of_generator in spaces.items():

        def write(found: pd.DataFrame, name: str = name) -> None:
            table = pd.concat([*done, _with_name(found, name, n_samples)])
            tables.write(table, out / "14-spaces.csv")

        found = space_metrics(
            load(name),
            judge,
            of_generator,
            n_samples=n_samples,
            seed=seed,
            paths=n_paths,
            after_space=write,
        )
        done.append(_with_name(found, name, n_samples))


def _with_name(found: pd.DataFrame, generator: str, n_samples: int) -> pd.DataFrame:
    table = found.assign(pictures=n_samples)
    table.insert(0, "generator", generator)
    return table
