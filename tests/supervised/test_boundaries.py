"""Boundaries of all attributes at once: their ends, their ranks, their layers, their file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.supervised.boundaries.higan import LatentBoundaries
from steerbench.supervised.boundaries.score_extremes import ScoreExtremes, SeededCodes
from tests.conftest import make_toy
from tests.contracts.test_supervised import SMALL, planted, quarters, reading


def test_what_causes_ranks_above_what_only_goes_along():
    """The weak quarter can be told from the codes as well as the strong one, but changes less."""
    read = reading(("strong", "weak"), lambda x: quarters(x)[:, :2] * torch.tensor([1.0, 0.1]))
    found = LatentBoundaries(read, space="z", n_samples=800).fit(planted()[0])
    assert found.table_.attribute.tolist() == ["strong", "weak"]
    assert (found.table_.accuracy > 0.9).all()
    ratio = found.table_.effect[0] / found.table_.effect[1]
    assert ratio == pytest.approx(10, rel=0.2)
    # z is a standard normal and a quarter is 0.15 of it: two steps along it are 0.3.
    assert found.table_.effect[0] == pytest.approx(0.3, rel=0.05)


def test_units_that_differ_are_ranked_by_spreads():
    read = sb.predictor(
        lambda x: quarters(x)[:, :2] * torch.tensor([1.0, 0.1]),
        names=["metres", "kilometres"],
        units=["m", "km"],
    )
    found = LatentBoundaries(read, space="z", n_samples=800).fit(planted()[0])
    strengths = found.table_.set_index("attribute").effect
    assert strengths["metres"] > 5 * strengths["kilometres"]
    spread = found.table_.effect / [1.0 if a == "metres" else 0.1 for a in found.table_.attribute]
    assert spread[0] / spread[1] == pytest.approx(1, abs=0.15)


def test_a_companion_without_effect_is_not_verified():
    """Scores that chance made have boundaries too; the verification says what they are worth."""

    def noise(images: torch.Tensor) -> torch.Tensor:
        return (quarters(images)[:, :1] * 12345.678).sin()

    found = LatentBoundaries(reading(("noise",), noise), space="z", n_samples=600).fit(planted()[0])
    assert not found.table_.verified[0]
    assert found.table_.accuracy_low[0] < 0.6
    assert abs(found.table_.correlation[0]) < 0.4


def test_an_attribute_of_one_class_loses_no_other():
    def mixed(images: torch.Tensor) -> torch.Tensor:
        return torch.stack([quarters(images)[:, 0], torch.ones(len(images))], dim=1)

    found = LatentBoundaries(reading(("a", "always"), mixed), space="z", **SMALL).fit(planted()[0])
    assert [d.name for d in found.directions_] == ["a"]
    row = found.table_.set_index("attribute").loc["always"]
    assert "same score" in row.note
    assert np.isnan(row.effect)
    with pytest.raises(sb.errors.NotFoundError, match="No direction is called 'always'"):
        found.direction("always")
    with pytest.raises(sb.errors.SteerbenchError, match="two sides"):
        LatentBoundaries(found.reader, space="z", attributes=["always"], **SMALL).fit(planted()[0])


def test_scores_that_mean_none_are_left_out():
    def sometimes(images: torch.Tensor) -> torch.Tensor:
        values = quarters(images)
        return torch.where(values[:, 1:2] > 0, values[:, :1], torch.tensor(-999.0))

    options = {"space": "z", "n_samples": 1200, "invalid_value": -999}
    found = LatentBoundaries(reading(("a",), sometimes), **options).fit(planted()[0])
    assert found.table_.low[0] > -5
    assert float(found.directions_[0].vector @ planted()[1][0].double()) > 0.9


def test_a_segmenter_is_read_by_areas():
    def bright(images: torch.Tensor) -> torch.Tensor:
        light = images.mean(1, keepdim=True)
        return torch.cat([-light, light], dim=1)

    found = LatentBoundaries(sb.predictor(bright, names=["dark", "bright"]), "z", 600).fit(
        planted()[0]
    )
    everything = planted()[1].sum(0).double()
    assert float(found.direction("bright").vector @ everything / everything.norm()) > 0.8


def test_layer_wise_every_range_is_verified_on_its_own():
    generator = make_toy()
    rows = generator.spaces["w+"].shape[0]
    found = LatentBoundaries(reading(), "w+", attributes=["a"], **SMALL).fit(generator)
    assert sorted(found.table_.layers) == sorted(str(row) for row in range(rows))
    assert {direction.layers for direction in found.directions_} == {(i,) for i in range(rows)}
    effects = found.table_.effect
    assert (effects.diff().dropna() <= 0).all()
    some = LatentBoundaries(reading(), "w+", attributes=["a"], layers=["0-1", "2"], **SMALL).fit(
        generator
    )
    assert sorted(some.table_.layers) == ["0-1", "2"]
    assert some.direction("a (layers 0-1)").layers == (0, 1)
    one = LatentBoundaries(reading(), "w", attributes=["a"], layers="0-1", **SMALL).fit(generator)
    assert torch.equal(one.directions_[0].vector, some.direction("a (layers 2)").vector)
    with pytest.raises(sb.errors.SpaceError, match="no layer-wise form"):
        LatentBoundaries(reading(), "z", layers="0-1", **SMALL).fit(planted()[0])


@pytest.mark.parametrize(
    "options", [{"n_samples": 2}, {"n_fresh_samples": 1}, {"batch_size": 0}, {"n_random": -1}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(sb.errors.SteerbenchError, match="at least"):
        LatentBoundaries(reading(), space="z", **options).fit(planted()[0])


def test_a_file_of_another_run_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "run.safetensors"
    generator, _ = planted()
    LatentBoundaries(reading(), space="z", **SMALL).fit(generator, state=path)
    kept = path.read_bytes()
    with pytest.raises(sb.errors.SteerbenchError, match="differs in seed"):
        LatentBoundaries(reading(), space="z", seed=3, **SMALL).fit(generator, state=path)
    assert path.read_bytes() == kept
    path.write_bytes(kept[:-20])
    with pytest.raises(sb.errors.CheckpointError):
        LatentBoundaries(reading(), space="z", **SMALL).fit(generator, state=path)


# -- the parts ------------------------------------------------------------------------------------


def test_ends_hold_the_extremes_whatever_the_batches():
    scores = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    ends = ScoreExtremes(keep=20, first=500)
    for part in scores.split(130):
        ends.add(part)
    for column in range(3):
        order = scores[:, column].argsort(descending=True, stable=True)
        high, top, low, bottom = ends.of(column, 20)
        assert (high - 500).tolist() == order[:20].tolist()
        assert set(low - 500) == set(order[-20:].tolist())
        assert top.min() > bottom.max()


def test_memory_does_not_grow_with_the_samples():
    sizes = []
    for n in (2000, 20_000):
        ends = ScoreExtremes(keep=50, first=0)
        for _ in range(n // 1000):
            ends.add(torch.randn(1000, 2))
        sizes.append(sum(v.numel() for v in ends.high.state_dict().values()))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("small", [True, False])
def test_codes_come_back_by_their_seeds(small):
    generator = make_toy()
    codes = SeededCodes(generator, "w", range(10, 40), limit=2**24 if small else 50)
    seeds = np.array([12, 39, 10])
    expected = torch.cat([generator.sample(1, seed=int(s), space="w").data for s in seeds])
    assert torch.allclose(codes(seeds), expected, atol=1e-6)
