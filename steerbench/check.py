"""Independent checks for the exercises of the chapters.

    sb.check("08.1", vectors, A)          # by the number that stands in the chapter
    sb.check.eigenvectors(vectors, A)     # the same, by name

A check never asks the student's model about itself. It holds the answer against something else:
the pixels of pictures that the answer has not seen, a definition (the eigenvalue equation), the
world's truth, or the second oracle, a network with another seed that took no part in the chapter.
The verdict is printed with the number that was measured, and returned; it is true when the
exercise is solved:

>>> verdict = orthonormal(torch.eye(4)[:, :2])
✓ 2 vectors of unit length, at right angles to each other: off by 0.0e+00 at most.
>>> bool(verdict)
True

A chapter adds a function here and a line to :data:`EXERCISES`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import NotFoundError, SteerbenchError, unknown
from steerbench.types import Direction, Generator, Predictor

FRESH_SEED = 900_000
"""Where the seeds of the checks begin: far from those that chapters use."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        ok: Whether the exercise is solved.
        measured: The number that decided.
        says: One sentence for the student.
    """

    ok: bool
    measured: float
    says: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.says}"

    def _ipython_display_(self) -> None:
        """Nothing: the verdict was printed already."""


def _spoken(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """The check, printing its verdict."""

    @functools.wraps(check)
    def speak(*answer: Any, **more: Any) -> Verdict:
        verdict = check(*answer, **more)
        print(verdict)
        return verdict

    return speak


# -- chapter 00: directions that pixels can judge -------------------------------------------------


@_spoken
def brighter(direction: Direction, generator: Generator, n: int = 32) -> Verdict:
    """Whether a direction makes rooms brighter, measured in the pixels of fresh rooms.

    Args:
        direction: The answer.
        generator: Where it was found.
        n: How many rooms; none of them occurs in a chapter.
    """
    return _rises("brighter", brightness, direction, generator, n)


@_spoken
def warmer(direction: Direction, generator: Generator, n: int = 32) -> Verdict:
    """Whether a direction makes rooms warmer (more red, less blue), as :func:`brighter`."""
    return _rises("warmer", warmth, direction, generator, n)


def brightness(images: Tensor) -> Tensor:
    """The mean of all pixels, ``[N]``, from -1 (black) to 1 (white)."""
    return images.clamp(-1, 1).mean(dim=(1, 2, 3))


def warmth(images: Tensor) -> Tensor:
    """Mean red minus mean blue, ``[N]``, from -2 to 2."""
    channels = images.clamp(-1, 1).mean(dim=(2, 3))
    return channels[:, 0] - channels[:, 2]


def _rises(
    word: str,
    measure: Callable[[Tensor], Tensor],
    direction: Direction,
    generator: Generator,
    n: int,
) -> Verdict:
    if not isinstance(direction, Direction):
        return Verdict(False, 0, f"A {type(direction).__name__} was given; give an sb.Direction.")
    codes = generator.sample(n, seed=FRESH_SEED, space=direction.space)
    before = measure(generator.render(codes + -1.0 * direction))
    after = measure(generator.render(codes + 1.0 * direction))
    slope = float((after - before).mean()) / 2
    share = float((after > before).float().mean())
    found = (
        f"on {n} fresh rooms one standard deviation along {direction.name!r} makes the picture "
        f"{slope:+.3f} {word}, and {share:.0%} of the rooms get {word}."
    )
    if share >= 0.9:
        return Verdict(True, slope, f"Yes: {found}")
    advice = (
        "Turn it round: -direction." if share <= 0.1 else "Nearly all rooms (90%) should follow."
    )
    return Verdict(False, slope, f"Not yet: {found} {advice}")


# -- chapter 08: closed-form factorisation --------------------------------------------------------


@_spoken
def orthonormal(vectors: Any, tolerance: float = 1e-4) -> Verdict:
    """Whether columns ``[dim, k]`` have unit length and are at right angles.

    Args:
        vectors: The answer, a tensor or an array.
        tolerance: How far an inner product may be off.
    """
    return _orthonormal(vectors, tolerance)


def _orthonormal(vectors: Any, tolerance: float) -> Verdict:
    columns = _matrix(vectors)
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


@_spoken
def eigenvectors(vectors: Any, weights: Any, tolerance: float = 1e-3) -> Verdict:
    """Whether columns are the first eigenvectors of ``A^T A``, the strongest first.

    Held against the definition, ``A^T A n = lambda n``, and against the singular values of A, which
    say how much any k orthonormal vectors can be stretched at most.

    Args:
        vectors: The answer, ``[dim, k]``.
        weights: A, ``[outputs, dim]``.
        tolerance: The largest relative error allowed.
    """
    columns, matrix = _matrix(vectors), _matrix(weights)
    if matrix is None:
        raise SteerbenchError("The weights A must be a matrix [outputs, dim] of finite numbers.")
    if columns is not None and columns.shape[0] != matrix.shape[1]:
        given, dim = list(columns.shape), matrix.shape[1]
        return Verdict(False, np.nan, f"Vectors of shape {given} were given; give [{dim}, k].")
    verdict = _orthonormal(vectors, tolerance)
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


@_spoken
def steers(
    direction: Direction,
    factor: str,
    generator: Generator,
    predictor: Predictor | None = None,
    n: int = 16,
) -> Verdict:
    """Whether a direction moves a factor further than chance would, read by the second oracle.

    Chance is what random directions of the same layers do: the answer must beat the strongest of
    nineteen, so that a random one passes once in twenty.

    Args:
        direction: The answer; either sign will do.
        factor: A name that the oracle reads.
        generator: Where it was found.
        predictor: The measuring network; the second oracle unless given.
        n: How many fresh rooms.

    Raises:
        NotFoundError: The oracle reads no such factor.
    """
    oracle = predictor if predictor is not None else _second_oracle()
    if factor not in oracle.names:
        raise NotFoundError(unknown("factor", factor, oracle.names))
    column = list(oracle.names).index(factor)
    codes = generator.sample(n, seed=FRESH_SEED, space=direction.space)

    def change(candidate: Direction) -> float:
        before = oracle.predict(generator.render(codes + -1.0 * candidate))[:, column]
        after = oracle.predict(generator.render(codes + 1.0 * candidate))[:, column]
        return float((after - before).mean()) / 2

    found = change(direction)
    chance = max(abs(change(other)) for other in _random_like(direction, generator, 19))
    compared = (
        f"one standard deviation along {direction.name!r} changes {factor!r} by {found:+.3g}; the "
        f"strongest of 19 random directions by {chance:.3g}."
    )
    if abs(found) > chance:
        return Verdict(True, found, f"Yes: {compared}")
    return Verdict(False, found, f"Not yet: {compared}")


def _second_oracle() -> Predictor:
    from steerbench.predictors import predictor

    return predictor(SECOND_ORACLE)


def _random_like(direction: Direction, generator: Generator, count: int) -> list[Direction]:
    """Random directions of the same space, scale law and layers."""
    random = np.random.RandomState(FRESH_SEED)
    vectors = torch.from_numpy(random.randn(count, *direction.vector.shape))
    return [
        Direction(
            name=f"random {i + 1}",
            space=direction.space,
            vector=vector,
            scale=generator.prior_std(direction.space, vector / vector.norm()),
            layers=direction.layers,
            generator=generator.fingerprint,
        )
        for i, vector in enumerate(vectors)
    ]


# -- by number ------------------------------------------------------------------------------------

SECOND_ORACLE = "rooms-attributes-2"
"""The network that measures: trained like the first oracle, from another seed."""

EXERCISES: dict[str, Callable[..., Verdict]] = {
    "00.1": warmer,
    "08.1": eigenvectors,
    "08.2": steers,
}


def exercise(number: str, *answer: Any, **more: Any) -> Verdict:
    """Check an answer by the exercise's number.

    Args:
        number: As it stands in the chapter, ``"08.1"``.
        answer: What the exercise asks for, in its order.
        more: Passed on to the check.

    Raises:
        NotFoundError: There is no such exercise.
    """
    if number not in EXERCISES:
        raise NotFoundError(unknown("exercise", number, EXERCISES))
    return EXERCISES[number](*answer, **more)


def _matrix(values: Any) -> Tensor | None:
    """``[rows, columns]`` in float64, or none where it is no matrix of finite numbers."""
    try:
        matrix = torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return matrix if matrix.ndim == 2 and bool(torch.isfinite(matrix).all()) else None


class _Callable(ModuleType):
    """``sb.check("08.1", answer)`` and ``sb.check.eigenvectors(answer)`` are the same module."""

    def __call__(self, number: str, *answer: Any, **more: Any) -> Verdict:
        return exercise(number, *answer, **more)


sys.modules[__name__].__class__ = _Callable
