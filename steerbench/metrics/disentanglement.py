"""How well single numbers of a code stand for single factors: DCI, MIG and SAP.

All three compare codes ``[N, C]`` (latents in any space, encodings) with what is in the pictures,
factors ``[N, F]``. Whole or boolean factors are classes, floating-point ones are amounts.

**DCI.** Each factor j is predicted from the whole code; r_ij says how much the predictor made of
number i. With the shares p_ij = r_ij / sum_j r_ij along a number and q_ij = r_ij / sum_i r_ij
along a factor:

    disentanglement  D = sum_i a_i (1 - H_F(p_i)),   a_i = sum_j r_ij / sum_ij r_ij
    completeness     C = sum_j b_j (1 - H_C(q_j)),   b_j = sum_i r_ij / sum_ij r_ij
    informativeness  I = how well unseen pictures are predicted, the mean over factors

H_K is the entropy to the base K. D is 1 where every number that matters serves one factor, C is 1
where every factor is told by one number. I is accuracy for classes, R^2 for amounts. The
predictors are in `steerbench.metrics.importance`.

**MIG**, the mutual information gap: how much more the best number tells of a factor than the next
best, as a share of what there is to tell:

    MIG = mean_j (I(c_1; f_j) - I(c_2; f_j)) / H(f_j)

with c_1, c_2 the two numbers that tell most. Codes and amounts are counted in 20 bins of equal
width.

**SAP**, the separated attribute predictability: the same gap between the two best scores S_ij of
single numbers. S is R^2 for an amount, for a class the balanced accuracy, on pictures that were
not fitted, of thresholds on that number alone:

    SAP = mean_j (S_1j - S_2j)

All three depend on N (chance grows with the length of a code and shrinks with N): compare at
equal N, and beside shuffled factors, as `steerbench.metrics.spaces` does.

References: Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled
Representations" (2018, ICLR); Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement
in Variational Autoencoders" (2018, arXiv 1802.04942); Kumar, Sattigeri, Balakrishnan,
"Variational Inference of Disentangled Latent Concepts from Unlabeled Observations" (2018, arXiv
1711.00848); the settings are those of Locatello et al., "Challenging Common Assumptions in the
Unsupervised Learning of Disentangled Representations" (2019, arXiv 1811.12359).

>>> scores = dci_scores([[0.0, 2.0], [3.0, 0.0]])
>>> round(scores.disentanglement, 6), round(scores.completeness, 6)
(1.0, 1.0)
>>> mixed = dci_scores([[1.0, 1.0], [1.0, 1.0]])
>>> round(abs(mixed.disentanglement), 6), round(abs(mixed.completeness), 6)
(0.0, 0.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import PredictorError, ShapeError
from steerbench.metrics.importance import predict_factor


@dataclass(frozen=True, eq=False)
class DCI:
    """Disentanglement, completeness and informativeness.

    Attributes:
        disentanglement: Of the code, in [0, 1].
        completeness: Of the factors, in [0, 1].
        informativeness: On unseen pictures: mean accuracy, or R^2 for amounts; NaN where only
            importances were given.
        informativeness_train: The same on the pictures that were fitted.
        importance: ``[C, F]`` float64.
        per_code: Disentanglement of each number of the code, ``[C]``.
        per_factor: Completeness of each factor, ``[F]``.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importance: Tensor
    per_code: Tensor
    per_factor: Tensor


def dci_scores(importance: Any) -> DCI:
    """Compute disentanglement and completeness of an importance matrix.

    A number that serves no factor has a disentanglement and a weight of 0.

    Args:
        importance: ``[C, F]``, not negative.

    Raises:
        ShapeError: It is not ``[C, F]`` with at least two numbers and two factors.
        PredictorError: It holds NaN, infinity or a negative number.
    """
    matrix = torch.as_tensor(np.asarray(importance, dtype=np.float64))
    if matrix.ndim != 2 or min(matrix.shape) < 2:
        raise ShapeError(
            f"Got importances {list(matrix.shape)}; expected [codes, factors], at least two of "
            "each: a single one leaves nothing to tell apart."
        )
    if not bool(torch.isfinite(matrix).all()) or bool((matrix < 0).any()):
        raise PredictorError("Importances must be finite and not negative; give their sizes.")
    # Added to every importance, as the published implementation does.
    tiny = 1e-11
    per_code = 1 - _entropy(matrix + tiny)
    per_factor = 1 - _entropy(matrix.T + tiny)
    weights = matrix if float(matrix.sum()) else torch.ones_like(matrix)
    by_code, by_factor = weights.sum(1) / weights.sum(), weights.sum(0) / weights.sum()
    return DCI(
        disentanglement=float(per_code @ by_code),
        completeness=float(per_factor @ by_factor),
        informativeness=float("nan"),
        informativeness_train=float("nan"),
        importance=matrix,
        per_code=per_code,
        per_factor=per_factor,
    )


