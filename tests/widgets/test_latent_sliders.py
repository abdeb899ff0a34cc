"""LatentSliders without a browser: what programs see, undo, recipes, and every wrong word."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from steerbench import renderer
from steerbench.errors import SpaceError, SteerbenchError
from steerbench.generators import wrap
from steerbench.image import to_uint8
from steerbench.types import Direction, Recipe
from steerbench.unsupervised.sefa import SeFa
from steerbench.widgets import LatentSliders


@pytest.fixture
def directions(toy_generator) -> list[Direction]:
    return SeFa(3).fit(toy_generator).directions_


@pytest.fixture
def sliders(toy_generator, directions) -> LatentSliders:
    return LatentSliders(toy_generator, directions, seed=4)


def pixels(widget: LatentSliders) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(widget.picture))).astype(int)


def drawn(generator, recipe: Recipe) -> np.ndarray:
    return to_uint8(recipe.render(generator))[0].astype(int)


def rows(widget: LatentSliders):
    return widget._controls.rows


def test_the_picture_is_the_recipe(toy_generator, sliders) -> None:
    G = toy_generator
    assert sliders.recipe.edits == ()
    assert sliders.recipe.start.seed == 4
    first = sliders.picture
    sliders.values = [1.0, 0.0, -2.0]
    assert sliders.picture != first
    assert [move.alpha for move in sliders.recipe.edits] == [1.0, -2.0]
    assert np.abs(pixels(sliders) - drawn(G, sliders.recipe)).mean() <= 2
    rendered = G.render(sliders.latent)
    torch.testing.assert_close(rendered, sliders.recipe.render(G))


def test_reset_brings_the_same_bytes_back(sliders) -> None:
    first = sliders.picture
    sliders.values = [1.0, 0.5, -2.0]
    rows(sliders)[1].layers.value = "2-3"
    sliders._controls.seed.value = 77
    sliders._controls.truncation.value = 0.5
    rows(sliders)[0].name.value = "mood"
    sliders.reset()
    assert sliders.picture == first
    assert sliders.values == [0.0, 0.0, 0.0]
    assert sliders.directions[0].name == "mood", "a name is not lost"
    sliders.undo()
    assert sliders.values == [1.0, 0.5, -2.0], "a reset can be undone"


def test_every_change_can_be_undone_and_redone(sliders) -> None:
    seen = [sliders.picture]
    changes = [
        lambda: setattr(rows(sliders)[0].slider, "value", 1.0),
        lambda: setattr(sliders._controls.seed, "value", 9),
        lambda: setattr(sliders._controls.truncation, "value", 0.5),
        lambda: setattr(rows(sliders)[0].layers, "value", "0-1"),
        lambda: sliders._controls.random.click(),
    ]
    for change in changes:
        change()
        seen.append(sliders.picture)
    assert len(set(seen)) == len(seen)
    for expected in reversed(seen[:-1]):
        sliders.undo()
        assert sliders.picture == expected
    assert sliders._controls.undo.disabled
    for expected in seen[1:]:
        sliders.redo()
        assert sliders.picture == expected
    assert sliders._controls.redo.disabled


def test_a_drag_is_one_step(sliders) -> None:
    first = sliders.picture
    for value in (0.1, 0.5, 1.0, 1.5):
        rows(sliders)[0].slider.value = value
    rows(sliders)[1].slider.value = 1.0
    sliders.undo()
    assert sliders.values == [1.5, 0.0, 0.0]
    sliders.undo()
    assert sliders.picture == first


def test_names_and_layers_reach_directions_and_recipe(sliders) -> None:
    row = rows(sliders)[1]
    row.name.value = "night"
    row.layers.value = "0-2, 5"
    row.slider.value = 1.0
    direction = sliders.directions[1]
    assert (direction.name, direction.layers) == ("night", (0, 1, 2, 5))
    assert sliders.recipe.edits[0].rows == (0, 1, 2, 5)
    row.name.value = "  "
    assert sliders.directions[1].name == "night", "no name is no change"
    row.layers.value = "all"
    assert sliders.recipe.edits[0].rows is None


def test_layers_that_make_no_sense_leave_the_last_good_ones(sliders) -> None:
    row = rows(sliders)[0]
    row.slider.value = 1.0
    row.layers.value = "2-3"
    shown = sliders.picture
    row.layers.value = "2-<b>9</b>"
    assert "Layers were given as '2-<b>9</b>'" in sliders.error
    assert "<b>" not in sliders.notice.value, "what people type is not markup"
    assert sliders.picture == shown
    assert sliders.directions[0].layers == (2, 3)
    rows(sliders)[1].slider.value = 0.5
    assert sliders.error, "the text is still wrong"
    row.layers.value = "4"
    assert sliders.error == ""
    row.layers.value = "9-"
    sliders.reset()
    assert sliders.error == ""
    assert row.layers.value == "all"


def test_a_late_slider_walks_only_the_late_layers(sliders) -> None:
    row = rows(sliders)[0]
    row.layers.value = "5"
    row.slider.value = 1.0
    assert sliders.renderer.last_start == len(sliders.generator.layers) - 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, None], ids=["bfloat16", "float32"])
def test_it_draws_in_what_was_measured_to_be_fastest(
    toy_generator, directions, monkeypatch, dtype
) -> None:
    monkeypatch.setattr(renderer, "_FASTEST", renderer.WeakKeyDictionary())
    monkeypatch.setattr(renderer, "fastest_dtype", lambda generator: dtype)
    drawn_in: list[torch.dtype] = []
    layer = type(toy_generator).layer

    def noted(self, state):
        drawn_in.append(state.x.dtype)
        return layer(self, state)

    monkeypatch.setattr(type(toy_generator), "layer", noted)
    LatentSliders(toy_generator, directions).values = [1.0, 0.0, -2.0]
    assert set(drawn_in) == {dtype or torch.float32}


def test_saving_and_exporting(toy_generator, sliders, tmp_path) -> None:
    sliders.values = [1.0, 0.0, 0.5]
    save = sliders._save
    save.path.value = str(tmp_path / "evening.json")
    first, second = save.save(), save.save()
    assert [path.name for path in (first, second)] == ["evening.json", "evening-2.json"]
    assert Recipe.load(first).diff(sliders.recipe) == []
    exported = save.export()
    assert exported.name == "evening.png"
    expected = drawn(toy_generator, sliders.recipe)
    np.testing.assert_array_equal(np.asarray(Image.open(exported)), expected)
    assert "evening.png" in sliders.notice.note


@pytest.mark.parametrize("text", ["", "  ", "no/such/folder/x", "/proc/version/x"])
def test_a_place_that_cannot_be_written_is_named(sliders, text) -> None:
    sliders.values = [1.0, 0.0, 0.0]
    before = sliders.picture
    sliders._save.path.value = text
    for write in (sliders._save.save, sliders._save.export):
        assert write() is None
        assert sliders.error
    assert sliders.picture == before
    assert sliders.values == [1.0, 0.0, 0.0]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder(sliders, tmp_path) -> None:
    tmp_path.chmod(0o500)
    sliders._save.path.value = str(tmp_path / "evening")
    assert sliders._save.export() is None
    assert str(tmp_path) in sliders.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sede": 1}, "Did you mean 'seed'"),
        ({"truncation": 2.0}, "from 0 to 1"),
        ({"alpha_range": 0}, "above 0"),
        ({"size": "big"}, "from 32 to 2048"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_wrong_arguments(toy_generator, directions, options, message) -> None:
    with pytest.raises(SteerbenchError, match=message):
        LatentSliders(toy_generator, directions, **options)


def test_wrong_directions(toy_generator, other_toy_generator, directions) -> None:
    with pytest.raises(SteerbenchError, match="none was given"):
        LatentSliders(toy_generator, [])
    with pytest.raises(SteerbenchError, match="a str was given"):
        LatentSliders(toy_generator, ["smile"])
    with pytest.raises(SpaceError, match="was found in generator"):
        LatentSliders(other_toy_generator, directions)
    with pytest.raises(SteerbenchError, match="2 values were given for 3 sliders"):
        LatentSliders(toy_generator, directions).values = [1, 2]
    with pytest.raises(SteerbenchError, match="larger alpha_range"):
        LatentSliders(toy_generator, directions).values = [1, 2, 30]


def test_a_wrapped_module_has_no_layers_to_choose_and_no_truncation() -> None:
    torch.manual_seed(0)
    G = wrap(nn.Sequential(nn.ConvTranspose2d(8, 3, 4), nn.Tanh()), latent_shape=(8, 1, 1))
    sliders = LatentSliders(G, SeFa(2).fit(G).directions_)
    assert sliders._controls.truncation.disabled
    assert rows(sliders)[0].layers.disabled
    first = sliders.picture
    sliders.values = [2.0, 0.0]
    assert sliders.picture != first
    with pytest.raises(SteerbenchError, match="Leave truncation at 1"):
        LatentSliders(G, SeFa(2).fit(G).directions_, truncation=0.5)


def test_directions_of_several_spaces_together(toy_generator, directions) -> None:
    G = toy_generator
    z = Direction("z", "z", torch.ones(16), generator=G.fingerprint)
    s = Direction("s", "s", torch.ones(G.spaces["s"].shape), scale=0.1, generator=G.fingerprint)
    sliders = LatentSliders(G, [s, directions[0], z])
    sliders.values = [1.0, 1.0, 1.0]
    assert sliders.error == ""
    assert [move.direction.space for move in sliders.recipe.edits] == ["z", "w", "s"]
    assert np.abs(pixels(sliders) - drawn(G, sliders.recipe)).mean() <= 2


class Brightness:
    """A predictor for the test."""

    names = ("bright<ness>",)

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]


def test_scores_follow_the_picture(toy_generator, directions) -> None:
    sliders = LatentSliders(toy_generator, directions, predictor=Brightness())
    before = sliders._scores.value
    assert "bright&lt;ness&gt;" in before
    assert "+0.00" in before
    sliders.values = [3.0, 3.0, 3.0]
    assert sliders._scores.value != before


def test_a_predictor_that_is_none_says_so(toy_generator, directions) -> None:
    class Wrong(Brightness):
        def predict(self, images: torch.Tensor) -> torch.Tensor:
            return images

    sliders = LatentSliders(toy_generator, directions, predictor=Wrong())
    assert "not a segmenter" in sliders.error


def test_nothing_is_printed_and_nothing_displayed(sliders, capsys) -> None:
    rows(sliders)[0].layers.value = "x"
    sliders.values = [1.0, 0.0, 0.0]
    assert capsys.readouterr() == ("", "")
