"""The prompt box without a browser: asking, stopping, warnings, history, sliders."""

from __future__ import annotations

import time

import pytest

from steerbench.embedding.styleclip import GlobalDirections
from steerbench.errors import SteerbenchError
from steerbench.widgets import PromptBox
from steerbench.widgets.prompt_words import completions, replace_word
from tests.embedding.planted import colour_clip, redness

PATIENCE = 120


@pytest.fixture(scope="module")
def clip():
    return colour_clip()


@pytest.fixture(scope="module")
def directions(toy_generator, clip):
    found = GlobalDirections(clip, "exact", n_samples=2, alpha=2.0)
    return found.fit(toy_generator, state="")


@pytest.fixture
def box(toy_generator, clip, directions) -> PromptBox:
    return PromptBox(
        toy_generator, clip, directions=directions, neutral="green", n_steps=4, mode="direction"
    )


@pytest.mark.parametrize("mode", ["direction", "optimise", "mapper"])
def test_a_prompt_changes_the_picture_and_is_a_recipe(
    box, toy_generator, monkeypatch, mode
) -> None:
    monkeypatch.setattr("steerbench.embedding.styleclip.target.layout_of", _layout)
    before = box.picture
    box.ask("red", mode=mode, n_steps=25 if mode == "mapper" else 6)
    assert box.wait(PATIENCE)
    assert box.error == ""
    assert box.picture != before
    start = toy_generator.render(toy_generator.sample(1, seed=0))
    assert redness(box.recipe.render(toy_generator)) > redness(start)
    assert len(box.attempts) == 1
    assert box.direction.provenance.hyperparameters["prompt"] == "red"


def _layout(generator):
    return lambda images: images.flatten(1)


def test_the_strength_and_the_threshold_redraw(box, toy_generator) -> None:
    box.ask("red")
    box.wait(PATIENCE)
    strong, many = box.picture, box._controls.status.value
    box._controls.strength.value = 0.5
    assert box.picture != strong
    assert box.alpha == 0.5
    box._controls.beta.value = 0.6
    assert box._controls.status.value != many
    box._controls.strength.value = 0.0
    assert box.picture == box._picture.original_data


def test_stopping_keeps_what_was_reached(box, monkeypatch) -> None:
    monkeypatch.setattr("steerbench.embedding.styleclip.target.layout_of", _layout)
    box.ask("red", mode="optimise", n_steps=100_000)
    until = time.monotonic() + 60
    while box.direction is None and time.monotonic() < until:
        time.sleep(0.05)
    box._controls.stop.click()
    assert box.wait(1)
    assert box.direction is not None
    assert len(box.attempts) == 1
    assert box._controls.stop.disabled
    box.ask("blue", mode="direction")
    assert box.wait(PATIENCE)
    assert [wish.prompt for wish, *_ in box.attempts] == ["red", "blue"]


def test_a_mapper_stopped_between_two_pictures_is_remembered(box, monkeypatch) -> None:
    monkeypatch.setattr("steerbench.embedding.styleclip.target.layout_of", _layout)
    see = box._see

    def stop_after_a_sight_without_a_picture(now) -> None:
        see(now)
        if box.direction is not None and now.direction is None:
            box._worker.cancel()

    monkeypatch.setattr(box, "_see", stop_after_a_sight_without_a_picture)
    box.ask("red", mode="mapper", n_steps=25)
    assert box.wait(PATIENCE)
    assert box._controls.bar.value < 1
    assert len(box.attempts) == 1
    assert box.attempts[0][1] is box.direction


def test_a_walk_that_finds_nothing_says_so_and_forgets_the_last_one(box, monkeypatch) -> None:
    monkeypatch.setattr("steerbench.embedding.styleclip.target.layout_of", _layout)
    box.ask("red")
    assert box.wait(PATIENCE)
    monkeypatch.setattr("steerbench.inversion.engine.schedule", lambda *way: 0.0)
    box.ask("blue", mode="optimise")
    assert box.wait(PATIENCE)
    assert "No step came nearer to 'blue'" in box.error
    assert box.direction is None
    assert box.picture == box._picture.original_data
    assert [wish.prompt for wish, *_ in box.attempts] == ["red"]


def test_a_new_seed_starts_over_and_ends_what_is_under_way(box, monkeypatch) -> None:
    monkeypatch.setattr("steerbench.embedding.styleclip.target.layout_of", _layout)
    box.ask("red", mode="optimise", n_steps=100_000)
    box._controls.seed.value = 5
    assert box.wait(1)
    assert box.direction is None
    assert box.picture == box._picture.original_data
    assert box.recipe.edits == ()


def test_the_history_brings_back_picture_and_words(box) -> None:
    for prompt in ("red", "blue"):
        box.ask(prompt)
        box.wait(PATIENCE)
    blue = box.picture
    box._controls.seed.value = 9
    box._controls.history.value = 0
    assert box._controls.prompt.value == "red"
    assert box._controls.seed.value == 0
    box._controls.history.value = 1
    assert box.picture == blue


def test_keeping_puts_directions_on_sliders(box) -> None:
    assert box.keep() is None
    assert "Type a prompt" in box.error
    for prompt in ("red", "blue"):
        box.ask(prompt)
        box.wait(PATIENCE)
        box.keep()
    assert [each.name for each in box.sliders.directions] == ["red", "blue"]


def test_words_outside_the_vocabulary_are_named_and_the_rest_is_done(box) -> None:
    before = box.picture
    box.ask("red dragon")
    box.wait(PATIENCE)
    assert "'dragon'" in box.error
    assert box.picture != before
    box.ask("red " * 500)
    box.wait(PATIENCE)
    assert "do not count" in box.error


@pytest.mark.parametrize("text", ["", "   ", "dragon"])
def test_prompts_that_say_nothing_change_nothing(box, text) -> None:
    before = box.picture
    box.ask(text)
    assert box.wait(PATIENCE)
    assert box.error
    assert box.picture == before
    assert box.direction is None


def test_suggestions_follow_what_is_typed(box) -> None:
    box._controls.prompt.value = "red gre"
    assert box._words.offered == ["grey", "green"]
    box._words._buttons[1].click()
    assert box._controls.prompt.value == "red green "
    box._controls.prompt.value = "dragon "
    assert "'dragon'" in box.error
    box._controls.prompt.value = "red"
    assert box.error == ""


def test_completions_are_words_that_are_known() -> None:
    known = ("lamp", "lamplit", "light")
    assert completions("a la", known) == ["lamp", "lamplit"]
    assert completions("lamp", known) == ["lamplit"]
    assert completions("light", known) == []
    assert completions("", known) == []
    assert completions("xyz", ()) == []
    assert replace_word("a la", "lamp") == "a lamp "


def test_unknown_arguments_and_modes_are_refused(toy_generator, clip, directions, box) -> None:
    with pytest.raises(SteerbenchError, match="Did you mean 'seed'"):
        PromptBox(toy_generator, clip, directions=directions, sede=1)
    with pytest.raises(SteerbenchError, match="mode"):
        PromptBox(toy_generator, clip, directions=directions, mode="magic")
    with pytest.raises(SteerbenchError, match="mode"):
        box.ask("red", mode="magic")
