"""The table of directions without a browser: rows, sliders, names, sorting, files, mistakes."""

from __future__ import annotations

import pandas as pd
import pytest

import steerbench as sb
from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.unsupervised.sefa import SeFa
from steerbench.widgets import ScorecardTable
from steerbench.widgets.scorecard_columns import COLUMNS


def colours():
    return sb.predictor(lambda x: x.mean((2, 3)), names=["red", "green", "blue"])


@pytest.fixture(scope="module")
def card(toy_generator):
    directions = SeFa(3).fit(toy_generator).directions_
    return sb.scorecard(
        directions, toy_generator, colours(), n_samples=6, n_null=9, n_null_samples=4, alphas=(1,)
    )


@pytest.fixture
def table(toy_generator, card, tmp_path, monkeypatch) -> ScorecardTable:
    monkeypatch.chdir(tmp_path)
    return ScorecardTable(card, toy_generator, colours())


def test_a_row_opens_the_sliders_of_its_direction(table, card) -> None:
    assert table.sliders is None
    table._rows[1].children[0].click()
    assert [each.name for each in table.sliders.directions] == ["SeFa 2"]
    assert "sb-chosen" in table._rows[1]._dom_classes
    before = table.sliders.picture
    table.sliders.values = [2.0]
    assert table.sliders.picture != before
    table.select("SeFa 3")
    assert "sb-chosen" not in table._rows[1]._dom_classes
    assert table.sliders.directions[0].provenance.scores["share"] == card["share"].iloc[2]


def test_a_name_follows_from_the_sliders_and_from_the_program(table) -> None:
    table.select("SeFa 2")
    table.sliders._controls.rows[0].name.value = "warmth"
    assert table.order == ["SeFa 1", "warmth", "SeFa 3"]
    assert table._rows[1].children[0].description == "warmth"
    table.sliders.undo()
    assert table.order[1] == "SeFa 2"
    table.rename("SeFa 2", "light")
    assert table.sliders.directions[0].name == "light"
    table.rename("SeFa 1", "light")
    assert [each.name for each in table.directions] == ["light (2)", "light", "SeFa 3"]


@pytest.mark.parametrize("by", sorted(COLUMNS))
def test_every_column_sorts_both_ways(table, by) -> None:
    table._titles[by].click()
    falling = table.order
    assert table._titles[by].description.endswith("▾")
    table._titles[by].click()
    assert table._titles[by].description.endswith("▴")
    assert sorted(falling) == sorted(table.order)


def test_the_best_share_comes_first_and_names_from_a_to_z(table, card) -> None:
    table.sort("share")
    assert table.order == list(card.sort_values("share", ascending=False).index)
    table.sort("direction")
    assert table.order == ["SeFa 1", "SeFa 2", "SeFa 3"]
    table.select("SeFa 3")
    assert table.sliders.directions[0].name == "SeFa 3", "rows keep their direction when sorted"


def test_one_direction_or_all_are_saved_and_nothing_is_overwritten(table, tmp_path, card) -> None:
    assert table.save() is None
    assert "Click a row" in table.notice.error
    table.select("SeFa 1")
    table.rename("SeFa 1", "lamp on +, night -/?")
    path = table.save()
    assert path.name == "lamp on +, night -_.safetensors"
    kept = sb.Direction.load(path)
    assert kept.name == "lamp on +, night -/?"
    assert kept.provenance.scores["share"] == card["share"].iloc[0]
    assert table.save().name == "lamp on +, night -_-2.safetensors"
    table._path.value = str(tmp_path / "new" / "folder")
    folder = table.save_all()
    assert len(list(folder.glob("*.safetensors"))) == 3
    kept = pd.read_csv(folder / "scorecard.csv", index_col=0)
    assert kept.index.tolist() == ["lamp on +, night -/?", "SeFa 2", "SeFa 3"]


def test_a_folder_that_cannot_be_is_said(table, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    table._path.value = str(tmp_path / "file")
    assert table.save_all() is None
    assert "cannot be made" in table.notice.error
    table._path.value = " "
    assert table.save_all() is None
    assert "No folder" in table.notice.error


def test_names_are_suggested_with_what_stays_unclear(table) -> None:
    table.suggest()
    assert "of 3 directions are clear enough" in table.notice.note


def test_without_a_null_no_names_are_suggested(toy_generator) -> None:
    directions = SeFa(2).fit(toy_generator).directions_
    table = ScorecardTable(
        directions, toy_generator, colours(), n_samples=6, n_null=0, n_null_samples=4
    )
    table.suggest()
    assert "n_null=99" in table.notice.error


def test_bad_input_is_refused(toy_generator, card) -> None:
    directions = SeFa(2).fit(toy_generator).directions_
    with pytest.raises(SteerbenchError, match="Did you mean 'n_null'"):
        ScorecardTable(directions, toy_generator, colours(), nul=3)
    with pytest.raises(SteerbenchError, match="without a predictor"):
        ScorecardTable(directions, toy_generator)
    with pytest.raises(SteerbenchError, match="measured already"):
        ScorecardTable(card, toy_generator, colours(), n_samples=8)
    with pytest.raises(SteerbenchError, match="none was given"):
        ScorecardTable([], toy_generator, colours())
    table = ScorecardTable(card, toy_generator)
    with pytest.raises(NotFoundError, match="SeFa 1"):
        table.select("SeFa1")
    with pytest.raises(NotFoundError, match="share"):
        table.sort("shar")
    with pytest.raises(SteerbenchError, match="empty name"):
        table.rename("SeFa 1", " ")
