"""Chapter 01: the adversarial game in the plane, and the distance between two sets of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce

CLUSTERS, RADIUS, SPREAD, FAKE_SPREAD = 8, 2.0, 0.15, 1.5
"""The chapter's points: clusters on a circle; and the normal distribution of its exercise."""
WITHIN = 3.0
"""Standard deviations from a cluster's centre that still count as in it."""


@announce
def optimal_discriminator(answer: Callable[[Tensor], Tensor], n_samples: int = 512) -> Verdict:
    """Check whether a function is the best discriminator of two distributions that are known.

    Real points: eight clusters of standard deviation 0.15 on a circle of radius 2. Generated ones:
    a normal distribution of standard deviation 1.5. Held against the densities, computed here in
    double precision, at fresh points of both.

    Args:
        answer: Points ``[N, 2]`` to the probability ``[N]`` that each is real.
        n_samples: How many points of each.
    """
    draws = torch.Generator().manual_seed(FRESH_SEED)
    which = torch.randint(CLUSTERS, (n_samples,), generator=draws)
    near = centres()[which] + SPREAD * torch.randn(n_samples, 2, generator=draws).double()
    points = torch.cat([near, FAKE_SPREAD * torch.randn(n_samples, 2, generator=draws).double()])
    given, why_not = _call(answer, points.float())
    if given is None or given.numel() != 2 * n_samples:
        return Verdict(
            False, math.nan, why_not or f"Give one finite number a point, {2 * n_samples} here."
        )
    real = torch.logsumexp(_log_normal(points[:, None] - centres(), SPREAD), dim=1)
    log_odds = real - math.log(CLUSTERS) - _log_normal(points, FAKE_SPREAD)
    return _compare(given.flatten(), torch.sigmoid(log_odds), log_odds)


def centres() -> Tensor:
    """Return the centres of the clusters, ``[8, 2]``."""
    angles = torch.arange(CLUSTERS, dtype=torch.float64) * 2 * math.pi / CLUSTERS
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def _log_normal(offsets: Tensor, spread: float) -> Tensor:
    """The log density of a round normal distribution of the plane, ``[..., 2]`` to ``[...]``."""
    return -offsets.square().sum(dim=-1) / (2 * spread**2) - math.log(2 * math.pi * spread**2)


def _compare(given: Tensor, best: Tensor, log_odds: Tensor) -> Verdict:
    off = float((given - best).abs().max())
    if off < 1e-3:
        return Verdict(
            True, off, f"The best there is: off by {off:.1e} at most, at {len(best)} fresh points."
        )
    hints = {
        "It is the probability of being generated; turn it round.": 1 - best,
        "These are log odds; a sigmoid makes them probabilities.": log_odds,
        "This is p / q, the odds; the probability is p / (p + q).": log_odds.exp(),
    }
    for hint, known in hints.items():
        if torch.allclose(given, known, atol=1e-3, rtol=1e-3):
            return Verdict(False, off, f"Nearly. {hint}")
    return Verdict(
        False, off, f"At some of {len(best)} fresh points the probability is off by {off:.2f}."
    )


@announce
def covers(generator: Callable[[Tensor], Tensor], n_samples: int = 4000) -> Verdict:
    """Check whether a generator of points draws all eight clusters, and little between them.

    Args:
        generator: Codes ``[N, 2]`` to points ``[N, 2]``; the check draws the codes.
        n_samples: How many.
    """
    draws = torch.Generator().manual_seed(FRESH_SEED)
    with torch.no_grad():
        points, why_not = _call(generator, torch.randn(n_samples, 2, generator=draws))
    if points is None or tuple(points.shape) != (n_samples, 2):
        wrong = why_not or f"Give finite points [N, 2] for codes [N, 2], N = {n_samples}."
        return Verdict(False, math.nan, wrong)
    distance, nearest = torch.cdist(points, centres()).min(dim=1)
    inside = distance < WITHIN * SPREAD
    shares = torch.bincount(nearest[inside], minlength=CLUSTERS) / n_samples
    found, share = int((shares >= 0.04).sum()), float(inside.double().mean())
    says = f"{found} of 8 clusters have at least 4% of the points; {share:.0%} lie in a cluster"
    if found == CLUSTERS and share >= 0.75:
        return Verdict(True, share, f"Yes: {says}.")
    return Verdict(False, share, f"Not yet: {says}; all 8 and 75% are asked for.")


@announce
def frechet(answer: Callable[..., float], problems: int = 3) -> Verdict:
    """Check whether a function gives the Fréchet distance of two normal distributions.

    Held against another way to the same number: the trace of (A B)^(1/2) is the sum of the singular
    values of L_A^T L_B, with A = L_A L_A^T and B = L_B L_B^T.

    Args:
        answer: ``(mean_a [D], covariance_a [D, D], mean_b, covariance_b)`` to a number.
        problems: How many random ones to pose.
    """
    draws = torch.Generator().manual_seed(FRESH_SEED)
    worst, hint = 0.0, ""
    for _ in range(problems):
        a, b = _random_normal(draws), _random_normal(draws)
        value, why_not = _call(answer, *a, *b)
        if value is None or value.numel() != 1:
            return Verdict(False, math.nan, why_not or "Give one finite number.")
        apart = float((a[0] - b[0]).square().sum())
        both = float(a[1].trace() + b[1].trace())
        overlap = float(torch.linalg.svdvals(_root(a[1]).T @ _root(b[1])).sum())
        known = apart + both - 2 * overlap
        error = abs(float(value) - known) / known
        if error > worst:
            worst, hint = error, _hint(float(value), known, apart, both, overlap)
    if worst < 1e-4:
        return Verdict(
            True, worst, f"Right on {problems} random problems: off by {worst:.1e} at most."
        )
    return Verdict(False, worst, f"Off by {worst:.1%} on a random problem. {hint}".rstrip())


def _random_normal(draws: torch.Generator, dim: int = 5) -> tuple[Tensor, Tensor]:
    square = torch.randn(dim, dim + 3, generator=draws, dtype=torch.float64)
    return torch.randn(dim, generator=draws, dtype=torch.float64), square @ square.T / dim


def _root(covariance: Tensor) -> Tensor:
    return torch.linalg.cholesky(covariance)


def _hint(value: float, known: float, apart: float, both: float, overlap: float) -> str:
    slips = {
        "This is its square root: the formula's left side is squared.": math.sqrt(known),
        "The last term counts twice.": apart + both - overlap,
        "The means are missing.": known - apart,
        "The distance of the means is squared.": known - apart + math.sqrt(apart),
    }
    for says, slip in slips.items():
        if math.isclose(value, slip, rel_tol=1e-4):
            return says
    return ""


def _call(answer: Any, *given: Tensor) -> tuple[Tensor | None, str]:
    """What a function answers as finite float64 numbers; or none, and why, where it stops."""
    if not callable(answer):
        return None, f"A {type(answer).__name__} was given; give the function itself."
    try:
        values = answer(*given)
    except Exception as error:  # a student's code may fail in any way; the verdict says how
        return None, f"The function stopped: {type(error).__name__}: {error}"
    try:
        numbers = torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None, ""
    return (numbers if bool(torch.isfinite(numbers).all()) else None), ""
