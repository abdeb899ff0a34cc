"""The quality table: right numbers where they are known, and everything written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.cards import quality
from steerbench.cards.text import fill_section
from steerbench.errors import SteerbenchError
from steerbench.generators import save
from steerbench.training import pictures as cache
from tests.conftest import make_toy

N = 24


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cache.Pictures]:
    folder = tmp_path_factory.mktemp("renders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", N)
        cache.render(folder, N, resolution=64, world_name="rooms", first_seed=900_700_000)
        yield cache.Pictures(folder)


def test_a_set_against_itself_is_perfect(renders: cache.Pictures) -> None:
    judge = sb.predictor("rooms-attributes")
    real = quality.read(judge, quality.cache_source(renders), N, "renders")
    assert torch.allclose(real.scores, judge.predict(renders.images(np.arange(N))), atol=1e-4)
    scores = quality.compare(real, real)
    assert (scores["precision"], scores["recall"], scores["coverage"]) == (1, 1, 1)
    assert scores["frechet_distance"] == pytest.approx(0, abs=1e-3)
    truth = dict(zip(renders.factor_names, renders.factors.T))
    rows = quality.frequencies(judge, real, real, truth)
    assert {row["attribute"] for row in rows} == set(sb.world("rooms").binary_names)
    assert all(row["difference"] == 0 for row in rows)
    assert all(abs(row["rendered"] - row["true"]) < 0.1 for row in rows)


def test_a_generator_is_measured_and_gets_its_card(renders: cache.Pictures, tmp_path: Path) -> None:
    source = tmp_path / "toy.safetensors"
    save(make_toy(), source, training={"settings": {"seed": 3, "batch": 8}, "images": 4000})
    result = quality.run(
        source,
        judge="rooms-attributes",
        data=renders.folder,
        held_out=renders.folder,
        out=tmp_path / "out",
        n_samples=N,
        hardware="a test",
    )
    assert json.loads((tmp_path / "out" / "quality.json").read_text()) == result
    assert sb.image.read(tmp_path / "out" / "grid.png").shape[-1] == 8 * 18 + 2
    assert result["generated_against_rendered"]["frechet_distance"] > 1
    text = (tmp_path / "toy.md").read_text()
    for part in ("# toy", "4,000 pictures", "**seed**: 3", "| lamp_on |", "a test", "MIT"):
        assert part in text


def test_too_few_pictures_are_refused(renders: cache.Pictures) -> None:
    judge = sb.predictor("rooms-attributes")
    with pytest.raises(SteerbenchError, match="24 pictures, 25 are wanted"):
        quality.measure(make_toy(), judge, renders, renders, 25)


def test_a_judge_that_helped_to_train_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "toy.safetensors"
    save(make_toy(), source, training={"settings": {"judge": "rooms-attributes"}})
    with pytest.raises(SteerbenchError, match="cannot judge it"):
        quality.run(
            source,
            judge="rooms-attributes",
            data=tmp_path,
            held_out=tmp_path,
            out=tmp_path,
            n_samples=N,
        )


def test_the_readme_is_renewed_between_its_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- quality -->\nold\n<!-- /quality -->\nafter\n")
    fill_section(readme, "quality", "new")
    fill_section(readme, "quality", "newer")
    marked = "<!-- quality -->\nnewer\n<!-- /quality -->"
    assert readme.read_text() == f"before\n{marked}\nafter\n"
    readme.write_text("nothing to fill")
    with pytest.raises(SteerbenchError, match="has no <!-- quality -->"):
        fill_section(readme, "quality", "new")
    assert readme.read_text() == "nothing to fill"
