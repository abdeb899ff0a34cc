"""Distances with exact answers, and the laws that all of them obey."""

from __future__ import annotations

import math

import pytest
import torch

from steerbench.errors import PredictorError, ShapeError
from steerbench.metrics import (
    density_coverage,
    distribution,
    frechet_distance,
    inside_manifold,
    kernel_distance,
    precision_recall,
)
from steerbench.stats import Covariance


@pytest.fixture
def cloud() -> torch.Tensor:
    return torch.randn(400, 6, generator=torch.Generator().manual_seed(0)) * 2 + 5


def test_frechet_of_a_set_with_itself_is_zero(cloud):
    assert frechet_distance(cloud, cloud.flip(0)) == pytest.approx(0, abs=1e-9)


def test_frechet_of_a_shift_is_its_square(cloud):
    shift = torch.tensor([3.0, 4.0, 0, 0, 0, 0])
    assert frechet_distance(cloud, cloud + shift) == pytest.approx(25, rel=1e-6)


def test_frechet_of_a_scaling_is_known(cloud):
    centred = cloud.double() - cloud.double().mean(0)
    expected = 4 * centred.square().mean(0).sum()  # (3 - 1)^2 of every standard deviation
    assert frechet_distance(centred, 3 * centred) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_of_diagonal_gaussians_is_the_sum_of_their_axes():
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    a, b = corners * torch.tensor([1.0, 2]), corners * torch.tensor([5.0, 3]) + 1
    assert frechet_distance(a, b) == pytest.approx(2 + 16 + 1, rel=1e-9)


def test_frechet_where_features_never_vary_or_outnumber_the_pictures():
    few = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(torch.ones(4, 3), torch.zeros(4, 3)) == pytest.approx(3)


def test_frechet_takes_running_moments_and_does_not_mind_the_order(cloud):
    other = cloud * 1.5 - 1
    running = Covariance().add(cloud[:100]).add(cloud[100:])
    assert frechet_distance(running, other) == pytest.approx(frechet_distance(other, cloud))


def test_kernel_distance_is_unbiased_around_zero_and_positive_apart(cloud):
    halves = kernel_distance(cloud[:200] / 5, cloud[200:] / 5, size=100)
    apart = kernel_distance(cloud[:200] / 5, cloud[200:] / 5 + 1, size=100)
    assert abs(halves) < 0.2 < apart


def test_kernel_distance_on_all_of_two_points_by_hand():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    within = 1.0 + 1.0  # k(0, 1) and k(0, 2)
    between = (1 + 1 + 1 + 27) / 4
    assert kernel_distance(x, y, subsets=3) == pytest.approx(within - 2 * between)


def test_kernel_distance_is_fixed_by_its_seed(cloud):
    a, b = cloud[:200], cloud[200:]
    first = kernel_distance(a, b, subsets=5, size=50, seed=3)
    assert first == kernel_distance(a, b, subsets=5, size=50, seed=3)
    assert first != kernel_distance(a, b, subsets=5, size=50, seed=4)


def test_precision_and_recall_on_a_line_by_hand():
    real = torch.tensor([0.0, 1, 2, 3])[:, None]
    generated = torch.tensor([0.5, 2.5, 9, 9.5])[:, None]
    # Real balls reach 1; generated balls reach 2, 2, .5, .5.
    assert precision_recall(real, generated, k=1) == (0.5, 1.0)


def test_precision_without_recall_when_modes_are_dropped():
    real = torch.tensor([[0.0], [1], [2], [100], [101], [102]])
    assert precision_recall(real, real[:3] + 0.1, k=2) == (1.0, 0.5)


def test_overlap_of_a_set_with_itself(cloud):
    assert precision_recall(cloud, cloud) == (1.0, 1.0)
    density, coverage = density_coverage(cloud, cloud, k=5)
    assert (density, coverage) == (pytest.approx((5 + 1) / 5, abs=0.1), 1.0)


def test_overlap_of_sets_far_apart(cloud):
    assert precision_recall(cloud, cloud + 100) == (0.0, 0.0)
    assert density_coverage(cloud, cloud + 100) == (0.0, 0.0)


def test_blocks_change_nothing(cloud, monkeypatch):
    other = cloud.flip(0) * 1.3
    whole = precision_recall(cloud, other), density_coverage(cloud, other)
    monkeypatch.setattr(distribution, "BLOCK", 7)
    assert (precision_recall(cloud, other), density_coverage(cloud, other)) == whole


def test_far_from_zero_no_digit_is_lost(cloud):
    assert precision_recall(cloud + 1e4, cloud.flip(0) * 1.01 + 1e4) == pytest.approx(
        precision_recall(cloud, cloud.flip(0) * 1.01), abs=0.02
    )


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, precision_recall])
@pytest.mark.parametrize("bad", [torch.zeros(8), torch.zeros(1, 4), torch.zeros(8, 5)])
def test_shapes_that_make_no_sense_are_refused(distance, bad):
    with pytest.raises(ShapeError, match=r"expected|extractor"):
        distance(torch.zeros(8, 4), bad)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, precision_recall])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_refused(distance, value):
    with pytest.raises(PredictorError, match="NaN or infinity"):
        distance(torch.zeros(8, 4), torch.full((8, 4), value))


@pytest.mark.parametrize("k", [0, 8, 1.5])
def test_neighbours_that_do_not_exist_are_refused(k):
    with pytest.raises(ShapeError):
        precision_recall(torch.zeros(8, 4), torch.zeros(8, 4), k=k)


def test_precision_counts_the_points_inside_the_manifold():
    real, points = torch.randn(80, 5).double(), 1.2 * torch.randn(60, 5).double()
    inside = inside_manifold(real, points, k=3)
    assert float(inside.double().mean()) == precision_recall(real, points, k=3).generated_in_real
    assert bool((inside_manifold(real, points, keep=0.5) <= inside).all())


def test_the_ball_of_an_outlier_can_be_left_out():
    real = torch.cat([torch.linspace(0, 1, 20), torch.tensor([100.0])])[:, None]
    far = torch.tensor([[60.0]])
    assert inside_manifold(real, far, k=1).tolist() == [True]
    assert inside_manifold(real, far, k=1, keep=0.5).tolist() == [False]
