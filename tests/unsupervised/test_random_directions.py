"""The null: even on the sphere, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.stats import random_unit_vectors
from tests.conftest import make_toy


@pytest.mark.parametrize("orthonormal", [False, True])
def test_directions_are_even_on_the_random_unit_vectors(orthonormal: bool) -> None:
    """A coordinate of an even unit vector has mean 0, variance 1/d and fourth moment 3/(d(d+2))."""
    d, n = 6, 5000
    drawn = torch.cat(
        [random_unit_vectors(4, d, seed=s, orthonormal=orthonormal) for s in range(n)]
    )
    assert torch.allclose(drawn.norm(dim=1), torch.ones(4 * n, dtype=torch.float64))
    error = 5 / np.sqrt(4 * n)
    assert drawn.mean(0).abs().max() < error / np.sqrt(d)
    covariance = drawn.T @ drawn / len(drawn)
    assert (covariance - torch.eye(d, dtype=torch.float64) / d).abs().max() < error / d
    assert (drawn.pow(4).mean(0) - 3 / (d * (d + 2))).abs().max() < 2 * error / d**1.5


def test_an_orthonormal_null_is_orthonormal_in_any_number_of_dimensions() -> None:
    for d in (1, 2, 7, 64):
        basis = random_unit_vectors(d, d, seed=d, orthonormal=True)
        assert torch.allclose(basis @ basis.T, torch.eye(d, dtype=torch.float64), atol=1e-12)


def test_more_directions_begin_with_the_same_ones() -> None:
    assert torch.equal(random_unit_vectors(9, 13, seed=4)[:2], random_unit_vectors(2, 13, seed=4))


def test_space_and_layers_are_as_asked_for() -> None:
    generator = make_toy()
    assert sb.RandomDirections(2).fit(generator).directions_[0].space == "w"
    for space in generator.spaces:
        direction = sb.RandomDirections(2, space=space).fit(generator).directions_[1]
        assert direction.space == space
        assert direction.vector.shape == generator.spaces[space].shape
    limited = sb.RandomDirections(1, layers="0-1").fit(generator).directions_[0]
    assert limited.layers == (0, 1)
    assert limited.name == "random 1 (layers 0-1)"


def test_what_makes_no_sense_is_refused() -> None:
    generator = make_toy()
    with pytest.raises(sb.errors.SteerbenchError, match=r"17 directions .* has 16 dimensions"):
        sb.RandomDirections(17, kind="orthonormal").fit(generator)
    with pytest.raises(sb.errors.SpaceError, match="'y'"):
        sb.RandomDirections(space="y").fit(generator)
    with pytest.raises(sb.errors.LayerError, match="no layer-wise form"):
        sb.RandomDirections(space="z", layers="0-3").fit(generator)


def test_the_kind_is_as_asked_for() -> None:
    basis = sb.RandomDirections(16, kind="orthonormal").fit(make_toy()).directions_
    vectors = torch.stack([each.vector for each in basis])
    assert torch.allclose(vectors @ vectors.T, torch.eye(16, dtype=torch.float64), atol=1e-12)
    channels = sb.RandomDirections(4, kind="channels", seed=1).fit(make_toy()).directions_
    assert all(int((each.vector != 0).sum()) == 1 for each in channels)
