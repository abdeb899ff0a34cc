"""Paths whose length is known."""

from __future__ import annotations

import math

import pytest
import torch

import steerbench as sb
from steerbench.errors import PredictorError, SpaceError, SteerbenchError
from steerbench.metrics import path_length

FLAT = torch.nn.Unflatten(1, (1, 2, 2))


def pixels(images):
    return images.flatten(1)


@pytest.fixture
def plain():
    """A generator whose pixels are its code."""
    return sb.wrap(FLAT, latent_shape=(4,), pixels=(-1, 1), prior="uniform")


def test_a_straight_path_is_as_long_as_its_ends_are_apart(plain):
    found = path_length(plain, pixels, space="z", n_samples=40, epsilon=1e-2)
    ends = plain.sample(80, seed=0).data.double()
    apart = (ends[40:] - ends[:40]).square().sum(1)
    assert torch.allclose(found.distances, apart, rtol=1e-3)
    assert found.low <= found.value <= found.high


def test_a_great_circle_is_as_long_as_its_angle():
    circle = sb.wrap(
        torch.nn.Sequential(Unit(), FLAT), latent_shape=(4,), pixels=(-1, 1), prior="normal"
    )
    found = path_length(circle, pixels, space="z", n_samples=40, epsilon=1e-2)
    ends = circle.sample(80, seed=0).data.double()
    angle = torch.cosine_similarity(ends[:40], ends[40:]).acos()
    assert torch.allclose(found.distances, angle.square(), rtol=1e-3)


class Unit(torch.nn.Module):
    def forward(self, z):
        return z / z.norm(dim=1, keepdim=True)


def test_a_jump_is_what_makes_a_path_long():
    class Jump(torch.nn.Module):
        def forward(self, z):
            return FLAT(torch.where(z > 0, z + 20, z) / 30)

    calm = sb.wrap(torch.nn.Sequential(FLAT, Scale()), latent_shape=(4,), pixels=(-1, 1))
    jumpy = sb.wrap(Jump(), latent_shape=(4,), pixels=(-1, 1))
    lengths = [
        path_length(g, pixels, space="z", n_samples=300, epsilon=1e-2) for g in (calm, jumpy)
    ]
    assert lengths[1].value > 5 * lengths[0].value


class Scale(torch.nn.Module):
    def forward(self, images):
        return images / 30


def test_the_outer_hundredths_are_left_out():
    found = path_length(
        sb.wrap(FLAT, latent_shape=(4,)), pixels, space="z", n_samples=200, epsilon=0.01
    )
    ordered = found.distances.sort().values
    # Of 200, numpy's "lower" and "higher" percentiles keep the 2nd to the 199th.
    assert found.value == pytest.approx(float(ordered[1:199].mean()))


def test_ends_only_and_the_seed(plain):
    end = path_length(plain, pixels, space="z", n_samples=10, sampling="end", epsilon=0.01)
    again = path_length(plain, pixels, space="z", n_samples=10, sampling="end", epsilon=0.01)
    other = path_length(
        plain, pixels, space="z", n_samples=10, sampling="end", epsilon=0.01, seed=99
    )
    assert torch.equal(end.distances, again.distances)
    assert not torch.equal(end.distances, other.distances)


def test_style_space_is_w_seen_through_an_affine_map():
    rooms = sb.load("rooms")
    w, s = (
        path_length(rooms, pixels, space=name, n_samples=4, epsilon=0.01) for name in ("w", "s")
    )
    assert torch.allclose(w.distances, s.distances, rtol=1e-2)


def test_what_makes_no_sense_is_refused(plain):
    with pytest.raises(SteerbenchError, match="full"):
        path_length(plain, pixels, space="z", sampling="half")
    with pytest.raises(SpaceError, match="'z'"):
        path_length(plain, pixels, space="w", n_samples=4)
    with pytest.raises(PredictorError, match="one row a picture"):
        path_length(plain, lambda x: x, space="z", n_samples=4)
    with pytest.raises(PredictorError, match="NaN"):
        path_length(plain, lambda x: pixels(x) * math.nan, space="z", n_samples=4)
