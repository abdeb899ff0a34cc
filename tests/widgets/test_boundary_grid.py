"""The comparison grid without a browser: cells, scores, differences, exports, mistakes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from steerbench.errors import SpaceError, SteerbenchError
from steerbench.predictors import predictor
from steerbench.unsupervised.sefa import SeFa
from steerbench.widgets import BoundaryGrid
from steerbench.widgets.boundary_grid import LEFT, TOP


@pytest.fixture
def directions(toy_generator):
    return SeFa(3).fit(toy_generator).directions_


@pytest.fixture
def grid(toy_generator, directions, tmp_path, monkeypatch) -> BoundaryGrid:
    monkeypatch.chdir(tmp_path)
    brightness = predictor(lambda x: x.mean(dim=(1, 2, 3))[:, None], names=["brightness"])
    return BoundaryGrid(
        toy_generator, directions, alphas=(-2, 0, 2), n_samples=2, tile=24, predictor=brightness
    )


def test_cells_are_the_edits_that_they_name(toy_generator, directions, grid) -> None:
    assert grid.cells == (2, 3)
    for row in range(2):
        for column, alpha in enumerate((-2, 0, 2)):
            start = toy_generator.sample(1, seed=row)
            with torch.no_grad():
                picture = toy_generator.render(start, edits=[alpha * directions[0]])
            assert grid.scores[row, column] == pytest.approx(
                float(picture.clamp(-1, 1).mean()), abs=1e-5
            )


def test_rows_can_be_directions_on_one_picture(grid) -> None:
    before = grid.picture
    grid.rows = "directions"
    assert grid.cells == (3, 3)
    assert grid.titles == ["SeFa 1", "SeFa 2", "SeFa 3"]
    assert np.ptp(grid.scores[:, 1]) < 1e-6, "strength 0 is the same picture in every row"
    assert grid.picture != before


def test_differences_are_none_where_nothing_moved(grid) -> None:
    shown = Image.open(io.BytesIO(grid._picture.original_data))
    changes = np.asarray(shown.convert("RGB")).astype(int)
    middle = changes[TOP + 2 : TOP + 20, LEFT + 26 : LEFT + 46]
    assert middle.mean() <= 2, "what JPEG leaves"
    assert changes[TOP + 2 : TOP + 20, LEFT + 2 : LEFT + 22].mean() > 8


def test_it_is_exported_as_a_picture_and_as_films(grid, tmp_path) -> None:
    png = grid.export()
    assert Image.open(png).size == (LEFT + 3 * 24, TOP + 2 * (24 + 16))
    gif = grid.film(".gif")
    film = Image.open(gif)
    assert film.n_frames > 20
    assert film.size == (48, 24)
    assert grid.film(".mp4").stat().st_size > 500
    assert grid.export() != png


def test_a_predictor_that_returns_nan_leaves_the_grid_as_it_was(toy_generator, directions) -> None:
    class Broken:
        names = ("a",)

        def predict(self, images):
            return torch.full((len(images), 1), float("nan"))

    grid = BoundaryGrid(toy_generator, directions, n_samples=1, tile=24, predictor=Broken())
    assert "NaN" in grid.notice.error


@pytest.mark.parametrize(
    "wrong",
    [
        {"strenghts": (1,)},
        {"strengths": ()},
        {"strengths": (float("nan"),)},
        {"count": 0},
        {"rows": "columns"},
        {"attribute": "lamp"},
    ],
)
def test_wrong_arguments_are_explained(toy_generator, directions, wrong) -> None:
    with pytest.raises(SteerbenchError):
        BoundaryGrid(toy_generator, directions, **wrong)


def test_directions_of_another_generator_are_refused(other_toy_generator, directions) -> None:
    with pytest.raises(SpaceError):
        BoundaryGrid(other_toy_generator, directions)
