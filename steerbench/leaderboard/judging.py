"""How directions are judged alike: the same dose, chosen on some pictures, judged on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.metrics.rescoring import rescore
from steerbench.supervised.boundaries.entanglement import scores
from steerbench.types import Direction, Generator, Predictor

DOSE = 0.12
MOST = 8.0
LEAST = 0.25
AGREED = 0.8
HALF = 0.5
CALIBRATION, CHOOSING, JUDGING = 710_000, 720_000, 730_000
"""Seeds of the first pictures of each step, far apart."""

DRAWS = 1000
BATCH = 32


@dataclass(frozen=True, eq=False)
class Judged:
    """What was measured of the best directions.

    Attributes:
        rows: One a factor.
        share: ``[draws, factors]``, when the judged pictures are drawn again.
        recovered: The same of whether each factor is recovered.
    """

    rows: pd.DataFrame
    share: Tensor
    recovered: Tensor


def readable(
    generator: Generator, reader: Predictor, judge: Predictor, n_samples: int = 512
) -> list[str]:
    """The factors on which two networks agree, on a generator's own pictures.

    Raises:
        ArgumentError: There is none.
    """
    one, two = (
        scores(generator, read, n_samples=n_samples, seed=CALIBRATION, batch_size=BATCH)
        for read in (reader, judge)
    )
    shared = [name for name in one.columns if name in two.columns]
    agreed = [name for name in shared if _correlation(one[name], two[name]) >= AGREED]
    if not agreed:
        raise ArgumentError(
            f"The two predictors agree on none of {shared[:12]} (a correlation of {AGREED} on the "
            "generator's pictures). Give two that read the same attributes, or the same one twice."
        )
    return agreed


def _correlation(one: pd.Series, two: pd.Series) -> float:
    if one.std() == 0 or two.std() == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])


def dosed(
    directions: Sequence[Direction], generator: Generator, n_samples: int = 8, rounds: int = 4
) -> list[tuple[Direction, float]]:
    """Directions whose step of one changes pictures by `DOSE`, and their alphas.

    The change is the root mean square over pixels in [-1, 1], averaged over ``n_samples`` pictures
    and over a step up and a step down; alpha is limited to `MOST` standard deviations.
    """
    spaces = {direction.space for direction in directions}
    samples = {
        space: generator.sample(n_samples, seed=CALIBRATION, space=space) for space in spaces
    }
    pictures = {space: generator.render(codes) for space, codes in samples.items()}
    result = []
    for index, direction in enumerate(directions):
        codes, before, alpha = samples[direction.space], pictures[direction.space], 1.0
        for _ in range(rounds):
            both = (generator.render(codes + sign * alpha * direction) for sign in (-1, 1))
            change = torch.stack(
                [(after - before).square().mean((1, 2, 3)).sqrt() for after in both]
            )
            alpha = min(MOST, alpha * DOSE / max(float(change.mean()), 1e-9))
        scaled = replace(direction, scale=direction.scale * alpha, name=f"{index} {direction.name}")
        result.append((scaled, alpha))
    return result


def shares(changes: Tensor) -> Tensor:
    """The share of each direction's effect that goes to each factor.

    Args:
        changes: ``[directions, N, factors]``, in spreads.

    Returns:
        ``[directions, factors]`` float64, in [0, 1]; rows sum to 1, or to 0 without any effect.
    """
    data = changes.double()
    noise = data.var(1) / data.shape[1]
    squares = (data.mean(1).square() - noise).clamp_min(0)
    return squares / squares.sum(1, keepdim=True).clamp_min(1e-12)


def judged(
    directions: Sequence[Direction],
    generator: Generator,
    reader: Predictor,
    judge: Predictor,
    factors: Sequence[str],
    *,
    choosing: int,
    judging: int,
) -> Judged:
    """The best direction for each factor, chosen by one oracle and judged by another."""
    counts = [len(directions)]
    options = {"choosing": choosing, "judging": judging}
    return grown(directions, counts, generator, reader, judge, factors, **options)[counts[0]]


def grown(
    directions: Sequence[Direction],
    counts: Sequence[int],
    generator: Generator,
    reader: Predictor,
    judge: Predictor,
    factors: Sequence[str],
    *,
    choosing: int,
    judging: int,
) -> dict[int, Judged]:
    """The same, had there been only the first so many directions, for each of some counts."""
    doses = dosed(directions, generator)
    scaled = [direction for direction, _ in doses]
    first = rescore(
        scaled, generator, reader, factors, n_samples=choosing, seed=CHOOSING, batch_size=BATCH
    )
    moved = first.changes / first.spread.clamp_min(1e-12)
    chosen = {count: _choose(moved[:count]) for count in counts}
    used = sorted({index for each in chosen.values() for index in each})
    second = rescore(
        [scaled[i] for i in used],
        generator,
        judge,
        factors,
        n_samples=judging,
        seed=JUDGING,
        batch_size=BATCH,
    )
    changes = (second.changes / second.spread.clamp_min(1e-12)).double()
    result = {}
    for count, each in chosen.items():
        labels = [
            {"factor": factor, "direction": directions[i].name, "alpha": doses[i][1]}
            for factor, i in zip(factors, each)
        ]
        result[count] = _verdict(labels, changes[[used.index(i) for i in each]], factors)
    return result


def _verdict(
    labels: Sequence[dict[str, object]], changes: Tensor, factors: Sequence[str]
) -> Judged:
    """What the chosen directions did, ``[factors, N, factors]``: one direction for each factor."""
    again = torch.from_numpy(
        np.random.RandomState(0).randint(0, changes.shape[1], (DRAWS, changes.shape[1]))
    )
    rows, share_draws, recovered_draws = [], [], []
    for place, (label, mine) in enumerate(zip(labels, changes)):
        draws = mine[again]
        share, effect = shares(draws)[:, place], draws.mean(1)[:, place]
        share_draws.append(share)
        recovered_draws.append((share > HALF) & (effect.abs() >= LEAST))
        rows.append(
            label
            | _ends("effect", mine.mean(0)[place], effect)
            | _ends("share", shares(mine[None])[0, place], share)
            | _leak(mine.mean(0), place, factors)
        )
    table = pd.DataFrame(rows)
    table["recovered"] = (table["share"] > HALF) & (table["effect"].abs() >= LEAST)
    return Judged(table, torch.stack(share_draws, 1), torch.stack(recovered_draws, 1))


def _choose(changes: Tensor) -> list[int]:
    """For each factor the direction with the largest share, among those that move it at all."""
    moved = changes.mean(1).abs()
    # Where no direction moves a factor far enough, the one that moves it furthest stands for it.
    score = torch.where(moved >= LEAST, 1 + shares(changes), moved.double() / (1 + moved))
    return [int(i) for i in score.argmax(0)]


def _ends(name: str, value: Tensor, draws: Tensor) -> dict[str, float]:
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def _leak(effects: Tensor, place: int, factors: Sequence[str]) -> dict[str, object]:
    """The largest effect on another factor, in units of the one on this factor."""
    if len(factors) == 1:
        return {"leakage": 0.0, "leaks_into": ""}
    others = effects.abs().clone()
    others[place] = -1
    worst = int(others.argmax())
    ratio = others[worst] / effects[place].abs().clamp_min(1e-12)
    return {"leakage": float(ratio), "leaks_into": factors[worst]}
