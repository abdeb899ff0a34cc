"""Chapter 06: a direction from one's own labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steerbench.check.sefa import beats
from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.supervised.boundaries.labelling import LabelledDirection
from steerbench.types import Direction, Generator, Predictor

MOST_LABELS = 40
TRIALS = 4000


@announce
def few_labels(
    direction: Direction,
    factor: str,
    generator: Generator,
    judge: Predictor | None = None,
) -> Verdict:
    """Check whether a direction made of at most forty labels moves a factor further than chance.

    The labels are counted in the direction's provenance; whether it moves the factor, the second
    oracle says on pictures that nobody labelled. Chance is what the same pictures give when their
    labels are shuffled: the answer must beat the strongest of nineteen.

    Args:
        direction: The answer, ``LabelledDirection(...).fit(G).direction_``.
        factor: A name that the oracle reads.
        generator: Where it was found.
        judge: The measuring network; the second oracle unless given.
    """
    labels = direction.provenance.hyperparameters.get("labels", {})
    count = sum(map(len, labels.values())) if isinstance(labels, dict) else 0
    if not 0 < count <= MOST_LABELS:
        return Verdict(
            False,
            float(count),
            f"{count} labels stand behind this direction; make one of 1 to {MOST_LABELS} with "
            "sb.LabelledDirection.",
        )
    others = _shuffle(labels, direction.space, generator)
    verdict = beats(direction, others, factor, generator, judge)
    return Verdict(verdict.ok, verdict.measured, f"{count} labels. {verdict.says}")


def _shuffle(labels: dict[str, list[int]], space: str, generator: Generator) -> list[Direction]:
    """Directions of the same pictures whose labels mean nothing."""
    random = np.random.default_rng(FRESH_SEED)
    seeds = [*labels["yes"], *labels["no"]]
    answers = np.arange(len(seeds)) < len(labels["yes"])
    found = []
    for _ in range(19):
        given = {seed: bool(has) for seed, has in zip(seeds, random.permutation(answers))}
        found.append(LabelledDirection(given, space).fit(generator).direction_)
    return found


@announce
def interval(function: Callable[[float, int], tuple[float, float]]) -> Verdict:
    """Check whether a 95% interval for a share covers the truth about 95 times in a hundred.

    Args:
        function: The answer, from a share seen and the number of trials to ``(low, high)``.
    """
    random, worst, where = np.random.default_rng(FRESH_SEED), 1.0, (0.0, 0)
    for truth in (0.6, 0.8, 0.95):
        for n in (12, 30, 100):
            seen = random.binomial(n, truth, TRIALS)
            found = {k: _ends(function, k / n, n) for k in np.unique(seen).tolist()}
            ends = {k: end for k, end in found.items() if end is not None}
            if len(ends) < len(found):
                return Verdict(False, np.nan, "Give a function from (share, n) to (low, high).")
            covered = float(np.mean([ends[k][0] <= truth <= ends[k][1] for k in seen.tolist()]))
            if covered < worst:
                worst, where = covered, (truth, n)
    wide = max(end[1] - end[0] for end in [_ends(function, 0.5, 100)] if end is not None)
    said = f"in its worst case (truth {where[0]}, {where[1]} labels) it covers {worst:.1%}"
    if worst < 0.89:
        return Verdict(False, worst, f"Too sure of itself: {said}.")
    if wide > 0.3:
        return Verdict(False, wide, f"Too careful: with 100 labels it is {wide:.2f} wide.")
    return Verdict(True, worst, f"An honest interval: {said}.")


def _ends(function: Any, share: float, n: int) -> tuple[float, float] | None:
    try:
        low, high = function(share, n)
        return float(low), float(high)
    except (TypeError, ValueError):
        return None
