"""The checks of chapter 01 pass for right answers and fail for each way of being wrong."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from steerbench import check

ANGLES = torch.arange(8) * math.pi / 4
CENTRES = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)
RING = MixtureSameFamily(
    Categorical(torch.ones(8)), Independent(Normal(CENTRES, torch.full((8, 2), 0.15)), 1)
)
BLUR = Independent(Normal(torch.zeros(2), torch.full((2,), 1.5)), 1)


def odds(points):
    return (RING.log_prob(points) - BLUR.log_prob(points)).exp()


def best(points):
    return odds(points) / (1 + odds(points))


def test_the_best_discriminator_is_known():
    assert check.optimal_discriminator(best)
    assert check.optimal_discriminator(lambda points: best(points).numpy())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda p: 1 - best(p), "turn it round"),
        (lambda p: RING.log_prob(p) - BLUR.log_prob(p), "sigmoid"),
        (odds, "the odds"),
        (lambda p: torch.full((len(p),), 0.5), "off by 0.5"),
        (lambda p: best(p)[:3], "one finite number"),
        (lambda p: best(p) * torch.nan, "one finite number"),
        (lambda p: p @ p, "stopped"),
        (lambda p: "yes", "one finite number"),
        (torch.ones(3), "the function itself"),
    ],
)
def test_a_wrong_discriminator_is_told_what_is_wrong(wrong, says):
    verdict = check.optimal_discriminator(wrong)
    assert not verdict
    assert says in verdict.says.lower()


def draw(codes, clusters=8, spread=0.15):
    turn = torch.atan2(codes[:, 1], codes[:, 0])
    which = ((turn / (2 * math.pi) % 1) * clusters).long().clamp_max(clusters - 1)
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    return CENTRES[which] + spread * noise


def test_a_generator_covers_all_clusters_or_it_does_not():
    assert check.covers(draw)
    assert "7 of 8" in check.covers(lambda codes: draw(codes, clusters=7)).says
    assert not check.covers(lambda codes: draw(codes, spread=0.6))
    assert not check.covers(lambda codes: codes)
    assert "[N, 2]" in check.covers(lambda codes: codes[:, :1]).says
    assert "stopped" in check.covers(lambda codes: codes @ codes).says
    assert "the function itself" in check.covers(draw(torch.randn(9, 2))).says


def distance(mean_a, cov_a, mean_b, cov_b):
    root = torch.from_numpy(sqrtm((cov_a @ cov_b).numpy()).real)
    return (mean_a - mean_b).square().sum() + (cov_a + cov_b - 2 * root).trace()


def test_the_frechet_distance_is_known():
    assert check.frechet(distance)
    assert check.frechet(lambda *given: float(distance(*given)))


def half_of_the_overlap(a, A, b, B):
    return (distance(a, A, b, B) + (a - b).square().sum() + (A + B).trace()) / 2


def roots_of_the_entries(a, A, b, B):
    return (a - b).square().sum() + (A + B - 2 * (A @ B).abs().sqrt()).trace()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, A, b, B: distance(a, A, b, B).sqrt(), "square root"),
        (lambda a, A, b, B: distance(a, A, a, B), "means are missing"),
        (lambda a, A, b, B: distance(a, A, a, B) + (a - b).norm(), "is squared"),
        (half_of_the_overlap, "twice"),
        (roots_of_the_entries, "Off"),
        (lambda a, A, b, B: torch.stack([a, b]), "one finite number"),
        (lambda a, A, b, B: a @ B @ A[:2], "stopped"),
        (7.0, "the function itself"),
    ],
)
def test_a_wrong_distance_is_told_what_is_wrong(wrong, says):
    verdict = check.frechet(wrong)
    assert not verdict
    assert says.lower() in verdict.says.lower()
