"""Latents, directions, edits and recipes: the laws of the nouns."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import steerbench as sb
from steerbench.errors import (
    CheckpointError,
    LatentError,
    LayerError,
    RecipeError,
    ShapeError,
    SpaceError,
    SteerbenchError,
)
from steerbench.types import Layer, parse_layers
from tests.conftest import make_toy


@pytest.fixture(scope="module")
def toy():
    return make_toy()


def direction(seed: int = 0, size: int = 16, **changes) -> sb.Direction:
    vector = np.random.RandomState(seed).randn(size)
    return sb.Direction(**({"name": f"d{seed}", "space": "w", "vector": vector} | changes))


# Latents and moves.


@given(alpha=st.floats(-5, 5), scale=st.floats(0.1, 9))
def test_a_move_goes_alpha_standard_deviations(alpha: float, scale: float) -> None:
    move = alpha * direction(scale=scale)
    latent = sb.Latent("w", torch.zeros(1, 16, dtype=torch.float64))
    assert (latent + move).data.norm() == pytest.approx(abs(alpha * scale), abs=1e-9)


def test_moving_there_and_back_is_moving_nowhere(toy) -> None:
    latent = toy.double().sample(2, space="w").with_data(torch.zeros(2, 16, dtype=torch.float64))
    there = latent + 2.0 * direction()
    assert torch.allclose((there - 2.0 * direction()).data, latent.data, atol=1e-12)
    assert torch.equal((latent + direction()).data, (latent + 1.0 * direction()).data)


def test_layers_turn_w_into_its_layerwise_form(toy) -> None:
    latent = toy.sample(2, space="w")
    moved = latent + 3.0 * direction().limited([1, 2])
    assert moved.space == "w+"
    change = (moved.data - toy.to(latent, "w+").data).abs().sum(dim=(0, 2))
    assert (change > 0).tolist() == [False, True, True, False, False, False]


def test_a_moves_own_layers_take_the_place_of_the_directions(toy) -> None:
    limited = direction().limited([0])
    latent = toy.sample(1, space="w+")
    moved = latent + sb.Move(limited, 1.0, layers=(5,))
    assert (moved.data - latent.data).abs().sum(dim=(0, 2)).nonzero().flatten().tolist() == [5]


def test_spaces_and_generators_do_not_mix(toy, other_toy_generator) -> None:
    with pytest.raises(SpaceError, match=r"lives in 'w', the latent in 'z'.*G\.to\(latent, 'w'\)"):
        toy.sample(1) + direction()
    with pytest.raises(SpaceError, match="was found in generator"):
        toy.sample(1, space="w") + direction(generator=other_toy_generator.fingerprint)
    with pytest.raises(SpaceError, match="cannot be joined"):
        sb.Latent.cat([toy.sample(1), toy.sample(1, space="w")])
    with pytest.raises(ShapeError, match="shape"):
        toy.sample(1, space="w") + direction(size=4)
    with pytest.raises(LayerError, match="there are 6 layers"):
        toy.sample(1, space="w") + direction().limited([6])
    with pytest.raises(SpaceError, match="not layer-wise"):
        toy.sample(1, space="s") + sb.Direction(
            "s", "s", np.ones(toy.spaces["s"].shape), layers=(0,)
        )


def test_a_batch_is_taken_apart_and_joined(toy) -> None:
    latent = toy.sample(4, seed=7)
    assert latent[2].seed == 9
    assert latent[-1].seed == 10
    assert latent[1:3].seed == 8
    assert latent[[0, 3]].seed is None
    assert torch.equal(sb.Latent.cat([latent[i] for i in range(4)]).data, latent.data)
    with pytest.raises(IndexError):
        latent[4]


# Directions.


def test_a_direction_is_a_unit_vector() -> None:
    assert direction().vector.norm() == pytest.approx(1, abs=1e-15)
    for bad in (np.zeros(3), np.array([np.nan, 1]), np.array([np.inf, 1])):
        with pytest.raises(LatentError, match="zero or holds NaN"):
            sb.Direction("bad", "w", bad)


@given(seed=st.integers(0, 1000), count=st.integers(1, 5))
def test_conditioning_leaves_the_conditions_alone(seed: int, count: int) -> None:
    others = [direction(seed + 1 + i) for i in range(count)]
    conditioned = direction(seed).condition(on=others)
    assert all(abs(conditioned.cosine(other)) < 1e-12 for other in others)
    assert conditioned.vector.norm() == pytest.approx(1)


def test_conditioning_on_the_same_direction_twice_changes_nothing_more() -> None:
    once, twice = (direction(0).condition(on=[direction(1)] * k) for k in (1, 2))
    assert once.cosine(twice) == pytest.approx(1)
    with pytest.raises(LatentError, match="nothing is left"):
        direction(0).condition(on=[-direction(0)])
    assert direction(0).condition(on=[]).cosine(direction(0)) == pytest.approx(1)


def test_cosines_are_of_one_space() -> None:
    assert (-direction()).cosine(direction()) == pytest.approx(-1)
    with pytest.raises(SpaceError, match="different spaces"):
        direction().cosine(direction(space="z"))
    with pytest.raises(ShapeError, match="different generators"):
        direction().cosine(direction(size=4))


def test_another_file_is_not_a_direction(tmp_path) -> None:
    from steerbench import store

    store.save(tmp_path / "x.safetensors", {"vector": torch.ones(3)}, {"kind": "a poem"})
    with pytest.raises(CheckpointError, match="'a poem'"):
        sb.Direction.load(tmp_path / "x.safetensors")


# Layers.


@pytest.mark.parametrize(
    ("spec", "rows"),
    [("all", None), (None, None), ("", None), ("0-3", (0, 1, 2, 3)), (" 2 , 0-1", (0, 1, 2)),
     ([3, 1, 1], (1, 3)), (4, (4,))],
)  # fmt: skip
def test_layers_as_people_write_them(spec, rows) -> None:
    assert parse_layers(spec, 10) == rows


@pytest.mark.parametrize("spec", ["0-", "a", "1..3", "0-99", [12], -1, [], "3-1", "1-9999"])
def test_layers_that_cannot_be_meant(spec) -> None:
    with pytest.raises(LayerError, match="0"):
        parse_layers(spec, 10)


def test_a_layer_is_inert_data() -> None:
    assert Layer("b4.conv1", 0, 8, 4, 4) == Layer("b4.conv1", 0, 8, 4, 4)


# Unit edits.


def test_unit_edits_do_what_they_say(toy) -> None:
    latent = toy.sample(1)
    before = toy.capture(latent, ["b8.conv1"])["b8.conv1"]
    for op, value, expected in (
        ("set", 2.0, torch.full_like(before[:, [1, 3]], 2.0)),
        ("add", (1.0, -1.0), before[:, [1, 3]] + torch.tensor([1.0, -1.0])[:, None, None]),
        ("scale", 0.5, before[:, [1, 3]] * 0.5),
    ):
        edit = sb.UnitEdit("b8.conv1", (1, 3), op, value)
        after = toy.capture(latent, ["b8.conv1"], edits=[edit])["b8.conv1"]
        assert torch.allclose(after[:, [1, 3]], expected)
        assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])


def test_a_value_may_differ_from_place_to_place(toy) -> None:
    latent = toy.sample(2)
    before = toy.capture(latent, ["b8.conv1"])["b8.conv1"]
    component = torch.randn(before.shape[1:], generator=torch.Generator().manual_seed(0))
    every = tuple(range(len(component)))
    edit = sb.UnitEdit("b8.conv1", every, "add", component)
    after = toy.capture(latent, ["b8.conv1"], edits=[edit])["b8.conv1"]
    assert torch.equal(after, before + component)
    half = torch.zeros(8, 8)
    half[:, :4] = 1
    edit = sb.UnitEdit("b8.conv1", (3, 1), "set", component[:2].numpy(), half)
    after = toy.capture(latent, ["b8.conv1"], edits=[edit])["b8.conv1"]
    assert torch.equal(after[0, [3, 1], :, :4], component[:2, :, :4])
    assert torch.equal(after[:, :, :, 4:], before[:, :, :, 4:])
    assert sb.UnitEdit("b8.conv1", (0, 1), "add", torch.tensor([1, 2])).value == (1.0, 2.0)
    with pytest.raises(ShapeError, match=r"\[8, 8\] places, the layer has \[16, 16\]"):
        toy.render(latent, edits=[sb.UnitEdit("b16.conv0", (0, 1), "add", component[:2])])


def test_a_recipe_keeps_values_of_places(toy, tmp_path) -> None:
    component = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    edit = sb.UnitEdit("b8.conv1", (0, 1), "add", component)
    recipe = sb.Recipe.of(toy, toy.sample(1), [edit])
    recipe.save(tmp_path / "r")
    again = sb.Recipe.load(tmp_path / "r")
    assert torch.equal(again.edits[0].value, component)
    assert torch.equal(again.render(toy), recipe.render(toy))
    assert again.diff(recipe) == []
    other = sb.Recipe.of(toy, toy.sample(1), [replace(edit, value=component + 1)])
    [line] = recipe.diff(other)
    assert line.startswith("edit 0: add [2, 8, 8] values ")


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"op": "explode"}, SteerbenchError), ({"value": (1.0, 2.0, 3.0)}, ShapeError),
     ({"mask": torch.ones(3)}, ShapeError), ({"value": torch.ones(1, 8, 8)}, ShapeError),
     ({"value": torch.ones(2, 8)}, ShapeError), ({"value": None}, SteerbenchError),
     ({"value": "bright"}, SteerbenchError), ({"value": (1.0, float("nan"))}, SteerbenchError)],
)  # fmt: skip
def test_unit_edits_that_cannot_be_meant(changes, error) -> None:
    with pytest.raises(error):
        sb.UnitEdit("b8.conv1", (1, 3), **changes)


def test_masks_must_fit_the_batch(toy) -> None:
    edit = sb.UnitEdit("b8.conv1", (0,), mask=torch.ones(3, 16, 16))
    with pytest.raises(ShapeError, match="3 masks were given for 2"):
        toy.render(toy.sample(2), edits=[edit])


# Recipes.


@pytest.fixture
def recipe(toy) -> sb.Recipe:
    recipe = sb.Recipe.of(toy, toy.sample(2, seed=4), truncation=0.8)
    recipe = recipe.add(1.5 * direction(scale=0.7)).add(-2.0 * direction(1).limited([2, 3]))
    mask = torch.zeros(16, 16)
    mask[4:8, 4:8] = 0.5
    return recipe.add(sb.UnitEdit("b8.conv1", (0, 2), "add", (1.0, -1.0), mask))


def test_a_recipe_reproduces_its_picture(recipe, toy, tmp_path) -> None:
    recipe.save(tmp_path / "evening.json")
    again = sb.Recipe.load(tmp_path / "evening.json")
    assert torch.equal(again.render(toy), recipe.render(toy))
    assert again.diff(recipe) == []
    assert again.start.seed == 4
    assert sb.Recipe.load(tmp_path / "evening.safetensors").diff(recipe) == []
    assert json.loads((tmp_path / "evening.json").read_text())["edits"][0]["direction"] == "d0"


def test_a_recipe_replays_on_other_latents(recipe, toy) -> None:
    batch = recipe.on(toy.sample(3, seed=20))
    one = recipe.on(toy.sample(1, seed=21))
    assert torch.allclose(batch.render(toy)[1:2], one.render(toy), atol=1e-5)


def test_undo_and_redo_are_inverse(recipe) -> None:
    assert recipe.undo().undo().redo().redo().diff(recipe) == []
    assert recipe.undo().undo().undo().undo().edits == ()
    assert recipe.redo() is recipe
    assert recipe.undo().add(1.0 * direction(5)).redo().undone == ()


def test_a_diff_says_what_differs(recipe, toy) -> None:
    other = replace(recipe.undo(), noise="none").on(toy.sample(1, seed=9))
    lines = recipe.diff(other)
    assert lines[0] == "noise: const -> none"
    assert "seed 4 -> 1 in z, seed 9" in lines[1]
    assert lines[2].endswith("-> nothing")


def test_a_recipe_of_another_generator_is_refused(recipe, other_toy_generator) -> None:
    with pytest.raises(RecipeError, match=r"made with generator 'toy-0'.*its weights differ"):
        recipe.render(other_toy_generator)


def test_broken_recipes_are_explained(recipe, toy, tmp_path) -> None:
    path = recipe.save(tmp_path / "r")
    assert path.name == "r.json"
    with pytest.raises(sb.errors.NotFoundError, match="no recipe"):
        sb.Recipe.load(tmp_path / "absent.json")
    document = json.loads(path.read_text())
    for spoil, says in (
        ("not json", "cannot be read as JSON"),
        ("[]", "not a recipe"),
        (json.dumps(document | {"format": 99}), "format 99"),
        (json.dumps({k: v for k, v in document.items() if k != "edits"}), "not a complete recipe"),
        (json.dumps(document | {"edits": [{"kind": "move"}]}), "not a complete recipe"),
    ):
        path.write_text(spoil)
        with pytest.raises(RecipeError, match=says):
            sb.Recipe.load(path)
    path.write_text(json.dumps(document))
    sb.Recipe.of(toy, toy.sample(1)).save(tmp_path / "other")
    (tmp_path / "other.safetensors").rename(tmp_path / "r.safetensors")
    with pytest.raises(RecipeError, match="Keep the two files"):
        sb.Recipe.load(path)
