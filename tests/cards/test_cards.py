"""Cards: each asset has one that describes these weights, and new weights leave it behind."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import steerbench as sb
from steerbench import cards
from steerbench.cards.__main__ import app
from steerbench.cards.text import precision_note
from steerbench.errors import ArgumentError, NotFoundError
from steerbench.generators import save
from tests.conftest import make_toy

ASSETS = cards.list_assets()


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_has_a_card_that_describes_it(name: str) -> None:
    asset = ASSETS[name]
    assert asset.staleness() == ""
    text = asset.card.read_text(encoding="utf-8")
    assert text.startswith(f"# {asset.path.stem}\n")
    size = re.search(r"^- \*\*file\*\*: `(.+)`, ([\d.]+) MB$", text, re.MULTILINE)
    assert size is not None
    assert (size[1], float(size[2])) == (asset.path.name, asset.megabytes)
    assert "**licence**" in text


def test_fingerprints_are_those_of_the_models() -> None:
    assert ASSETS["rooms"].fingerprint == sb.load("rooms").fingerprint
    assert ASSETS["rooms-watermarked"].fingerprint == sb.load("rooms-watermarked").fingerprint
    assert ASSETS["rooms-clip"].fingerprint == sb.clip("rooms-clip").fingerprint
    assert ASSETS["rooms-encoder"].header["config"]["generator"] == ASSETS["rooms"].fingerprint


def test_everything_that_ships_is_named_as_it_is_loaded() -> None:
    kinds = {"generator", "watermarked", "attributes", "segmentation", "clip", "encoder"}
    assert {asset.kind for asset in ASSETS.values()} == kinds | {"channels"}
    assert cards.find("rooms-clip-2").path.name == "rooms-clip-2.safetensors"
    with pytest.raises(NotFoundError, match="Did you mean 'rooms-clip'"):
        cards.find("rooms-clop")


def test_other_weights_leave_a_card_behind(tmp_path: Path) -> None:
    toy = tmp_path / "toy.safetensors"
    save(make_toy(0), toy)
    asset = cards.Asset(toy)
    assert cards.stale(tmp_path) == {"toy": "it has no card"}
    asset.card.write_text("# toy\n")
    assert asset.staleness() == "its card names no fingerprint"
    asset.card.write_text(f"# toy\n\n- **fingerprint**: `{asset.fingerprint}`\n")
    assert cards.stale(tmp_path) == {}
    was = asset.fingerprint
    save(make_toy(1), toy)
    now = cards.Asset(toy).fingerprint
    assert cards.Asset(toy).staleness() == f"its card describes {was}, the file is now {now}"


def test_a_pair_of_segmenters_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["rooms-segmenter", "rooms-segmenter-2"]
    for name in names:
        shutil.copy(ASSETS[name].path, tmp_path)
    calls = []
    monkeypatch.setattr(cards.segmenters, "run", lambda paths, **_: calls.append(paths))
    paths = [tmp_path / f"{name}.safetensors" for name in names]
    assert sorted(cards.write(map(str, paths))) == names
    assert [sorted(pair) for pair in calls] == [sorted(paths)]
    (tmp_path / "rooms-segmenter-2.safetensors").unlink()
    with pytest.raises(ArgumentError, match="holds 1 segmenters"):
        cards.write([str(tmp_path / "rooms-segmenter.safetensors")])


def test_a_kind_that_is_not_measured_is_refused_before_anything_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "CARDS", {"generator": None})
    with pytest.raises(ArgumentError, match="of the kind 'channels'"):
        cards.write(["rooms", "rooms-clip-channels"])


def test_the_command_lists_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measure(asset: cards.Asset, how: cards.Measurement) -> list[str]:
        calls.append((asset.name, how.n_samples))
        return [asset.name]

    monkeypatch.setattr(cards, "CARDS", dict.fromkeys(cards.CARDS, measure))
    listed = CliRunner().invoke(app, []).output
    assert all(f"{asset.fingerprint}" in listed for asset in ASSETS.values())
    assert "STALE" not in listed
    done = CliRunner().invoke(app, ["rooms", "--n-samples", "64"])
    assert done.output == "Written: the cards of rooms\n"
    assert calls == [("rooms", 64)]
    reasons = {"rooms-clip": "other weights", "rooms-clip-channels": "other weights"}
    monkeypatch.setattr(cards, "stale", lambda: reasons)
    done = CliRunner().invoke(app, ["--stale"])
    assert done.output == "Written: the cards of rooms-clip\n"


def test_what_precision_is_worth_depends_on_what_helped_to_train() -> None:
    flattered = precision_note({"judge": "rooms-attributes"}, "rooms-attributes-2")
    assert "`rooms-attributes-2` learned the same task as `rooms-attributes`" in flattered
    assert "from pictures alone" in precision_note({"judge": ""}, "rooms-attributes-2")
    assert "from pictures alone" in precision_note({}, "rooms-attributes-2")
