"""InpaintCanvas without a browser: masks, undo, filling, proposals, photographs, every mistake."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from steerbench.errors import ImageError, NotFoundError, ShapeError, SteerbenchError
from steerbench.image import to_uint8
from steerbench.inversion import Hole
from steerbench.types import Recipe
from steerbench.widgets import InpaintCanvas
from steerbench.widgets.masking import Work, box, overlay, resize_mask

WAIT = 120
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def canvas(toy_generator) -> InpaintCanvas:
    return InpaintCanvas(toy_generator, seed=4, brush=5, n_steps=10, n_proposals=2)


def send(widget: InpaintCanvas, event: str, x: float, y: float) -> None:
    """What a browser sends, in pixels of the mask."""
    content = {"event": f"mouse_{event}", "x": x, "y": y}
    widget._canvas._handle_frontend_event(widget._canvas, content, [])


def drag(widget: InpaintCanvas, *points: tuple[float, float]) -> None:
    send(widget, "down", *points[0])
    for point in points[1:]:
        send(widget, "move", *point)
    send(widget, "up", *points[-1])


def fill(widget: InpaintCanvas) -> InpaintCanvas:
    widget.fill()
    assert widget.wait(WAIT)
    assert widget.error == ""
    return widget


def outside(picture: Tensor, mask: np.ndarray) -> Tensor:
    return picture[..., torch.from_numpy(~mask)]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upload(widget: InpaintCanvas, content: bytes, name: str = "photo.png") -> None:
    file = {"name": name, "type": "image/png", "size": len(content), "last_modified": WHEN}
    widget._tools.upload.value = ({**file, "content": memoryview(content)},)


def shown(widget: InpaintCanvas) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(widget._picture.data)).convert("RGB")).astype(int)


def test_only_the_inside_of_the_mask_changes(canvas) -> None:
    before = to_uint8(canvas.picture)[0].astype(int)
    drag(canvas, (4, 4), (9, 4), (9, 9))
    mask = canvas.mask
    fill(canvas)
    after = to_uint8(canvas.picture)[0].astype(int)
    assert mask.any()
    assert np.abs(after - before)[~mask].max() == 0
    assert np.abs(after - before)[mask].max() > 1
    assert np.array_equal(shown(canvas), after), "what the page has is what there is"
    assert np.array_equal(canvas.mask, mask)


def test_a_brush_an_eraser_a_rectangle_and_the_rest(canvas) -> None:
    drag(canvas, (8, 8))
    assert canvas.mask[8, 8]
    assert not canvas.mask[0, 0]
    canvas.choose("erase")
    drag(canvas, (8, 8), (9, 8))
    assert not canvas.mask.any()
    canvas.choose("rectangle")
    drag(canvas, (2, 3), (30, 30), (6, 5))
    assert np.array_equal(canvas.mask, resize_mask(box((16, 16), (2, 3), (6, 5)), (16, 16)) > 0)
    canvas.invert()
    assert canvas.mask.sum() == 256 - 8
    canvas.clear()
    assert not canvas.mask.any()


def test_every_stroke_is_one_step(canvas) -> None:
    masks = [canvas.mask]
    for points in ([(2, 2), (5, 5), (9, 9)], [(12, 3), (12, 8)]):
        drag(canvas, *points)
        masks.append(canvas.mask)
    canvas.invert()
    masks.append(canvas.mask)
    for expected in reversed(masks[:-1]):
        canvas.undo()
        assert np.array_equal(canvas.mask, expected)
    assert canvas._tools.undo.disabled
    for expected in masks[1:]:
        canvas.redo()
        assert np.array_equal(canvas.mask, expected)
    assert canvas._tools.redo.disabled


def test_a_slow_stroke_is_one_step(canvas) -> None:
    now = [0.0]
    canvas.history._clock = lambda: now[0]
    send(canvas, "down", 3, 3)
    for x in (5, 7, 9):
        now[0] += 60
        send(canvas, "move", x, 3)
    send(canvas, "up", 9, 3)
    canvas.undo()
    assert not canvas.mask.any()


def test_undo_brings_back_what_was_filled(canvas) -> None:
    canvas.paint([(8, 8)])
    first = fill(canvas).picture
    drag(canvas, (3, 3))
    assert canvas.found is None
    assert not torch.equal(canvas.picture, first), "new paint shows the picture again"
    canvas.undo()
    assert torch.equal(canvas.picture, first)
    canvas.undo()
    assert canvas.found is None
    assert canvas.mask[8, 8]


def test_proposals_are_shown_side_by_side_and_taken(canvas, toy_generator) -> None:
    canvas.paint([(8, 8)])
    fill(canvas)
    first = canvas.picture
    row = canvas._tools.row
    assert [cell.layout.display for cell in row.children] == [None, None, "none", "none"]
    row._takes[1].click()
    assert torch.equal(canvas.picture, canvas.found.proposals[1])
    assert not torch.equal(canvas.picture, first)
    hole = Hole(canvas.mask, canvas._tools.feather.value)
    finished = hole.finish(toy_generator.render(canvas.latent), canvas.history.present.picture)
    torch.testing.assert_close(finished.clamp(-1, 1), canvas.picture)
    canvas.undo()
    assert torch.equal(canvas.picture, first)
    with pytest.raises(SteerbenchError, match="no proposal 7"):
        canvas.take(7)


def test_going_on_with_what_was_filled(canvas) -> None:
    canvas.paint([(8, 8)])
    assert canvas._tools.keep.disabled
    once = fill(canvas).picture
    canvas._tools.keep.click()
    assert not canvas.mask.any()
    assert torch.equal(canvas.picture, once)
    canvas.paint([(2, 2)])
    mask = canvas.mask
    fill(canvas)
    assert torch.equal(outside(canvas.picture, mask), outside(once, mask))


def test_the_picture_follows_the_search_and_stop_keeps_the_best(canvas) -> None:
    canvas._tools.steps.value = 600
    canvas.paint([(8, 8)])
    before, seen, third = canvas._picture.data, [], threading.Event()
    watch = canvas._watch

    def look(order, step, finished) -> None:
        watch(order, step, finished)
        seen.append(canvas._picture.data)
        if step == 3:
            third.set()

    canvas._watch = look
    canvas.fill()
    assert third.wait(WAIT)
    assert not canvas._tools.stop.disabled
    canvas._tools.stop.click()
    assert canvas.wait(WAIT)
    assert len(seen) < 600
    assert len({*seen, before}) > 2
    assert canvas.found.ended == "stopped"
    assert "stopped" in canvas._tools.status.value
    assert canvas._tools.stop.disabled


def test_paint_during_a_search_ends_it_and_stays(canvas) -> None:
    canvas._tools.steps.value = 600
    canvas.paint([(8, 8)])
    begun, watch = threading.Event(), canvas._watch

    def look(*given) -> None:
        watch(*given)
        begun.set()

    canvas._watch = look
    canvas.fill()
    assert begun.wait(WAIT)
    drag(canvas, (3, 3))
    assert canvas.wait(WAIT)
    assert canvas.found is None, "it was for another mask"
    assert canvas.mask[3, 3]
    assert canvas.mask[8, 8]
    assert np.array_equal(shown(canvas), to_uint8(canvas.picture)[0])


def test_the_same_seed_fills_the_same(toy_generator) -> None:
    results = []
    for _ in range(2):
        widget = InpaintCanvas(toy_generator, seed=9, n_steps=10, n_proposals=3)
        widget.paint([(8, 8)])
        results.append(fill(widget).found.proposals)
    assert torch.equal(*results)


@pytest.mark.parametrize("invert", [False, True])
def test_a_mask_of_nothing_or_everything_is_refused(canvas, invert: bool) -> None:
    if invert:
        canvas.invert()
    mask, before = canvas.mask, canvas.picture
    canvas._tools.fill.click()
    assert "covers everything" in canvas.error if invert else "covers nothing" in canvas.error
    assert canvas.wait(0)
    assert np.array_equal(canvas.mask, mask)
    assert torch.equal(canvas.picture, before)


class Words:
    """A CLIP of one number: how bright a picture is."""

    def encode_image(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None]

    def encode_text(self, texts) -> Tensor:
        return torch.ones(len(texts), 1)

    def remarks(self, text: str) -> tuple[str, ...]:
        return ("It never saw 'dragon'.",) if "dragon" in text else ()


def test_a_prompt_and_words_that_are_not_known(toy_generator) -> None:
    widget = InpaintCanvas(toy_generator, seed=4, n_steps=10, clip=Words(), prompt="a lamp")
    widget.paint([(8, 8)])
    fill(widget)
    assert widget.found.provenance.hyperparameters["prompt"] == "a lamp"
    widget._tools.prompt.value = "a dragon"
    widget.fill()
    assert widget.wait(WAIT)
    assert "dragon" in widget.error
    assert widget.found is not None, "the rest of the prompt counts"


def test_a_prompt_that_cannot_be_read_is_told_and_the_mask_stays(toy_generator) -> None:
    class Mute(Words):
        def encode_text(self, texts) -> Tensor:
            raise SteerbenchError("Nothing in it is known.")

    widget = InpaintCanvas(toy_generator, n_steps=10, clip=Mute(), prompt="xyzzy")
    widget.paint([(8, 8)])
    widget.fill()
    assert widget.wait(WAIT)
    assert "Nothing in it is known" in widget.error
    assert widget.mask[8, 8]
    assert widget._tools.stop.disabled


def test_photographs_by_upload_cropped_or_whole(canvas) -> None:
    canvas.paint([(8, 8)])
    mask, photo = canvas.mask, np.zeros((16, 48, 3), np.uint8)
    photo[:, 16:32] = 255
    upload(canvas, png(photo))
    assert canvas.error == ""
    assert canvas.latent is None
    assert canvas.picture.min() > 0.99, "the middle is white"
    canvas._tools.crop.value = "none"
    assert canvas.picture[..., 0].max() < -0.99
    assert np.array_equal(canvas.mask, mask), "the paint stays"
    assert fill(canvas).latent is not None
    canvas.undo()
    canvas.undo()
    canvas.undo()
    assert canvas.latent is not None, "and undo brings the sample back"


def gif() -> bytes:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "empty"),
        (lambda: b"not a picture", "not a picture"),
        (lambda: png(np.zeros((30, 30, 3), np.uint8))[:40], ""),
        (lambda: png(np.zeros((2, 20_000, 3), np.uint8)), "20000|20,000"),
        (gif, "animat"),
    ],
    ids=["empty", "text", "cut", "wide", "animated"],
)
def test_a_bad_upload_is_told_and_nothing_is_lost(canvas, content, message) -> None:
    canvas.paint([(8, 8)])
    mask, before = canvas.mask, canvas.picture
    upload(canvas, content())
    assert canvas.error
    assert Match(message) == canvas.error
    assert np.array_equal(canvas.mask, mask)
    assert torch.equal(canvas.picture, before)
    assert fill(canvas).found is not None


class Match:
    """Equal to any text in which a pattern is found."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, text: object) -> bool:
        import re

        return isinstance(text, str) and re.search(self.pattern, text) is not None


