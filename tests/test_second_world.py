"""Another world and its model: whatever works on rooms works on discs, or says what is missing."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import bundles
from steerbench.leaderboard import Protocol, leaderboard
from steerbench.widgets import (
    BoundaryGrid,
    DirectionLabeller,
    InpaintCanvas,
    LatentSliders,
    PromptBox,
    UnitHeatmaps,
    UnitPainter,
)
from steerbench.worlds import World
from tests import discs

PATIENCE = 60


@pytest.fixture(scope="module")
def G():
    generator = discs.generator()
    discs.bundle(generator)
    return generator


@pytest.fixture(scope="module")
def known(G) -> sb.Bundle:
    return sb.bundle(G)


@pytest.fixture(scope="module")
def directions(G):
    return sb.SeFa(3).fit(G).directions_


@pytest.fixture(scope="module")
def dissection(G, known):
    return sb.Dissection(known.segmenter, "units", n_samples=48, batch_size=16).fit(G)


# -- the world and its readers --------------------------------------------------------------------


def test_it_is_a_world_whose_truth_both_readers_read(known) -> None:
    assert isinstance(known.world, World)
    assert isinstance(sb.world("rooms"), World)
    batch = known.world.sample(64, seed=7)
    truth = torch.stack([batch.factors[name] for name in discs.FACTORS], dim=1)
    for reader in (known.reader, known.judge):
        off = (reader.predict(batch.images) - truth).abs().mean(0)
        assert off.max() < 0.06, dict(zip(reader.names, off.tolist()))
    for segmenter in (known.segmenter, known.second_segmenter):
        assert (segmenter.predict(batch.images) == batch.masks).float().mean() > 0.99


def test_a_counterfactual_changes_one_factor(known) -> None:
    batch = known.world.sample(4, seed=1)
    other = known.world.counterfactual(batch.factors, hue=1.0)
    assert torch.equal(other.masks, batch.masks)
    assert (known.reader.predict(other.images)[:, 0] > 0.95).all()
    with pytest.raises(sb.errors.NotFoundError, match="Did you mean 'hue'"):
        known.world.counterfactual(batch.factors, hu=1.0)


# -- directions -----------------------------------------------------------------------------------


def test_sliders_move_it_and_replay(G, known, directions) -> None:
    sliders = LatentSliders(G, directions, predictor=known.reader)
    assert torch.equal(sliders.recipe.render(G), G.render(G.sample(1, seed=known.seeds[0])))
    before = sliders.picture
    sliders.values = [2.0, 0.0, 0.0]
    assert sliders.error == ""
    assert sliders.picture != before
    start, edited = (recipe.render(G) for recipe in (sliders.recipe, _half(sliders)))
    assert not torch.equal(start, edited)


def _half(sliders):
    sliders.values = [1.0, 0.0, 0.0]
    return sliders.recipe


def test_boundaries_are_found_and_verified(G, known) -> None:
    found = sb.LatentBoundaries(known.reader, space="z", n_samples=400).fit(G)
    table = found.table_.set_index("attribute")
    assert set(table.index) == set(discs.FACTORS)
    assert table["verified"].all()
    codes = G.sample(48, seed=900)
    before = known.judge.predict(G.render(codes))
    for direction in found.directions_:
        moved = known.judge.predict(G.render(codes + 1.0 * direction)) - before
        own = discs.FACTORS.index(direction.name)
        assert int((moved.mean(0) / before.std(0)).argmax()) == own


def test_a_scorecard_says_what_each_direction_does(G, known, directions) -> None:
    table = sb.scorecard(directions, G, known.judge, n_samples=24, n_null=9).table
    assert list(table["attribute"]) == list(discs.FACTORS)
    assert (table["share"] > 0.9).all()


def test_the_labeller_learns_a_direction_from_clicks(G, known) -> None:
    labeller = DirectionLabeller(G, columns=6, rows=4, name="large")
    sizes = known.reader.predict(G.render(G.sample(24, seed=0)))[:, 1]
    labeller.label({seed: bool(sizes[seed] > sizes.median()) for seed in range(24)})
    assert labeller.notice.error == ""
    codes = G.sample(16, seed=500)
    moved = known.judge.predict(G.render(codes + 1.0 * labeller.direction))
    assert (moved - known.judge.predict(G.render(codes)))[:, 1].mean() > 0.1


def test_a_boundary_grid_scores_its_cells(G, known, directions) -> None:
    grid = BoundaryGrid(
        G, directions, alphas=(-1, 0, 1), n_samples=2, predictor=known.reader, attribute="size"
    )
    assert grid.cells == (2, 3)
    assert grid.notice.error == ""


def test_a_leaderboard_recovers_every_factor() -> None:
    G = discs.generator()
    known = discs.bundle(G)
    protocol = Protocol(n_directions=3, choosing=12, judging=24, nulls=1)
    board = leaderboard(discs.generator, known.reader, known.judge, ["sefa"], protocol=protocol)
    sefa = board.table.set_index("finder").loc["sefa"]
    assert sefa["factors"] == sefa["recovered"] == 3


# -- units ----------------------------------------------------------------------------------------


def test_units_match_what_they_draw_and_cause_it(G, known, dissection) -> None:
    best = dissection.best("disc", 2)
    assert set(best["unit"]) == {0, 1}
    effects = sb.UnitEffects(
        dissection,
        known.second_segmenter,
        ["disc"],
        units=2,
        n_samples=12,
        n_fresh_samples=24,
        n_random=3,
    ).fit(G)
    table = effects.effects_.query("edit == 'removal'").set_index("units")
    assert table.loc["matched", "change"] < -10
    assert abs(table.loc["random", "change"]) < abs(table.loc["matched", "change"])


def test_units_are_painted_and_switched(G, dissection) -> None:
    painter = UnitPainter(G, dissection, concept="disc", action="remove", n_units=2)
    before = painter.picture
    painter.paint([(12, 4), (12, 20)])
    assert painter.error == ""
    assert painter.picture != before
    maps = UnitHeatmaps(G, units=dissection)
    maps.switch(0)
    assert maps.recipe.edits[0].units == (0,)


# -- inversion ------------------------------------------------------------------------------------


def test_inversion_finds_a_picture_of_the_world(G, known) -> None:
    truth = known.world.sample(1, seed=11)
    with pytest.warns(bundles.BundleWarning, match="reader of 'discs' is no oracle.*pixels alone"):
        found = sb.invert(G, truth.images, steps=80, samples=32, progress=False)
    read = known.judge.predict(found.images)[0]
    for name, value in zip(discs.FACTORS, read.tolist()):
        assert value == pytest.approx(float(truth.factors[name]), abs=0.1)


# -- what it has not ------------------------------------------------------------------------------


def test_the_prompt_box_says_that_there_is_no_clip(G) -> None:
    box = PromptBox(G)
    assert "No CLIP is known for 'discs'" in box.error
    assert "clip=" in box.error
    assert box.notice.layout.display is None
    assert "No CLIP is known" in box.notice.value
    before = box.picture
    box.ask("a yellow disc")
    assert box.wait(PATIENCE)
    assert "No CLIP is known for 'discs'" in box.error
    assert box.picture == before
    assert box._words.offered == []


def test_a_prompt_for_a_hole_says_so_too(G) -> None:
    canvas = InpaintCanvas(G, proposals=1, steps=10, prompt="a disc")
    canvas.paint([(4, 12), (20, 12)])
    canvas.fill()
    assert canvas.wait(PATIENCE)
    assert "No CLIP is known for 'discs'" in canvas.error
