"""The solver of boundaries: the optimum of scikit-learn's, in any shape of problem."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from steerbench.errors import LatentError, ShapeError, SteerbenchError
from steerbench.supervised.boundaries import linear_boundary as solve
from steerbench.supervised.boundaries import train_boundary


def problem(n: int, dim: int, noise: float, seed: int, shift: float = 0.0):
    """Codes, and labels of a plane through their middle, some of them wrong."""
    random = np.random.RandomState(seed)
    codes, normal = random.randn(n, dim), random.randn(dim)
    labels = codes @ normal / np.sqrt(dim) + noise * random.randn(n) > 0
    return codes + shift, labels.astype(int)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(20, 150),
    dim=st.integers(2, 200),
    noise=st.sampled_from([0.0, 0.3, 2.0]),
    shift=st.sampled_from([0.0, 3.0]),
    c=st.sampled_from([0.1, 1.0, 10.0]),
    seed=st.integers(0, 99),
)
def test_it_is_the_optimum_that_scikit_learn_finds(n, dim, noise, shift, c, seed):
    codes, labels = problem(n, dim, noise, seed, shift)
    if len(set(labels)) < 2:
        return
    ours = solve(codes, labels, c)
    theirs = SVC(kernel="linear", C=c, tol=1e-6).fit(codes, labels)
    norm = np.linalg.norm(theirs.coef_)
    # One sample inside the hull of the others has no plane: the best w is 0, in any direction.
    assume(norm > 0.05)
    assert ours.normal.numpy() @ theirs.coef_[0] / norm > 0.9999
    assert ours.slack == pytest.approx(1 / norm, rel=2e-3)


def test_many_codes_in_single_precision_begin_from_some_of_them(monkeypatch):
    codes, labels = problem(4000, 12, 0.5, 0)
    whole = solve(codes, labels)
    monkeypatch.setattr("steerbench.supervised.boundaries.hyperplane.SUBSET", 500)
    monkeypatch.setattr("steerbench.supervised.boundaries.hyperplane.BLOCK", 2**10)
    part = solve(codes.astype(np.float32), labels)
    assert float(part.normal @ whole.normal) > 0.99999
    assert part.bias == pytest.approx(whole.bias, abs=1e-3)


def test_the_normal_points_to_the_larger_label_and_has_unit_norm():
    codes, labels = problem(300, 6, 0.0, 1)
    found = solve(torch.from_numpy(codes), torch.from_numpy(labels))
    assert found.normal.dtype == torch.float64
    assert found.normal.norm() == pytest.approx(1)
    distances = found.distance(torch.from_numpy(codes))
    assert distances[labels == 1].mean() > 0 > distances[labels == 0].mean()
    assert found.accuracy(torch.from_numpy(codes), labels) > 0.97
    swapped = solve(codes, 1 - labels)
    assert torch.allclose(swapped.normal, -found.normal, atol=1e-6)


def test_codes_of_any_shape_are_flattened():
    codes, labels = problem(100, 12, 0.1, 2)
    assert torch.equal(solve(codes.reshape(100, 3, 4), labels).normal, solve(codes, labels).normal)


@pytest.mark.parametrize(
    ("codes", "labels", "error", "says"),
    [
        (np.ones((4, 2)), [1, 1, 1, 1], SteerbenchError, "two labels"),
        (np.ones((3, 2)), [0, 1, 2], SteerbenchError, "two labels"),
        (np.ones((0, 2)), [], SteerbenchError, "two labels"),
        (np.ones((4, 2)), [0, 1], ShapeError, "2 labels were given for 4 codes"),
        (np.ones(4), [0, 1, 0, 1], ShapeError, r"\[N, dim\]"),
        (np.full((2, 2), np.nan), [0, 1], LatentError, "NaN"),
        (np.ones((4, 2)), [0, 1, 0, 1], SteerbenchError, "same codes"),
    ],
)
def test_what_has_no_boundary_is_refused(codes, labels, error, says):
    with pytest.raises(error, match=says):
        solve(codes, labels)


def test_a_cost_that_is_none_is_refused():
    with pytest.raises(SteerbenchError, match="positive"):
        solve(np.eye(2), [0, 1], c=0)


# -- the ends of the scores -----------------------------------------------------------------------


def test_only_the_chosen_rows_of_a_file_are_read(tmp_path):
    codes, _ = problem(500, 8, 0.0, 3)
    np.save(tmp_path / "codes.npy", codes.astype(np.float32))
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    found = train_boundary(mapped, codes[:, 2], chosen=0.2)
    assert found.boundary.normal[2] > 0.95
    assert (found.samples, found.held_out) == (140, 60)
    assert found.accuracy > 0.95


def test_scores_that_mean_none_are_left_out():
    codes, _ = problem(400, 5, 0.0, 4)
    scores = codes[:, 0].copy()
    scores[::2] = -999
    found = train_boundary(codes, scores[:, None], 0.3, invalid_value=-999)
    assert found.boundary.normal[0] > 0.95
    assert found.samples == 2 * int(60 * 0.7)


@pytest.mark.parametrize(
    ("scores", "options", "error", "says"),
    [
        (np.ones(50), {}, SteerbenchError, "no two sides"),
        (np.arange(50.0), {"chosen": 0}, SteerbenchError, "chosen=0"),
        (np.arange(50.0), {"chosen": 0.01}, SteerbenchError, "no two sides"),
        (np.arange(50.0), {"chosen": 5, "split_ratio": 0}, SteerbenchError, "split_ratio"),
        (np.arange(50.0), {"chosen": 1.5, "split_ratio": 0.5}, SteerbenchError, "1 and 1"),
        (np.arange(49.0), {}, ShapeError, "49 scores"),
        (np.r_[np.nan, np.arange(49.0)], {}, LatentError, "NaN"),
        (np.full(50, -1.0), {"invalid_value": -1}, SteerbenchError, "0 samples"),
    ],
)
def test_scores_that_have_no_ends_are_refused(scores, options, error, says):
    with pytest.raises(error, match=says):
        train_boundary(np.random.RandomState(0).randn(50, 3), scores, **options)