def _entropy(rows: Tensor) -> Tensor:
    """Compute the entropy of each row as shares, to the base of its length."""
    shares = rows / rows.sum(1, keepdim=True)
    return -torch.xlogy(shares, shares).sum(1) / np.log(rows.shape[1])


def dci(
    codes: Any,
    factors: Any,
    *,
    test: tuple[Any, Any] | None = None,
    estimator: str = "boosting",
    seed: int = 0,
) -> DCI:
    """Compute DCI from codes and factors.

    Args:
        codes: ``[N, C]``.
        factors: ``[N, F]``: whole or boolean for classes, floating point for amounts.
        test: Codes and factors of unseen pictures; without, a random half is kept back.
        estimator: ``"boosting"`` (gradient-boosted trees, what most papers report) or ``"lasso"``
            (sparse linear, faster where codes are long), see `steerbench.metrics.importance`.
        seed: Of the split and the estimator.

    Raises:
        ShapeError: Codes and factors do not fit together.
        PredictorError: They hold NaN or infinity, or a factor has one value only.
        NotFoundError: There is no such estimator.
    """
    x, y = _pair(codes, factors)
    if test is None:
        chosen, rest = _halves(len(x), seed)
        (x, y), (x_test, y_test) = (x[chosen], y[chosen]), (x[rest], y[rest])
    else:
        x_test, y_test = _pair(*test)
    if x_test.shape[1] != x.shape[1] or y_test.shape[1] != y.shape[1]:
        raise ShapeError(
            f"Got test codes and factors of {x_test.shape[1]} and {y_test.shape[1]} columns; "
            f"expected {x.shape[1]} and {y.shape[1]}, as in training."
        )
    _varying(y)
    columns = [
        predict_factor(x, y[:, j], x_test, y_test[:, j], estimator=estimator, seed=seed)
        for j in range(y.shape[1])
    ]
    scores = dci_scores(np.stack([column.importance for column in columns], axis=1))
    return DCI(
        disentanglement=scores.disentanglement,
        completeness=scores.completeness,
        informativeness=float(np.mean([column.test for column in columns])),
        informativeness_train=float(np.mean([column.train for column in columns])),
        importance=scores.importance,
        per_code=scores.per_code,
        per_factor=scores.per_factor,
    )


def mig(codes: Any, factors: Any, *, bins: int = 20) -> float:
    """Compute the mutual information gap, in [0, 1].

    Args:
        codes: ``[N, C]``.
        factors: ``[N, F]``: whole or boolean for classes, floating point for amounts.
        bins: In how many bins of equal width numbers and amounts are counted.

    Raises:
        ShapeError: Codes and factors do not fit together.
        PredictorError: They hold NaN or infinity, or a factor has one value only.
    """
    x, y = _pair(codes, factors)
    _varying(y)
    if bins < 2:
        raise ShapeError(f"bins={bins}; give at least 2.")
    counted = np.stack([_bins(column, bins) for column in x.T])
    gaps = []
    for factor in y.T:
        values = _bins(factor, bins) if factor.dtype.kind == "f" else factor
        told, entropy = _information(counted, np.unique(values, return_inverse=True)[1], bins)
        gaps.append(_gap(told) / entropy)
    return float(np.mean(gaps))


def _bins(column: np.ndarray, bins: int) -> np.ndarray:
    low, high = column.min(), column.max()
    width = (high - low) or 1.0
    return np.minimum((column - low) / width * bins, bins - 1).astype(np.int64)


def _information(counted: np.ndarray, factor: np.ndarray, bins: int) -> tuple[np.ndarray, float]:
    """Compute mutual information of rows of bins with a factor, and its entropy, in nats."""
    classes = int(factor.max()) + 1
    cells = np.arange(len(counted))[:, None] * bins * classes + counted * classes + factor
    found = np.bincount(cells.ravel(), minlength=len(counted) * bins * classes)
    joint = found.reshape(len(counted), bins, classes) / len(factor)
    own, other = joint.sum(2), joint.sum(1)
    entropy = -_xlogx(other[0]).sum()
    told = _xlogx(joint).sum((1, 2)) - _xlogx(own).sum(1) + entropy
    return told.clip(min=0), float(entropy)


