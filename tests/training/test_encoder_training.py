"""The encoder's training in miniature: its batches, its checkpoint, its asset and card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.cards import encoder as quality
from steerbench.errors import ArgumentError
from steerbench.inversion import encoder
from steerbench.training import encoder as training
from steerbench.training import pictures as cache
from steerbench.training.encoder import EncoderTrainer, Settings
from steerbench.training.pictures import Pictures
from steerbench.training.trainer import Place

SMALL = Settings(images=24, batch_size=8, precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", 16)
        cache.render(folder, 16, resolution=64, world_name="rooms", first_seed=900_900_000)
        yield folder


def test_the_loss_weighs_its_terms_and_a_perfect_guess_costs_no_code(folder: Path) -> None:
    trainer = EncoderTrainer(Pictures(folder), SMALL)
    torch.manual_seed(0)
    losses = trainer.losses(np.arange(4))
    assert set(losses) == {"latent", "pixels", "looks", "narrow"}
    assert losses["narrow"] == 0  # offsets begin at nothing
    assert trainer.weights == {"pixels": 10.0, "looks": 0.3, "narrow": 0.02}
    codes, crossed, images = trainer.sample(64)
    rows = codes[:, 0] == codes[:, -1]
    assert torch.equal(rows.all(1), ~crossed)
    assert 10 < crossed.sum() < 44
    assert torch.allclose(trainer.draw(codes[:2]), images[:2], atol=2e-2)


def test_it_goes_on_from_its_checkpoint_and_becomes_an_asset_with_a_card(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(folder, tmp_path / "toy.safetensors", tmp_path / "work", "a test")
    training.run(SMALL, place)
    longer = training.run(replace(SMALL, images=32), replace(place, resume=True))
    rooms = sb.load("rooms")
    images = Pictures(folder).images(np.arange(2))
    stored = encoder(place.target)
    assert stored.generator == rooms.fingerprint
    assert torch.allclose(stored.encode(images).data, longer.encode(images).data, atol=1e-2)

    monkeypatch.setattr(quality, "check_held_out", lambda _: None)
    judge = "rooms-attributes-2"
    rows = quality.run(place.target, held_out=folder, judge=judge, n_samples=8)
    assert [row["space"] for row in rows] == ["w", "w+"] * 2
    card = place.target.with_suffix(".md").read_text()
    assert "4 steps of 8 pictures" in card
    assert f"**generator**: `{rooms.fingerprint}`" in card
    monkeypatch.setattr(quality, "load", lambda name: sb.load("rooms-watermarked"))
    with pytest.raises(ArgumentError, match="Train it anew"):
        quality.run(place.target, held_out=folder, judge=judge, n_samples=8)
