"""How directions are judged alike: the same dose, chosen on some pictures, judged on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.metrics.null import step_for_change
from steerbench.metrics.rescoring import rescore
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.supervised.boundaries.entanglement import scores
from steerbench.types import Generator, Predictor, Traversal


@dataclass(frozen=True)
class Criteria:
    """What directions are held to.

    Attributes:
        dose: The change of a picture to which steps are scaled, the root mean square over pixels
            in [-1, 1].
        longest: The longest step that is taken for it, in standard deviations of the prior.
        share: The share of the effect from which on a factor is recovered.
        effect: How far it has to change, in spreads.
        agreement: The correlation of two networks from which on both can read a factor.
    """

    dose: float = 0.12
    longest: float = 8.0
    share: float = 0.5
    effect: float = 0.25
    agreement: float = 0.8


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured of the best directions.

    Attributes:
        factors: One row a factor: ``factor``, ``direction``, ``alpha``, ``effect``, ``share`` with
            their intervals, ``leakage``, ``leaks_into``, ``recovered``.
        share: The mean share over all factors.
        share_low: The low end of its interval (95%).
        share_high: The high end.
        surely: How many factors are recovered whose share is above the limit over its whole
            interval.
        possibly: How many the intervals do not rule out.
    """

    factors: pd.DataFrame
    share: float
    share_low: float
    share_high: float
    surely: int
    possibly: int

    @property
    def n_recovered(self) -> int:
        """How many factors are recovered."""
        return int(self.factors["recovered"].sum())


def readable(
    generator: Generator,
    reader: Predictor,
    judge: Predictor,
    n_samples: int = 512,
    criteria: Criteria = Criteria(),
) -> list[str]:
    """List the factors on which two networks agree, on a generator's own pictures.

    Args:
        generator: Draws the pictures.
        reader: The one network.
        judge: The other.
        n_samples: How many pictures.
        criteria: How well they have to agree.

    Raises:
        ArgumentError: There is none.
    """
    one, two = (
        scores(generator, read, n_samples=n_samples, pictures=Codes.CALIBRATION)
        for read in (reader, judge)
    )
    shared = [name for name in one.columns if name in two.columns]
    names = [name for name in shared if _correlation(one[name], two[name]) >= criteria.agreement]
    if not names:
        raise ArgumentError(
            f"The two predictors agree on none of {shared[:12]} (a correlation of "
            f"{criteria.agreement} on the generator's pictures). Give two that read the same "
            "attributes, or the same one twice."
        )
    return names


def _correlation(one: pd.Series, two: pd.Series) -> float:
    if one.std() == 0 or two.std() == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])


def equalise_change(
    directions: Sequence[Traversal],
    generator: Generator,
    n_samples: int = 8,
    criteria: Criteria = Criteria(),
) -> list[tuple[Traversal, float]]:
    """Scale directions so that a step of one changes pictures by the dose.

    Args:
        directions: Of any space.
        generator: Draws the pictures.
        n_samples: How many the change is averaged over, each edited up and down.
        criteria: The dose, and the longest step.

    Returns:
        The directions, numbered, and the steps that they were scaled by.
    """
    spaces, first = {direction.space for direction in directions}, Codes.CALIBRATION.start
    codes = {space: generator.sample(n_samples, seed=first, space=space) for space in spaces}
    before = {space: generator.render(each) for space, each in codes.items()}

    def change_of(direction: Traversal, alpha: float) -> float:
        steps = (codes[direction.space] + sign * alpha * direction for sign in (-1, 1))
        moved = [generator.render(step) - before[direction.space] for step in steps]
        return float(torch.stack([m.square().mean((1, 2, 3)).sqrt() for m in moved]).mean())

    result = []
    for index, direction in enumerate(directions):
        alpha = step_for_change(
            lambda step, each=direction: change_of(each, step),  # type: ignore[misc]
            criteria.dose,
            most=criteria.longest,
        )
        name, scale = f"{index} {direction.name}", direction.scale * alpha
        result.append((replace(direction, scale=scale, name=name), alpha))
    return result


def shares(changes: Tensor, *, noise: float = 1.0) -> Tensor:
    """Compute the share of each direction's effect that goes to each factor.

    Args:
        changes: ``[..., N, factors]``, in spreads, of N pictures.
        noise: How often the variance of the mean is taken off each square, so that noise counts
            for little: once from the pictures, twice from a draw of them.

    Returns:
        ``[..., factors]`` float64, in [0, 1]; rows sum to 1, or to 0 without any effect.
    """
    data = changes.double()
    squares = (data.mean(-2).square() - noise * data.var(-2) / data.shape[-2]).clamp_min(0)
    return squares / squares.sum(-1, keepdim=True).clamp_min(1e-12)


