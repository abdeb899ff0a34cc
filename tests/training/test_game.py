"""Training in miniature: the cache, the game, its checkpoints, and the asset that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.generators import load
from steerbench.training import pictures
from steerbench.training.export import export_generator
from steerbench.training.game import train
from steerbench.training.pictures import Pictures
from steerbench.training.projected_critic import ProjectedDiscriminator
from steerbench.training.stylegan2 import StyleGAN2Game, StyleGAN2Settings
from steerbench.worlds import world

SMALL = {"channel_max": 8, "d_channel_max": 8}


def settings(**changes: object) -> StyleGAN2Settings:
    small = {"resolution": 32, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "batch": 4}
    return StyleGAN2Settings(**(small | SMALL | {"precision": "float32"} | changes))  # type: ignore[arg-type]


def test_the_cache_holds_the_pictures_of_its_seeds(small: Pictures) -> None:
    truth = world("rooms").sample(1, seed=pictures.TRAIN_SEED + 17, resolution=32)
    index = np.array([17])
    assert len(small) == 32
    assert (small.images(index) - truth.images).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(small.labels(index), truth.masks)
    row = torch.stack([truth.factors[name] for name in small.factor_names], dim=1)
    assert torch.equal(small.factors[17:18], row)


def test_shards_that_exist_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SHARD", 16)
    before = [path.stat().st_mtime_ns for path in sorted(cache.iterdir())]
    pictures.render(cache, 32, resolution=32, world_name="rooms")
    assert [path.stat().st_mtime_ns for path in sorted(cache.iterdir())] == before


def test_a_run_starts_with_the_first_shard(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(NotFoundError):
        pictures.wait_for_pictures(tmp_path, seconds=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SHARD", 16)
        assert len(pictures.wait_for_pictures(cache)) == 32


def test_a_resolution_is_a_power_of_two() -> None:
    assert settings(resolution=64, channel_max=32).widths == {4: 32, 8: 32, 16: 32, 32: 32, 64: 32}
    with pytest.raises(SteerbenchError, match="power of two"):
        settings(resolution=48).widths  # noqa: B018


def test_an_empty_cache_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"steerbench\.training pictures"):
        Pictures(tmp_path)


def test_both_players_learn_and_no_gradient_is_lost(small: Pictures) -> None:
    trainer = StyleGAN2Game(settings(), small)
    before = [p.clone() for p in (*trainer.g.parameters(), *trainer.d.parameters())]
    for _ in range(2):
        watch = trainer.step()
    after = (*trainer.g.parameters(), *trainer.d.parameters())
    # Noise strengths of the first step and the like may rest; nearly all weights move.
    moved = [not torch.equal(a, b) for a, b in zip(before, after)]
    assert sum(moved) >= len(moved) - 2
    assert all(np.isfinite(value) for value in watch.values())


def test_r1_and_path_length_push_on_their_own_network(small: Pictures) -> None:
    trainer = StyleGAN2Game(settings(), small)
    weight = trainer.d.b32.conv0.weight.clone()
    assert trainer.r1_step(trainer.real()) > 0
    assert not torch.equal(trainer.d.b32.conv0.weight, weight)
    style = trainer.g.synthesis.b8.conv1.affine.weight.clone()
    assert trainer.path_step() > 0
    assert not torch.equal(trainer.g.synthesis.b8.conv1.affine.weight, style)


def test_the_average_follows_the_generator(small: Pictures) -> None:
    trainer = StyleGAN2Game(settings(ema_images=1), small)
    trainer.seen = 10**6
    for _ in range(30):
        trainer.update_average()
    for mine, theirs in zip(trainer.ema.parameters(), trainer.g.parameters()):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_run_goes_on_where_it_stopped_and_becomes_an_asset(
    small: Pictures, tmp_path: Path
) -> None:
    trainer = StyleGAN2Game(settings(), small)
    train(trainer, images=8, out=tmp_path, grid_every=8)
    assert (tmp_path / "grid-00000k.png").exists()

    again = StyleGAN2Game(settings(seed=5), small)
    again.restore(tmp_path / "latest.safetensors")
    assert again.seen == 8
    for (name, mine), theirs in zip(
        trainer.ema.state_dict().items(), again.ema.state_dict().values()
    ):
        assert torch.equal(mine, theirs), name
    assert again.step()["g"] > 0

    export_generator(tmp_path / "latest.safetensors", tmp_path / "asset.safetensors")
    generator = load(tmp_path / "asset.safetensors")
    assert torch.allclose(generator.render(generator.sample(3)), trainer.samples(3), atol=1e-5)
    assert generator.discriminator(generator.render(generator.sample(4))).shape == (4,)


def test_a_judge_of_frozen_features_is_not_trained_but_its_heads_are(
    small: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(6, 5, 3, 2, 1)
    )
    kept = [p.clone() for p in trunk.parameters()]
    monkeypatch.setattr(
        "steerbench.training.game.feature_trunk", lambda name: (trunk, [(1, 32, 6), (2, 16, 5)])
    )
    trainer = StyleGAN2Game(settings(judge="somebody"), small)
    assert isinstance(trainer.d, ProjectedDiscriminator)
    assert trainer.d(trainer.real()).shape == (4, 3)
    head = trainer.d.heads[1].enter.weight.clone()
    trainer.step()
    assert not torch.equal(trainer.d.heads[1].enter.weight, head)
    assert all(torch.equal(a, b) for a, b in zip(kept, trunk.parameters()))
