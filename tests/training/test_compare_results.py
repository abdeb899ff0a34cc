"""The table of chapter 12: what it counts, on which factors, and its intervals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import SteerbenchError
from steerbench.predictors import oracle
from steerbench.studies import regularisers
from steerbench.studies.regularisers import (
    Amounts,
    Readers,
    Runs,
    disentanglement,
    interference,
    readable,
)
from steerbench.training import compare
from steerbench.training.pictures import Pictures
from tests.training.test_compare import TINY

LITTLE = Amounts(quality=16, sets=2, pictures=60, choosing=4, judging=4)
MODELS = {"reader": "rooms-attributes", "judge": "rooms-attributes-2"}


def test_the_factors_are_those_that_both_oracles_read(small: Pictures) -> None:
    reader = oracle(MODELS["judge"])
    found = readable(Readers(oracle(MODELS["reader"]), reader), small, 32)
    assert "wall_lightness" in found
    assert "watermark" not in found
    truth = small.factors[:, small.factor_names.index("wall_lightness")]
    with torch.no_grad():
        scores = reader.predict(torch.from_numpy(small.pixels[0]).float() / 127.5 - 1)
    column = scores[:, reader.names.index("wall_lightness")]
    assert torch.corrcoef(torch.stack([column, truth[:16]]))[0, 1] > 0.8


class Shades(nn.Module):
    """Two numbers: how light the upper half is, and the lower."""

    def forward(self, z: Tensor) -> Tensor:
        rows = (z[:, :2] * 0.3).repeat_interleave(16, dim=1)
        return rows[:, None, :, None].expand(-1, 3, 32, 32)


def test_numbers_that_add_do_not_interfere_and_products_do() -> None:
    class Product(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return (z[:, 0] * z[:, 1])[:, None, None, None].expand(-1, 3, 8, 8)

    assert interference(sb.wrap(Shades(), latent_shape=(4,))) < 1e-4
    # Var_v[2 v1 v2] = 4 on average over draws, and the variance of a product of two is 1.
    assert 2 < interference(sb.wrap(Product(), latent_shape=(2,)), n_samples=512) < 6


def test_axes_that_mean_something_beat_turned_ones() -> None:
    generator = sb.wrap(Shades(), latent_shape=(4,))
    halves = sb.predictor(
        lambda x: torch.stack([x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))], 1),
        names=["upper", "lower"],
    )

    class Judge:
        def logits(self, images: Tensor) -> Tensor:
            return halves.predict(images)

    found = disentanglement(generator, Judge(), Amounts(sets=3, pictures=200))
    assert found["z_disentanglement"] > 0.95
    assert found["rotated_disentanglement"] < 0.7
    for key in ("z_completeness", "rotated_informativeness"):
        assert found[f"{key}_low"] <= found[key] <= found[f"{key}_high"]


def test_it_writes_a_row_for_each_run_there_is(
    cache: Path, small: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regularisers, "readable", lambda *_: ["night", "yaw"])
    runs, out = tmp_path / "runs", tmp_path / "out"
    for name, size in (("baseline", 4), ("eigengan", 10)):
        options = {**TINY, "z_dim": size} | ({"basis": 3} if name == "eigengan" else {})
        compare.run(name, cache, runs, images=8, round_of=8, **options)
        regularisers.measure(out, MODELS, Runs(runs, cache, images=8), LITTLE)
    monkeypatch.setattr(regularisers, "disentanglement", None)  # nothing is left to measure
    regularisers.measure(out, MODELS, Runs(runs, cache, images=8), LITTLE)
    table = pd.read_csv(out / "12-training.csv").set_index("run")
    assert set(table.index) == {"renders", "eigengan", "baseline"}
    assert table.loc["baseline", "images"] == 8
    assert table.loc["renders", "frechet_distance"] < table.loc["baseline", "frechet_distance"]
    assert pd.isna(table.loc["eigengan", "w_disentanglement"])
    assert table.loc["baseline", "w_disentanglement"] >= 0
    factors = pd.read_csv(out / "12-training-factors.csv")
    assert set(factors["directions"]) == {"axes", "random"}
    assert set(factors["factor"]) == {"night", "yaw"}
    mean = factors.query("run == 'baseline' and directions == 'axes'")["share"].mean()
    assert len(factors) == 2 * 2 * 2, "two factors, two sets of directions, two runs"
    assert table.loc["baseline", "axes_share"] == pytest.approx(mean, abs=1e-3)


def test_a_run_that_did_not_get_so_far_is_said_to_be_missing(
    cache: Path, small: Pictures, tmp_path: Path
) -> None:
    with pytest.raises(SteerbenchError, match="holds no run of 1,000 pictures"):
        regularisers.measure(tmp_path, MODELS, Runs(tmp_path, cache, images=1000))
