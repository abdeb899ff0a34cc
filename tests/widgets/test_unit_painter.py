"""UnitPainter without a browser: strokes, undo, recipes, units in every form, every wrong word."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from steerbench.errors import LayerError, NotFoundError, ShapeError, SteerbenchError
from steerbench.generators import wrap
from steerbench.image import to_uint8
from steerbench.predictors import predictor
from steerbench.supervised.dissection import Dissection
from steerbench.types import Recipe
from steerbench.widgets import UnitPainter
from steerbench.widgets.latest_worker import LatestWorker

UNITS = {"lamp": ("b8.conv1", [3, 1, 5]), "window": ("b16.conv0", [0, 2])}
TABLE = pd.DataFrame(
    {
        "unit": [0, 1, 2, 0, 1, 2, 0],
        "concept": ["lamp", "lamp", "lamp", "bed", "bed", "bed", "plant"],
        "iou": [0.1, 0.3, 0.0, 0.2, 0.0, 0.05, 0.0],
        "threshold": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0],
    }
)


@pytest.fixture
def painter(toy_generator) -> UnitPainter:
    return UnitPainter(toy_generator, UNITS, seed=4, brush=5)


def pixels(widget: UnitPainter) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(widget.picture))).astype(int)


def send(widget: UnitPainter, event: str, x: float, y: float) -> None:
    """What a browser sends, in pixels of the picture."""
    content = {"event": f"mouse_{event}", "x": x, "y": y}
    widget._canvas._handle_frontend_event(widget._canvas, content, [])


def drag(widget: UnitPainter, *points: tuple[float, float]) -> None:
    send(widget, "down", *points[0])
    for point in points[1:]:
        send(widget, "move", *point)
    send(widget, "up", *points[-1])
    assert widget.wait(60)


def test_the_picture_is_the_recipe(toy_generator, painter, tmp_path) -> None:
    first = painter.picture
    drag(painter, (3, 3), (8, 3), (8, 9))
    painter.choose("window", "remove")
    painter.paint([(12, 12)])
    assert painter.picture != first
    assert [(e.layer, e.units) for e in painter.recipe.edits] == [
        ("b8.conv1", (3, 1, 5)),
        ("b16.conv0", (0, 2)),
    ]
    drawn = to_uint8(painter.recipe.render(toy_generator))[0].astype(int)
    assert np.abs(pixels(painter) - drawn).mean() <= 2
    replayed = Recipe.load(painter.recipe.save(tmp_path / "evening"))
    torch.testing.assert_close(
        replayed.render(toy_generator), painter.recipe.render(toy_generator), rtol=0, atol=0
    )


def test_removing_sets_units_to_zero_under_the_brush_and_nowhere_else(toy_generator, painter):
    painter.choose("lamp", "remove")
    painter.paint(np.pad(np.ones((8, 8)), ((0, 8), (0, 8))))
    (edit,) = painter.recipe.edits
    start = painter.recipe.start
    before = toy_generator.capture(start, ["b8.conv1"])["b8.conv1"][0, [3, 1, 5]]
    after = toy_generator.capture(start, ["b8.conv1"], edits=[edit])["b8.conv1"][0, [3, 1, 5]]
    assert (after[:, :4, :4] == 0).all()
    torch.testing.assert_close(after[:, 4:], before[:, 4:])
    torch.testing.assert_close(after[:, :, 4:], before[:, :, 4:])


def test_inserting_sets_units_to_their_level_and_strength_goes_beyond(toy_generator, painter):
    painter.paint(np.ones((16, 16)))
    levels = torch.tensor(painter.units["lamp"].levels)
    for strength, factor in ((1.0, 1.0), (2.0, 2.0)):
        painter._tools.strength.value = strength
        (edit,) = painter.recipe.edits
        found = toy_generator.capture(painter.recipe.start, ["b8.conv1"], edits=[edit])
        torch.testing.assert_close(
            found["b8.conv1"][0, [3, 1, 5], 2, 2], factor * levels, rtol=1e-4, atol=1e-5
        )
    painter._tools.strength.value = 0.0
    torch.testing.assert_close(
        painter.recipe.render(toy_generator), toy_generator.render(painter.recipe.start)
    )


def test_a_level_is_exceeded_by_a_hundredth_of_the_places(toy_generator, painter) -> None:
    known = painter.units["window"]
    activation = toy_generator.capture(toy_generator.sample(32, seed=0), [known.layer])
    share = (activation[known.layer][:, 2] > known.levels[1]).float().mean()
    assert share == pytest.approx(0.01, abs=0.002)


def test_a_stroke_is_one_step_and_undo_brings_the_same_bytes_back(painter) -> None:
    seen = [painter.picture]
    for points in ([(2, 2), (5, 5), (9, 9)], [(12, 3), (12, 8)]):
        drag(painter, *points)
        seen.append(painter.picture)
    painter.choose(action="erase")
    drag(painter, (2, 2), (9, 9))
    seen.append(painter.picture)
    assert len(set(seen)) == 4
    for expected in reversed(seen[:-1]):
        painter.undo()
        assert painter.picture == expected
    assert painter._tools.undo.disabled
    for expected in seen[1:]:
        painter.redo()
        assert painter.picture == expected
    assert painter._tools.redo.disabled


def test_a_slow_stroke_is_one_step(painter) -> None:
    now = [0.0]
    painter.history._clock = lambda: now[0]
    first = painter.picture
    send(painter, "down", 3, 3)
    for x in (5, 7, 9):
        now[0] += 60
        send(painter, "move", x, 3)
    send(painter, "up", 9, 3)
    painter.wait(60)
    painter.undo()
    assert painter.picture == first


def test_erasing_and_clearing_leave_nothing(painter) -> None:
    first = painter.picture
    painter.paint([(8, 8)])
    painter.choose(action="erase")
    painter.paint(np.ones((16, 16)))
    assert (painter.recipe.edits, painter.picture) == ((), first)
    painter.choose(action="insert")
    painter.paint([(8, 8)])
    painter.clear()
    assert painter.picture == first
    painter.undo()
    assert len(painter.recipe.edits) == 1, "clearing can be undone"


def test_the_opposite_action_takes_paint_away(painter) -> None:
    painter.paint([(4, 4), (12, 4)])
    painter.choose("lamp", "remove")
    painter.paint([(4, 4)])
    insert, remove = painter.history.present.paints
    assert (insert.action, remove.action) == ("insert", "remove")
    assert insert.mask[4, 4] == 0 < insert.mask[4, 12]
    assert remove.mask[4, 4] == 255


def test_strength_and_units_act_on_what_is_painted_and_can_be_undone(painter) -> None:
    painter.paint([(8, 8)])
    before = painter.picture
    painter._tools.count.value = 1
    assert painter.recipe.edits[0].units == (3,)
    painter._tools.strength.value = 2.0
    assert painter.picture != before
    painter.choose("window")
    assert painter._tools.count.value == 1, "the next brush is like the last"
    painter.choose("lamp")
    painter.undo()
    painter.undo()
    assert painter.picture == before
    assert (painter._tools.strength.value, painter._tools.count.value) == (1.0, 3)


def test_paint_stays_on_another_seed(toy_generator, painter) -> None:
    painter.paint([(8, 8)])
    painter._tools.seed.value = 77
    assert painter.recipe.start.seed == 77
    assert len(painter.recipe.edits) == 1
    drawn = to_uint8(painter.recipe.render(toy_generator))[0].astype(int)
    assert np.abs(pixels(painter) - drawn).mean() <= 2
    original = toy_generator.render(toy_generator.sample(1, seed=77))
    shown = np.asarray(Image.open(io.BytesIO(painter._picture.original_data))).astype(int)
    assert np.abs(shown - to_uint8(original)[0]).mean() <= 2


def test_movements_are_joined_while_a_picture_is_made(painter) -> None:
    drawn, free = [], threading.Event()
    render = painter.renderer.render

    def slow(*given, **named):
        free.wait(60)
        drawn.append(len(given[1]))
        return render(*given, **named)

    painter.renderer.render = slow
    send(painter, "down", 1, 1)
    for x in range(2, 15):
        send(painter, "move", x, x)
    send(painter, "up", 14, 14)
    assert not painter.wait(0.01)
    free.set()
    assert painter.wait(60)
    assert len(drawn) <= 2, "the newest wins, nothing queues up"
    assert painter.history.present.paints[0].mask[14, 14] == 255
    painter.renderer.render = render
    shown = painter.picture
    painter._show()
    assert painter.picture == shown, "the last picture is of the newest painting"


def test_moving_without_pressing_paints_nothing(painter) -> None:
    send(painter, "move", 3, 3)
    drag(painter, (3, 3), (4, 4))
    once = painter.picture
    send(painter, "move", 12, 12)
    assert painter.wait(60)
    assert painter.picture == once


def test_a_stroke_that_leaves_the_picture_is_cut_off(painter) -> None:
    drag(painter, (14, 14), (40, 40))
    assert painter.error == ""
    assert painter.history.present.paints[0].mask[15, 15] == 255


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ([(100, 100), (200, 90)], SteerbenchError, "outside the picture"),
        (np.zeros((16, 16)), SteerbenchError, "empty"),
        (np.full((16, 16), np.nan), SteerbenchError, "NaN"),
        ([(float("nan"), 3)], SteerbenchError, "NaN"),
        (np.full((16, 16), 7.0), SteerbenchError, "give 0 to 1"),
        (np.ones((20, 16)), ShapeError, r"\[20, 16\].*\[16, 16\]"),
        ([], ShapeError, "points"),
        ([(1, 2, 3)], ShapeError, "points"),
    ],
)
def test_strokes_that_make_no_sense_leave_the_painting(painter, where, error, message) -> None:
    painter.paint([(8, 8)])
    before = painter.history.present
    with pytest.raises(error, match=message):
        painter.paint(where)
    assert painter.history.present is before


def test_a_mouse_that_is_nowhere_says_so_and_loses_nothing(painter) -> None:
    send(painter, "down", 8, 8)
    send(painter, "move", float("nan"), 8)
    assert "nowhere" in painter.error
    send(painter, "move", 10, 8)
    send(painter, "up", 10, 8)
    assert painter.wait(60)
    assert painter.history.present.paints[0].mask[8, 10] == 255


def test_a_picture_that_cannot_be_drawn_is_an_error_and_the_paint_stays(painter) -> None:
    shown, render = painter.picture, painter.renderer.render
    painter.renderer.render = lambda *_, **__: torch.full((1, 3, 16, 16), float("nan"))
    drag(painter, (8, 8), (9, 9))
    assert painter.error
    assert painter.picture == shown
    painter.renderer.render = render
    painter._show()
    assert painter.error == ""
    assert painter.picture != shown


def test_a_fitted_dissection(toy_generator) -> None:
    brightness = predictor(lambda images: (images.mean(1) > 0).long(), ["dark", "bright"])
    dissection = Dissection(brightness, layer="b16.conv0", n_samples=4)
    with pytest.raises(SteerbenchError, match="call fit"):
        UnitPainter(toy_generator, dissection)
    painter = UnitPainter(toy_generator, dissection.fit(toy_generator), concept="bright")
    best = dissection.best("bright", n_units=1).iloc[0]
    assert painter.units["bright"].units[0] == best["unit"]
    assert painter.units["bright"].levels[0] == best["threshold"]


def test_a_dissection_its_table_and_a_mapping(toy_generator) -> None:
    dissection = SimpleNamespace(units_=TABLE, layer_="b8.conv1", fit=None)
    for painter in (
        UnitPainter(toy_generator, dissection),
        UnitPainter(toy_generator, TABLE, layer="b8.conv1"),
    ):
        assert painter.units["lamp"].units == (1, 0), "the best first, without those at 0"
        assert painter.units["lamp"].levels == (2.0, 1.0)
        assert painter._tools.concept.options == ("lamp", "bed")
        with pytest.raises(NotFoundError, match=r"No unit of 'b8.conv1' matches 'plant'"):
            painter.choose("plant")
        with pytest.raises(NotFoundError, match="Did you mean 'lamp'"):
            painter.choose("lmp")
        with pytest.raises(SteerbenchError, match="'insert', 'remove' or 'erase'"):
            painter.choose(action="paint")
    assert UnitPainter(toy_generator, {"lamp": [2]}, layer="b8.conv1").units["lamp"].units == (2,)


@pytest.mark.parametrize(
    ("units", "layer", "error", "message"),
    [
        (TABLE, None, LayerError, "pass layer="),
        (TABLE, "b8.conv9", LayerError, "Did you mean 'b8.conv"),
        (TABLE.drop(columns="iou"), "b8.conv1", SteerbenchError, "no column 'iou'"),
        (TABLE.assign(iou=np.nan), "b8.conv1", SteerbenchError, "column 'iou', row 0"),
        (TABLE.assign(threshold=np.inf), "b8.conv1", SteerbenchError, "column 'threshold'"),
        (TABLE.assign(unit=99), "b8.conv1", LayerError, "Unit 99 .* 12 units"),
        (TABLE.assign(iou=0.0), "b8.conv1", NotFoundError, "No unit matches any of 3 concepts"),
        ({}, None, NotFoundError, "0 concepts"),
        ({"lamp": ("b8.conv1", [12])}, None, LayerError, "0 to 11"),
        ({"lamp": "b8.conv1"}, None, SteerbenchError, "units of 'lamp'"),
        ({"lamp": ("b8.conv1", [0.5])}, None, SteerbenchError, "units of 'lamp'"),
        (SimpleNamespace(fit=None), None, SteerbenchError, "call fit"),
        ("lamp", None, SteerbenchError, "given as a str"),
    ],
)
def test_units_that_cannot_be_used(toy_generator, units, layer, error, message) -> None:
    with pytest.raises(error, match=message):
        UnitPainter(toy_generator, units, layer=layer)


def test_units_of_another_generator(toy_generator) -> None:
    elsewhere = SimpleNamespace(fingerprint="abc", generator="rooms")
    dissection = SimpleNamespace(units_=TABLE, layer_="b8.conv1", provenance_=elsewhere)
    with pytest.raises(SteerbenchError, match=r"'rooms' .*Dissect it anew"):
        UnitPainter(toy_generator, dissection)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sede": 1}, "Did you mean 'seed'"),
        ({"concept": "lmp"}, "Did you mean 'lamp'"),
        ({"strength": float("nan")}, "from 0 to 3"),
        ({"n_units": 0}, "from 1 up"),
        ({"brush": -1}, "above 0"),
        ({"size": 3}, "from 32 to 2048"),
        ({"truncation": 2.0}, "from 0 to 1"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_wrong_arguments(toy_generator, options, message) -> None:
    with pytest.raises(SteerbenchError, match=message):
        UnitPainter(toy_generator, UNITS, **options)


def test_any_generator_with_convolutions_of_any_size() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.ConvTranspose2d(8, 6, (20, 30)),
        nn.ReLU(),
        nn.Upsample(scale_factor=8),
        nn.Conv2d(6, 1, 1),
    )
    G = wrap(module, latent_shape=(8, 1, 1))
    painter = UnitPainter(G, {"blob": (G.layers[0].name, [0, 4])}, seed=2)
    assert (painter._canvas.height, painter._canvas.width) == (85, 128), "at most 128 wide"
    first = painter.picture
    painter.paint([(200, 20)])
    assert painter.picture != first
    mask = painter.history.present.paints[0].mask
    assert mask[11, 107] == 255
    painter.paint(np.pad(np.ones((40, 40)), ((0, 120), (0, 200))))
    assert painter.history.present.paints[0].mask[10, 10] == 255


def test_a_layer_without_places_cannot_be_painted() -> None:
    G = wrap(nn.Sequential(nn.ConvTranspose2d(8, 6, 1), nn.ConvTranspose2d(6, 3, 4)), (8, 1, 1))
    with pytest.raises(LayerError, match="have one place"):
        UnitPainter(G, {"blob": (G.layers[0].name, [0])})


def test_a_browser_that_comes_later_gets_the_paint(painter, monkeypatch) -> None:
    painter.paint([(8, 8)])
    sent: list[np.ndarray] = []
    monkeypatch.setattr(painter._canvas, "put_image_data", lambda sheet: sent.append(sheet))
    content = {"event": "client_ready"}
    painter._canvas._handle_frontend_event(painter._canvas, content, [])
    painter._tools.shown.value = False
    assert sent[0][8, 8, 3] > 0
    assert not sent[1].any()


def test_recipes_and_pictures_are_saved_and_mistakes_told(painter, tmp_path) -> None:
    painter.paint([(8, 8)])
    painter._save.path.value = str(tmp_path / "evening")
    assert painter._save.save() == tmp_path / "evening.json"
    assert painter._save.export() == tmp_path / "evening.png"
    painter._save.path.value = str(tmp_path / "no" / "folder" / "x")
    assert painter._save.export() is None
    assert painter.error
    assert len(painter.recipe.edits) == 1


def test_nothing_is_printed_and_nothing_displayed(painter, capsys) -> None:
    drag(painter, (3, 3), (9, 9))
    painter.undo()
    assert "UnitPainter" in repr(painter)
    assert capsys.readouterr() == ("", "")


def test_work_that_fails_is_logged_and_the_next_one_is_done(caplog) -> None:
    done = []
    newest = LatestWorker(lambda: done.append(1 / len(done)) if done else done.append(0) or 1 / 0)
    newest.wake()
    assert newest.wait(60)
    assert "could not be drawn" in caplog.text
    newest.wake()
    assert newest.wait(60)
    assert done == [0, 1.0]
