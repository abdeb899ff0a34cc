"""Chapter 05: one attribute without another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.sefa import random_rivals, second_oracle
from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import ArgumentError, NotFoundError, unknown
from steerbench.types import Direction, Generator, Predictor


@announce
def projection(answer: Any, normal: Any, conditions: Any, tolerance: float = 1e-5) -> Verdict:
    """Check whether a vector is a normal without what it shares with conditions.

    Held against what defines it: it is at right angles to every condition, and differs from the
    normal (up to its length) only by what lies in their span.

    Args:
        answer: ``[dim]``, of any length.
        normal: ``[dim]``.
        conditions: ``[k, dim]``, of any length and at any angle to each other.
        tolerance: The largest cosine that counts as a right angle.
    """
    start, on = _vector(normal), _matrix(conditions)
    if start is None or on is None or on.shape[1] != len(start):
        raise ArgumentError("Give a normal [dim] and conditions [k, dim] of finite numbers.")
    found = _vector(answer)
    if found is None or len(found) != len(start) or float(found.norm()) == 0:
        return Verdict(False, np.nan, f"Give finite numbers of shape [{len(start)}], not all zero.")
    found = found / found.norm()
    units = on / on.norm(dim=1, keepdim=True)
    off = float((units @ found).abs().max())
    if off > tolerance:
        return Verdict(
            False,
            off,
            f"It still has a cosine of {off:.2g} with one of the conditions. Where conditions are "
            "not at right angles to each other, subtracting one brings back some of another.",
        )
    basis = torch.linalg.qr(torch.cat([start[None], on]).T)[0]
    outside = float((found - basis @ (basis.T @ found)).norm())
    if outside > tolerance or float(found @ start) <= 0:
        return Verdict(
            False,
            outside,
            "At right angles it is, but no longer the normal: something was added "
            "that was in neither the normal nor the conditions, or it was turned round.",
        )
    return Verdict(True, off, f"At right angles to all {len(on)} conditions: cosine {off:.1e}.")


@announce
def without(
    direction: Direction,
    wanted: str,
    unwanted: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 96,
    limit: float = 0.4,
) -> Verdict:
    """Check whether a direction brings one attribute without another, read by the second oracle.

    It must bring more of the wanted one than the strongest of nine random directions, and of the
    unwanted one at most ``limit`` as much either way, both in standard deviations between rooms.

    Args:
        direction: The answer; its sign counts.
        wanted: A name that the oracle reads.
        unwanted: Another one.
        generator: Where it was found.
        judge: The measuring network; the second oracle unless given.
        n_samples: How many rooms.
        limit: The largest leakage.

    Raises:
        NotFoundError: The oracle reads no such attribute.
    """
    oracle = judge if judge is not None else second_oracle()
    for name in (wanted, unwanted):
        if name not in oracle.names:
            raise NotFoundError(unknown("attribute", name, oracle.names))
    if not isinstance(direction, Direction):
        return Verdict(False, 0, f"A {type(direction).__name__} was given; give an sb.Direction.")
    columns = [list(oracle.names).index(name) for name in (wanted, unwanted)]
    codes = generator.sample(n_samples, seed=FRESH_SEED, space=direction.space)

    def read(alpha: float, candidate: Direction, rooms: int) -> Tensor:
        return oracle.predict(generator.render(codes[:rooms] + alpha * candidate))[:, columns]

    spread = oracle.predict(generator.render(codes))[:, columns].std(0).clamp_min(1e-12)

    def change(candidate: Direction, rooms: int) -> Tensor:
        difference = read(2.0, candidate, rooms) - read(-2.0, candidate, rooms)
        return difference.mean(0) / 2 / spread

    found, some = change(direction, n_samples), min(n_samples, 32)
    chance = max(abs(float(change(d, some)[0])) for d in random_rivals(direction, generator, 9))
    leak = float(found[1] / found[0])
    says = (
        f"two steps along {direction.name!r} bring {float(found[0]):+.2f} spreads of {wanted!r} "
        f"(random: {chance:.2f}) and {float(found[1]):+.2f} of {unwanted!r} to {n_samples} "
        f"fresh rooms: "
        f"leakage {leak:+.2f}."
    )
    if float(found[0]) <= chance:
        return Verdict(False, leak, f"Not yet, that is no more than chance: {says}")
    if abs(leak) > limit:
        return Verdict(False, leak, f"Not yet, at most {limit:g} may leak: {says}")
    return Verdict(True, leak, f"Yes: {says}")


def _vector(values: Any) -> Tensor | None:
    matrix = _matrix(values)
    return None if matrix is None else matrix.flatten()


def _matrix(values: Any) -> Tensor | None:
    try:
        given = torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    if given.ndim < 1 or not bool(torch.isfinite(given).all()):
        return None
    return given.reshape(-1, given.shape[-1])
