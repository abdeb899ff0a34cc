"""Chapter 04: boundaries, and whether they cause what they separate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from steerbench.check.sefa import random_rivals, second_oracle
from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import NotFoundError, unknown
from steerbench.types import Direction, Generator, Predictor


@announce
def counterfactual(effect: Callable[[Any, Any], Any]) -> Verdict:
    """Check whether a function is HiGAN's counterfactual effect.

    It is called with scores before and after an edit, ``[N]`` each, that no chapter uses, and held
    against the definition, added up one picture at a time.

    Args:
        effect: The answer, a function of ``before`` and ``after``.
    """
    random = np.random.RandomState(FRESH_SEED)
    off = 0.0
    for size in (50, 7, 1):
        before, after = random.rand(2, size)
        gains = [b - a for a, b in zip(before, after) if b > a]
        expected = sum(gains) / size
        try:
            given = float(effect(torch.from_numpy(before), torch.from_numpy(after)))
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            return Verdict(False, np.nan, f"It failed on tensors [{size}]: {error}")
        off = max(off, abs(given - expected))
        plain = float(np.mean(after - before))
        if abs(given - expected) > 1e-6 and abs(given - plain) < 1e-6 and gains:
            return Verdict(
                False,
                given,
                "That is the mean change. A loss in one picture must not make up "
                "for a gain in another: leave losses out before the mean is taken.",
            )
        if abs(given - expected) > 1e-6:
            return Verdict(
                False,
                given,
                f"For {size} pictures it gives {given:.4f}, the definition gives "
                f"{expected:.4f}. Every picture counts in the mean, also those that lose.",
            )
    return Verdict(True, off, f"It is the definition, off by {off:.1e} at most.")


@announce
def brings(
    direction: Direction,
    attribute: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 48,
) -> Verdict:
    """Check whether a direction brings an attribute, by its counterfactual effect on fresh rooms.

    The effect of two standard deviations must be half as much again as that of the strongest of
    nine random directions in the same layers, read by the second oracle.

    Args:
        direction: The answer; its sign counts.
        attribute: A name that the oracle reads.
        generator: Where it was found.
        judge: The measuring network; the second oracle unless given.
        n_samples: How many rooms.

    Raises:
        NotFoundError: The oracle reads no such attribute.
    """
    oracle = judge if judge is not None else second_oracle()
    if attribute not in oracle.names:
        raise NotFoundError(unknown("attribute", attribute, oracle.names))
    if not isinstance(direction, Direction):
        return Verdict(False, 0, f"A {type(direction).__name__} was given; give an sb.Direction.")
    column = list(oracle.names).index(attribute)
    codes = generator.sample(n_samples, seed=FRESH_SEED, space=direction.space)
    before = oracle.predict(generator.render(codes))[:, column]

    def effect(candidate: Direction) -> float:
        after = oracle.predict(generator.render(codes + 2.0 * candidate))[:, column]
        return float((after - before).clamp(min=0).mean())

    found = effect(direction)
    chance = max(effect(other) for other in random_rivals(direction, generator, 9))
    says = (
        f"two steps along {direction.name!r} bring {found:.3f} of {attribute!r} to "
        f"{n_samples} fresh rooms;"
        f" the strongest of 9 random directions brings {chance:.3f}."
    )
    if found > 1.5 * chance:
        return Verdict(True, found, f"Yes: {says}")
    turned = (
        " Turned round it would do better: -direction." if effect(-direction) > 1.5 * chance else ""
    )
    return Verdict(False, found, f"Not yet: {says}{turned}")
