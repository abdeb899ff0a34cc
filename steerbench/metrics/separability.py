"""Linear separability: how much a hyperplane leaves unsaid about each attribute.

For every attribute the pictures that a predictor is surest of are kept, a linear classifier is
fitted to their codes, and what its answer X leaves open of the attribute Y is counted in bits:

    separability = 2^(sum_i H(Y_i | X_i))

1 is perfect; an attribute that is half the time there and cannot be told doubles the score.

The paper fits and counts on the same hundred thousand codes. From a few thousand, long codes can
be parted by chance, so here a half is fitted and the other half counted, unless ``held_out`` is
false. The surest are chosen among those that have an attribute and among those that lack it, so
that a frequent one keeps both. Codes are standardised first, and the penalty is stronger than the
paper's, for the same reason.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948), section 4.2.

>>> told = torch.tensor([[30, 0], [0, 50]])
>>> conditional_entropy(told)
0.0
>>> conditional_entropy(torch.tensor([[20, 20], [20, 20]]))
1.0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import PredictorError, ShapeError


@dataclass(frozen=True)
class Separability:
    """A linear separability.

    Attributes:
        value: ``2 ** sum(bits)``, from 1 on; lower is better.
        bits: What is left open of each attribute, in [0, 1].
        accuracy: Of the classifier of each attribute, where it was counted.
    """

    value: float
    bits: tuple[float, ...]
    accuracy: tuple[float, ...]


def conditional_entropy(table: Any) -> float:
    """Compute H(Y | X) in bits of counts ``[X, Y]``."""
    shares = torch.as_tensor(table).double()
    shares = shares / shares.sum()
    given = shares.sum(1, keepdim=True)
    inside = torch.xlogy(shares, torch.where(given > 0, shares / given, 1.0))
    return max(0.0, float(-inside.sum() / np.log(2)))


def separability(
    codes: Any,
    margins: Any,
    *,
    keep: float = 0.5,
    held_out: bool = True,
    c: float = 0.001,
    seed: int = 0,
) -> Separability:
    """Compute the separability of codes by attributes.

    Args:
        codes: ``[N, C]``.
        margins: ``[N, F]``: above 0 where a picture has the attribute; the size says how sure the
            predictor is, such as log odds, or probabilities less 0.5.
        keep: The share that is kept of the pictures with an attribute, and of those without.
        held_out: Count on pictures that the classifier has not seen.
        c: Its weight of errors against the margin.
        seed: Of the split and the classifier.

    Raises:
        ShapeError: Codes and margins do not fit together, or ``keep`` leaves too few.
        PredictorError: They hold NaN or infinity, or all kept pictures agree on an attribute.
    """
    x, y = (torch.as_tensor(v).detach().cpu().double() for v in (codes, margins))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not x.numel() or not y.numel():
        raise ShapeError(
            f"Got codes {list(x.shape)} and margins {list(y.shape)}; expected [N, C] and [N, F], "
            "one row a picture. A code with rows is flattened first."
        )
    if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise PredictorError("Codes or margins hold NaN or infinity; leave those pictures out.")
    if not 8 / len(x) <= keep <= 1:
        raise ShapeError(f"keep={keep} of {len(x)} pictures; keep at least 8, and at most all.")
    found = [
        _one(x[some].numpy(), (column[some] > 0).numpy(), j, held_out, c, seed)
        for j, column in enumerate(y.T)
        for some in [surest(column, keep)]
    ]
    bits, accuracy = zip(*found)
    return Separability(float(2 ** sum(bits)), bits, accuracy)


def surest(margin: Tensor, keep: float) -> Tensor:
    """Return indices of pictures whose margins ``[N]`` are far from 0: a share of each side's."""
    sides = [(margin > 0).nonzero()[:, 0], (margin <= 0).nonzero()[:, 0]]
    kept = [
        side[margin[side].abs().topk(min(len(side), max(1, round(len(side) * keep)))).indices]
        for side in sides
        if len(side)
    ]
    return torch.cat(kept).sort().values


def _one(
    x: np.ndarray, y: np.ndarray, j: int, held_out: bool, c: float, seed: int
) -> tuple[float, float]:
    """Return bits left open of one attribute, and the classifier's accuracy."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    order = np.random.RandomState(seed).permutation(len(x))
    half = len(x) // 2
    fitted, counted = (order[:half], order[half:]) if held_out else (order, order)
    if y[fitted].all() or not y[fitted].any():
        raise PredictorError(
            f"All pictures that were kept agree on attribute {j}. Leave it out, or draw more."
        )
    model = make_pipeline(StandardScaler(), LinearSVC(C=c, random_state=seed))
    says = model.fit(x[fitted], y[fitted]).predict(x[counted])
    table = np.histogram2d(says, y[counted], bins=2, range=[[-0.5, 1.5]] * 2)[0]
    return conditional_entropy(table), float((says == y[counted]).mean())
