"""The scorecard on generators whose effects are known, and its p-values where nothing is there."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest
from torch import nn

import steerbench as sb
from steerbench.errors import NotFoundError, PredictorError, SpaceError, SteerbenchError
from steerbench.metrics import Scorecard, random_directions
from steerbench.metrics.scorecard.null_model import NullEffects, familywise_p_values, levels_of
from steerbench.seeds import Codes

SCALE = 0.05
"""So small that no pixel is ever white or black."""


class Linear(nn.Module):
    """Pixel i of a 4x4 picture is coordinate i of the code, a little."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (SCALE * z).view(-1, 1, 4, 4)


def linear():
    return sb.wrap(Linear(), latent_shape=(16,))


def first_pixels(images: torch.Tensor, count: int = 4) -> torch.Tensor:
    return images.flatten(1)[:, :count]


def pixels(count: int = 4, **options):
    """Reads the first pixels, one attribute each."""
    names = [f"pixel {i}" for i in range(count)]
    return sb.predictor(lambda x: first_pixels(x, count), names=names, **options)


def direction(name: str, *values: float):
    return sb.Direction(name, "z", torch.tensor([*values, *[0.0] * (16 - len(values))]))


def randoms(count: int, seed: int = 0):
    vectors = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    return [sb.Direction(f"random {i}", "z", vector) for i, vector in enumerate(vectors)]


# -- known truth ----------------------------------------------------------------------------------


def test_effects_and_shares_are_those_that_were_planted():
    card = sb.scorecard(
        [direction("a", 1.0), direction("b", -3.0, 4.0)], linear(), pixels(), n_samples=32, n_null=0
    )
    assert isinstance(card, Scorecard)
    assert len(card) == 2
    spread = card.rescoring.spread.double().numpy()
    expected = SCALE * np.array([[1, 0, 0, 0], [-0.6, 0.8, 0, 0]]) / spread
    assert card.effects.to_numpy() == pytest.approx(expected, abs=1e-4)
    row, energy = card.table.loc["b"], expected[1] ** 2
    assert (row["attribute"], row["next"]) == ("pixel 1", "pixel 0")
    assert row["share"] == pytest.approx(energy.max() / energy.sum(), abs=1e-4)
    assert row["leakage"] == pytest.approx(abs(expected[1, 0] / expected[1, 1]), abs=1e-4)
    assert row["rest"] == pytest.approx(0, abs=1e-6)
    assert row["monotonicity"] == pytest.approx(1)
    assert row["pixel_change"] == pytest.approx(SCALE * 1.4 / 16 / 2, rel=1e-4)
    assert card.table.loc["a", "share"] == pytest.approx(1)
    assert card.table.loc["a", "low"] == pytest.approx(card.table.loc["a", "high"], abs=1e-4)


def test_the_share_can_be_of_magnitudes():
    card = sb.scorecard(
        [direction("b", -3.0, 4.0)], linear(), pixels(), n_samples=32, n_null=0, power=1
    )
    effects = card.effects.loc["b"].abs()
    assert card.table.loc["b", "share"] == pytest.approx(effects.max() / effects.sum())


def test_effects_are_for_the_step_that_was_asked_for():
    one, half = (
        sb.scorecard([direction("a", 1.0)], linear(), pixels(), n_samples=16, n_null=0, alpha=step)
        for step in (1.0, 0.5)
    )
    assert half.table["effect"].iloc[0] == pytest.approx(one.table["effect"].iloc[0] / 2, rel=1e-3)


def test_random_directions_are_held_to_the_same_change_of_pixels():
    """In a linear generator a random direction is exact at any change, and so is its effect."""
    card = sb.scorecard(
        [direction("one", 1.0), direction("all", *[1.0] * 16)],
        linear(),
        pixels(16),
        n_samples=8,
        n_null=49,
    )
    draws = random_directions(linear(), 49, "z", seed=Codes.NULL.start)
    vectors = torch.stack([each.vector for each in draws])
    for name in ("one", "all"):
        change = card.table.loc[name, "pixel_change"]
        at_equal_change = vectors * (change * 32 / vectors.abs().sum(1, keepdim=True))
        effects = (at_equal_change / card.rescoring.spread.double()).abs().amax(1)
        assert card.table.loc[name, "null_effect"] == pytest.approx(
            float(effects.quantile(0.95)), rel=1e-3
        )
    assert card.table.loc["one", "p_effect"] == pytest.approx(1 / 50)
    assert card.table.loc["one", "p_share"] == pytest.approx(1 / 50)
    assert card.table.loc["all", "p_effect"] > 0.9


