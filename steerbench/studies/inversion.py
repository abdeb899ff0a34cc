"""Chapter 15: how near reconstructions come, by space and by start.

- ``15-spaces.csv``: reconstruction by space, the best of all starts, of held-out renders and of the
  model's own samples.
- ``15-starts.csv``: the starts compared in w and w+ on the renders, after few steps and many; a row
  with no steps is the start itself: of ``encoder`` the encoder's own answer, of more steps the
  hybrid.

The layers of one oracle, the reader, guide the search, those of another one, the judge, measure the
perceptual distance. Intervals are bootstraps over the pictures, which are the same in every row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from steerbench.generators import BaseGenerator, load
from steerbench.inversion import Inversion, OptimisationConfig, OutOfDomainWarning, invert
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.studies import tables
from steerbench.training.pictures import HELD_OUT_SEED
from steerbench.worlds import world


def held_out_renders(generator: BaseGenerator, n_samples: int) -> Tensor:
    """Draw held-out renders of the world, of the generator's size."""
    size = generator.resolution
    return world("rooms").sample(n_samples, seed=HELD_OUT_SEED, resolution=size).images


def own_samples(generator: BaseGenerator, n_samples: int) -> Tensor:
    """Draw the model's own samples, of seeds that nothing else uses."""
    return generator.render(generator.sample(n_samples, seed=Codes.INVERSION.start))


def measure_spaces(
    out: Path, models: Mapping[str, str], n_samples: int = 8, n_steps: int = 50
) -> None:
    """Measure reconstruction by space, the best of all starts, and write the table to a folder."""
    generator, table = load(models["generator"]), Table(out / "15-spaces.csv", n_samples)
    sets: dict[str, Callable[[BaseGenerator, int], Tensor]] = {
        "renders": held_out_renders,
        "own samples": own_samples,
    }
    for name, draw in sets.items():
        for space in ("z", "w", "w+", "s", "p", "p+"):
            row = {"pictures": name, "space": space, "steps": n_steps}
            if not table.has(row):
                images = draw(generator, n_samples)
                table.add(row, _invert(generator, images, space, n_steps))


def measure_starts(
    out: Path, models: Mapping[str, str], n_samples: int = 8, n_steps: int = 50
) -> None:
    """Measure what each start is worth, before any step and after more and more."""
    generator, table = load(models["generator"]), Table(out / "15-starts.csv", n_samples)
    images = held_out_renders(generator, n_samples)
    for space in ("w", "w+"):
        for start in ("mean", "nearest", "encoder"):
            for count in (0, n_steps // 4, n_steps):
                row = {"space": space, "start": start, "steps": count}
                if not table.has(row):
                    table.add(row, _invert(generator, images, space, count, start))


def _invert(
    generator: BaseGenerator,
    images: Tensor,
    space: str,
    n_steps: int,
    start: str | None = None,
) -> Inversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        return invert(
            generator,
            images,
            space=space,
            n_steps=n_steps,
            init=start,
            config=OptimisationConfig(patience=None, precision="fast", batch_size=16),
        )


def _summary(found: Inversion) -> dict[str, float]:
    """Return means with their intervals, and seconds a picture."""
    names = ["mse", "psnr", "ssim", "perceptual"]
    values = torch.tensor(found.report[names].to_numpy(), dtype=torch.float64)
    low, high = bootstrap(values)
    row: dict[str, float] = {}
    for index, name in enumerate(names):
        row[name] = float(values[:, index].mean())
        row |= {f"{name}_low": float(low[index]), f"{name}_high": float(high[index])}
    return row | {"seconds": found.seconds / len(found)}


class Table:
    """A table that grows by a row at a time; rows that its file holds already stay."""

    def __init__(self, path: Path, n_samples: int) -> None:
        self.path, self.n_samples = path, n_samples
        self.rows = pd.read_csv(path).to_dict("records") if path.exists() else []

    def has(self, what: Mapping[str, object]) -> bool:
        """Say whether this was measured before, on as many pictures."""
        wanted = {**what, "n": self.n_samples}
        return any(all(row[k] == value for k, value in wanted.items()) for row in self.rows)

    def add(self, what: Mapping[str, object], found: Inversion) -> None:
        """Summarise an inversion and write the file."""
        self.rows.append({**what, "n": self.n_samples} | _summary(found))
        tables.write(pd.DataFrame(self.rows), self.path, digits=5)
