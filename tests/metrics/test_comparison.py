"""Two sets of directions against each other, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

import steerbench as sb
from steerbench.errors import ShapeError, SpaceError, SteerbenchError
from steerbench.metrics import principal_angles
from tests.metrics.test_scorecard import direction, linear


def unit(i: int, space: str = "w", size: int = 16, **options):
    return sb.Direction(f"{space}{i}", space, torch.eye(size)[i], **options)


def test_a_turned_copy_is_matched_and_spans_the_same():
    a = [unit(0), unit(1), unit(2)]
    b = [-unit(2), unit(0), sb.Direction("mix", "w", torch.eye(16)[1] + 0.1 * torch.eye(16)[0])]
    found = sb.compare(a, b)
    assert found.space == "w"
    assert list(found.pairs["b"]) == ["w0", "mix", "w2"]
    assert found.pairs["cosine"].to_numpy() == pytest.approx([1, 1 / np.hypot(1, 0.1), -1])
    assert found.angles == pytest.approx([0, 0, 0], abs=1e-6)
    assert found.cosines.shape == (3, 3)


def test_principal_angles_are_those_of_scipy():
    torch.manual_seed(0)
    a, b = torch.randn(3, 20).double(), torch.randn(5, 20).double()
    b[0] = a[0] + 1e-5 * torch.randn(20).double()
    expected = np.degrees(subspace_angles(a.T.numpy(), b.T.numpy()))[::-1]
    assert principal_angles(a, b) == pytest.approx(expected, abs=1e-7)
    assert principal_angles(a, a) == pytest.approx([0, 0, 0], abs=1e-5)


def test_rows_that_are_repeated_add_nothing_to_a_span():
    a = torch.tensor([[1.0, 0, 0], [2.0, 0, 0]]).double()
    assert principal_angles(a, a) == pytest.approx([0])


def test_a_step_of_z_is_compared_with_its_own_image_in_w(toy_generator):
    """At one code a direction of z and its push to w are the same direction."""
    z = sb.Direction("z", "z", torch.randn(16, generator=torch.Generator().manual_seed(0)))
    codes = toy_generator.sample(1, seed=3)
    there = (
        toy_generator.to(codes + 0.1 * z, "w").data - toy_generator.to(codes - 0.1 * z, "w").data
    )
    pushed = sb.Direction("pushed", "w", there[0])
    found = sb.compare([z], [pushed, unit(0)], toy_generator, n_samples=1, seed=3)
    assert found.space == "w"
    assert found.cosines.loc["z", "pushed"] == pytest.approx(1, abs=1e-4)
    assert abs(found.cosines.loc["z", "w0"]) < 0.99
    many = sb.compare([z], [pushed], toy_generator, n_samples=8)
    assert abs(many.cosines.loc["z", "pushed"]) < 1


def test_layers_are_compared_row_by_row(toy_generator):
    w = unit(0)
    first, last = w.limited([0]).named("first"), w.limited([1]).named("last")
    found = sb.compare([w.named("all"), first], [first, last], toy_generator)
    rows = toy_generator.spaces["w+"].shape[0]
    assert found.space == "w+"
    assert found.cosines.loc["all", "first"] == pytest.approx(rows**-0.5, abs=1e-4)
    assert found.cosines.loc["first", "last"] == pytest.approx(0, abs=1e-6)


def test_styles_and_pictures_are_common_ground(toy_generator):
    size = toy_generator.spaces["s"].shape[0]
    style = unit(5, "s", size)
    assert sb.compare([unit(0)], [style], toy_generator).space == "s"
    seen = sb.compare([unit(0)], [unit(0)], toy_generator, space="picture")
    assert seen.cosines.iloc[0, 0] == pytest.approx(1, abs=1e-9)


def test_in_a_linear_generator_the_picture_keeps_angles():
    a, b = direction("a", 1.0), direction("b", 1.0, 1.0)
    found = sb.compare([a], [b], linear(), space="picture")
    assert found.cosines.loc["a", "b"] == pytest.approx(0.5**0.5, abs=1e-4)


def test_what_cannot_be_compared_is_refused_with_what_to_do(toy_generator, other_toy_generator):
    bound = unit(0, generator=toy_generator.fingerprint)
    other = unit(0, generator=other_toy_generator.fingerprint)
    with pytest.raises(SpaceError, match="generator=G"):
        sb.compare([unit(0)], [unit(0, "z")])
    with pytest.raises(SpaceError, match="different generators"):
        sb.compare([bound], [other])
    with pytest.raises(SpaceError, match="different generators"):
        sb.compare([bound], [bound], other_toy_generator)
    with pytest.raises(ShapeError):
        sb.compare([unit(0)], [unit(0, size=8)])
    with pytest.raises(SteerbenchError, match="first set is empty"):
        sb.compare([], [unit(0)])
    with pytest.raises(SteerbenchError, match="second set holds a str"):
        sb.compare([unit(0)], ["a"])
    with pytest.raises(SpaceError, match="no space"):
        sb.compare([unit(0)], [unit(0, "q")], toy_generator)
