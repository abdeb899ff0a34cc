"""Committed tables: each has its study, and knows on what it was measured and when it is stale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from steerbench import studies
from steerbench.cards import list_assets
from steerbench.errors import (
    CheckpointError,
    MissingFileError,
    NotFoundError,
    SteerbenchError,
)
from steerbench.leaderboard import markdown
from steerbench.studies import STUDIES, Study, tables
from steerbench.studies.__main__ import app

ROOT = Path(__file__).parents[2]
MODELS = {"judge": "rooms-attributes-2", "generator": "rooms-dcgan"}


def test_every_table_has_its_study_and_every_study_its_table() -> None:
    assert tables.names(tables.results()) == sorted(STUDIES)
    assert sorted(tables.records_of(tables.results())) == sorted(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_names_models_that_there_are(name: str) -> None:
    study, record = STUDIES[name], tables.records_of(tables.results())[name]
    assert set(study.models.values()) <= set(list_assets())
    assert study.models or study.beyond
    assert {role: m["name"] for role, m in record["models"].items()} == dict(study.models)
    together = [other for other in STUDIES.values() if other.measure == study.measure]
    assert all(other.models == study.models for other in together)


def test_the_readme_shows_the_leaderboard_that_is_committed() -> None:
    assert markdown(studies.table("10-leaderboard")) in (ROOT / "README.md").read_text()


class Fake:
    """A study that counts its calls and writes a row a call, as a broken-off one would."""

    def __init__(self, name: str, rows: int = 1) -> None:
        self.name, self.rows, self.calls = name, rows, 0

    def measure(self, out: Path, models: Mapping[str, str]) -> None:
        self.calls += 1
        path = out / f"{self.name}.csv"
        known = pd.read_csv(path)["row"].tolist() if path.is_file() else []
        known.append(self.calls)
        tables.write(pd.DataFrame({"row": known}), path)
        if len(known) < self.rows:
            raise KeyboardInterrupt


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Fake]:
    """Three studies, of which two were measured, in a folder of their own."""
    found = {name: Fake(name) for name in ("01-old", "01-new", "01-never")}
    lines = {name: Study(fake.measure, MODELS) for name, fake in found.items()}
    monkeypatch.setattr(studies, "STUDIES", lines)
    monkeypatch.setattr(tables, "results", lambda: tmp_path / "results")
    studies.measure(["01-old", "01-new"], work=tmp_path / "work")
    return found


def exchange(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Give a model other weights."""
    known = tables._fingerprint
    monkeypatch.setattr(
        tables, "_fingerprint", lambda name: "f" * 16 if name == model else known(name)
    )


def test_a_measurement_is_put_into_its_place_with_what_it_was_measured_on(
    fakes: dict[str, Fake], tmp_path: Path
) -> None:
    record = tables.records_of(tmp_path / "results")["01-old"]
    judge = list_assets()["rooms-attributes-2"].fingerprint
    assert record["models"]["judge"]["fingerprint"] == judge
    assert record["command"] == "python -m steerbench.studies measure 01-old"
    assert not list((tmp_path / "work").iterdir())
    assert studies.stale() == {"01-never": "it was never measured"}
    assert studies.table("01-old")["row"].tolist() == [1]


