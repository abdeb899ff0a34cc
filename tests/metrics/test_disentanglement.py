"""Codes whose disentanglement is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steerbench.errors import NotFoundError, PredictorError, ShapeError
from steerbench.metrics import dci, dci_scores, mig, sap


@pytest.fixture
def factors() -> np.ndarray:
    """Two classes and three classes, independent of one another."""
    random = np.random.RandomState(0)
    return np.stack([random.randint(0, 2, 600), random.randint(0, 3, 600)], axis=1)


@pytest.fixture
def amounts() -> np.ndarray:
    return np.random.RandomState(1).uniform(-1, 1, (600, 2))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_permutation_is_disentangled_and_complete(order):
    scores = dci_scores(np.eye(3)[order] * [1, 5, 2])
    assert scores.disentanglement == pytest.approx(1, abs=1e-8)
    assert scores.completeness == pytest.approx(1, abs=1e-8)


def test_disentangled_without_being_complete_and_the_reverse():
    two_for_one = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert dci_scores(two_for_one).disentanglement == pytest.approx(1, abs=1e-8)
    assert dci_scores(two_for_one).completeness == pytest.approx(0.5, abs=1e-8)
    assert dci_scores(two_for_one.T).disentanglement == pytest.approx(0.5, abs=1e-8)
    assert dci_scores(two_for_one.T).completeness == pytest.approx(1, abs=1e-8)


def test_numbers_count_by_what_they_explain():
    scores = dci_scores([[9.0, 0], [0.5, 0.5]])
    assert scores.disentanglement == pytest.approx(0.9, abs=1e-8)
    assert scores.per_code.tolist() == pytest.approx([1, 0], abs=1e-8)


def test_scales_of_the_whole_matrix_change_nothing():
    matrix = np.random.RandomState(0).rand(6, 4)
    assert dci_scores(matrix * 1000).completeness == pytest.approx(dci_scores(matrix).completeness)


def test_nothing_explained_is_not_disentangled():
    scores = dci_scores(np.zeros((3, 2)))
    assert scores.disentanglement == pytest.approx(0)
    assert scores.completeness == pytest.approx(0)


@pytest.mark.parametrize("estimator", ["boosting", "lasso"])
def test_amounts_in_their_own_numbers(amounts, estimator):
    noise = np.random.RandomState(2).randn(600, 2)
    scores = dci(np.hstack([noise, amounts[:, ::-1]]), amounts, estimator=estimator)
    assert scores.disentanglement > 0.95
    assert scores.completeness > 0.95
    assert scores.informativeness > 0.95
    assert scores.importance[:, 0].argmax() == 3


@pytest.mark.parametrize("estimator", ["boosting", "lasso"])
def test_classes_in_their_own_numbers_and_rotated(factors, estimator):
    axes = factors + 0.1 * np.random.RandomState(2).randn(600, 2)
    own = dci(axes, factors, estimator=estimator)
    turned = dci((axes - axes.mean(0)) @ [[0.6, 0.8], [-0.8, 0.6]], factors, estimator=estimator)
    assert own.disentanglement > 0.9
    assert own.disentanglement > turned.disentanglement + 0.3
    assert own.informativeness > 0.95


def test_shuffled_factors_are_not_told(factors):
    codes = np.random.RandomState(2).randn(600, 5)
    assert dci(codes, factors, estimator="lasso").informativeness < 0.5
    assert mig(codes, factors) < 0.03
    assert sap(codes, factors) < 0.05


def test_unseen_pictures_may_be_given_and_decide(factors):
    codes = factors + 0.0
    same = dci(codes, factors, test=(codes, factors), estimator="lasso")
    wrong = dci(codes, factors, test=(1 - codes, factors), estimator="lasso")
    assert wrong.informativeness < same.informativeness
    assert wrong.informativeness_train == same.informativeness_train


def test_the_seed_decides(factors):
    codes = np.random.RandomState(3).randn(600, 4) + factors[:, :1]
    first, again, other = (dci(codes, factors, estimator="lasso", seed=s) for s in (0, 0, 1))
    assert torch.equal(first.importance, again.importance)
    assert not torch.equal(first.importance, other.importance)


def test_gaps_of_the_factors_themselves(factors, amounts):
    assert mig(factors, factors) == pytest.approx(1, abs=0.01)
    assert mig(amounts, amounts) == pytest.approx(1, abs=0.15)
    assert sap(factors.astype(float), factors) == pytest.approx((0.5 + 2 / 3) / 2, abs=0.03)
    assert sap(amounts, amounts) == pytest.approx(1, abs=0.02)


def test_a_factor_told_twice_leaves_no_gap(factors, amounts):
    twice = np.hstack([factors, factors])
    assert mig(twice, factors) == pytest.approx(0, abs=1e-12)
    assert sap(twice, factors) == pytest.approx(0, abs=1e-12)
    assert sap(np.hstack([amounts, amounts]), amounts) == pytest.approx(0, abs=1e-12)


def test_mutual_information_is_scikit_learns(factors):
    from sklearn.metrics import mutual_info_score

    codes = np.random.RandomState(4).randn(600, 3) + factors[:, [0, 0, 1]]
    bins = [np.digitize(c, np.histogram(c, 20)[1][1:-1]) for c in codes.T]
    expected = []
    for factor in factors.T:
        told = sorted(mutual_info_score(factor, b) for b in bins)
        expected.append((told[-1] - told[-2]) / mutual_info_score(factor, factor))
    assert mig(codes, factors) == pytest.approx(np.mean(expected), abs=1e-9)


def test_the_best_threshold_is_found_by_trying_all():
    random = np.random.RandomState(5)
    labels = random.randint(0, 2, 80)[:, None]
    codes = np.round(random.randn(80, 1) + 0.8 * labels, 1)  # with ties
    chosen, rest = np.split(np.random.RandomState(0).permutation(80), 2)

    def balanced(rows, says):
        return np.mean([(says == labels[rows, 0])[labels[rows, 0] == k].mean() for k in (0, 1)])

    cuts = np.unique(codes)
    cuts = (cuts[1:] + cuts[:-1]) / 2
    best = max(cuts, key=lambda cut: balanced(chosen, codes[chosen, 0] > cut))
    expected = balanced(rest, codes[rest, 0] > best)
    assert sap(codes, labels) == pytest.approx(expected)


def test_sap_does_not_mind_the_sign_of_a_number(factors):
    codes = np.random.RandomState(6).randn(600, 2) + 2 * factors
    binary = factors[:, :1]
    assert sap(-codes, binary) == pytest.approx(sap(codes, binary))


def test_shapes_and_values_that_make_no_sense_are_refused(factors):
    codes = np.zeros((600, 3))
    with pytest.raises(ShapeError, match="expected"):
        mig(codes[:10], factors)
    with pytest.raises(ShapeError, match="as in training"):
        dci(codes, factors, test=(codes[:, :2], factors))
    with pytest.raises(ShapeError, match="nothing to tell apart"):
        dci_scores([[1.0, 2.0]])
    with pytest.raises(PredictorError, match="not negative"):
        dci_scores(-np.ones((2, 2)))
    with pytest.raises(PredictorError, match="NaN"):
        sap(codes * np.nan, factors)
    with pytest.raises(PredictorError, match="Leave it out"):
        mig(codes, np.zeros_like(factors))
    with pytest.raises(NotFoundError, match="lasso"):
        dci(codes + 1, factors, estimator="laso")
