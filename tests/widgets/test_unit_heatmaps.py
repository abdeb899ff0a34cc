"""UnitHeatmaps without a browser: the order of the tiles, hovering, clicking, every wrong word."""

from __future__ import annotations

import io
import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from steerbench.errors import LayerError, SteerbenchError
from steerbench.image import to_uint8
from steerbench.widgets import UnitHeatmaps
from steerbench.widgets.unit_mosaic import (
    HIGH,
    Sheet,
    by_concept,
    heat_colours,
    overlay_heat,
    relative_activations,
)

TABLE = pd.DataFrame(
    {
        "unit": [0, 0, 1, 2, 5, 7],
        "concept": ["bed", "lamp", "lamp", "bed", "rug", "lamp"],
        "iou": [0.1, 0.2, 0.5, 0.3, 0.01, 0.2],
        "threshold": [1.0, 1.0, 2.0, 3.0, 1.0, 4.0],
    }
)


@pytest.fixture
def maps(toy_generator) -> UnitHeatmaps:
    return UnitHeatmaps(toy_generator, "b8.conv1", TABLE, seed=4)


def send(widget: UnitHeatmaps, event: str, unit: int) -> None:
    """What a browser sends when the mouse is on a unit's tile."""
    x, y = widget.sheet.place[unit]
    content = {"event": f"mouse_{event}", "x": x + 3, "y": y + 3}
    widget._canvas[-1]._handle_frontend_event(widget._canvas, content, [])