def test_a_null_is_scaled_from_the_nearest_level():
    seen = NullEffects(torch.tensor([[1.0, 4.0]]), torch.tensor([[[2.0], [4.0]]]))
    assert [float(seen.at(change)) for change in (0.0, 0.5, 1.0, 4.0, 8.0)] == [0, 1, 2, 4, 8]
    assert float(seen.at(1.9)) == pytest.approx(3.8)
    assert float(seen.at(2.1)) == pytest.approx(2.1)


def test_every_change_is_near_a_level():
    draw = np.random.RandomState(0)
    for _ in range(50):
        changes = np.exp(draw.uniform(-5, -5 + draw.uniform(0, 3.6), size=12))
        levels = np.array(levels_of(list(changes)))
        off = np.abs(np.log(changes[:, None] / levels)).min(1)
        assert len(levels) <= 4
        assert off.max() <= np.log(2.5) / 2 + 1e-9


def test_p_values_of_random_directions_are_about_uniform():
    card = sb.scorecard(
        randoms(100), linear(), pixels(8), n_samples=8, n_null=149, n_null_samples=8, alphas=(1,)
    )
    for column in ("p_effect", "p_share"):
        assert kstest(card.table[column], "uniform").pvalue > 0.01
    assert kstest(card.chance.min(axis=1), "uniform").pvalue > 0.01


def test_corrected_p_values_keep_the_chance_of_any_false_alarm():
    draw = torch.Generator().manual_seed(0)
    scale = torch.logspace(-2, 2, 20).double()  # some attributes stir ten thousand times as much
    effects = scale * torch.randn(300, 20, generator=draw, dtype=torch.float64)
    smallest = [
        float(familywise_p_values(each, scale * torch.randn(99, 20, generator=draw).double()).min())
        for each in effects
    ]
    assert kstest(smallest, "uniform").pvalue > 0.01
    strong = torch.zeros(20).double()
    strong[3] = 30 * scale[3]
    p = familywise_p_values(strong, scale * torch.randn(99, 20, generator=draw).double())
    assert p[3] == pytest.approx(0.01)
    assert float(p[:3].min()) == 1


