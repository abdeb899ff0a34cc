"""The hyperplane between two sets of codes: a linear support vector machine, solved by Newton.

With codes x_i and labels y_i of -1 and +1 the boundary w.x + b = 0 is that of scikit-learn's
``SVC(kernel="linear", C=c)``, which InterFaceGAN and HiGAN use:

    min  |w|^2 / 2 + c sum_i max(0, 1 - y_i (w.x_i + b))

A kernel method looks at pairs of codes; here a code has some hundred numbers and there are
thousands of codes, so the problem is solved in w itself. The corner of the hinge is rounded over a
width delta, which makes the problem smooth, and piecewise quadratic: Newton's method with an exact
line search ends after a few steps. Then delta shrinks and the solution is followed: codes in the
rounded corner keep their pull while the corner closes in on them, so a few steps are enough. Where
it stops, at a ten-thousandth, the codes on the margin are off by that share of it at most. Each
step solves one system of the size of a code (or of the number of codes, where these are fewer) over
the few codes that lie near the margin. Half a million codes begin from the solution of some.

>>> codes = torch.tensor([[3.0, 0.0], [3.0, 1.0], [-1.0, 0.0], [-1.0, 1.0]])
>>> found = linear_boundary(codes, [1, 1, 0, 0])
>>> [round(value, 3) for value in (found.normal[0].item(), found.bias, found.slack)]
[1.0, -1.0, 2.0]

References: Chapelle, "Training a Support Vector Machine in the Primal" (2007, Neural Computation
19); Keerthi, DeCoste, "A Modified Finite Newton Method for Fast Solution of Large Scale Linear
SVMs" (2005, JMLR 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, LatentError, ShapeError

SUBSET = 20_000
"""More codes than this begin from the boundary of so many of them."""
BLOCK = 2**22
"""How many numbers are multiplied at a time."""


@dataclass(frozen=True, eq=False)
class Boundary:
    """A hyperplane.

    Attributes:
        normal: ``[dim]`` float64 of unit norm; it points to the side of label 1.
        bias: The signed distance of a code is ``code @ normal + bias``.
        slack: Twice this is the width of the margin.
    """

    normal: Tensor
    bias: float
    slack: float

    def distance(self, codes: Tensor) -> Tensor:
        """Return signed distances ``[N]`` of codes ``[N, dim]`` (or of so many numbers)."""
        return codes.flatten(1).double() @ self.normal.to(codes.device) + self.bias

    def accuracy(self, codes: Tensor, labels: Any) -> float:
        """Return the share of codes that lie on the side of their label."""
        positive = _positive(labels, len(codes))
        return float(((self.distance(codes) > 0).cpu().numpy() == positive).mean())


def linear_boundary(codes: Any, labels: Any, c: float = 1.0) -> Boundary:
    """Return the boundary between codes of two labels.

    Args:
        codes: ``[N, *shape]``, flattened. float32 is kept as it is where the codes are many.
        labels: ``[N]``, two values; the larger one is the positive side.
        c: What a code on the wrong side costs, against the width of the margin.

    Raises:
        ArgumentError: All labels are the same, or there are more than two, or c is no positive
            number.
        ShapeError: There is not one label for each code.
        LatentError: The codes hold NaN or infinity.
    """
    if not (np.isfinite(c) and c > 0):
        raise ArgumentError(f"c={c}; give a positive number, 1 for the boundaries of papers.")
    x = _matrix(codes)
    y = np.where(_positive(labels, len(x)), 1.0, -1.0)
    w, b = _solve(x, y, c)
    norm = float(np.linalg.norm(w))
    if norm < 1e-12:
        raise ArgumentError(
            "No boundary separates these codes: both labels have the same codes. Check that "
            "labels belong to codes, row by row."
        )
    return Boundary(torch.from_numpy(w / norm), b / norm, 1 / norm)


def _matrix(codes: Any) -> np.ndarray:
    given = codes.detach().cpu().numpy() if isinstance(codes, Tensor) else np.asarray(codes)
    if given.ndim < 2:
        raise ShapeError(f"Codes of shape {list(given.shape)} were given; give [N, dim].")
    flat = given.reshape(len(given), int(np.prod(given.shape[1:])))
    if flat.dtype != np.float64 and flat.size <= 4 * BLOCK:
        flat = flat.astype(np.float64)
    elif flat.dtype not in (np.float32, np.float64):
        flat = flat.astype(np.float32)
    if not np.isfinite(flat.sum(dtype=np.float64)):
        raise LatentError("The codes hold NaN or infinity. Leave these samples out.")
    return flat


def _positive(labels: Any, count: int) -> np.ndarray:
    given = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    given = given.reshape(-1)
    if len(given) != count:
        raise ShapeError(f"{len(given)} labels were given for {count} codes; give one for each.")
    kinds = np.unique(given)
    if len(kinds) != 2:
        shown = ", ".join(str(kind) for kind in kinds[:4]) or "none"
        raise ArgumentError(
            f"A boundary lies between two labels; the {count} given are {shown}"
            f"{', ...' if len(kinds) > 4 else ''}. Give samples of both sides."
        )
    return given == kinds[1]


def _solve(
    x: np.ndarray, y: np.ndarray, c: float, sharpest: float = 1e-4
) -> tuple[np.ndarray, float]:
    """Return w and b in float64."""
    if x.shape[0] < x.shape[1]:
        # The solution lies in the span of the codes: turn them so that they have fewer numbers.
        basis, inside = np.linalg.qr(x.T.astype(np.float64))
        w, b = _solve(np.ascontiguousarray(inside.T), y, c)
        return basis @ w, b
    delta, theta = 2.0, np.zeros(x.shape[1] + 1)
    if len(x) > 2 * SUBSET:
        some = np.random.RandomState(0).permutation(len(x))[:SUBSET]
        if len(np.unique(y[some])) == 2:
            start = _solve(x[some].astype(np.float64), y[some], c * len(x) / SUBSET)
            delta, theta = 0.05, np.append(*start)
    near = None
    while True:
        theta, near = _newton(x, y, c, delta, theta, near)
        if delta <= sharpest:
            return theta[:-1], float(theta[-1])
        delta = max(delta / 4, sharpest)


def _newton(
    x: np.ndarray,
    y: np.ndarray,
    c: float,
    delta: float,
    theta: np.ndarray,
    near: np.ndarray | None,
    n_steps: int = 60,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum for one width of the corner, and which codes lie in the corner there.

    Args:
        near: The codes in the corner before it shrank. They mostly stay in it, but lie outside
            until they have been followed: the first step takes them for inside.
    """
    margins = y * (_product(x, theta[:-1]) + theta[-1])
    for _ in range(n_steps):
        slope, follow = _slope(margins, delta), near is not None
        if near is None:
            near = np.abs(1 - margins) < delta
        else:
            slope[near] = (margins[near] - 1 - delta) / (2 * delta)
        pull = c * y * slope
        gradient = np.append(theta[:-1] + _product(x.T, pull), pull.sum())
        size = (1 + np.linalg.norm(theta[:-1])) * np.sqrt(len(theta))
        if not follow and np.linalg.norm(gradient) <= 1e-7 * size:
            return theta, near
        step = -np.linalg.solve(_curvature(x[near], c / (2 * delta), c * len(x)), gradient)
        along = y * (_product(x, step[:-1]) + step[-1])
        t = 1.0 if follow else _line_search(theta, step, margins, along, c, delta)
        theta, margins, near = theta + t * step, margins + t * along, None
        if not follow and t * np.abs(step).max() <= 1e-10 * (1 + np.abs(theta).max()):
            break
    return theta, np.abs(1 - margins) < delta