def evaluate(
    directions: Sequence[Traversal],
    generator: Generator,
    reader: Predictor,
    judge: Predictor,
    factors: Sequence[str],
    *,
    choosing: int,
    judging: int,
) -> Evaluation:
    """Choose the best direction for each factor by one network, and judge it by another.

    Args:
        directions: What a finder gave.
        generator: Draws the pictures.
        reader: Chooses.
        judge: Judges.
        factors: Which factors.
        choosing: Pictures on which directions are chosen.
        judging: Pictures on which they are judged.
    """
    counts = [len(directions)]
    options = {"choosing": choosing, "judging": judging}
    found = evaluate_prefixes(directions, counts, generator, reader, judge, factors, **options)
    return found[counts[0]]


def evaluate_prefixes(
    directions: Sequence[Traversal],
    counts: Sequence[int],
    generator: Generator,
    reader: Predictor,
    judge: Predictor,
    factors: Sequence[str],
    *,
    choosing: int,
    judging: int,
) -> dict[int, Evaluation]:
    """Evaluate as if there were only the first so many directions, for each of some counts.

    Args:
        directions: What a finder gave.
        counts: How many of the first ones count.
        generator: Draws the pictures.
        reader: Chooses.
        judge: Judges.
        factors: Which factors.
        choosing: Pictures on which directions are chosen.
        judging: Pictures on which they are judged.
    """
    criteria = Criteria()
    doses = equalise_change(directions, generator, criteria=criteria)
    scaled = [direction for direction, _ in doses]
    first = rescore(scaled, generator, reader, factors, n_samples=choosing, pictures=Codes.CHOOSING)
    effects = first.changes / first.spread.clamp_min(1e-12)
    chosen = {count: _choose(effects[:count], criteria) for count in counts}
    used = sorted({index for each in chosen.values() for index in each})
    rivals = [scaled[i] for i in used]
    second = rescore(rivals, generator, judge, factors, n_samples=judging, pictures=Codes.JUDGING)
    changes = (second.changes / second.spread.clamp_min(1e-12)).double()
    result = {}
    for count, each in chosen.items():
        labels = [
            {"factor": factor, "direction": directions[i].name, "alpha": doses[i][1]}
            for factor, i in zip(factors, each)
        ]
        result[count] = _verdict(labels, changes[[used.index(i) for i in each]], criteria)
    return result


def _choose(changes: Tensor, criteria: Criteria) -> list[int]:
    """Choose for each factor the direction with the largest share, of those that move it at all."""
    size = changes.mean(1).abs()
    # Where no direction moves a factor far enough, the one that moves it furthest stands for it.
    score = torch.where(size >= criteria.effect, 1 + shares(changes), size.double() / (1 + size))
    return [int(i) for i in score.argmax(0)]


def _verdict(
    labels: Sequence[dict[str, object]], changes: Tensor, criteria: Criteria
) -> Evaluation:
    """Sum up what the chosen directions did, ``[factors, N, factors]``: one for each factor."""
    values, names = changes.movedim(1, 0), [str(label["factor"]) for label in labels]
    share = _own_shares(values[None])[0]
    share_low, share_high = bootstrap(values, _own_shares, redrawn=lambda x: _own_shares(x, 2.0))
    own = values.diagonal(dim1=1, dim2=2)
    low, high = bootstrap(own)
    rows = [
        label
        | _interval("effect", own.mean(0)[i], low[i], high[i])
        | _interval("share", share[i], share_low[i], share_high[i])
        | _leak(changes[i].mean(0), i, names)
        for i, label in enumerate(labels)
    ]
    table = pd.DataFrame(rows)
    table["recovered"] = _passes(table["share"], table["effect"].abs(), criteria)
    reach = table[["effect_low", "effect_high"]].abs().max(axis=1)
    surely = table["recovered"] & (table["share_low"] > criteria.share)
    possibly = _passes(table["share_high"], reach, criteria)
    mean, mean_low, mean_high = (float(end[-1]) for end in (share, share_low, share_high))
    return Evaluation(table, mean, mean_low, mean_high, int(surely.sum()), int(possibly.sum()))


def _own_shares(draws: Tensor, noise: float = 1.0) -> Tensor:
    """Return ``[draws, factors + 1]``: each factor's share of its own direction, and their mean."""
    own = shares(draws.movedim(1, -2), noise=noise).diagonal(dim1=-2, dim2=-1)
    return torch.cat([own, own.mean(-1, keepdim=True)], dim=-1)


def _passes(share: pd.Series, effect: pd.Series, criteria: Criteria) -> pd.Series:
    return (share > criteria.share) & (effect >= criteria.effect)


def _interval(name: str, value: Tensor, low: Tensor, high: Tensor) -> dict[str, float]:
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}


def _leak(effects: Tensor, place: int, factors: Sequence[str]) -> dict[str, object]:
    """Find the largest effect on another factor, in units of the one on this factor."""
    if len(factors) == 1:
        return {"leakage": 0.0, "leaks_into": ""}
    others = effects.abs().clone()
    others[place] = -1
    worst = int(others.argmax())
    ratio = others[worst] / effects[place].abs().clamp_min(1e-12)
    return {"leakage": float(ratio), "leaks_into": factors[worst]}
