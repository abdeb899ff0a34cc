"""Chapter 12: directions that a generator is built with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.sefa import beats, random_rivals
from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.types import Direction, Generator, Predictor

SHAPES = ((2, 5), (4, 4), (6, 40), (3, 2))
"""Rows and columns of the bases tried: the last cannot be orthonormal."""


@announce
def orthogonality_penalty(penalty: Callable[[Tensor], Any], tolerance: float = 1e-4) -> Verdict:
    """Check whether a function is the orthogonality penalty of a basis, ``|U U^T - 1|^2``.

    What it should give follows from the singular values s of U alone, and so do its zeros:

        |U U^T - 1|^2 = sum_i (s_i^2 - 1)^2

    Args:
        penalty: ``[k, d]``, a direction a row, to one number.
        tolerance: The largest relative error allowed.
    """
    random, worst = np.random.RandomState(FRESH_SEED), 0.0
    for rows, columns in SHAPES:
        given = torch.from_numpy(random.randn(rows, columns)) / columns**0.5
        lengths = torch.linalg.svdvals(given).square()
        expected = float((lengths - 1).square().sum()) + max(0, rows - columns)
        try:
            value = float(penalty(given.clone()))
        except Exception as error:
            return Verdict(False, np.nan, f"It failed: {type(error).__name__}: {error}")
        off = abs(value - expected) / expected
        worst = max(worst, off) if np.isfinite(off) else np.inf
        if not worst <= tolerance:
            return Verdict(False, worst, _why(value, expected, given))
    return Verdict(
        True, worst, f"Right for {len(SHAPES)} bases, by their singular values: off by {worst:.0e}."
    )


def _why(value: float, expected: float, given: Tensor) -> str:
    rows, columns = given.shape
    says = (
        f"For a basis of {rows} rows of {columns} numbers it gives {value:.4g}, not {expected:.4g}."
    )
    turned = float((given.T @ given - torch.eye(columns)).square().sum())
    if abs(value - turned) < 1e-6 * turned:
        return says + " That is U^T U: it compares the columns, and the directions are the rows."
    if abs(value - expected / rows**2) < 1e-6 * expected:
        return says + " That is the mean of the squares; the exercise asks for their sum."
    off = given @ given.T
    off.fill_diagonal_(0)
    if abs(value - float(off.square().sum())) < 1e-6 * expected:
        return says + " Right angles are not enough: the rows should have unit length as well."
    return says


@announce
def one_layer(
    direction: Direction,
    factor: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 32,
) -> Verdict:
    """Check whether a direction of one layer alone moves a factor further than chance does in all
    of z.

    Args:
        direction: The answer, in z; either sign will do.
        factor: A name that the second oracle reads.
        generator: Its z has parts for its layers.
        judge: The measuring network; the second oracle unless given.
        n_samples: How many fresh rooms.

    Raises:
        NotFoundError: The oracle reads no such factor.
    """
    if not isinstance(direction, Direction) or direction.space != "z":
        return Verdict(False, np.nan, "Give an sb.Direction of z.")
    parts = generator.spaces["z"].slices or {}
    vector = direction.vector.abs()
    used = [layer for layer, part in parts.items() if float(vector[part].max()) > 1e-9]
    if len(used) != 1:
        return Verdict(
            False,
            len(used),
            f"{direction.name!r} moves coordinates of {len(used)} layers ({', '.join(used)}); one "
            "layer alone is asked for.",
        )
    if used[0] == next(iter(parts)):
        return Verdict(
            False,
            0,
            f"{direction.name!r} moves the noise that the first features are made of, which has no "
            "basis. Choose another layer.",
        )
    rivals = random_rivals(direction, generator, 19)
    return beats(direction, rivals, factor, generator, judge, n_samples)
