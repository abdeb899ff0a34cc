"""Chapter 09: the principal axes of w."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from steerbench.check.sefa import orthonormal_columns
from steerbench.check.verdict import Verdict, announce, matrix_of
from steerbench.errors import ArgumentError


@announce
def principal_axes(vectors: Any, codes: Any, tolerance: float = 1e-3) -> Verdict:
    """Check whether columns are the first principal axes of codes, the longest first.

    Held against what the axes are for: the codes' coordinates along them have no correlation, and
    no k directions at right angles hold more of the variance, which the singular values of the
    codes around their mean say.

    Args:
        vectors: The answer, ``[dim, k]``.
        codes: ``[N, dim]``.
        tolerance: How much correlation, and how small a missing share of the variance, will pass.
    """
    columns, data = matrix_of(vectors), matrix_of(codes)
    if data is None:
        raise ArgumentError("The codes must be a matrix [N, dim] of finite numbers.")
    if columns is not None and columns.shape[0] != data.shape[1]:
        given, dim = list(columns.shape), data.shape[1]
        return Verdict(False, np.nan, f"Vectors of shape {given} were given; give [{dim}, k].")
    verdict = orthonormal_columns(vectors, 1e-4)
    if columns is None or not verdict:
        return verdict
    centred = data - data.mean(0)
    along = centred @ columns
    variance = along.square().sum(0)
    share = float(variance.sum() / torch.linalg.svdvals(centred).square()[: len(variance)].sum())
    if share < 1 - tolerance:
        return Verdict(
            False,
            share,
            f"Together they hold {share:.2%} of the variance that {len(variance)} directions can "
            "hold. The variance is around the mean of the codes: was it taken off?",
        )
    correlation = along.T @ along / (variance[:, None] * variance).sqrt()
    off = float((correlation - torch.eye(len(variance))).abs().max())
    if off > 10 * tolerance:
        return Verdict(
            False,
            off,
            f"They span the right space, but coordinates along two of them are correlated by "
            f"{off:.2g}. Take the eigenvectors themselves.",
        )
    if bool((variance.diff() > tolerance * variance.max()).any()):
        return Verdict(False, share, "The right axes in another order: longest first.")
    return Verdict(
        True,
        share,
        f"The coordinates are uncorrelated (at most {off:.1e}), and no {len(variance)} directions "
        "hold more of the variance.",
    )