def _xlogx(shares: np.ndarray) -> np.ndarray:
    return shares * np.log(np.where(shares > 0, shares, 1.0))


def _gap(scores: np.ndarray) -> float:
    """Return the best score less the next best; all of it where there is one."""
    ordered = np.sort(scores)[::-1]
    return float(ordered[0] - (ordered[1] if len(ordered) > 1 else 0.0))


def sap(codes: Any, factors: Any, *, seed: int = 0) -> float:
    """Compute the separated attribute predictability, in [0, 1].

    Args:
        codes: ``[N, C]``.
        factors: ``[N, F]``: whole or boolean for classes, floating point for amounts.
        seed: Which half of the pictures thresholds are fitted on.

    Raises:
        ShapeError: Codes and factors do not fit together.
        PredictorError: They hold NaN or infinity, or a factor has one value only.
    """
    x, y = _pair(codes, factors)
    _varying(y)
    halves = _halves(len(x), seed)
    gaps = []
    for factor in y.T:
        if factor.dtype.kind == "f":
            gaps.append(_gap(_r_squared(x, factor)))
            continue
        classes = np.unique(factor, return_inverse=True)[1]
        score = _best_threshold if classes.max() == 1 else _best_thresholds
        gaps.append(_gap(score(x, classes, *halves)))
    return float(np.mean(gaps))


def _r_squared(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    centred, amount = x - x.mean(0), factor - factor.mean()
    lengths = (centred**2).sum(0) * (amount**2).sum()
    return np.where(lengths > 0, (amount @ centred) ** 2 / np.where(lengths > 0, lengths, 1), 0)


def _best_threshold(
    x: np.ndarray, factor: np.ndarray, chosen: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Compute balanced accuracy on the rest of the best threshold for each number.

    Either way round."""
    # Each picture weighs one over its class, so that the sum of signed weights below a threshold
    # is the difference of the two classes' shares there.
    signed = np.where(factor > 0, 1.0, -1.0)
    count = np.bincount(factor[chosen], minlength=2)
    if not count.all():
        return np.full(x.shape[1], 0.5)
    order = np.argsort(x[chosen], axis=0, kind="stable")
    ranked = np.take_along_axis(x[chosen], order, axis=0)
    below = np.cumsum((signed[chosen] / count[factor[chosen]])[order], axis=0)[:-1]
    below[ranked[1:] == ranked[:-1]] = 0.0  # No threshold parts equal numbers.
    place = np.abs(below).argmax(0)
    columns = np.arange(x.shape[1])
    cut = (ranked[place, columns] + ranked[place + 1, columns]) / 2
    above = (x[rest] > cut) == (below[place, columns] < 0)
    hits = above == (factor[rest][:, None] > 0)
    return np.mean([hits[factor[rest] == k].mean(0) for k in np.unique(factor[rest])], axis=0)


def _best_thresholds(
    x: np.ndarray, factor: np.ndarray, chosen: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Compute it for several classes: as many thresholds as part them, found by a tree."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_leaf_nodes=int(factor.max()) + 1, class_weight="balanced", random_state=0
    )
    fits = (
        tree.fit(column[chosen, None], factor[chosen]).predict(column[rest, None]) for column in x.T
    )
    return np.array([balanced_accuracy_score(factor[rest], says) for says in fits])


def _halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.RandomState(seed).permutation(count)
    return order[: (count + 1) // 2], order[(count + 1) // 2 :]


def _pair(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Check codes, in float64, and factors, as classes or amounts."""
    x, y = _array(codes).astype(np.float64), _array(factors)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 4 or not x.size or not y.size:
        raise ShapeError(
            f"Got codes {list(x.shape)} and factors {list(y.shape)}; expected [N, C] and [N, F], "
            "one row a picture, at least 4 pictures. A code with rows is flattened first."
        )
    if not np.isfinite(x).all() or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise PredictorError("Codes or factors hold NaN or infinity; leave those pictures out.")
    return x, y.astype(np.float64) if y.dtype.kind == "f" else y.astype(np.int64)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"Got values of type {array.dtype}; expected numbers, one row a picture.")
    return array


def _varying(y: np.ndarray) -> None:
    constant = np.flatnonzero(y.min(0) == y.max(0))
    if len(constant):
        raise PredictorError(
            f"Factor {constant[0]} has the value {y[0, constant[0]]} in every picture, so that "
            "nothing can be told of it. Leave it out."
        )
