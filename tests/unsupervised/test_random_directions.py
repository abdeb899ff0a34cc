"""The null: even on the sphere, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.unsupervised.random_directions import sphere
from tests.conftest import make_toy


@pytest.mark.parametrize("orthonormal", [False, True])
def test_directions_are_even_on_the_sphere(orthonormal: bool) -> None:
    """A coordinate of an even unit vector has mean 0, variance 1/d and fourth moment 3/(d(d+2))."""
    d, n = 6, 5000
    drawn = torch.cat([sphere(4, d, seed=s, orthonormal=orthonormal) for s in range(n)])
    assert torch.allclose(drawn.norm(dim=1), torch.ones(4 * n, dtype=torch.float64))
    error = 5 / np.sqrt(4 * n)
    assert drawn.mean(0).abs().max() < error / np.sqrt(d)
    covariance = drawn.T @ drawn / len(drawn)
    assert (covariance - torch.eye(d, dtype=torch.float64) / d).abs().max() < error / d
    assert (drawn.pow(4).mean(0) - 3 / (d * (d + 2))).abs().max() < 2 * error / d**1.5


def test_an_orthonormal_null_is_orthonormal_in_any_number_of_dimensions() -> None:
    for d in (1, 2, 7, 64):
        basis = sphere(d, d, seed=d, orthonormal=True)
        assert torch.allclose(basis @ basis.T, torch.eye(d, dtype=torch.float64), atol=1e-12)


def test_more_directions_begin_with_the_same_ones() -> None:
    assert torch.equal(sphere(9, 13, seed=4)[:2], sphere(2, 13, seed=4))


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
        sb.RandomDirections(17, orthonormal=True).fit(generator)
    with pytest.raises(sb.errors.SpaceError, match="'y'"):
        sb.RandomDirections(space="y").fit(generator)
    with pytest.raises(sb.errors.LayerError, match="no layer-wise form"):
        sb.RandomDirections(space="z", layers="0-3").fit(generator)


def test_axes_are_single_coordinates_none_twice() -> None:
    finder = sb.RandomDirections(n_directions=4, axes=True, seed=1)
    vectors = torch.stack([each.vector for each in finder.fit(make_toy()).directions_])
    assert torch.equal(vectors.sum(1), torch.ones(4, dtype=torch.float64))
    assert torch.equal(vectors.amax(1), torch.ones(4, dtype=torch.float64))
    assert len(vectors.argmax(1).unique()) == 4
