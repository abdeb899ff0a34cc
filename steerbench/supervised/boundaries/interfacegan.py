"""InterFaceGAN: boundaries from scored codes, moving across them, and freeing them of each other.

An attribute that can be read from a picture is present on one side of a hyperplane of the latent
space and absent on the other. Its unit normal n is found by a linear support vector machine on the
codes whose scores are the highest and the lowest, and the picture is edited by moving the code:

    z_edit = z + alpha n

Moving along n changes other attributes too, where their boundaries are not at right angles.
Conditional manipulation subtracts what n shares with the normals of the conditions, however many
they are (`steerbench.Direction.condition`):

    n1 given n2:   n1 - (n1 . n2) n2

The functions here keep the conventions of the authors' code, in which people hold their numbers:

- `train_boundary` takes so many (or such a share) of the scored codes from each end, leaves out
  scores that mean "none", shuffles each end with ``RandomState(seed)`` and trains on a part of it;
- `interpolate` moves single codes **to** signed distances from the hyperplane through the origin
  (no bias is kept), but layer-wise codes **by** these distances.

Of codes in a file (``np.load(path, mmap_mode="r")``) only the chosen rows are read.

Reference: Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face Editing"
(2020, arXiv 1907.10786); Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, LatentError, ShapeError
from steerbench.supervised.boundaries.hyperplane import Boundary, linear_boundary
from steerbench.types import Direction


@dataclass(frozen=True, eq=False)
class EndSplit:
    """Rows of the samples at both ends of their scores, each cut into training and validation."""

    train_high: np.ndarray
    train_low: np.ndarray
    held_high: np.ndarray
    held_low: np.ndarray

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their labels, to train on."""
        return _label(self.train_high, self.train_low)

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their labels, to validate on; may be empty."""
        return _label(self.held_high, self.held_low)


def _label(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([1, 0], [len(high), len(low)])
    return np.concatenate([high, low]), labels


@dataclass(frozen=True, eq=False)
class TrainedBoundary:
    """A boundary and how well it holds.

    Attributes:
        boundary: Its normal points to the high scores.
        samples: How many samples it was trained on.
        train_accuracy: The share of them on the right side.
        accuracy: That of the held-out samples; NaN where none were held out.
        held_out: How many these were.
    """

    boundary: Boundary
    samples: int
    train_accuracy: float
    accuracy: float
    held_out: int


def split_ends(high: np.ndarray, low: np.ndarray, split_ratio: float, seed: int) -> EndSplit:
    """Cut both ends, the confident samples first, into training and validation.

    Args:
        high: Rows of the highest scores.
        low: Rows of the lowest.
        split_ratio: The share that trains.
        seed: Of the shuffle.

    Raises:
        ArgumentError: The ratio leaves nothing to train on.
    """
    if not 0 < split_ratio <= 1:
        raise ArgumentError(f"split_ratio={split_ratio}; give a share above 0 and up to 1.")
    random = np.random.RandomState(seed)
    count = int(min(len(high), len(low)) * split_ratio)
    if not count:
        raise ArgumentError(
            f"{len(high)} and {len(low)} samples at the ends leave none to train on at "
            f"split_ratio={split_ratio}. Choose more samples."
        )
    high, low = high[random.permutation(len(high))], low[random.permutation(len(low))]
    return EndSplit(high[:count], low[:count], high[count:], low[count:])


def train_boundary(
    codes: Any,
    scores: Any,
    chosen: float = 0.02,
    split_ratio: float = 0.7,
    invalid_value: float | None = None,
    *,
    seed: int = 0,
    c: float = 1.0,
) -> TrainedBoundary:
    """Return the boundary of an attribute, from codes and the scores of their pictures.

    Args:
        codes: ``[N, dim]``: a tensor, an array, or an array mapped from a file.
        scores: ``[N]`` or ``[N, 1]``; the higher, the more of the attribute.
        chosen: How many samples are taken from each end, as a number or, up to 1, a share of the
            valid ones. At most half of them.
        split_ratio: The share of the chosen that is trained on; the rest validates.
        invalid_value: A score that means that there is none.
        seed: Of the split.
        c: Of the support vector machine.

    Raises:
        ShapeError: Codes and scores are not of the same samples.
        LatentError: A score is NaN.
        ArgumentError: All scores are the same, or too few samples are left.
    """
    values = np.asarray(scores.detach().cpu() if isinstance(scores, Tensor) else scores, float)
    values, rows = values.reshape(-1), np.arange(len(codes))
    if len(values) != len(rows):
        raise ShapeError(f"{len(values)} scores were given for {len(rows)} codes; one for each.")
    if invalid_value is not None:
        rows = rows[values != invalid_value]
    if np.isnan(values[rows]).any():
        raise LatentError(
            "A score is NaN. Leave the sample out, or give it a number of its own and name that "
            "as invalid_value."
        )
    high, low = choose_ends(rows, values[rows], chosen)
    ends = split_ends(high, low, split_ratio, seed)
    return fit_ends(lambda picked: codes[picked], ends, c)


def choose_ends(rows: np.ndarray, scores: np.ndarray, chosen: float) -> tuple[np.ndarray, ...]:
    """Return the rows of the highest scores and those of the lowest, the most extreme first.

    Args:
        rows: Of the samples that have a score.
        scores: One for each.
        chosen: How many of each end, a number or a share.

    Raises:
        ArgumentError: All scores are the same, or too few samples are left.
    """
    count = count_ends(chosen, len(rows))
    order = rows[np.argsort(-scores, kind="stable")]
    if not count or scores.max() == scores.min():
        raise ArgumentError(
            f"{len(rows)} samples with scores from {scores.min() if len(rows) else np.nan:g} to "
            f"{scores.max() if len(rows) else np.nan:g} give no two sides. Two samples with "
            "different scores are the least; chosen says how many of each end are taken."
        )
    return order[:count], order[-count:]


def count_ends(chosen: float, count: int) -> int:
    """Return how many samples of each end: a number, or up to 1 a share of them; at most half."""
    if not np.isfinite(chosen) or chosen <= 0:
        raise ArgumentError(f"chosen={chosen}; give a share of up to 1, or a number of samples.")
    return min(int(chosen * count) if chosen <= 1 else int(chosen), count // 2)


def fit_ends(read: Any, ends: EndSplit, c: float) -> TrainedBoundary:
    """Train on the one part of the ends and validate on the other.

    Args:
        read: Gives the codes of rows.
        ends: Rows of both ends, in both parts.
        c: Of the support vector machine.
    """
    (rows, labels), (held, truth) = ends.train, ends.held_out
    codes = read(rows)
    boundary = linear_boundary(codes, labels, c)
    both = len(ends.held_high) and len(ends.held_low)
    return TrainedBoundary(
        boundary,
        samples=len(rows),
        train_accuracy=boundary.accuracy(_tensor(codes), labels),
        accuracy=boundary.accuracy(_tensor(read(held)), truth) if both else float("nan"),
        held_out=len(held) if both else 0,
    )


def _tensor(codes: Any) -> Tensor:
    return codes if isinstance(codes, Tensor) else torch.from_numpy(np.array(codes))


def interpolate(
    code: Any, direction: Direction | Any, start: float = -3.0, end: float = 3.0, n_steps: int = 10
) -> Tensor:
    """Return a row of codes across a boundary, in the authors' two conventions.

    Args:
        code: One code, ``[dim]`` or ``[1, dim]``: the results lie **at** the distances from the
            plane through the origin. One layer-wise code, ``[1, rows, dim]``: the distances are
            **added**.
        direction: A Direction, or a normal ``[dim]`` or ``[1, dim]``.
        start: The first distance.
        end: The last one.
        n_steps: How many.

    Returns:
        ``[steps, dim]`` or ``[steps, rows, dim]``, in the precision of the code.

    Raises:
        ShapeError: Several codes, or a normal of another length.

    >>> code, normal = torch.tensor([[5.0, 1.0]]), torch.tensor([1.0, 0.0])
    >>> interpolate(code, normal, -1, 1, 3)
    tensor([[-1.,  1.],
            [ 0.,  1.],
            [ 1.,  1.]])
    >>> interpolate(code[None], normal, -1, 1, 3)[:, 0, 0]
    tensor([4., 5., 6.])
    """
    normal = direction.vector if isinstance(direction, Direction) else torch.as_tensor(direction)
    given = torch.as_tensor(code)
    batch = given[None] if given.ndim == 1 else given
    normal = normal.to(torch.float64).reshape(-1)
    if batch.ndim not in (2, 3) or len(batch) != 1 or batch.shape[-1] != len(normal):
        raise ShapeError(
            f"A code of shape {list(given.shape)} and a normal of {len(normal)} numbers were "
            f"given. Give one code, [1, {len(normal)}] or [1, rows, {len(normal)}]."
        )
    exact = batch.double()
    distances = torch.linspace(start, end, n_steps, dtype=torch.float64)
    if batch.ndim == 2:
        distances = distances - exact @ normal
    moved = exact + distances.view(-1, *[1] * (batch.ndim - 1)) * normal
    return moved.to(given.dtype if given.is_floating_point() else torch.float32)