class Wall(nn.Module):
    """Brightness follows the code, until everything turns to stripes beyond 4."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        grey = (0.1 * z[:, :1]).clamp(-0.4, 0.4)[:, :, None, None].expand(-1, 1, 8, 8)
        stripes = torch.ones(8, 8).index_fill(0, torch.arange(0, 8, 2), -1.0)
        return torch.where(z[:, :1, None, None].abs() > 4, stripes, grey)


def test_the_range_ends_where_pictures_leave_the_distribution():
    generator = sb.wrap(Wall(), latent_shape=(2,))
    read = sb.predictor(lambda x: x.mean((1, 2, 3))[:, None], names=["grey"])
    strong, idle = (sb.Direction(name, "z", v) for name, v in (("a", [1.0, 0]), ("b", [0, 1.0])))
    table = sb.scorecard(
        [strong, idle], generator, read, n_samples=64, n_null=0, n_null_samples=64
    ).table
    assert 1 < table.loc["a", "usable_high"] < 5
    assert -5 < table.loc["a", "usable_low"] < -1
    assert table.loc["b", ["usable_low", "usable_high"]].tolist() == [-6, 6]
    assert table.loc["a", "monotonicity"] > 0.8
    assert table.loc["b", ["monotonicity", "effect", "share", "changed"]].tolist() == [0, 0, 0, 0]


# -- what it reads --------------------------------------------------------------------------------


def test_what_never_happens_has_no_effect():
    read = sb.predictor(
        lambda x: torch.stack([x.flatten(1)[:, 0], torch.ones(len(x))], 1), names=["a", "constant"]
    )
    card = sb.scorecard([direction("a", 1.0)], linear(), read, n_samples=8, n_null=9)
    assert card.effects.loc["a", "constant"] == 0
    assert np.isfinite(card.effects.to_numpy()).all()


def test_a_probability_that_hardly_stirs_is_not_blown_up():
    read = sb.predictor(lambda x: 1e-3 * x.flatten(1)[:, :1], names=["rare"], units="probability")
    card = sb.scorecard([direction("a", 1.0)], linear(), read, n_samples=16, n_null=0)
    assert card.table["effect"].iloc[0] == pytest.approx(1e-3 * SCALE / 0.05, rel=1e-3)


def test_a_segmenter_is_read_by_areas():
    read = sb.predictor(lambda x: torch.stack([x[:, 0], -x[:, 0]], 1), names=["light", "dark"])
    card = sb.scorecard([direction("all", *[1.0] * 16)], linear(), read, n_samples=16, n_null=9)
    effects = card.effects.loc["all"]
    assert effects["light"] == pytest.approx(-effects["dark"])
    assert effects["light"] > 0


def test_without_features_distances_are_of_pixels_and_it_says_so():
    plain = sb.scorecard([direction("a", 1.0)], linear(), pixels(), n_samples=8, n_null=0)
    assert plain.settings["sees"] == plain.settings["judge"] == "pixels"
    assert "no features" in repr(plain)

    class WithFeatures:
        names = ("a",)

        def predict(self, images):
            return images.flatten(1)[:, :1]

        def features(self, images):
            return images.flatten(1)

    seen = sb.scorecard([direction("a", 1.0)], linear(), WithFeatures(), n_samples=8, n_null=9)
    assert seen.settings["sees"] == "features"
    assert seen.notes == []
    assert 0 < seen.table["distance"].iloc[0] < 1


def test_a_discriminator_judges_where_there_are_no_features():
    generator = linear()
    generator.discriminator = lambda images: -30 * images.flatten(1).abs().amax(1)
    table = sb.scorecard([direction("a", 1.0)], generator, pixels(), n_samples=32, n_null=0)
    assert table.settings["judge"] == "discriminator"
    assert 1 < table.table["usable_high"].iloc[0] < 6


def test_every_space_and_layers_have_their_own_null(toy_generator):
    sizes = {name: space.shape for name, space in toy_generator.spaces.items()}
    directions = [
        sb.Direction(name, name, torch.ones(sizes[name])) for name in ("z", "w", "w+", "s")
    ]
    directions.append(directions[1].limited([0, 1]).named("w, first layers"))
    read = sb.predictor(lambda x: x.mean((2, 3)), names=["red", "green", "blue"])
    card = sb.scorecard(
        directions, toy_generator, read, n_samples=6, n_null=4, n_null_samples=4, alphas=(1,)
    )
    assert card.table["layers"].tolist() == ["all"] * 4 + ["0-1"]
    assert card.chance.notna().all(axis=None)
    # unedited, manifold, edits; then four pilots at two steps and four randoms at one, both ways.
    assert card.settings["pictures"] == 6 + 256 + 5 * 12 + 5 * (8 + 4) * 4 * 2
    assert card.pictures_per_second > 0


# -- what it gives --------------------------------------------------------------------------------


def test_it_stands_for_its_table():
    card = sb.scorecard(randoms(3), linear(), pixels(), n_samples=8, n_null=9)
    assert isinstance(card.table, pd.DataFrame)
    assert card.shape == card.table.shape
    assert list(card) == list(card.columns) == list(card.table)
    assert card["share"].equals(card.table["share"])
    assert card.sort_values("share").index[-1] == card.table["share"].idxmax()
    assert "<table" in card._repr_html_()
    with pytest.raises(AttributeError, match="no 'shares'"):
        _ = card.shares
    again = pickle.loads(pickle.dumps(card))
    pd.testing.assert_frame_equal(again.table, card.table)


def test_it_is_the_same_again_and_changes_nothing():
    generator = linear()
    state = torch.random.get_rng_state()
    first, second = (
        sb.scorecard(randoms(2), generator, pixels(), n_samples=8, n_null=9) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.chance, second.chance)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_scores_travel_with_the_directions(tmp_path):
    found = sb.SeFa(2).fit(make_affine())
    card = sb.scorecard(found.directions_, make_affine(), pixels(), n_samples=8, n_null=9)
    scored = card.directions_with_scores()[0]
    scores = scored.provenance.scores
    assert scores["rank"] == 0
    assert scores["share"] == card.table["share"].iloc[0]
    assert scores["effect on pixel 2"] == card.effects.iloc[0, 2]
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    scored.save(tmp_path / "one.safetensors")
    assert sb.Direction.load(tmp_path / "one.safetensors").provenance.scores == scores


def make_affine():
    """A generator whose first step is known, for SeFa."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(16, 16), nn.Unflatten(1, (1, 4, 4)))
        module[0].weight.data *= SCALE
    return sb.wrap(module, latent_shape=(16,))


