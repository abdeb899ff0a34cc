"""Chapter 12: does training help? What the runs of `steerbench.training.compare` became.

``12-training.csv`` has a row for each run, ``12-training-factors.csv`` one for each run, set of
directions and factor. Everything is read by the judge, an oracle that helped no run to train. Only
factors are counted that it reads from held-out 32x32 renders with a correlation of 0.8 or more to
the truth, and that the first oracle, the reader, reads so as well.

- **Quality**: Fréchet distance, precision, recall and coverage of the judge's features, against
  held-out renders. The row ``renders`` holds what another set of renders gets.
- **DCI** of z (and of w, where there is one) against the factors' scores of the pictures, as
  amounts (of a binary one the log odds) that sparse linear predictors tell from the code, on
  several sets of fresh pictures: the mean, and its 95% interval by Student's t. A random rotation
  of z has the same distribution and no axes of its own: ``rotated`` is what z gets when its axes
  mean nothing.
- **Interference** of the numbers of z: the Hessian Penalty of pixels, in their mean and in units of
  their variance between pictures. It says whether the run that was asked for less has less.
- **Axes**: each axis of z is a direction. For every factor the axis with the largest share of its
  effect is chosen on some pictures by the reader, and judged on others by the judge, at equal
  change of pixels (`steerbench.leaderboard`). Beside it as many random directions of z.

A run is one draw of its weights. Intervals are over pictures: they say nothing of what another
seed would have become.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.cards.quality import Reading, cache_source, compare, generator_source, read
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.leaderboard.judging import evaluate
from steerbench.metrics import DCI, dci
from steerbench.predictors import AttributePredictor, oracle
from steerbench.seeds import Codes
from steerbench.stats import random_unit_vectors
from steerbench.studies import tables
from steerbench.training.compare import RUNS, checkpoint_of, folder_of
from steerbench.training.pictures import Pictures
from steerbench.types import Direction
from steerbench.unsupervised.hessian_penalty import hessian_penalty
from steerbench.unsupervised.random_directions import RandomDirections

TABLE, FACTORS = "12-training", "12-training-factors"


@dataclass(frozen=True)
class Amounts:
    """How much is measured.

    Attributes:
        quality: Pictures of each run, and as many renders.
        sets: Sets of pictures for DCI.
        pictures: Pictures in each of these.
        choosing: Pictures on which axes are chosen.
        judging: Pictures on which they are judged.
        correlation: From which on a factor counts as readable.
    """

    quality: int = 2048
    sets: int = 3
    pictures: int = 800
    choosing: int = 16
    judging: int = 32
    correlation: float = 0.8


@dataclass(frozen=True)
class Runs:
    """Which runs are measured.

    Attributes:
        folder: Of all runs.
        held_out: A cache of held-out renders of their size.
        images: Runs that saw so many pictures.
        seeds: Of the runs.
        names: Which, of `steerbench.training.compare.RUNS`.
    """

    folder: Path = Path("runs/compare")
    held_out: Path = Path("runs/held-out-32")
    images: int = 50_000
    seeds: Sequence[int] = (0,)
    names: Sequence[str] = tuple(RUNS)

    def checkpoints(self) -> dict[tuple[str, int], Path]:
        """Find the runs that got so far, by name and seed.

        Raises:
            ArgumentError: There is none.
        """
        paths = {
            (name, seed): checkpoint_of(folder_of(self.folder, name, seed), self.images)
            for seed in self.seeds
            for name in self.names
        }
        found = {key: path for key, path in paths.items() if path.exists()}
        if not found:
            raise ArgumentError(
                f"{self.folder} holds no run of {self.images:,} pictures. Make them with: python "
                f"-m steerbench.training compare RUN --images {self.images}, RUN being each of "
                f"{', '.join(RUNS)}."
            )
        return found


@dataclass(frozen=True, eq=False)
class Readers:
    """Who reads, and which factors both read well enough."""

    reader: AttributePredictor
    judge: AttributePredictor
    factors: Sequence[str] = ()


def measure(
    out: Path,
    models: Mapping[str, str],
    runs: Runs = Runs(),
    amounts: Amounts = Amounts(),
) -> None:
    """Measure the runs there are, and write both tables to a folder.

    Runs that are in them already are not measured again.

    Raises:
        NotFoundError: There are no held-out pictures.
        ArgumentError: No run got so far.
    """
    found, pictures = runs.checkpoints(), Pictures(runs.held_out)
    readers = Readers(oracle(models["reader"]), oracle(models["judge"]))
    n = min(len(pictures), amounts.quality)
    readers = Readers(
        readers.reader, readers.judge, readable(readers, pictures, n, amounts.correlation)
    )
    real, rows = _renders(readers, pictures, min(len(pictures) // 2, amounts.quality))
    known, details = _read_rows(out, runs.images)
    rows += known
    done = {(row["run"], row.get("seed")) for row in rows}
    for (name, seed), path in tqdm(found.items(), "runs"):
        if (name, seed) in done:
            continue
        row, table = _measure_run(path, name, seed, readers, real, amounts)
        rows.append(row)
        details.append(table)
        tables.write(pd.DataFrame(rows), out / f"{TABLE}.csv")
        tables.write(pd.concat(details), out / f"{FACTORS}.csv")


def _renders(readers: Readers, pictures: Pictures, n: int) -> tuple[Reading, list[dict[str, Any]]]:
    """Read a set of renders, and how near another one comes: the first row."""
    real = read(readers.judge, cache_source(pictures), n, "held out")
    other = read(readers.judge, cache_source(pictures, n), n, "renders")
    row = {"run": "renders", "factors": len(readers.factors)}
    return real, [row | compare(real, other)]


def _measure_run(
    path: Path, name: str, seed: int, readers: Readers, real: Reading, amounts: Amounts
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure one run: its row, and the rows of its factors."""
    generator, header = generator_of(path, name)
    row = {"run": name, "seed": seed, "factors": len(readers.factors), "images": header["seen"]}
    row["minutes"] = round(header["cpu_seconds"] / 60, 1)
    fake = read(readers.judge, generator_source(generator), len(real.features), generator.name)
    row |= compare(real, fake)
    row |= disentanglement(generator, readers.judge.only(list(readers.factors)), amounts)
    row["interference"] = interference(generator)
    details = []
    for what, directions in directions_of(generator).items():
        summary, table = _along(generator, directions, readers, amounts)
        row |= {f"{what}_{key}": value for key, value in summary.items()}
        details.append(table.assign(run=name, seed=seed, directions=what))
    return row, pd.concat(details)


