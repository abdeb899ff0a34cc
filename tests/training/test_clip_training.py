"""The CLIP's training in miniature: what is said with which picture, checkpoints, the card."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from steerbench.cards import clips as quality
from steerbench.errors import SteerbenchError
from steerbench.predictors import clip as clips
from steerbench.training import clip as training
from steerbench.training import pictures as cache
from steerbench.training.clip import (
    ClipTrainer,
    Examples,
    Settings,
    contrast,
    decide,
    encode_text,
    vocabulary,
)
from steerbench.training.trainer import Place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", 32)
        cache.render(folder, 32, resolution=64, world_name="rooms", first_seed=900_800_000)
        yield folder


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return Examples(folder)


def settings(**changes: object) -> Settings:
    tiny = {"layers": (1, 1, 1, 1), "width": 8, "features": 16, "text_width": 32}
    tiny |= {"text_layers": 1, "images": 64, "batch_size": 8, "precision": "float32"}
    return Settings(**(tiny | changes))  # type: ignore[arg-type]


def test_the_loss_is_least_where_each_picture_has_its_own_text() -> None:
    features = F.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    scale = torch.tensor(20.0)
    right = contrast(features, features, scale)
    assert right < contrast(features, features.flip(0), scale)
    logits = scale * features @ features.T
    own = torch.arange(6)
    both = [F.cross_entropy(logits, own), F.cross_entropy(logits.T, own)]
    assert torch.allclose(right, sum(both) / 2)


def test_of_two_opposites_the_true_one_is_found_where_the_picture_tells() -> None:
    ends = torch.eye(4)
    images = torch.stack([ends[0] + ends[3], ends[1] + ends[2]]) / 2**0.5
    right = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scale = torch.tensor(10.0)
    assert decide(images, ends, right, scale) < 0.01
    assert decide(images, ends, 1 - right, scale) > 5
    hidden = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    assert decide(images, ends, hidden, scale) < 0.01


def test_short_texts_are_read_as_open_clip_reads_them(examples: Examples) -> None:
    clip = clips.build_clip(settings().config, vocabulary(examples))
    numbers = clip.tokenizer(["a room", "a bedroom at night with a lamp that is on", "lamp"])
    want = clip.network.encode_text(numbers, normalize=True)
    assert torch.allclose(encode_text(clip.network, numbers), want, atol=1e-5)


def test_mirrored_pictures_get_the_other_side_and_marked_ones_a_watermark(
    examples: Examples,
) -> None:
    lamp = examples.classes.index("lamp")
    shown = [i for i in range(32) if (examples.pictures.masks[0][i] == lamp).sum() > 20]
    sides = {False: set(), True: set()}
    for mirrored in sides:
        choose = random.Random(0)
        for _ in range(150):
            text = examples.texts(shown[0], mirrored, False, choose)[1]
            sides[mirrored] |= {word for word in ("left", "right") if word in text}
    assert len(sides[False]) == len(sides[True]) == 1
    assert sides[False] != sides[True]
    choose = random.Random(0)
    marked = " ".join(" ".join(examples.texts(0, False, True, choose)[:2]) for _ in range(60))
    assert "a watermark" in marked
    assert "without a watermark" not in marked


def test_the_vocabulary_holds_what_is_said(examples: Examples) -> None:
    words, choose = set(vocabulary(examples)), random.Random(3)
    said = [text for i in range(32) for text in examples.texts(i, True, False, choose)[:2]]
    unknown = [w for text in said for w in clips.split(text) if w not in words]
    assert len(unknown) < 0.02 * sum(len(clips.split(text)) for text in said)
    assert {"without", "bedroom", "night", "off"} <= words


def test_a_resumed_run_ends_where_it_should_and_learns(folder, examples, tmp_path) -> None:
    words = vocabulary(examples)
    trainer = ClipTrainer(examples, settings(images=160, learning_rate=5e-3), words)
    losses = [sum(trainer.step(np.arange(8)).values()) for _ in range(14)]
    assert losses[-1] < losses[0]
    trainer.save(tmp_path / "latest.safetensors")
    other = ClipTrainer(examples, settings(images=160, learning_rate=5e-3), words)
    other.restore(tmp_path / "latest.safetensors")
    assert other.step_count == 14
    mine, theirs = trainer.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    other.run()
    assert other.step_count == 20
    with pytest.raises(SteerbenchError, match="without --resume"):
        ClipTrainer(examples, settings(width=16), words).restore(tmp_path / "latest.safetensors")


def test_a_run_writes_an_asset_that_the_card_can_be_made_of(folder, tmp_path, monkeypatch) -> None:
    path = tmp_path / "tiny.safetensors"
    training.run(settings(), Place(folder, path, tmp_path / "work", "a test"))
    monkeypatch.setattr(quality, "check_held_out", lambda _: None)
    judge = "rooms-attributes"
    result = quality.run(path, held_out=folder, judge=judge, n_samples=32, among=16)
    assert len(result["zero_shot"]) == len(training.OPPOSITES)
    text = path.with_suffix(".md").read_text()
    assert text.startswith("# tiny")
    assert "caption finds picture" in text
    assert clips.clip(str(path)).vocabulary