def test_evidence_is_sorted_and_a_mistyped_name_is_helped():
    card = sb.scorecard(randoms(2), linear(), pixels(), n_samples=8, n_null=9)
    effects = card.evidence("random 1")["effect"].abs().to_numpy()
    assert (np.diff(effects) <= 0).all()
    with pytest.raises(NotFoundError, match="random 1"):
        card.evidence("randon 1")


def test_the_plot_draws_every_direction():
    card = sb.scorecard([direction("a", 1.0)], linear(), pixels(), n_samples=8, n_null=0)
    figure = card.plot()
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["a"]
    with pytest.raises(SteerbenchError, match="attributes=0"):
        card.plot(attributes=0)


# -- bad input ------------------------------------------------------------------------------------


def test_names_that_occur_twice_are_numbered():
    card = sb.scorecard(
        [direction("a", 1.0), direction("a", 0, 1.0)], linear(), pixels(), n_samples=8, n_null=0
    )
    assert card.table.index.tolist() == ["a", "a (2)"]


@pytest.mark.parametrize(
    "options",
    [
        {"n_samples": 1},
        {"alpha": 0.0},
        {"n_null": -1},
        {"n_null_samples": 1},
        {"power": 0},
        {"alphas": [0]},
    ],
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(SteerbenchError, match=next(iter(options))):
        sb.scorecard([direction("a", 1.0)], linear(), pixels(), **options)


def test_what_is_no_direction_is_refused():
    with pytest.raises(SteerbenchError, match="none was given"):
        sb.scorecard([], linear(), pixels())
    with pytest.raises(SteerbenchError, match="a Tensor was given"):
        sb.scorecard([torch.zeros(16)], linear(), pixels())
    with pytest.raises(SpaceError):
        sb.scorecard([sb.Direction("a", "w", torch.ones(16))], linear(), pixels())
    with pytest.raises(NotFoundError, match="pixel 1"):
        sb.scorecard([direction("a", 1.0)], linear(), pixels(), attributes=["pixel l"])
    with pytest.raises(SteerbenchError, match="prior"):
        sb.scorecard([direction("a", 1.0)], linear(), pixels(), n_samples=8, n_null=3, kind="pior")


def test_a_predictor_that_gives_nan_is_named():
    class Broken:
        names = ("a",)

        def predict(self, images):
            return torch.full((len(images), 1), torch.nan)

    with pytest.raises(PredictorError, match="NaN"):
        sb.scorecard([direction("a", 1.0)], linear(), Broken(), n_samples=8)


def test_an_interrupt_leaves_nothing_behind():
    calls = []

    def read(images):
        calls.append(len(images))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return first_pixels(images)

    stopping = sb.predictor(read, names=["a", "b", "c", "d"])
    generator = linear()
    with pytest.raises(KeyboardInterrupt):
        sb.scorecard(randoms(2), generator, stopping, n_samples=8, n_null=9)
    assert torch.is_grad_enabled()
    again, fresh = (
        sb.scorecard(randoms(2), g, pixels(), n_samples=8, n_null=9) for g in (generator, linear())
    )
    pd.testing.assert_frame_equal(again.table, fresh.table)