def test_samples_and_pictures_of_ones_own(canvas, toy_generator) -> None:
    canvas._tools.seed.value = 77
    expected = toy_generator.render(toy_generator.sample(1, seed=77)).clamp(-1, 1)
    torch.testing.assert_close(canvas.picture, expected, atol=0.1, rtol=0)  # half precision
    canvas.load(torch.zeros(1, 3, 16, 16))
    assert not canvas.picture.any()
    own = InpaintCanvas(toy_generator, np.full((40, 30), 255, np.uint8))
    assert own.picture.min() > 0.999


def test_the_code_is_kept_and_the_picture_exported(canvas, toy_generator, tmp_path) -> None:
    canvas.paint([(8, 8)])
    fill(canvas)
    canvas._save.path.value = str(tmp_path / "window")
    recipe = Recipe.load(canvas._save.save())
    torch.testing.assert_close(recipe.start.data, canvas.latent.data)
    path = canvas._save.export()
    assert path == tmp_path / "window.png"
    assert np.array_equal(np.asarray(Image.open(path)), to_uint8(canvas.picture)[0])
    canvas.load(torch.zeros(1, 3, 16, 16))
    assert canvas._save.save() is None
    assert "no code to keep" in canvas.error
    assert canvas._save.export() == tmp_path / "window-2.png"