def generator_of(checkpoint: Path, name: str) -> tuple[BaseGenerator, dict[str, Any]]:
    """Return the averaged generator of a checkpoint, and its header."""
    tensors, header = store.load(checkpoint)
    game = RUNS[name].game
    return game.export(header["settings"], tensors, header["seen"], name), header


def readable(
    readers: Readers, held_out: Pictures, n_samples: int, correlation: float = 0.8
) -> list[str]:
    """List the factors that both oracles read from small renders."""
    truth = dict(zip(held_out.factor_names, held_out.factors[:n_samples].T))
    first, second = (
        _correlations(one, held_out, truth, n_samples) for one in (readers.reader, readers.judge)
    )
    return [name for name in first if min(first[name], second.get(name, 0)) >= correlation]


def _correlations(
    reader: AttributePredictor, pictures: Pictures, truth: Mapping[str, Tensor], n: int
) -> dict[str, float]:
    scores = read(reader, cache_source(pictures), n, f"{reader.name}, renders").scores
    return {
        name: float(np.corrcoef(scores[:, column], truth[name])[0, 1])
        for column, name in enumerate(reader.names)
        if float(truth[name].std()) > 0
    }


def _read_rows(out: Path, images: int) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """Return the rows of both tables of runs that saw so many pictures."""
    paths = [out / f"{TABLE}.csv", out / f"{FACTORS}.csv"]
    if not all(path.exists() for path in paths):
        return [], []
    table, factors = (pd.read_csv(path) for path in paths)
    table = table[table["images"] == images]
    kept = factors.merge(table[["run", "seed"]], on=["run", "seed"])
    return table.to_dict("records"), [kept]


