"""The siblings' games: growing, batch statistics, learning rates, checkpoints and assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from steerbench.cards.models import Asset
from steerbench.cards.text import generator_card
from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.generators import load
from steerbench.generators.dcgan import DCGANNetwork
from steerbench.training.export import export_generator
from steerbench.training.game import Game, train
from steerbench.training.pictures import Pictures
from steerbench.training.siblings import (
    SIBLINGS,
    PGGANGame,
    find,
    gain,
    level_after,
    settings_of,
    settle,
)

SMALL = ("resolution=32", "d_channel_max=8", "z_dim=8", "batch=4", "precision=float32", "judge=")
SHAPES = {"dcgan": ("g_widths=12,8,6,3",), "pggan": ("channel_max=8", "phase=8")}
SHAPES["eigengan"] = ("channel_max=8", "basis=2")


def game(name: str, pictures: Pictures, *options: str) -> Any:
    kind = find(name)
    return kind(settings_of(kind, [*SMALL, *SHAPES[name], *options]), pictures)


@pytest.fixture(params=sorted(SIBLINGS))
def sibling(request: pytest.FixtureRequest, small: Pictures) -> Any:
    return game(request.param, small)


def test_both_players_learn(sibling: Game) -> None:
    sibling.seen = 10**6  # so that a growing network is whole
    before = [p.clone() for p in (*sibling.g.parameters(), *sibling.d.parameters())]
    for _ in range(2):
        watch = sibling.step()
    after = (*sibling.g.parameters(), *sibling.d.parameters())
    moved = [not torch.equal(a, b) for a, b in zip(before, after)]
    # The ToRGBs of coarser pictures rest.
    assert sum(moved) >= len(moved) - 6
    assert {"real", "fake", "g"} <= watch.keys()
    assert sibling.samples(2).shape == (2, 3, 32, 32)


def test_a_run_goes_on_where_it_stopped_and_becomes_an_asset(
    sibling: Game, small: Pictures, tmp_path: Path
) -> None:
    train(sibling, images=8, out=tmp_path, grid_every=8)
    assert sibling.cpu_seconds > 0

    again = game(sibling.architecture, small, "seed=5")
    again.restore(tmp_path / "latest.safetensors")
    assert (again.seen, again.cpu_seconds) == (8, pytest.approx(sibling.cpu_seconds, abs=0.1))
    assert torch.equal(again.samples(2), sibling.samples(2))
    again.step()

    target = tmp_path / "asset.safetensors"
    export_generator(tmp_path / "latest.safetensors", target, name="rooms-test")
    generator = load(target)
    assert generator.architecture == sibling.architecture
    assert torch.allclose(generator.render(generator.sample(3)), sibling.samples(3), atol=1e-5)
    nothing = {"n": 1, "generator": "", "judge": "", "seconds": {"all": 0}, "frequencies": [{}]}
    measures = ("precision", "recall", "density", "coverage", "frechet_distance")
    distances = dict.fromkeys(measures, 0)
    nothing |= {f"{what}_against_rendered": distances for what in ("generated", "rendered")}
    nothing["largest_difference"] = {"difference": 0, "attribute": "night"}
    card = generator_card(Asset(target), nothing, "a desk")
    assert 'sb.load("rooms-test")' in card
    assert all(remark in card for remark in sibling.remarks)


def test_settled_statistics_are_those_of_the_codes_and_no_batch() -> None:
    torch.manual_seed(0)
    network = DCGANNetwork(z_dim=6, widths=(8, 6, 3))
    settle(network, n=512, batch=64)
    codes = torch.randn(512, 6, generator=torch.Generator().manual_seed(0))
    first = network.main[0](codes[:, :, None, None])
    assert torch.allclose(network.main[1].running_mean, first.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(
        network.main[1].running_var, first.var(dim=(0, 2, 3), unbiased=False), rtol=0.05
    )
    assert torch.allclose(network.eval()(codes)[:1], network(codes[:1]), atol=1e-6)


@pytest.mark.parametrize(("seen", "size"), [(0, 8), (12, 16), (16, 16), (28, 32), (10**6, 32)])
def test_a_growing_game_shows_pictures_as_coarse_as_it_draws(
    small: Pictures, seen: int, size: int
) -> None:
    grown = game("pggan", small)
    grown.seen = seen
    assert grown.draw(4).shape == grown.real().shape == (4, 3, size, size)
    assert grown.step()["g"] > 0


def test_a_block_fades_in_from_what_was_there(small: Pictures) -> None:
    grown: PGGANGame = game("pggan", small)
    z = torch.randn(2, 8)
    with torch.no_grad():
        before, after = grown.g(z, 2.0), grown.g(z, 1.999999)
        assert torch.allclose(F.interpolate(before, scale_factor=2.0), after, atol=1e-5)
        halfway = grown.g(z, 1.5)
        assert torch.allclose(
            (F.interpolate(before, scale_factor=2.0) + grown.g(z, 1.0)) / 2, halfway, atol=1e-6
        )
    assert level_after(12, 8, 4) == 1.5


def test_a_discriminator_takes_smaller_pictures_and_fades_its_block(small: Pictures) -> None:
    judge = game("dcgan", small).d
    images = torch.randn(4, 3, 16, 16)
    whole, half, none = (judge(images, None, share) for share in (1.0, 0.5, 0.0))
    assert not torch.allclose(whole, half)
    # Without the block the picture enters only where it is half as large.
    judge.b16.conv0.weight.data.zero_()
    assert torch.equal(judge(images, None, 0.0), none)


def test_a_gain_on_the_weights_is_a_gain_on_the_learning_rate(small: Pictures) -> None:
    grown: PGGANGame = game("pggan", small)
    grown.seen = 10**6
    conv = grown.g.b16.conv0
    before, bias = conv.weight.detach().clone(), conv.bias.detach().clone()
    grown.step()
    rate = grown.settings.learning_rate
    # Adam's first step has the size of its rate, whatever the gradient.
    moved = (conv.weight - before, conv.bias - bias)
    steps = [float(difference.detach().abs().max()) for difference in moved]
    assert steps == pytest.approx([rate * gain(conv), rate], rel=1e-3)
    assert float(before.std()) == pytest.approx(gain(conv), rel=0.1)


def test_a_plain_network_learns_at_a_rate_of_its_own(small: Pictures) -> None:
    plain = game("dcgan", small, "g_learning_rate=1e-4", "r1_every=15")
    assert plain.g_optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert plain.d_optimiser.param_groups[0]["lr"] == pytest.approx(2e-3 * 15 / 16)


def test_an_unknown_sibling_or_setting_is_told_what_there_is() -> None:
    with pytest.raises(NotFoundError, match="'dcgan'"):
        find("dcgn")
    with pytest.raises(SteerbenchError, match="'batch'"):
        settings_of(SIBLINGS["dcgan"], ["bath=3"])
    with pytest.raises(SteerbenchError, match="type int"):
        settings_of(SIBLINGS["dcgan"], ["batch=many"])