def test_units_stand_by_concept_and_iou_and_all_are_there(maps) -> None:
    groups, best = by_concept(TABLE, maps.channels)
    assert groups[:2] == [("lamp", (1, 0, 7)), ("bed", (2,))]
    assert groups[2] == ("no concept", (3, 4, 5, 6, 8, 9, 10, 11))
    assert best.loc[5, "concept"] == "rug"
    assert list(maps.sheet.place) == [1, 0, 7, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert [text for text, _, _ in maps.sheet.headings] == ["lamp (3)", "bed (1)", "no concept (8)"]


@pytest.mark.parametrize("count", [13, 64, 128, 512, 1024])
def test_tiles_never_overlap_and_each_is_found_under_the_mouse(count) -> None:
    ends = [0, 1, 3, 4, count // 3, count]
    groups = [
        (f"concept {a}", tuple(range(min(a, count), min(b, count))))
        for a, b in itertools.pairwise(ends)
        if a < min(b, count)
    ]
    sheet = Sheet.of(groups, width=590)
    taken = np.zeros((sheet.height, sheet.width), int)
    for unit, (x, y) in sheet.place.items():
        taken[y : y + sheet.tile, x : x + sheet.tile] += 1
        assert sheet.unit_at(x, y) == sheet.unit_at(x + sheet.tile - 1, y) == unit
    assert len(sheet.place) == count
    assert taken.max() == 1
    assert taken.sum() == count * sheet.tile**2
    assert sheet.unit_at(-1, -1) is None
    assert count > 512 or sheet.height <= HIGH


def test_a_tile_is_bright_where_the_unit_is_active() -> None:
    activation = torch.zeros(2, 4, 4)
    activation[0, :2], activation[1, 3, 3] = 5.0, 2.0
    sheet = Sheet.of([("", (1, 0))], width=200)
    picture = sheet.picture(relative_activations(activation, levels=[5.0, 0.0]))
    x, y = sheet.place[0]
    tile = picture[y : y + sheet.tile, x : x + sheet.tile]
    assert (tile[..., 3] == 255).all()
    assert tile[0, 0].tolist()[:3] == heat_colours(torch.ones(())).tolist()
    assert tile[-1, 0].tolist()[:3] == heat_colours(torch.zeros(())).tolist()
    x, y = sheet.place[1]
    brightest = np.unravel_index(
        picture[y : y + sheet.tile, x : x + sheet.tile, :3].sum(-1).argmax(), (sheet.tile,) * 2
    )
    assert min(brightest) > sheet.tile // 2, "a unit without a level is as bright as it can be"


def test_an_activation_is_laid_over_grey_and_colour_pictures() -> None:
    heat = torch.zeros(4, 4)
    heat[0, 0] = 1.0
    for channels in (1, 3):
        over = overlay_heat(torch.zeros(channels, 32, 32), heat)
        assert over.shape == (3, 32, 32)
        assert over.abs().max() <= 1
        assert not torch.equal(over[:, 0, 0], over[:, -1, -1])


def test_hovering_says_which_unit_it_is(maps) -> None:
    assert maps._line.value == "12 units of b8.conv1, 0 off"
    send(maps, "move", 1)
    assert maps._line.value.startswith("Unit 1: lamp, IoU 0.500; largest activation ")
    send(maps, "move", 11)
    assert maps._line.value.startswith("Unit 11: largest activation ")
    send(maps, "out", 11)
    assert maps._line.value == "12 units of b8.conv1, 0 off"


def test_a_click_switches_off_and_another_one_on_again(toy_generator, maps) -> None:
    first, over = maps.picture, maps._over.data
    send(maps, "down", 2)
    assert maps.off == (2,)
    assert maps.picture != first
    assert maps._over.data != over
    assert maps._caption.value.startswith("Unit 2, off: bed, IoU 0.300")
    send(maps, "down", 7)
    (edit,) = maps.recipe.edits
    assert (edit.layer, edit.units, edit.op, edit.value) == ("b8.conv1", (2, 7), "set", 0.0)
    shown = np.asarray(Image.open(io.BytesIO(maps.picture))).astype(int)
    drawn = to_uint8(maps.recipe.render(toy_generator))[0].astype(int)
    assert np.abs(shown - drawn).mean() <= 2
    send(maps, "down", 2)
    send(maps, "down", 7)
    assert (maps.off, maps.picture, maps.recipe.edits) == ((), first, ())


def test_everything_can_be_undone_and_redone(maps) -> None:
    seen = [(maps.picture, maps._over.data)]
    for change in (
        lambda: maps.switch(3),
        lambda: maps.switch(1),
        lambda: setattr(maps._seed, "value", 9),
        maps.reset,
    ):
        change()
        seen.append((maps.picture, maps._over.data))
    for expected in reversed(seen[:-1]):
        maps.undo()
        assert (maps.picture, maps._over.data) == expected
    assert maps._undo.disabled
    for expected in seen[1:]:
        maps.redo()
        assert (maps.picture, maps._over.data) == expected
    assert maps._redo.disabled


def test_units_stay_off_on_another_seed(maps) -> None:
    maps.switch(3)
    maps._seed.value = 9
    assert maps.off == (3,)
    assert maps.recipe.start.seed == 9


def test_without_units_they_stand_by_number(toy_generator) -> None:
    maps = UnitHeatmaps(toy_generator, "b16.conv0")
    assert list(maps.sheet.place) == list(range(maps.channels))
    assert maps.sheet.headings == ()
    send(maps, "move", 0)
    assert maps._line.value.startswith("Unit 0: largest activation ")


def test_a_dissection_brings_its_layer(toy_generator) -> None:
    dissection = SimpleNamespace(units_=TABLE, layer_="b8.conv1", fit=None)
    assert UnitHeatmaps(toy_generator, units=dissection).layer == "b8.conv1"
    with pytest.raises(LayerError, match=r"units of 'b8.conv1'"):
        UnitHeatmaps(toy_generator, "b4.conv1", dissection)


def test_a_browser_that_comes_later_gets_everything(maps, monkeypatch) -> None:
    maps.switch(1)
    sent: list[np.ndarray] = []
    framed: list[tuple[float, ...]] = []
    monkeypatch.setattr(maps._canvas[0], "put_image_data", lambda image: sent.append(image))
    monkeypatch.setattr(maps._canvas[1], "stroke_rect", lambda *where: framed.append(where))
    maps._canvas[-1]._handle_frontend_event(maps._canvas, {"event": "client_ready"}, [])
    assert sent[0].shape == (maps.sheet.height, maps.sheet.width, 4)
    assert len(framed) == 1


def test_a_layer_that_gives_nan_is_an_error_and_loses_nothing(maps, monkeypatch) -> None:
    maps.switch(1)
    shown = maps.picture
    bad = {"b8.conv1": torch.full((1, 12, 8, 8), float("nan"))}
    with monkeypatch.context() as patch:
        patch.setattr(type(maps.generator), "capture", lambda *_, **__: bad)
        maps._seed.value = 10
    assert "NaN" in maps.error
    assert (maps.off, maps.picture) == ((1,), shown)
    maps._seed.value = 11
    assert maps.error == ""
    assert maps.picture != shown


@pytest.mark.parametrize(
    ("layer", "units", "options", "message"),
    [
        (None, None, {}, "Which layer"),
        ("b8.conv7", None, {}, "Did you mean 'b8.conv"),
        ("b8.conv1", TABLE.assign(unit=40), {}, "12 units: 0 to 11"),
        ("b8.conv1", TABLE.assign(iou=np.nan), {}, "column 'iou', row 0"),
        ("b8.conv1", {"lamp": [1]}, {}, "given as a dict"),
        ("b8.conv1", None, {"sede": 1}, "Did you mean 'seed'"),
        ("b8.conv1", None, {"width": 5}, "from 32 to 2048"),
    ],
)
def test_wrong_arguments(toy_generator, layer, units, options, message) -> None:
    with pytest.raises(SteerbenchError, match=message):
        UnitHeatmaps(toy_generator, layer, units, **options)


def test_a_unit_that_does_not_exist(maps) -> None:
    with pytest.raises(LayerError, match="Unit 12 was given"):
        maps.switch(12)
    assert maps.off == ()


def test_nothing_is_printed_and_nothing_displayed(maps, capsys) -> None:
    send(maps, "move", 1)
    send(maps, "down", 1)
    maps.undo()
    assert "UnitHeatmaps" in repr(maps)
    assert capsys.readouterr() == ("", "")
