"""Which numbers of a code a predictor of one factor uses: the matrix that DCI starts from.

- ``boosting``: scikit-learn's gradient-boosted trees as they come (100 trees of depth 3), which
  is what disentanglement_lib and StyleSpace use. Importance: the share of the loss that splits on
  a number take away. Minutes for codes of thousands of numbers
- ``lasso``: a linear predictor with an L1 penalty on standardised codes, as in the first paper: a
  squared hinge for classes, the Lasso for amounts. Importance: the size of the coefficient. The
  penalty is chosen by pictures that are kept back

Trees see curves and prefer one number to its like; the Lasso sees straight lines and shares
nothing between like numbers either. Neither is the truth: a score comes with its estimator.

Reference: Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled
Representations" (2018, ICLR), section 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from steerbench.errors import NotFoundError, unknown


class FactorPrediction(NamedTuple):
    """One factor, predicted.

    Attributes:
        importance: Of each number of the code, ``[C]``, not negative.
        train: Accuracy, or R^2 for amounts, on the pictures that were fitted.
        test: The same on unseen ones.
    """

    importance: np.ndarray
    train: float
    test: float


def predict_factor(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    estimator: str = "boosting",
    seed: int = 0,
    candidates: int | None = None,
) -> FactorPrediction:
    """Predict a factor from codes.

    Args:
        x: Codes ``[N, C]``.
        y: The factor ``[N]``: whole numbers for classes, floating point for amounts.
        x_test, y_test: Those of unseen pictures.
        estimator: A name in `ESTIMATORS`.
        seed: Of the estimator.
        candidates: How many numbers, drawn at random, each split of a tree looks at; all unless
            given. It makes trees on long codes quicker and spreads importance over like numbers.

    Raises:
        NotFoundError: There is no such estimator.
    """
    if estimator not in ESTIMATORS:
        raise NotFoundError(unknown("estimator", estimator, ESTIMATORS))
    with warnings.catch_warnings():
        # A path of penalties need not converge at its weak end to be compared.
        warnings.filterwarnings("ignore", module="sklearn")
        model, importance = ESTIMATORS[estimator](x, y, seed, candidates)
    return FactorPrediction(
        importance, float(model.score(x, y)), float(model.score(x_test, y_test))
    )


def boosting(
    x: np.ndarray, y: np.ndarray, seed: int, candidates: int | None = None
) -> tuple[Any, np.ndarray]:
    """Fit gradient-boosted trees, and return them with the importances that they report.

    Args:
        x: Codes ``[N, C]``.
        y: The factor ``[N]``.
        seed: Of the trees.
        candidates: How many numbers each split looks at; all unless given.
    """
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingRegressor if y.dtype.kind == "f" else GradientBoostingClassifier
    looked_at = None if candidates is None else min(candidates, x.shape[1])
    model = kind(random_state=seed, max_features=looked_at).fit(x, y)
    return model, np.abs(model.feature_importances_)


def lasso(
    x: np.ndarray, y: np.ndarray, seed: int, candidates: int | None = None
) -> tuple[Any, np.ndarray]:
    """Fit a sparse linear predictor; importance is the size of its coefficients.

    Args:
        x: Codes ``[N, C]``.
        y: The factor ``[N]``.
        seed: Of the search for the penalty.
        candidates: Not used.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = _amount(seed) if y.dtype.kind == "f" else _classes(x, y, seed)
    model = make_pipeline(StandardScaler(), linear).fit(x, y)
    return model, np.abs(np.atleast_2d(linear.coef_)).sum(0)


def _amount(seed: int) -> Any:
    from sklearn.linear_model import LassoCV

    return LassoCV(cv=3, random_state=seed)


def _classes(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """Choose the classifier whose penalty does best on a third of the pictures."""
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC, l1_min_c

    def classifier(c: float) -> Any:
        return LinearSVC(penalty="l1", dual=False, C=c, random_state=seed)

    rare = np.bincount(y - y.min()).min() < 2
    known, kept, y_known, y_kept = train_test_split(
        x, y, test_size=1 / 3, random_state=seed, stratify=None if rare else y
    )
    # Penalties to try: multiples of the weakest predictor that uses any number at all.
    multiples = (2, 4, 8, 16, 32, 64)
    least = l1_min_c(StandardScaler().fit_transform(x), y, loss="squared_hinge")
    best = max(
        multiples,
        key=lambda step: (
            make_pipeline(StandardScaler(), classifier(step * least))
            .fit(known, y_known)
            .score(kept, y_kept)
        ),
    )
    return classifier(best * least)


Estimator = Callable[[np.ndarray, np.ndarray, int, int | None], tuple[Any, np.ndarray]]

ESTIMATORS: dict[str, Estimator] = {
    "boosting": boosting,
    "lasso": lasso,
}
