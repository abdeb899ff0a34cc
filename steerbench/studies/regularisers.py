"""What the runs of `steerbench.training.compare` became: quality beside disentanglement.

Everything is read by `rooms-attributes-2`, which helped no run to train. Only factors are counted
that it reads from held-out 32x32 renders with a correlation of 0.8 or more to the truth, and that
`rooms-attributes` reads so as well.

- **Quality**: Fréchet distance, precision, recall and coverage of its features, against held-out
  renders. The row ``renders`` holds what another set of renders gets.
- **DCI** of z (and of w, where there is one) against the factors' scores of the pictures, as
  amounts (of a binary one the log odds) that sparse linear predictors tell from the code, on
  several sets of fresh pictures: the mean, and its 95% interval by Student's t. A random rotation
  of z has the same distribution and no axes of its own: ``rotated`` is what z gets when its axes
  mean nothing.
- **Interference** of the numbers of z: the Hessian Penalty of pixels, in their mean and in units of
  their variance between pictures. It says whether the run that was asked for less has less.
- **Axes**: each axis of z is a direction. For every factor the axis with the largest share of its
  effect is chosen on some pictures by one oracle, and judged on others by the second, at equal
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
from steerbench.cards.quality import Reading, compare, generated, read, rendered
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.leaderboard.judging import evaluate
from steerbench.metrics import DCI, dci
from steerbench.predictors import AttributePredictor, oracle
from steerbench.seeds import Codes
from steerbench.stats import random_unit_vectors
from steerbench.training.compare import RUNS, checkpoint_of, folder_of
from steerbench.training.pictures import Pictures
from steerbench.types import Direction
from steerbench.unsupervised.hessian_penalty import hessian_penalty
from steerbench.unsupervised.random_directions import RandomDirections

TABLE, FACTORS = "12-training.csv", "12-training-factors.csv"
ORACLE, JUDGE = "rooms-attributes", "rooms-attributes-2"
READABLE = 0.8
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""Student's t for a 95% interval of the mean of so many numbers."""


@dataclass(frozen=True)
class Amounts:
    """How much is measured."""

    quality: int = 2048
    sets: int = 3
    pictures: int = 800
    choosing: int = 16
    judging: int = 32


def generator_of(checkpoint: Path, name: str) -> tuple[BaseGenerator, dict[str, Any]]:
    """The averaged generator of a checkpoint, and its header."""
    tensors, header = store.load(checkpoint)
    game = RUNS[name].game
    return game.exported(header["settings"], tensors, header["seen"], name), header


def readable(held_out: Pictures, n: int) -> list[str]:
    """The factors that both oracles read from small renders."""
    truth = dict(zip(held_out.factor_names, held_out.factors[:n].T))
    first, second = (_correlations(oracle(name), held_out, truth, n) for name in (ORACLE, JUDGE))
    return [name for name in first if min(first[name], second.get(name, 0)) >= READABLE]


def _correlations(
    reader: AttributePredictor, pictures: Pictures, truth: Mapping[str, Tensor], n: int
) -> dict[str, float]:
    scores = read(reader, rendered(pictures), n, f"{reader.name}, renders").scores
    return {
        name: float(np.corrcoef(scores[:, column], truth[name])[0, 1])
        for column, name in enumerate(reader.names)
        if float(truth[name].std()) > 0
    }


