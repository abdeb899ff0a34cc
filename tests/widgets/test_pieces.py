"""The pieces that components share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steerbench.errors import FileError, ImageError, ShapeError, SteerbenchError
from steerbench.types import format_layers, parse_layers
from steerbench.widgets import Flipbook, History, Notice, Picture
from steerbench.widgets.save_row import free


@given(st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["undo", "redo"]))))
def test_history_is_a_line_with_a_place_on_it(actions) -> None:
    history, line, place = History(0), [0], 0
    for action in actions:
        if action == "undo":
            history.undo()
            place = max(0, place - 1)
        elif action == "redo":
            history.redo()
            place = min(len(line) - 1, place + 1)
        else:
            history.push(action)
            if action != line[place]:
                line, place = [*line[: place + 1], action], place + 1
        assert history.present == line[place]
        assert history.can_undo == (place > 0)
        assert history.can_redo == (place < len(line) - 1)


def test_a_pause_ends_a_drag() -> None:
    now = [0.0]
    history = History(0, clock=lambda: now[0])
    for time, value in ((0.0, 1), (0.5, 2), (3.0, 3), (3.1, 4)):
        now[0] = time
        history.push(value, what="slider")
    assert history.undo() == 2
    assert history.undo() == 0


def test_slow_drawing_does_not_cut_a_drag() -> None:
    now = [0.0]
    history = History(0, clock=lambda: now[0])
    for value in (1, 2, 3):
        history.push(value, what="slider")
        now[0] += 5.0
        history.rest()
    assert history.undo() == 0


def test_undo_begins_a_new_step() -> None:
    history = History(0, clock=lambda: 0.0)
    history.push(1, what="slider")
    history.push(2, what="other")
    history.undo()
    history.push(3, what="slider")
    assert history.undo() == 1


def test_a_bug_is_shown_and_goes_on_to_the_log() -> None:
    notice = Notice()
    with pytest.raises(ZeroDivisionError), notice.guard():
        raise ZeroDivisionError("division by zero")
    assert "ZeroDivisionError" in notice.error
    notice.tell("done")
    assert (notice.error, notice.note) == ("", "done")
    notice.clear()
    assert notice.layout.display == "none"


def test_small_pictures_lose_nothing_and_large_ones_are_quick() -> None:
    picture = Picture(100)
    picture.show(torch.zeros(1, 3, 64, 64))
    assert picture.data.startswith(b"\x89PNG")
    picture.show_original(torch.zeros(1, 3, 256, 256))
    assert picture.original_data.startswith(b"\xff\xd8")
    with pytest.raises(ImageError):
        picture.show(torch.full((1, 3, 8, 8), float("nan")))
    assert picture.data.startswith(b"\x89PNG")


@given(st.sets(st.integers(0, 17), min_size=1))
def test_written_layers_are_read_back(layers) -> None:
    rows = tuple(sorted(layers))
    assert parse_layers(format_layers(rows), 18) == rows


def test_a_free_name(tmp_path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a-2.png").touch()
    assert free(str(tmp_path / "a.png"), (".png",)).name == "a-3"
    assert free(str(tmp_path / "a"), (".json",)).name == "a"
    assert free(str(tmp_path / "v1.5"), (".json",)).name == "v1.5"
    with pytest.raises(FileError, match="no file name"):
        free(" ", (".png",))


def test_a_flipbook_shows_the_page_that_the_slider_is_at() -> None:
    pages = torch.linspace(-1, 1, 4)[:, None, None, None].expand(4, 3, 16, 16)
    book, alone = Flipbook(pages, captions=["a", "b", "<c>", "d"]), Picture()
    controls = book.children[2].children
    controls[1].value = 2
    alone.show(pages[2])
    assert book.children[1].data == alone.data
    assert (book.caption, book.children[3].value) == ("<c>", "&lt;c&gt;")
    book.page = 0
    assert book.children[1].data == book.children[1].original_data
    assert controls[0].max == controls[1].max == 3


def test_a_flipbook_refuses_pages_and_captions_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="2 captions for 4 pages"):
        Flipbook(torch.zeros(4, 3, 8, 8), captions=["a", "b"])
    with pytest.raises(ShapeError):
        Flipbook([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)])
    with pytest.raises(SteerbenchError, match="0 to 3"):
        Flipbook(torch.zeros(4, 3, 8, 8)).page = 4
