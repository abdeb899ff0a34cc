"""What hangs on the default generator's weights is remade step by step, each alone if asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import steerbench as sb
from steerbench.cards.models import Asset
from steerbench.cards.text import generator_card
from steerbench.errors import NotFoundError
from steerbench.training import remake as remaking
from steerbench.training.remake import STEPS, Materials, remake


@pytest.fixture
def materials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Materials:
    monkeypatch.setattr(Materials, "prepare", lambda self: self.assets.mkdir())
    return Materials(tmp_path / "state", tmp_path, assets=tmp_path / "assets")


def test_a_step_is_taken_alone_or_all_in_order(
    materials: Materials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[str] = []
    steps = tuple((name, lambda made_of, name=name: taken.append(name)) for name, _ in STEPS)
    monkeypatch.setattr(remaking, "STEPS", steps)
    remake(materials)
    materials.assets.rmdir()
    remake(materials, ["card", "encoder"])
    assert taken == [name for name, _ in STEPS] + ["encoder", "card"]
    assert "card: done in 0.0 minutes" in capsys.readouterr().out
    with pytest.raises(NotFoundError, match="'encoder'"):
        remake(materials, ["encodr"])


def test_the_generator_goes_to_its_own_file_and_its_card_says_how_it_came_about(
    materials: Materials, shared_path: Callable[[str], Path]
) -> None:
    state = shared_path("training/state.safetensors")
    made_of = Materials(state, state.parent, assets=materials.assets, note="Streaks remain.")
    remake(made_of, ["generator"])
    assert [path.name for path in made_of.assets.iterdir()] == ["rooms-stylegan2.safetensors"]
    assert made_of.generator == str(made_of.weights)
    assert Materials(state, state).generator == "rooms"
    row = dict.fromkeys(("precision", "recall", "density", "coverage", "frechet_distance"), 0)
    result = {"n": 1, "judge": "", "seconds": {"all": 0}, "frequencies": [{}]}
    result |= {f"{what}_against_rendered": row for what in ("generated", "rendered")}
    result |= {"largest_difference": {"difference": 0, "attribute": "night"}}
    card = generator_card(Asset(made_of.weights), result, "a desk")
    assert "1,006,080 pictures, in 18,230 steps of growing sizes" in card
    assert "pictures alone, no factor, mask or label" in card
    assert "Streaks remain." in card
    assert "precision is not flattered" in card
    assert f"**fingerprint**: `{sb.load(made_of.weights).fingerprint}`" in card