def test_other_weights_make_a_table_stale_and_it_says_which(
    fakes: dict[str, Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    was = list_assets()["rooms-dcgan"].fingerprint
    exchange(monkeypatch, "rooms-dcgan")
    reason = f"the generator rooms-dcgan was {was}, and is {'f' * 16}"
    assert studies.stale()["01-old"] == reason
    listed = CliRunner().invoke(app, ["list"]).output
    assert f"01-old: STALE: {reason}" in listed
    assert len(studies.table("01-old")) == 1
    assert capsys.readouterr().out == f"Note: the table 01-old is stale: {reason}.\n"


def test_only_what_is_stale_is_measured_again(
    fakes: dict[str, Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = dict(studies.STUDIES)
    lines["01-new"] = Study(fakes["01-new"].measure, {"judge": "rooms-attributes-2"})
    monkeypatch.setattr(studies, "STUDIES", lines)
    exchange(monkeypatch, "rooms-dcgan")
    done = CliRunner().invoke(app, ["measure", "--stale", "--work", str(tmp_path / "work")])
    assert done.output == "Measured: 01-old, 01-never\n"
    assert {name: fake.calls for name, fake in fakes.items()} == {
        "01-old": 2,
        "01-new": 1,
        "01-never": 1,
    }
    assert studies.stale() == {}
    done = CliRunner().invoke(app, ["measure", "--stale"])
    assert done.output == "Nothing to measure.\n"


def test_a_broken_off_measurement_goes_on_unless_a_model_was_exchanged(
    fakes: dict[str, Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes["01-never"].rows = 3
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            studies.measure(["01-never"], work=tmp_path / "work")
    assert studies.stale() == {"01-never": "it was never measured"}
    studies.measure(["01-never"], work=tmp_path / "work")
    assert studies.table("01-never")["row"].tolist() == [1, 2, 3]
    assert "minutes" not in tables.records_of(tmp_path / "results")["01-never"]

    with pytest.raises(KeyboardInterrupt):
        studies.measure(["01-never"], work=tmp_path / "work")
    exchange(monkeypatch, "rooms-dcgan")
    fakes["01-never"].rows = 1
    studies.measure(["01-never"], work=tmp_path / "work")
    assert studies.table("01-never")["row"].tolist() == [5]


def test_tables_of_one_measurement_are_measured_once(
    fakes: dict[str, Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def both(out: Path, models: Mapping[str, str]) -> None:
        calls.append(models)
        for name in ("02-a", "02-b"):
            tables.write(pd.DataFrame({"row": [1]}), out / f"{name}.csv")

    lines = {name: Study(both, MODELS) for name in ("02-a", "02-b")}
    monkeypatch.setattr(studies, "STUDIES", lines)
    assert studies.measure(["02-a"], work=tmp_path / "work") == ["02-a", "02-b"]
    assert len(calls) == 1
    assert studies.stale() == {}


def test_a_table_that_was_exchanged_by_hand_is_noticed(
    fakes: dict[str, Fake], tmp_path: Path
) -> None:
    tables.write(pd.DataFrame({"row": [9]}), tmp_path / "results" / "01-old.csv")
    assert studies.stale()["01-old"] == "the file is not the one that was measured"


def test_a_study_of_other_models_makes_its_table_stale(
    fakes: dict[str, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"judge": "rooms-attributes", "clip": "rooms-clip"}
    monkeypatch.setitem(studies.STUDIES, "01-old", Study(fakes["01-old"].measure, models))
    assert studies.stale()["01-old"] == (
        "the judge was rooms-attributes-2, and is rooms-attributes; "
        "it was measured without the clip rooms-clip"
    )


def test_a_study_that_measures_otherwise_makes_its_table_stale(
    fakes: dict[str, Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(fakes["01-old"].measure, MODELS, revision=2)
    monkeypatch.setitem(studies.STUDIES, "01-old", study)
    reason = "it was measured by revision 1 of its study, which is 2 by now"
    assert studies.stale()["01-old"] == reason
    studies.measure(["01-old"], work=tmp_path / "work")
    assert "01-old" not in studies.stale()


def test_only_a_table_without_a_record_is_marked(fakes: dict[str, Fake], tmp_path: Path) -> None:
    with pytest.raises(SteerbenchError, match="recorded already"):
        studies.mark(["01-old"])
    with pytest.raises(MissingFileError, match="01-never"):
        studies.mark(["01-never"])
    (tmp_path / "results" / "provenance.json").unlink()
    assert studies.stale()["01-old"] == "nothing says on what it was measured"
    assert CliRunner().invoke(app, ["mark", "01-old"]).exit_code == 0
    assert "01-old" not in studies.stale()


def test_unknown_names_and_damaged_records_are_refused(
    fakes: dict[str, Fake], tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="Did you mean '01-old'"):
        studies.measure(["01-olt"])
    with pytest.raises(MissingFileError, match="01-old"):
        studies.table("01-olt")
    path = tmp_path / "results" / "provenance.json"
    for text in ("{", "[]", json.dumps({"01-old": {}})):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="is damaged"):
            studies.stale()
