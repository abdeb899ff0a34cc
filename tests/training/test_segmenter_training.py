"""The segmenter's training in miniature: batches, checkpoints, and what is measured of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench import assets
from steerbench.cards import segmenters as quality
from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.predictors import SegmentationPredictor
from steerbench.training import pictures as cache
from steerbench.training import segmenter as training
from steerbench.training import shared
from steerbench.training.pictures import Pictures
from steerbench.training.segmenter import SegmenterTrainer, Settings
from steerbench.training.trainer import Place

SEED = 900_700_000
PLAIN = {"noise": 0.0, "blur": 0.0, "softened": 0.0, "blotches": 0.0, "tint": 0.0, "bend": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", 32)
        cache.render(folder, 32, resolution=64, world_name="rooms", first_seed=SEED)
        yield folder


@pytest.fixture(scope="module")
def small(folder: Path) -> Pictures:
    return Pictures(folder, with_masks=True)


def settings(**changes: object) -> Settings:
    tiny = {"widths": (4, 6, 8), "images": 64, "batch_size": 8, "precision": "float32"}
    return Settings(**(tiny | changes))  # type: ignore[arg-type]


def test_mirrored_and_stamped_pictures_are_those_of_the_world(small: Pictures) -> None:
    trainer, world = SegmenterTrainer(small, settings(watermarks=0.5, **PLAIN)), sb.world("rooms")
    names, indices = list(small.factor_names), np.arange(32)
    torch.manual_seed(0)
    images, masks = trainer.batch(indices)
    factors = dict(zip(names, small.factors.clone().T))
    stamped = (masks == trainer.mark_class).any((1, 2))
    assert 4 < stamped.sum() < 28
    seen = []
    for mirror in (0.0, 1.0):
        turned = factors | {
            "side": torch.where(torch.tensor(mirror > 0), 1 - factors["side"], factors["side"]),
            "yaw": factors["yaw"] * (1 - 2 * mirror),
            "watermark": stamped.float(),
        }
        truth = world.render(turned)
        same = (truth.images - images).abs().amax((1, 2, 3)) < 2 / 255
        assert torch.equal(truth.masks[same], masks[same])
        seen.append(same)
    assert (seen[0] ^ seen[1]).all()
    assert 4 < seen[1].sum() < 28
    again = small.images(indices)
    assert (world.render(factors).images - again).abs().max() < 2 / 255


def test_softened_pictures_are_blurred_and_noisy_and_keep_their_mean() -> None:
    images = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    given = images.clone()
    torch.manual_seed(0)
    soft = shared.blur_noise(images, blur=1.4, noise=0.0, share=1.0)
    assert torch.equal(images, given)
    assert soft.var() < 0.9 * images.var()
    assert abs(soft.mean() - images.mean()) < 1e-2
    torch.manual_seed(0)  # the same, large standard deviation
    half = shared.blur_noise(images, blur=1.4, noise=0.0, share=0.5)
    untouched = (half == images).flatten(1).all(1)
    assert 10 < untouched.sum() < 54
    noisy = shared.blur_noise(images, blur=1.4, noise=0.1, share=0.0) - images
    assert 0 < noisy.std() < 0.1


def test_a_bent_mask_stays_on_its_picture(small: Pictures) -> None:
    masks = small.labels(np.arange(16))
    images = (masks == masks[:, :1, :1])[:, None].float().expand(-1, 3, -1, -1)
    torch.manual_seed(0)
    moved, labels = training.elastic_warp(images, masks, 2.0)
    assert (labels != masks).any((1, 2)).float().mean() > 0.6
    assert set(labels.unique().tolist()) <= set(masks.unique().tolist())
    shown = moved[:, 0] > 0.5
    assert (shown == (labels == masks[:, :1, :1])).float().mean() > 0.99
    same, still = training.elastic_warp(images, masks, 0.0)
    assert torch.equal(same, images)
    assert torch.equal(still, masks)


def test_blotches_are_coarse_and_a_tint_is_even() -> None:
    images = torch.full((64, 3, 32, 32), 0.5)
    torch.manual_seed(0)
    noise = training.low_frequency_noise(images, 0.3, 0.0) - images
    assert 0.05 < noise.std() < 0.3
    assert noise.diff(dim=-1).std() < 1.2 * noise.std()  # of white noise: 1.41
    tinted = training.low_frequency_noise(images, 0.0, 0.15)
    assert tinted.flatten(2).std(2).max() < 1e-5
    assert 0.15 < tinted[:, :, 0, 0].std() < 0.3


def test_rates_rise_and_fall() -> None:
    rates = [shared.cosine(done, 0.1) for done in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 10
    assert rates[10] == 1
    assert max(rates[0], rates[-1]) < 0.02
    assert (np.diff(rates[10:]) <= 0).all()


def test_a_round_shows_every_picture_once() -> None:
    batches = shared.epochs(np.random.default_rng(0), 10, 5)
    for _ in range(3):
        assert sorted(np.concatenate([next(batches), next(batches)])) == list(range(10))


def test_a_short_training_learns(small: Pictures) -> None:
    trainer = SegmenterTrainer(
        small, settings(widths=(8, 12, 16, 16), images=960, batch_size=16, **PLAIN)
    )
    trainer.run()
    segmenter = trainer.predictor()
    assert segmenter.names == sb.world("rooms").class_names
    result = quality.against_truth(segmenter, small)
    assert result["accuracy"] > 0.6  # the most frequent class alone: about a third
    assert trainer.seconds > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_is_fixed_by_its_seed(small: Pictures, precision: str) -> None:
    def learned(seed: int) -> dict[str, torch.Tensor]:
        trainer = SegmenterTrainer(small, settings(seed=seed, precision=precision))
        trainer.run()
        return trainer.predictor().tensors()

    first, again, other = (learned(seed) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_run_goes_on_from_its_checkpoint(small: Pictures, tmp_path: Path) -> None:
    trainer = SegmenterTrainer(small, settings())
    for _ in range(3):
        trainer.step(np.arange(8))
    trainer.seconds = 5.0
    trainer.save(tmp_path / "latest.safetensors")
    resumed = SegmenterTrainer(small, settings(seed=9))
    resumed.restore(tmp_path / "latest.safetensors")
    assert (resumed.step_count, resumed.seconds) == (3, 5.0)
    for one in (trainer, resumed):
        torch.manual_seed(1)
        one.step(np.arange(8))
    mine, theirs = trainer.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    with pytest.raises(SteerbenchError, match=r"\[4, 6, 8\]\}, expected \{'widths': \[4, 8\]\}"):
        SegmenterTrainer(small, settings(widths=(4, 8))).restore(tmp_path / "latest.safetensors")
    resumed.run()
    assert resumed.step_count == resumed.settings.n_steps


def test_checkpoints_are_written_on_the_way(
    small: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    trainer = SegmenterTrainer(small, settings())
    monkeypatch.setattr(trainer, "save", lambda path: steps.append(trainer.step_count))
    trainer.run(tmp_path / "latest.safetensors", save_minutes=0)
    assert steps == [*range(1, 9), 8]
    trainer.step_count = 0
    trainer.run(tmp_path / "latest.safetensors", save_minutes=60)
    assert steps[9:] == [8]


def test_a_command_writes_an_asset_and_resumes(folder: Path, tmp_path: Path) -> None:
    place = Place(folder, tmp_path / "assets" / "toy.safetensors", tmp_path / "work", "a test")
    with pytest.raises(NotFoundError):
        training.run(settings(), replace(place, resume=True))
    training.run(settings(), place)
    assert (place.work / "latest.safetensors").is_file()
    loaded = sb.predictor(place.target)
    longer = training.run(settings(images=128), replace(place, resume=True))
    assert isinstance(loaded, SegmentationPredictor)
    assert not torch.equal(longer.tensors()["heads.weight"], loaded.tensors()["heads.weight"])


def test_what_is_measured_is_measured_right() -> None:
    truth = torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 1]]])
    read = torch.tensor([[[0, 0], [1, 0]], [[0, 0], [0, 1]]])
    result = quality.summary(quality.confusion(truth, read, 3))
    assert result["accuracy"] == 0.875
    assert result["iou"] == [round(5 / 6, 4), round(2 / 3, 4), None]
    assert result["shares"] == [0.625, 0.375, 0.0]
    assert result["mean_iou"] == 0.75


def test_quality_writes_cards_that_say_what_was_seen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]
    for seed, path in enumerate(paths):
        training.run(settings(seed=seed), Place(folder, path, tmp_path, "a test"))
    options = {"generator": "rooms", "judge": "rooms-attributes-2", "out": tmp_path / "quality"}
    with pytest.raises(SteerbenchError, match="fewer than 2000"):
        quality.run(paths, held_out=folder, n_samples=8, **options)
    monkeypatch.setattr(shared, "HELD_OUT_LEAST", 32)
    with pytest.raises(SteerbenchError, match="32 pictures, 64 are wanted"):
        quality.run(paths, held_out=folder, n_samples=64, **options)
    note = "Beds look like beds."
    first, _ = quality.run(paths, held_out=folder, n_samples=32, note=note, **options)
    card = paths[0].with_suffix(".md").read_text(encoding="utf-8")
    assert "Beds look like beds." in card
    assert f"| wall | {first['truth']['shares'][0]} | {first['truth']['iou'][0]} |" in card
    assert f"| generated | {first['each_other']['generated']['accuracy']} |" in card
    assert (tmp_path / "quality" / "grid.png").is_file()
    with pytest.raises(SteerbenchError, match="expected a segmenter"):
        quality.segmenter_of(assets.path("predictors", "rooms-attributes"))
