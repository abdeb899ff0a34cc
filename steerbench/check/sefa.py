"""Chapter 08: closed-form factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce, matrix_of
from steerbench.errors import ArgumentError, NotFoundError, unknown
from steerbench.metrics.null import random_directions_like
from steerbench.types import Direction, Generator, Predictor

SECOND_ORACLE = "rooms-attributes-2"
"""The network that measures: trained like the first oracle, from another seed."""


@announce
def orthonormal(vectors: Any, tolerance: float = 1e-4) -> Verdict:
    """Check whether columns ``[dim, k]`` have unit length and are at right angles.

    Args:
        vectors: The answer, a tensor or an array.
        tolerance: How far an inner product may be off.
    """
    return orthonormal_columns(vectors, tolerance)


def orthonormal_columns(vectors: Any, tolerance: float) -> Verdict:
    """Check the same as `orthonormal`, without a word."""
    columns = matrix_of(vectors)
    if columns is None:
        return Verdict(False, np.nan, "Give finite numbers of shape [dim, k], one vector a column.")
    count = columns.shape[1]
    off = float((columns.T @ columns - torch.eye(count)).abs().max())
    if off <= tolerance:
        return Verdict(
            True,
            off,
            f"{count} vectors of unit length, at right angles to each other: off by {off:.1e} "
            "at most.",
        )
    lengths = columns.norm(dim=0)
    return Verdict(
        False,
        off,
        f"The vectors are not orthonormal: lengths from {float(lengths.min()):.3g} to "
        f"{float(lengths.max()):.3g}, inner products off by {off:.2g}. Are they the columns?",
    )


@announce
def eigenvectors(vectors: Any, weights: Any, tolerance: float = 1e-3) -> Verdict:
    """Check whether columns are the first eigenvectors of ``A^T A``, the strongest first.

    Held against the definition, ``A^T A n = lambda n``, and against the singular values of A, which
    say how much any k orthonormal vectors can be stretched at most.

    Args:
        vectors: The answer, ``[dim, k]``.
        weights: A, ``[outputs, dim]``.
        tolerance: The largest relative error allowed.
    """
    columns, matrix = matrix_of(vectors), matrix_of(weights)
    if matrix is None:
        raise ArgumentError("The weights A must be a matrix [outputs, dim] of finite numbers.")
    if columns is not None and columns.shape[0] != matrix.shape[1]:
        given, dim = list(columns.shape), matrix.shape[1]
        return Verdict(False, np.nan, f"Vectors of shape {given} were given; give [{dim}, k].")
    verdict = orthonormal_columns(vectors, tolerance)
    if columns is None or not verdict:
        return verdict
    return _strongest(columns, matrix, tolerance)


def _strongest(columns: Tensor, matrix: Tensor, tolerance: float) -> Verdict:
    """Orthonormal columns against the eigenvalue equation and the singular values."""
    image = matrix @ columns
    stretch = image.square().sum(dim=0)
    error = (matrix.T @ image - stretch * columns).norm(dim=0) / stretch.max().clamp_min(1e-12)
    if float(error.max()) > tolerance:
        worst = int(error.argmax())
        return Verdict(
            False,
            float(error.max()),
            f"Vector {worst} is no eigenvector of A^T A: A^T A n differs from lambda n by "
            f"{float(error.max()):.2g} of the largest eigenvalue.",
        )
    best = torch.linalg.svdvals(matrix).square()[: columns.shape[1]]
    share = float(stretch.sum() / best.sum())
    if share < 1 - tolerance:
        return Verdict(
            False,
            share,
            f"Eigenvectors they are, but not the strongest: together they are stretched "
            f"{share:.1%} of what is possible. Sort by eigenvalue, largest first.",
        )
    if bool((stretch.diff() > tolerance * best[0]).any()):
        return Verdict(False, share, "The right eigenvectors in another order: largest first.")
    return Verdict(
        True,
        float(error.max()),
        f"A^T A n = lambda n holds for all {columns.shape[1]}, the strongest first: off by "
        f"{float(error.max()):.1e} at most.",
    )


@announce
def steers(
    direction: Direction,
    factor: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 16,
) -> Verdict:
    """Check whether a direction moves a factor further than chance would, read by the second
    oracle.

    Chance is what random directions of the same layers do: the answer must beat the strongest of
    nineteen, so that a random one passes once in twenty.

    Args:
        direction: The answer; either sign will do.
        factor: A name that the oracle reads.
        generator: Where it was found.
        judge: The measuring network; the second oracle unless given.
        n_samples: How many fresh rooms.

    Raises:
        NotFoundError: The oracle reads no such factor.
    """
    rivals = random_rivals(direction, generator, 19)
    return beats(direction, rivals, factor, generator, judge, n_samples)


def beats(
    direction: Direction,
    others: list[Direction],
    factor: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 16,
) -> Verdict:
    """Check whether a direction moves a factor further than every one of the random ``others``.

    Raises:
        NotFoundError: The oracle reads no such factor.
    """
    oracle = judge if judge is not None else second_oracle()
    if factor not in oracle.names:
        raise NotFoundError(unknown("factor", factor, oracle.names))
    column = list(oracle.names).index(factor)
    codes = generator.sample(n_samples, seed=FRESH_SEED, space=direction.space)

    def change(candidate: Direction) -> float:
        before = oracle.predict(generator.render(codes + -1.0 * candidate))[:, column]
        after = oracle.predict(generator.render(codes + 1.0 * candidate))[:, column]
        return float((after - before).mean()) / 2

    found = change(direction)
    chance = max(abs(change(other)) for other in others)
    compared = (
        f"one standard deviation along {direction.name!r} changes {factor!r} by {found:+.3g}; the "
        f"strongest of {len(others)} random directions by {chance:.3g}."
    )
    if abs(found) > chance:
        return Verdict(True, found, f"Yes: {compared}")
    return Verdict(False, found, f"Not yet: {compared}")


def second_oracle() -> Predictor:
    """Return the network that judges."""
    from steerbench.predictors import predictor

    return predictor(SECOND_ORACLE)


def random_rivals(direction: Direction, generator: Generator, n: int) -> list[Direction]:
    """Draw what chance offers against an answer: random directions of its space and layers."""
    return random_directions_like(direction, generator, n, kind="isotropic", seed=FRESH_SEED)
