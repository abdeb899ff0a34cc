"""The leaderboard on a generator whose truth is known: pixels that listen to one number each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.cli import score
from steerbench.errors import ArgumentError
from steerbench.leaderboard import NULL, Leaderboard, Protocol, leaderboard, markdown, shares
from steerbench.leaderboard.judging import Criteria, equalise_change, evaluate_prefixes, readable
from steerbench.studies import STUDIES, tables
from steerbench.studies.leaderboard import _write, fill_readme

NAMES = ("one", "two", "three", "four")
SMALL = Protocol(n_directions=4, choosing=8, judging=16, nulls=2)


def axes() -> sb.generators.BaseGenerator:
    """Number i of a code fills row i of the picture, each with its own gain."""
    linear = nn.Linear(4, 16, bias=False)
    gains = torch.tensor([1.0, 0.8, 0.6, 0.4])
    linear.weight.data = (torch.eye(4) * gains).repeat_interleave(4, dim=0)
    module = nn.Sequential(linear, nn.Unflatten(1, (1, 4, 4)))
    return sb.wrap(module, latent_shape=(4,), name="axes")


def rows(images: Tensor) -> Tensor:
    """The mean of each row. Pixels beyond [-1, 1] count as they are."""
    return images.mean((1, 3))


class Rows:
    names = NAMES

    def predict(self, images: Tensor) -> Tensor:
        return rows(images)


@pytest.fixture(scope="module")
def board():
    seen: list[pd.DataFrame] = []
    found = leaderboard(axes, Rows(), Rows(), ["sefa"], protocol=SMALL, done=seen.append)
    assert len(seen) == 3
    return found


def test_a_finder_that_finds_the_axes_recovers_every_factor(board) -> None:
    sefa = board.table.set_index("finder").loc["sefa"]
    assert sefa["recovered"] == sefa["surely"] == sefa["factors"] == 4
    assert sefa["share"] == pytest.approx(1)
    assert sefa["leakage"] == pytest.approx(0, abs=1e-6)
    assert sefa["seconds"] > 0


def test_random_directions_recover_less(board) -> None:
    table = board.table.set_index("finder")
    assert table.loc[NULL, "share"] < 0.9
    assert table.loc[NULL, "share_low"] <= table.loc[NULL, "share"] <= table.loc[NULL, "share_high"]
    assert board.table["finder"].iloc[0] == "sefa"
    assert sorted(board.factors.query("finder == @NULL")["draw"].unique()) == [0, 1]


def test_each_factor_is_given_its_own_direction(board) -> None:
    mine = board.factors.query("finder == 'sefa'")
    assert list(mine["factor"]) == list(NAMES)
    assert mine["direction"].nunique() == 4
    for what in ("share", "effect"):
        assert (mine[f"{what}_low"] <= mine[what]).all()
        assert (mine[what] <= mine[f"{what}_high"]).all()


def test_every_interval_of_the_table_contains_its_estimate(board) -> None:
    for what in ("share", "recovered"):
        assert (board.table[f"{what}_low"] <= board.table[what]).all()
        assert (board.table[what] <= board.table[f"{what}_high"]).all()


def test_every_direction_gets_the_same_dose_up_to_the_limit() -> None:
    generator = axes()
    directions = [sb.Direction("d", "z", vector) for vector in torch.eye(4)]
    weak = sb.Direction("weak", "z", torch.eye(4)[3], scale=1e-4)
    codes = generator.sample(8, seed=0)
    for direction, alpha in equalise_change([*directions, weak], generator):
        change = generator.render(codes + 1.0 * direction) - generator.render(codes)
        size = float(change.square().mean((1, 2, 3)).sqrt().mean())
        assert size == pytest.approx(Criteria().dose, rel=1e-3) or alpha == Criteria().longest


def test_fewer_directions_recover_no_more() -> None:
    directions = [sb.Direction(f"axis {i}", "z", vector) for i, vector in enumerate(torch.eye(4))]
    options = {"choosing": 8, "judging": 16}
    found = evaluate_prefixes(directions, [1, 4], axes(), Rows(), Rows(), NAMES, **options)
    assert found[1].factors["recovered"].tolist() == [True, False, False, False]
    assert found[4].factors["recovered"].all()
    assert found[4].factors["direction"].tolist() == [d.name for d in directions]


def test_noise_counts_for_less_than_it_seems() -> None:
    torch.manual_seed(0)
    changes = torch.randn(1, 100, 30)
    changes[:, :, 0] += 1
    squares = changes.mean(1).square()[0]
    assert shares(changes)[0, 0] > squares[0] / squares.sum() + 0.05
    assert shares(torch.zeros(2, 5, 3)).sum() == 0


def test_factors_on_which_the_networks_disagree_are_left_out() -> None:
    class Half:
        names = NAMES

        def predict(self, images: Tensor) -> Tensor:
            return torch.cat([rows(images)[:, :2], rows(images)[:, :2]], dim=1)

    assert readable(axes(), Rows(), Half(), n_samples=64) == ["one", "two"]
    blind = sb.predictor(lambda x: torch.zeros(len(x), 4), names=NAMES)
    with pytest.raises(sb.errors.SteerbenchError, match="agree on none"):
        readable(axes(), Rows(), blind, n_samples=64)


def test_an_unknown_finder_is_refused_with_the_closest_name() -> None:
    with pytest.raises(sb.errors.NotFoundError, match="sefa"):
        leaderboard(axes, Rows(), Rows(), ["sefaa"], protocol=SMALL)


def test_the_readme_keeps_everything_around_the_table(board, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\nafter\n")
    fill_readme(readme, board.table, "axes", SMALL)
    text = readme.read_text()
    assert text.startswith("before\n<!-- leaderboard -->\n4 directions")
    assert text.endswith("\n<!-- /leaderboard -->\nafter\n")
    assert "`sefa`" in text
    assert markdown(board.table) in text
    readme.write_text("no marks")
    with pytest.raises(ArgumentError, match="Put both"):
        fill_readme(readme, board.table, "axes", SMALL)


def test_the_command_says_on_what_it_measured(
    board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(out: Path, models: dict[str, str], *_: object) -> Leaderboard:
        _write(board, out, "10-leaderboard")
        return board

    monkeypatch.setattr(score.leaderboard, "measure_finders", measure)
    models = ("rooms-dcgan", "rooms-attributes", "rooms-attributes-2")
    said = score.score(*models, ["sefa"], SMALL, tmp_path)
    assert "`sefa`" in said
    record = tables.records_of(tmp_path)["10-leaderboard"]
    assert record["command"] == "steerbench score rooms-dcgan --finder sefa"
    assert record["protocol"]["judging"] == 16
    generator = {"name": "rooms-dcgan", "fingerprint": sb.load("rooms-dcgan").fingerprint}
    assert record["models"]["generator"] == generator
    roles = dict(zip(("generator", "reader", "judge"), models))
    revision = STUDIES["10-leaderboard"].revision
    assert tables.staleness("10-leaderboard-factors", roles, tmp_path, revision) == ""
    with pytest.raises(ArgumentError, match="Put both"):
        score.score(*models, ["sefa"], SMALL, tmp_path / "new", tmp_path / "provenance.json")
    assert not (tmp_path / "new").exists()
