"""The re-scoring matrix and its kin, on a generator whose entanglement is planted."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench.metrics import rescore
from steerbench.supervised.boundaries.entanglement import (
    correlations,
    cosines,
    free,
    layer_effects,
    scores,
)
from tests.conftest import make_toy
from tests.contracts.test_supervised import SCALE, planted, reading


def tilted():
    """Directions of two quarters, the first of which drags the second along by a half."""
    generator, normals = planted()
    first = sb.Direction("a", "z", normals[0] + 0.5 * normals[1])
    return generator, [first, sb.Direction("b", "z", normals[1])]


def test_it_measures_what_was_planted():
    generator, directions = tilted()
    found = rescore(directions, generator, reading(), ["a", "b"], n_samples=32)
    table = found.table
    norm = 1.25**0.5
    assert table.loc["a", "a"] == pytest.approx(SCALE / norm, abs=1e-3)
    assert table.loc["a", "b"] == pytest.approx(SCALE / 2 / norm, abs=1e-3)
    assert table.loc["b", "a"] == pytest.approx(0, abs=1e-3)
    assert found.in_spreads.loc["b", "b"] == pytest.approx(1, abs=0.35)
    leak = found.leakage("a", "a", "b")
    assert 0.3 < leak["low"] <= leak["mean"] <= leak["high"] < 0.8


def test_conditioning_takes_the_leakage_out():
    generator, (first, second) = tilted()
    freed = first.condition(on=[second]).named("a")
    found = rescore([freed], generator, reading(), ["a", "b"], n_samples=32)
    assert abs(found.leakage("a", "a", "b")["mean"]) < 1e-3
    assert found.effect("a", "a")["low"] > 0.99 * SCALE
    assert cosines([freed, second]).loc["a", "b"] == pytest.approx(0, abs=1e-12)


def test_freeing_takes_back_what_was_measured_where_angles_mislead():
    """Boundaries at right angles, whose edits overlap all the same."""
    generator, normals = planted()
    first = sb.Direction("a", "z", normals[0] + 0.5 * normals[1])
    second = sb.Direction("b", "z", normals[1] - 0.5 * normals[0])
    assert first.cosine(second) == pytest.approx(0, abs=1e-6)
    assert first.condition(on=[second]).cosine(first) == pytest.approx(1)
    found = rescore([first, second], generator, reading(), n_samples=16)
    freed = free(first, [second], found, generator)
    assert freed.name == "a free of b"
    assert abs(float(freed.vector.flatten() @ normals[0].double())) == pytest.approx(1, abs=1e-4)
    after = rescore([freed.named("a")], generator, reading(), n_samples=16)
    assert abs(after.leakage("a", "a", "b")["mean"]) < 1e-3
    with pytest.raises(sb.errors.NotFoundError):
        free(first, [second.named("x")], found, generator)
    useless = sb.Direction("c", "z", normals[3])
    blind = rescore([first, useless], generator, reading(), n_samples=16)
    with pytest.raises(sb.errors.SteerbenchError, match="tell these attributes apart"):
        free(first, [useless], blind, generator)


def test_intervals_hold_the_mean():
    generator = make_toy()
    vector = torch.randn(16, generator=torch.Generator().manual_seed(0))
    found = rescore([sb.Direction("d", "w", vector)], generator, reading(), n_samples=24)
    effect = found.effect("d", "a")
    assert effect["low"] < effect["mean"] < effect["high"]


def test_layers_add_up():
    generator = make_toy()
    direction = sb.Direction("a", "w", torch.ones(16), scale=0.1)
    ranges = {"early": "0-2", "late": f"3-{generator.spaces['w+'].shape[0] - 1}", "all": "all"}
    table = layer_effects([direction], generator, reading(), ranges, n_samples=16)
    assert table.columns.tolist() == ["early", "late", "all"]
    assert table.loc["a", ["early", "late"]].sum() == pytest.approx(table.loc["a", "all"], rel=0.3)
    with pytest.raises(sb.errors.SteerbenchError, match="no layer-wise form"):
        layer_effects(tilted()[1], tilted()[0], reading(), ranges)


def test_scores_and_their_correlations():
    read = reading(("a", "minus a", "c", "still"), lambda x: _columns(x))
    table = scores(planted()[0], read, n_samples=50)
    assert table.shape == (50, 4)
    matrix = correlations(table)
    assert matrix.loc["a", "minus a"] == pytest.approx(-1, abs=1e-6)
    assert matrix.loc["still", "a"] == 0
    truth = correlations(sb.world("rooms").draw(2000))
    assert truth.loc["lamp_on", "night"] > 0.3


def _columns(images: torch.Tensor) -> torch.Tensor:
    left, right = images[:, 0, 0, 0], images[:, 0, -1, -1]
    return torch.stack([left, -left, right, torch.ones(len(images))], dim=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: [], "at least one"),
        (lambda d: [d[0], d[0]], "own name"),
    ],
)
def test_directions_that_cannot_be_told_apart_are_refused(change, says):
    generator, directions = tilted()
    with pytest.raises(sb.errors.SteerbenchError, match=says):
        rescore(change(directions), generator, reading())


def test_unknown_names_are_helped():
    generator, directions = tilted()
    found = rescore(directions, generator, reading(), n_samples=2)
    for direction, attribute in (("x", "a"), ("a", "x")):
        with pytest.raises(sb.errors.NotFoundError, match="'x'"):
            found.effect(direction, attribute)
    with pytest.raises(sb.errors.NotFoundError, match="'x'"):
        rescore(directions, generator, reading(), ["x"])
    with pytest.raises(sb.errors.SteerbenchError, match="n_samples=1"):
        rescore(directions, generator, reading(), n_samples=1)
