"""Chapter 10: which directions are any good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.check.sefa import second_oracle
from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import NotFoundError, unknown
from steerbench.leaderboard.judging import Criteria, equalise_change, shares
from steerbench.metrics.rescoring import rescore
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator, Predictor

DRAWS = 4000


@announce
def squared_effect(estimate: Callable[[Tensor], Any]) -> Verdict:
    """Check whether an estimate of the square of a mean is right on average, noise or no noise.

    It is called with samples whose true mean is known. The square of their average is too large by
    the variance of that average; an answer that takes this off is right on average.

    Args:
        estimate: ``[N]`` samples to one number.
    """
    for true, count in ((0.0, 12), (0.5, 12), (0.0, 40)):
        random = np.random.RandomState(FRESH_SEED % 2**31 + count)
        try:
            values = [
                float(estimate(torch.from_numpy(true + random.randn(count)))) for _ in range(DRAWS)
            ]
        except Exception as error:
            return Verdict(False, np.nan, f"It failed: {type(error).__name__}: {error}")
        mean, error_of_mean = float(np.mean(values)), float(np.std(values)) / DRAWS**0.5
        if not np.isfinite(mean):
            return Verdict(False, mean, "It gives NaN or infinity.")
        if abs(mean - true**2) > 5 * error_of_mean + 1e-12:
            why = (
                " That is the square of the average as it stands: noise counts as an effect."
                if abs(mean - true**2 - 1 / count) < 5 * error_of_mean
                else " It may be negative at times; cut it off only after the mean over draws."
                if min(values) >= 0
                else ""
            )
            return Verdict(
                False,
                mean,
                f"{DRAWS} times {count} samples with the mean {true:g}: on average it gives "
                f"{mean:.4f}, and the square is {true**2:g}.{why}",
            )
    return Verdict(True, mean, f"Right on average over {DRAWS} draws, with an effect and without.")


@announce
def recovers(
    direction: Direction,
    factor: str,
    generator: Generator,
    judge: Predictor | None = None,
    factors: Sequence[str] | None = None,
    n_samples: int = 64,
) -> Verdict:
    """Check whether more than half of a direction's effect goes to one factor, as the leaderboard
    counts.

    Args:
        direction: The answer, in any space, limited to layers or not.
        factor: What it should move.
        generator: Where it was found.
        judge: The measuring network; the second oracle unless given.
        factors: All factors that share the effect; those of the leaderboard unless given.
        n_samples: How many fresh rooms.

    Raises:
        NotFoundError: It is none of the factors.
    """
    names = list(factors) if factors is not None else committed_factors()
    if factor not in names:
        raise NotFoundError(unknown("factor", factor, names))
    if not isinstance(direction, Direction):
        return Verdict(False, 0, f"A {type(direction).__name__} was given; give an sb.Direction.")
    oracle = judge if judge is not None else second_oracle()
    ((scaled, alpha),), criteria = equalise_change([direction], generator), Criteria()
    found = rescore([scaled], generator, oracle, names, n_samples=n_samples, pictures=Codes.CHECKS)
    changes = found.changes / found.spread.clamp_min(1e-12)
    share, effect = shares(changes)[0], changes.double().mean(1)[0]
    place = names.index(factor)
    says = (
        f"at {alpha:.2g} steps of {direction.name!r} {share[place]:.0%} of the effect goes to "
        f"{factor!r}, which changes by {effect[place]:+.2f} spreads"
    )
    if float(share[place]) > criteria.share and abs(float(effect[place])) >= criteria.effect:
        return Verdict(True, float(share[place]), f"Yes: {says}.")
    most = names[int(share.argmax())]
    reason = (
        f"; most of it, {share.max():.0%}, goes to {most!r}."
        if most != factor
        else f"; it takes more than half, and {criteria.effect} spreads."
    )
    return Verdict(False, float(share[place]), f"Not yet: {says}{reason}")


def committed_factors() -> list[str]:
    """Return the factors of the committed leaderboard."""
    path = resources.files("steerbench") / "assets" / "results" / "10-leaderboard-factors.csv"
    with path.open(encoding="utf-8") as file:
        return list(dict.fromkeys(pd.read_csv(file)["factor"]))
