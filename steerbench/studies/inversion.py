"""The measurements of the chapter on inversion that take minutes: tables in ``assets/results/``.

- ``15-spaces.csv``: reconstruction by space, of held-out renders and of the model's own samples
- ``15-starts.csv``: the starts compared in w and w+ on the renders, after few steps and many; a
  row with no steps is the start itself: of ``encoder`` the encoder's own answer, of more steps
  the hybrid

The layers of ``rooms-attributes`` guide the search, those of ``rooms-attributes-2`` measure the
perceptual distance. Intervals are bootstraps over the pictures, which are the same in every row.
A run that was broken off goes on with the rows that are missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, unknown
from steerbench.generators import BaseGenerator, load
from steerbench.inversion import Inversion, OptimisationConfig, OutOfDomainWarning, invert
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.training.pictures import HELD_OUT_SEED
from steerbench.worlds import world

SPACES = ("z", "w", "w+", "s", "p", "p+")
OWN_SEED = Codes.INVERSION.start
MEASURES = ("mse", "psnr", "ssim", "perceptual")


def rendered(generator: BaseGenerator, n: int) -> Tensor:
    """Held-out renders of the world."""
    size = generator.resolution
    return world("rooms").sample(n, seed=HELD_OUT_SEED, resolution=size).images


def drawn(generator: BaseGenerator, n: int) -> Tensor:
    """The model's own samples, of seeds that nothing else uses."""
    return generator.render(generator.sample(n, seed=OWN_SEED))


SETS: dict[str, Callable[[BaseGenerator, int], Tensor]] = {
    "renders": rendered,
    "own samples": drawn,
}


def spaces(out: Path, n: int, steps: int) -> None:
    """Reconstruction by space, the best of all starts."""
    generator, table = load("rooms"), Table(out / "15-spaces.csv", n)
    for name, pictures in SETS.items():
        for space in SPACES:
            row = {"pictures": name, "space": space, "steps": steps}
            if not table.has(row):
                table.add(row, _inverted(generator, pictures(generator, n), space, steps))


def starts(out: Path, n: int, steps: int) -> None:
    """What each start is worth, before any step and after more and more."""
    generator, table = load("rooms"), Table(out / "15-starts.csv", n)
    wanted = rendered(generator, n)
    for space in ("w", "w+"):
        for start in ("mean", "nearest", "encoder"):
            for count in (0, steps // 4, steps):
                row = {"space": space, "start": start, "steps": count}
                if not table.has(row):
                    table.add(row, _inverted(generator, wanted, space, count, start))


STUDIES: dict[str, Callable[[Path, int, int], None]] = {"spaces": spaces, "starts": starts}


def measure(out: Path, study: str, n: int, steps: int) -> None:
    """Run one study, or ``"all"``, and write its table to a folder.

    Raises:
        ArgumentError: There is no such study.
    """
    if study not in ("all", *STUDIES):
        raise ArgumentError(unknown("study", study, ["all", *STUDIES]))
    out.mkdir(parents=True, exist_ok=True)
    for name, work in STUDIES.items():
        if study in ("all", name):
            work(out, n, steps)


def _inverted(
    generator: BaseGenerator,
    wanted: Tensor,
    space: str,
    steps: int,
    start: str | None = None,
) -> Inversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        return invert(
            generator,
            wanted,
            space=space,
            n_steps=steps,
            init=start,
            config=OptimisationConfig(patience=None, precision="fast", batch_size=16),
        )


def _summary(found: Inversion) -> dict[str, float]:
    """Means with their intervals, and seconds a picture."""
    values = torch.tensor(found.report[list(MEASURES)].to_numpy(), dtype=torch.float64)
    low, high = bootstrap(values)
    row: dict[str, float] = {}
    for index, name in enumerate(MEASURES):
        row[name] = float(values[:, index].mean())
        row |= {f"{name}_low": float(low[index]), f"{name}_high": float(high[index])}
    return row | {"seconds": found.seconds / len(found)}


class Table:
    """A table of results that grows by a row at a time; what its file holds already is kept."""

    def __init__(self, path: Path, n: int) -> None:
        self.path, self.n = path, n
        self.rows = pd.read_csv(path).to_dict("records") if path.exists() else []

    def has(self, what: Mapping[str, object]) -> bool:
        """Whether this was measured before, on as many pictures."""
        wanted = {**what, "n": self.n}
        return any(all(row[k] == value for k, value in wanted.items()) for row in self.rows)

    def add(self, what: Mapping[str, object], found: Inversion) -> None:
        """Summarise an inversion and write the file."""
        self.rows.append({**what, "n": self.n} | _summary(found))
        pd.DataFrame(self.rows).round(5).to_csv(self.path, index=False)
