"""The one null: like what was found in everything but the choice."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench.errors import ArgumentError, SpaceError
from steerbench.metrics.null import (
    KINDS,
    p_value,
    random_directions,
    random_directions_like,
    random_units,
    random_vectors,
    step_for_change,
)
from tests.conftest import make_toy


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_in_every_space_and_again_the_same(kind: str) -> None:
    generator = make_toy()
    for space in generator.spaces:
        one, two = (random_directions(generator, 3, space, kind=kind, seed=5) for _ in range(2))
        other = random_directions(generator, 3, space, kind=kind, seed=99)
        assert all(a.vector.equal(b.vector) for a, b in zip(one, two))
        assert not all(a.vector.equal(b.vector) for a, b in zip(one, other))
        for direction in one:
            assert direction.vector.shape == generator.spaces[space].shape
            assert direction.scale == pytest.approx(generator.prior_std(space, direction.vector))
            assert direction.generator == generator.fingerprint


def test_prior_directions_go_where_codes_go() -> None:
    """Their mean square along each axis is twice the variance of the codes there."""
    generator = make_toy()
    vectors = random_vectors(generator, 2000, "w", kind="prior")
    variance = generator.spaces["w"].std.double() ** 2
    assert torch.allclose(vectors.square().mean(0), 2 * variance, rtol=0.25)


def test_channels_are_single_coordinates_none_twice() -> None:
    generator = make_toy()
    vectors = random_vectors(generator, 8, "s", kind="channels", seed=1)
    assert torch.equal(vectors.sum(1), torch.ones(8).double())
    assert torch.equal(vectors.amax(1), torch.ones(8).double())
    assert len(vectors.argmax(1).unique()) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_rival_changes_no_row_and_no_layer_that_the_direction_leaves(kind: str) -> None:
    generator = make_toy()
    rows, size = generator.spaces["w+"].shape
    vector = torch.zeros(rows, size).index_fill(0, torch.tensor([1, 2]), 1.0)
    for rival in random_directions_like(sb.Direction("a", "w+", vector), generator, 4, kind=kind):
        assert rival.vector[[0, *range(3, rows)]].abs().max() == 0
        assert rival.vector[1:3].abs().max() > 0
    limited = sb.Direction("a", "w", torch.ones(size), layers=(1, 3))
    (rival,) = random_directions_like(limited, generator, 1, kind=kind, scale=2.5)
    assert (rival.layers, rival.scale) == ((1, 3), 2.5)


def test_random_units_avoid_the_chosen_ones() -> None:
    groups = random_units(40, range(10), 20, seed=1)
    assert len(set(groups)) == 20
    for group in groups:
        assert len(set(group)) == 10
        assert not set(group) & set(range(10))
    with pytest.raises(ArgumentError, match="half"):
        random_units(10, range(6), 1)


def test_a_step_is_found_for_a_change() -> None:
    assert step_for_change(lambda step: 0.3 * step, 0.12) == pytest.approx(0.4)
    assert step_for_change(lambda step: 1e-6 * step, 0.12) == 8
    assert step_for_change(lambda step: step**0.5, 2.0, rounds=40) == pytest.approx(4)


def test_a_p_value_counts_the_value_itself() -> None:
    null = torch.arange(9.0)[:, None]
    values = torch.tensor([100.0, 8.0, -1.0])
    assert p_value(values, null).tolist() == pytest.approx([0.1, 0.2, 1.0])


def test_what_cannot_be_drawn_is_refused() -> None:
    generator = make_toy()
    with pytest.raises(ArgumentError, match="prior"):
        random_directions(generator, 2, "w", kind="pior")
    with pytest.raises(SpaceError, match="'y'"):
        random_directions(generator, 2, "y")
    with pytest.raises(ArgumentError, match="Ask for some"):
        random_directions(generator, 0, "w")
    for kind in ("orthonormal", "channels"):
        with pytest.raises(ArgumentError, match="has 16 dimensions"):
            random_directions(generator, 17, "w", kind=kind)