def test_a_browser_that_comes_later_gets_the_paint(canvas, monkeypatch) -> None:
    canvas.paint([(8, 8)])
    sent: list[np.ndarray] = []
    monkeypatch.setattr(canvas._canvas, "put_image_data", lambda sheet: sent.append(sheet))
    canvas._canvas._handle_frontend_event(canvas._canvas, {"event": "client_ready"}, [])
    canvas._tools.shown.value = False
    assert sent[0][8, 8, 3] > 0
    assert not sent[1].any()


def test_what_was_filled_is_outlined_only() -> None:
    work = Work(torch.zeros(1, 3, 8, 8), box((8, 8), (2, 2), (6, 6)))
    assert overlay(work)[..., 3].astype(bool).sum() == 16
    sheet = overlay(work.fill("found"))[..., 3].astype(bool)  # type: ignore[arg-type]
    assert not sheet[2:6, 2:6].any()
    assert sheet.sum() == 36 - 16


def test_a_mask_that_is_smaller_than_the_picture() -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(resize_mask(mask, (4, 6)), mask.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(resize_mask(resize_mask(mask, (8, 12)), (2, 3)), mask)


def test_moving_without_pressing_paints_nothing(canvas) -> None:
    send(canvas, "move", 3, 3)
    assert not canvas.mask.any()


def test_a_mouse_that_is_nowhere_says_so_and_loses_nothing(canvas) -> None:
    send(canvas, "down", 8, 8)
    send(canvas, "move", float("nan"), 8)
    assert "nowhere" in canvas.error
    send(canvas, "move", 10, 8)
    send(canvas, "up", 10, 8)
    assert canvas.mask[8, 10]


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
    ],
)
def test_strokes_that_make_no_sense_leave_the_mask(canvas, where, error, message) -> None:
    canvas.paint([(8, 8)])
    before = canvas.history.present
    with pytest.raises(error, match=message):
        canvas.paint(where)
    assert canvas.history.present is before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sede": 1}, SteerbenchError, "Did you mean 'seed'"),
        ({"brush": -1}, SteerbenchError, "above 0"),
        ({"n_proposals": 9}, SteerbenchError, "from 1 to 4"),
        ({"n_steps": 1}, SteerbenchError, "from 10 to 600"),
        ({"feather": -2}, SteerbenchError, "from 0 up"),
        ({"size": 3}, SteerbenchError, "from 32 to 2048"),
        ({"image": b""}, ImageError, "empty"),
        ({"image": Path("no-such.png")}, NotFoundError, "no file"),
        ({"image": torch.zeros(3)}, ShapeError, "3"),
    ],
)
def test_wrong_arguments(toy_generator, options, error, message) -> None:
    with pytest.raises(error, match=message):
        InpaintCanvas(toy_generator, **options)


def test_nothing_is_printed_and_nothing_displayed(canvas, capsys) -> None:
    drag(canvas, (3, 3), (9, 9))
    fill(canvas)
    canvas.undo()
    assert "InpaintCanvas" in repr(canvas)
    assert capsys.readouterr() == ("", "")