def _slope(margins: np.ndarray, delta: float) -> np.ndarray:
    """Differentiate the rounded hinge: 0, falling to -1 between 1 + delta and 1 - delta."""
    return np.clip((margins - 1 - delta) / (2 * delta), -1.0, 0.0)


def _curvature(x: np.ndarray, weight: float, size: float) -> np.ndarray:
    """Return the second derivative ``[dim + 1, dim + 1]``, by the codes in the rounded corner."""
    dim = x.shape[1]
    total = np.zeros((dim + 1, dim + 1))
    step = max(1, BLOCK // dim)
    for start in range(0, len(x), step):
        part = x[start : start + step]
        total[:-1, :-1] += part.T @ part
        total[-1, :-1] += part.sum(0, dtype=np.float64)
    total[:-1, -1] = total[-1, :-1]
    total[-1, -1] = len(x)
    total *= weight
    total[np.arange(dim), np.arange(dim)] += 1
    # Nothing holds b where no code is near; this keeps the system solvable and changes no optimum.
    total[-1, -1] += 1e-8 * size
    return total


def _line_search(
    theta: np.ndarray,
    step: np.ndarray,
    margins: np.ndarray,
    along: np.ndarray,
    c: float,
    delta: float,
) -> float:
    """Return how far to go: where the slope along the step, which only rises, meets zero."""
    w, v = theta[:-1], step[:-1]
    start, curve = float(w @ v), float(v @ v)

    def slope(t: float) -> float:
        return start + t * curve + c * float(_slope(margins + t * along, delta) @ along)

    at_zero, at_one = slope(0.0), slope(1.0)
    if abs(at_one) <= 0.1 * abs(at_zero):
        return 1.0
    low, high = (0.0, 1.0) if at_one > 0 else (1.0, 2.0)
    while at_one <= 0 and slope(high) < 0 and high < 64:
        low, high = high, 2 * high
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def _product(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a product in the precision of the codes, given in float64."""
    return (a @ v.astype(a.dtype)).astype(np.float64)