def disentanglement(
    generator: BaseGenerator, judge: AttributePredictor, amounts: Amounts = Amounts()
) -> dict[str, float]:
    """Measure DCI of z, of z turned at random, and of w, with intervals over sets of pictures."""
    turn = random_unit_vectors(_size(generator), _size(generator), orthonormal=True)
    samples = [_codes(generator, judge, part, amounts.pictures) for part in range(amounts.sets)]
    spaces: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
        "z": lambda codes: codes["z"],
        "rotated": lambda codes: codes["z"].double() @ turn.T,
    }
    if "w" in generator.spaces:
        spaces["w"] = lambda codes: codes["w"]
    found: dict[str, float] = {}
    for space, codes_of in tqdm(spaces.items(), "DCI", leave=False):
        scores = [_dci(codes_of(codes), codes["scores"]) for codes in samples]
        for what in ("disentanglement", "completeness", "informativeness"):
            values = np.array([getattr(score, what) for score in scores])
            found |= _interval(f"{space}_{what}", values)
    return found


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Return a mean and its 95% interval, by Student's t."""
    from scipy.stats import t

    quantile = float(t.ppf(0.975, len(values) - 1))
    half = quantile * values.std(ddof=1) / math.sqrt(len(values))
    mean = float(values.mean())
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def _dci(codes: Tensor, scores: Tensor) -> DCI:
    return dci(codes, scores.double(), estimator="lasso")


@torch.no_grad()
def interference(generator: BaseGenerator, n_samples: int = 64) -> float:
    """Measure how much the numbers of z interfere: 0 where each adds a part of its own."""

    def draw(z: Tensor) -> Tensor:
        return generator.render(generator.latent(z, space="z"))

    codes, signs = (
        generator.sample(n_samples, seed=Codes.DISTILLATION.start).data,
        torch.Generator().manual_seed(0),
    )
    penalty = hessian_penalty(draw, codes, k=4, reduction="mean", generator=signs)
    return float(penalty / draw(codes).var(dim=0).mean())


def _size(generator: BaseGenerator) -> int:
    return int(generator.spaces["z"].shape[0])


def _codes(
    generator: BaseGenerator, judge: AttributePredictor, part: int, n: int
) -> dict[str, Tensor]:
    """Return codes in z and w of one set of pictures, and what the judge read from them."""
    found: dict[str, list[Tensor]] = {"z": [], "w": [], "scores": []}
    for first in range(0, n, 100):
        z = generator.sample(min(100, n - first), seed=Codes.DISTILLATION + (part * n + first))
        found["z"].append(z.data)
        if "w" in generator.spaces:
            found["w"].append(generator.to(z, "w").data)
        with torch.no_grad():
            found["scores"].append(judge.logits(generator.render(z)))
    return {key: torch.cat(parts) for key, parts in found.items() if parts}


def directions_of(generator: BaseGenerator) -> dict[str, list[Direction]]:
    """Return the axes of z, and as many random directions of z."""
    size = _size(generator)
    random = RandomDirections(size, space="z", kind="orthonormal").fit(generator).directions_
    axes = [Direction(f"z {i + 1}", "z", torch.eye(size)[i]) for i in range(size)]
    return {"axes": axes, "random": random}


def _along(
    generator: BaseGenerator, directions: list[Direction], readers: Readers, amounts: Amounts
) -> tuple[dict[str, float], pd.DataFrame]:
    """Measure how much of the best direction's effect goes to each factor: a summary, all rows."""
    verdict = evaluate(
        directions,
        generator,
        readers.reader,
        readers.judge,
        readers.factors,
        choosing=amounts.choosing,
        judging=amounts.judging,
    )
    summary = {
        "recovered": float(verdict.n_recovered),
        "recovered_low": float(verdict.surely),
        "recovered_high": float(verdict.possibly),
        "share": verdict.share,
        "share_low": verdict.share_low,
        "share_high": verdict.share_high,
    }
    return summary, verdict.factors