def measure(
    runs: Path,
    held_out: Path,
    out: Path,
    *,
    images: int,
    seeds: Sequence[int] = (0,),
    names: Sequence[str] = tuple(RUNS),
    amounts: Amounts = Amounts(),
    resume: bool = False,
) -> pd.DataFrame:
    """Measure the runs there are after ``images`` pictures; write two tables to ``out``.

    ``12-training.csv`` has a row for each run, ``12-training-factors.csv`` one for each run, set of
    directions and factor. With ``resume`` the runs that are in them already are not measured again.

    Raises:
        NotFoundError: There are no held-out pictures.
        ArgumentError: No run got so far.
    """
    paths = {
        (name, seed): checkpoint_of(folder_of(runs, name, seed), images)
        for seed in seeds
        for name in names
    }
    found = {key: path for key, path in paths.items() if path.exists()}
    if not found:
        raise ArgumentError(
            f"{runs} holds no run of {images:,} pictures. Make them with: "
            f"python -m steerbench.training compare RUN --images {images}, RUN being each of "
            f"{', '.join(RUNS)}."
        )
    pictures = Pictures(held_out)
    factors = readable(pictures, min(len(pictures), amounts.quality))
    judge = oracle(JUDGE)
    n = min(len(pictures) // 2, amounts.quality)
    real = read(judge, rendered(pictures), n, "held out")
    other = read(judge, lambda first, count: rendered(pictures)(n + first, count), n, "renders")
    rows = [{"run": "renders", "factors": len(factors)} | compare(real, other)]
    details: list[pd.DataFrame] = []
    if resume:
        known, details = _known(out, images)
        rows += known
    done = {(row["run"], row.get("seed")) for row in rows}
    for (name, seed), path in tqdm(found.items(), "runs"):
        if (name, seed) in done:
            continue
        generator, header = generator_of(path, name)
        row = {"run": name, "seed": seed, "factors": len(factors), "images": header["seen"]}
        row["minutes"] = round(header["cpu_seconds"] / 60, 1)
        row |= _quality(generator, judge, real) | disentanglement(generator, factors, amounts)
        row["interference"] = interference(generator)
        axes = directions_of(generator)
        for what, directions in axes.items():
            summary, table = _along(generator, directions, factors, amounts)
            row |= {f"{what}_{key}": value for key, value in summary.items()}
            details.append(table.assign(run=name, seed=seed, directions=what))
        rows.append(row)
        _write(rows, details, out)
    return pd.DataFrame(rows)


def _known(out: Path, images: int) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """Rows of both tables of runs that saw so many pictures."""
    paths = [out / TABLE, out / FACTORS]
    if not all(path.exists() for path in paths):
        return [], []
    table, factors = (pd.read_csv(path) for path in paths)
    table = table[table["images"] == images]
    kept = factors.merge(table[["run", "seed"]], on=["run", "seed"])
    return table.to_dict("records"), [kept]


def _write(rows: list[dict[str, Any]], details: list[pd.DataFrame], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    tables = {TABLE: pd.DataFrame(rows), FACTORS: pd.concat(details)}
    for name, table in tables.items():
        store.write_text_atomic(out / name, table.round(4).to_csv(index=False))


def _quality(generator: BaseGenerator, judge: AttributePredictor, real: Reading) -> dict[str, Any]:
    return compare(real, read(judge, generated(generator), len(real.features), generator.name))


def disentanglement(
    generator: BaseGenerator, factors: Sequence[str], amounts: Amounts = Amounts()
) -> dict[str, float]:
    """DCI of z, of z turned at random, and of w, with intervals over sets of pictures."""
    judge = oracle(JUDGE).only(list(factors))
    found: dict[str, float] = {}
    turn = random_unit_vectors(_size(generator), _size(generator), orthonormal=True)
    samples = [_codes(generator, judge, part, amounts.pictures) for part in range(amounts.sets)]
    spaces: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
        "z": lambda codes: codes["z"],
        "rotated": lambda codes: codes["z"].double() @ turn.T,
    }
    if "w" in generator.spaces:
        spaces["w"] = lambda codes: codes["w"]
    for space, codes_of in tqdm(spaces.items(), "DCI", leave=False):
        scores = [_dci(codes_of(codes), codes["scores"]) for codes in samples]
        for what in ("disentanglement", "completeness", "informativeness"):
            values = np.array([getattr(score, what) for score in scores])
            half = T_95[len(values)] * values.std(ddof=1) / math.sqrt(len(values))
            key = f"{space}_{what}"
            ends = {"": 0.0, "_low": -half, "_high": half}
            found |= {f"{key}{end}": float(values.mean() + away) for end, away in ends.items()}
    return found


def _dci(codes: Tensor, scores: Tensor) -> DCI:
    return dci(codes, scores.double(), estimator="lasso")


@torch.no_grad()
def interference(generator: BaseGenerator, n: int = 64) -> float:
    """How much the numbers of z interfere: 0 where each adds its own part to the picture."""

    def draw(z: Tensor) -> Tensor:
        return generator.render(generator.latent(z, space="z"))

    codes = generator.sample(n, seed=Codes.DISTILLATION.start).data
    signs = torch.Generator().manual_seed(0)
    penalty = hessian_penalty(draw, codes, k=4, reduction="mean", generator=signs)
    return float(penalty / draw(codes).var(dim=0).mean())


def _size(generator: BaseGenerator) -> int:
    return int(generator.spaces["z"].shape[0])


def _codes(
    generator: BaseGenerator, judge: AttributePredictor, part: int, n: int
) -> dict[str, Tensor]:
    """Codes in z and w of one set of pictures, and what the judge read from them."""
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
    """The axes of z, and as many random directions of z."""
    size = _size(generator)
    random = RandomDirections(size, space="z", kind="orthonormal").fit(generator).directions_
    axes = [Direction(f"z {i + 1}", "z", torch.eye(size)[i]) for i in range(size)]
    return {"axes": axes, "random": random}


def _along(
    generator: BaseGenerator, directions: list[Direction], factors: Sequence[str], amounts: Amounts
) -> tuple[dict[str, float], pd.DataFrame]:
    """How much of the best direction's effect goes to each factor: a summary, and all rows."""
    verdict = evaluate(
        directions,
        generator,
        oracle(ORACLE),
        oracle(JUDGE),
        factors,
        choosing=amounts.choosing,
        judging=amounts.judging,
    )
    ends = {"low": verdict.share_low, "high": verdict.share_high}
    counts = {"low": verdict.surely, "high": verdict.possibly}
    summary = {"recovered": float(verdict.n_recovered), "share": verdict.share}
    summary |= {f"share_{end}": value for end, value in ends.items()}
    summary |= {f"recovered_{end}": float(value) for end, value in counts.items()}
    return summary, verdict.factors
