"""The wall of pictures without a browser: clicks, keys, asking, sliders, files."""

from __future__ import annotations

import numpy as np
import pytest

from steerbench.errors import SteerbenchError
from steerbench.types import Direction
from steerbench.widgets import DirectionLabeller


@pytest.fixture
def labeller(toy_generator) -> DirectionLabeller:
    return DirectionLabeller(toy_generator, columns=4, rows=3, tile=32)


def click(labeller: DirectionLabeller, place: int) -> None:
    down, right = divmod(place, 4)
    labeller._click(right * 32 + 5, down * 32 + 5)


def test_a_click_says_yes_then_no_then_nothing(labeller) -> None:
    for expected in ({5: True}, {5: False}, {}):
        click(labeller, 5)
        assert labeller.labels == expected
    labeller._click(-1, 5)
    labeller._click(5, 9999)
    assert labeller.labels == {}


def test_keys_walk_and_label(labeller) -> None:
    for key in ("ArrowRight", "ArrowDown", "y", "ArrowLeft", "n", "ArrowUp", "ArrowUp", " "):
        labeller._key(key)
    assert labeller.labels == {5: True, 4: False}


def test_frames_show_what_was_said(labeller) -> None:
    before = labeller._sheet().copy()
    click(labeller, 1)
    changed = np.argwhere((labeller._sheet() != before).any(axis=2))
    assert changed[:, 0].max() < 32
    assert changed[:, 1].min() >= 32
    assert changed[:, 1].max() < 64


def test_a_direction_appears_with_two_of_each_and_goes_with_them(labeller) -> None:
    for place in (0, 1, 2, 2, 3):
        click(labeller, place)
    assert labeller.direction is None
    assert labeller._try.disabled
    click(labeller, 3)
    assert isinstance(labeller.direction, Direction)
    assert labeller.evidence is not None
    assert "Not enough evidence" in labeller._said.value
    click(labeller, 3)
    assert labeller.direction is None


def test_asking_brings_unlabelled_pictures_and_labels_stay(labeller) -> None:
    labeller.label({0: True, 1: True, 2: False, 3: False})
    asked = labeller.ask()
    assert len(asked) == 12
    assert not set(asked) & set(labeller.labels)
    assert len(labeller.labels) == 4
    assert not set(labeller.others()) & set(asked)


def test_asking_too_early_says_what_to_do(labeller) -> None:
    shown = list(labeller.shown)
    labeller.ask()
    assert "two pictures of each kind" in labeller.notice.error
    assert labeller.shown == shown
    assert labeller.try_it() is None
    assert labeller.save() is None


def test_the_direction_goes_to_sliders_and_to_a_file(labeller, tmp_path, monkeypatch) -> None:
    labeller.label({0: True, 1: True, 2: False, 3: False})
    labeller._name.value = "left"
    sliders = labeller.try_it()
    assert sliders is not None
    assert sliders.directions[0].name == "left"
    monkeypatch.chdir(tmp_path)
    path = labeller.save()
    assert path is not None
    assert labeller.direction.cosine(Direction.load(path)) == pytest.approx(1)
    assert labeller.save() != path


@pytest.mark.parametrize("wrong", [{"collumns": 3}, {"columns": 0}, {"tile": 4}, {"seed": -1}])
def test_wrong_arguments_are_explained(toy_generator, wrong) -> None:
    with pytest.raises(SteerbenchError):
        DirectionLabeller(toy_generator, **wrong)


def test_every_drawing_names_its_canvas_for_browsers_that_come_later(labeller, monkeypatch) -> None:
    from ipycanvas import canvas as manager

    sent: list[list] = []
    monkeypatch.setattr(
        manager._CANVAS_MANAGER, "_send_custom", lambda command, buffers=(): sent.append(command)
    )
    for _ in range(2):
        labeller._draw()
    assert [message[0][0] for message in sent] == [manager.COMMANDS["switchCanvas"]] * 2
