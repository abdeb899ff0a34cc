"""Chapter 14: whitening P, and the disentanglement of an importance matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.types import Generator


@announce
def whitening(whiten: Callable[[Any], Any], generator: Generator, n_samples: int = 4096) -> Verdict:
    """Check whether a function turns codes of P into numbers without mean, scale or correlation.

    It is called with codes of seeds that no chapter uses.

    Args:
        whiten: The answer: codes ``[N, dim]`` of space p to ``[N, dim]``.
        generator: Where the codes come from.
        n_samples: How many.
    """
    codes = generator.sample(n_samples, seed=FRESH_SEED, space="p").data.double()
    try:
        white = torch.as_tensor(whiten(codes)).detach().double()
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        return Verdict(False, math.nan, f"It failed on codes {list(codes.shape)}: {error}")
    if white.shape != codes.shape or not bool(torch.isfinite(white).all()):
        return Verdict(
            False, math.nan, f"Give finite numbers {list(codes.shape)}; got {list(white.shape)}."
        )
    mean = float(white.mean(0).abs().max())
    covariance = torch.cov(white.T)
    spread = covariance.diagonal()
    together = covariance - torch.diag(spread)
    # What chance leaves of n codes, with room for the codes that whitening was learned from.
    chance = 12 / math.sqrt(n_samples)
    worst = float(together.abs().max())
    if mean > chance:
        return Verdict(False, mean, f"A number has a mean of {mean:.2f}. Subtract the mean of P.")
    if worst > chance:
        return Verdict(
            False,
            worst,
            f"Two numbers still vary together (covariance {worst:.2f}). Turn the codes to the "
            "eigenvectors of the covariance of P.",
        )
    off = float((spread - 1).abs().max())
    if off > 2 * chance:
        return Verdict(
            False,
            off,
            f"Variances lie between {float(spread.min()):.2g} and {float(spread.max()):.2g}. "
            "Divide each number by its standard deviation, the root of the eigenvalue.",
        )
    return Verdict(
        True,
        worst,
        f"On {n_samples} fresh codes the covariance is the identity, off by {worst:.2f} at most.",
    )


@announce
def disentanglement(score: Callable[[Any], Any]) -> Verdict:
    """Check whether a function is the disentanglement D of an importance matrix ``[codes,
    factors]``.

    Matrices that no chapter uses are held against the definition, added up one code at a time.

    Args:
        score: The answer, a function of the matrix.
    """
    random = np.random.RandomState(FRESH_SEED)
    cases = [random.rand(5, 3), random.rand(7, 4) ** 6, np.eye(4) * [1.0, 2, 3, 4]]
    cases.append(np.vstack([random.rand(3, 3), np.zeros((1, 3))]))
    off = 0.0
    for matrix in cases:
        expected, plain = _by_hand(matrix)
        try:
            given = float(score(torch.from_numpy(matrix)))
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            return Verdict(False, math.nan, f"It failed on {list(matrix.shape)}: {error}")
        if abs(given - expected) < 1e-4:
            off = max(off, abs(given - expected))
            continue
        hint = "Is the base of the entropy the number of factors?"
        if abs(given - plain) < 1e-4:
            hint = "That is the plain mean: a number that explains little must count little."
        if math.isnan(given):
            hint = "Zeros need care: 0 log 0 is 0, and a number that serves nothing counts nothing."
        return Verdict(
            False,
            given,
            f"For a matrix {list(matrix.shape)} it gives {given:.4f}, the definition gives "
            f"{expected:.4f}. {hint}",
        )
    return Verdict(True, off, f"It is the definition, off by {off:.1e} at most.")


def _by_hand(matrix: np.ndarray) -> tuple[float, float]:
    """D, and the same without weights."""
    factors = matrix.shape[1]
    each, weights = [], []
    for row in matrix.tolist():
        total = sum(row)
        shares = [value / total for value in row if value > 0]
        entropy = -sum(share * math.log(share, factors) for share in shares)
        each.append(1 - entropy if total else 0.0)
        weights.append(total)
    weighted = sum(w * d for w, d in zip(weights, each)) / sum(weights)
    return weighted, sum(each) / len(each)
