"""CLIPs: words and pictures in one space, the embedded ones and open_clip's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import steerbench as sb
from steerbench.compat import ensure_torchvision
from steerbench.errors import CheckpointError, NotFoundError, PredictorError
from steerbench.predictors import clip as clips
from steerbench.predictors.tokenizer import Words, split

TINY = {
    "features": 16,
    "image": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "image_size": 64},
    "text": {"width": 16, "heads": 2, "layers": 1, "context_length": 8},
}
KNOWN = ("a", "room", "with", "plant", "lamp", "without", "at", "night")


@pytest.fixture(scope="module")
def tiny() -> clips.Clip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return clips.build_clip(TINY, KNOWN, "tiny")


def test_words_become_numbers_and_the_end_is_the_highest() -> None:
    words = Words(KNOWN, 6)
    rows = words(["a room", "A ROOM!", "a unicorn room", "a room with a plant at night"])
    assert rows.shape == (4, 6)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert (rows.max(1).values == words.end).all()
    assert (rows[:, 0] == 1).all()
    assert rows[3, -1] == words.end  # cut off, and closed all the same
    assert split("sea-green, 2 lamps") == ["sea", "green", "2", "lamps"]


def test_features_have_unit_length_and_gradients_reach_the_pictures(tiny) -> None:
    images = torch.rand(3, 3, 64, 64).mul(2).sub(1).requires_grad_()
    features = tiny.encode_image(images)
    assert torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    features[:, 0].sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0
    texts = tiny.encode_text(["a room", "a plant"])
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)
    assert tiny.similarity(images.detach(), "a room").shape == (3, 1)


def test_pictures_of_any_size_and_grey_ones_are_read(tiny) -> None:
    for shape in ((2, 3, 50, 70), (2, 1, 64, 64), (2, 3, 256, 256)):
        assert tiny.encode_image(torch.zeros(shape)).shape == (2, 16)
    with pytest.raises(PredictorError, match="NaN"):
        tiny.encode_image(torch.full((1, 3, 8, 8), torch.nan))


def test_one_picture_is_read_the_same_alone_and_in_a_batch(tiny) -> None:
    images = torch.rand(5, 3, 64, 64)
    assert torch.allclose(
        tiny.encode_image(images)[3], tiny.encode_image(images[3:4])[0], atol=1e-5
    )


def test_zero_shot_is_a_softmax_of_two_sentences(tiny) -> None:
    pair = ("a room with a plant", "a room without a plant")
    reader = tiny.predictor({"plant": pair, "lamp": ("a lamp", "without lamp")})
    images = torch.rand(4, 3, 64, 64)
    fits = tiny.scale * tiny.similarity(images, list(pair))
    want = fits.softmax(1)[:, 0]
    assert torch.allclose(reader.predict(images)[:, 0], want, atol=1e-5)
    assert reader.names == ("plant", "lamp")
    assert reader.units == ("probability", "probability")
    assert torch.allclose(reader.logits(images).sigmoid(), reader.predict(images), atol=1e-6)


@pytest.mark.parametrize("bad", [{}, {"plant": "a plant"}, {"plant": ("a plant",)}])
def test_opposites_come_in_pairs(tiny, bad) -> None:
    with pytest.raises(PredictorError, match="pair"):
        tiny.predictor(bad)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "empty"), ("  \n", "empty"), ("unicorns galore", "none of the words"), (7, "a int")],
)
def test_prompts_that_say_nothing_are_refused(tiny, text, said) -> None:
    with pytest.raises(PredictorError, match=said):
        tiny.encode_text(text)


def test_what_does_not_count_is_said(tiny) -> None:
    assert tiny.remarks("a room at night") == ()
    assert tiny.unknown_words("a unicorn room, a unicorn") == ("unicorn",)
    (remark,) = tiny.remarks("a room with a palnt")
    assert "'palnt'" in remark
    assert "'plant'" in remark
    (remark,) = tiny.remarks("room " * 500)
    assert "the last 494 do not count" in remark
    assert torch.equal(tiny.encode_text("room " * 500), tiny.encode_text("room " * 6))


def test_a_clip_alone_gives_no_scores(tiny) -> None:
    with pytest.raises(PredictorError, match="predictor"):
        tiny.predict(torch.zeros(1, 3, 64, 64))


def test_a_saved_clip_reads_the_same(tiny, tmp_path) -> None:
    path = tmp_path / "mine.safetensors"
    clips.save(tiny, TINY, path, note="test")
    again = sb.clip(str(path))
    assert again.name == "mine"
    assert again.vocabulary == tiny.vocabulary
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(again.encode_image(images), tiny.encode_image(images), atol=2e-2)
    assert torch.allclose(again.encode_text("a room"), tiny.encode_text("a room"), atol=2e-2)
    twin = sb.clip(str(path))
    assert again.fingerprint == twin.fingerprint
    assert again.fingerprint != tiny.fingerprint  # kept in half precision


def test_files_that_hold_something_else_are_refused(tmp_path) -> None:
    with pytest.raises(NotFoundError):
        sb.clip(str(tmp_path / "none.safetensors"))
    path = tmp_path / "other.safetensors"
    sb.Direction("x", "w", [1.0]).save(path)
    with pytest.raises(CheckpointError, match="steerbench clip"):
        sb.clip(str(path))
    with pytest.raises(NotFoundError, match="rooms-clip"):
        sb.clip("room-clip")
    with pytest.raises(PredictorError, match="openai"):
        sb.clip("ViT-B-32")
    with pytest.raises(PredictorError, match="names no weights"):
        sb.clip("ViT-B-32", pretrained="opnai")


def test_a_model_of_open_clip_with_weights_from_a_file(tmp_path) -> None:
    ensure_torchvision()
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16}
        | {"heads": 2, "layers": 1},
    }
    (tmp_path / "steerbench-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, _, transform = open_clip.create_model_and_transforms("steerbench-tiny")
    weights = tmp_path / "weights.pt"
    torch.save(model.state_dict(), weights)
    mine = sb.clip("steerbench-tiny", pretrained=weights)
    model.eval()

    pixels = np.random.RandomState(0).randint(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        want = model.encode_image(transform(Image.fromarray(pixels))[None], normalize=True)
        words = open_clip.get_tokenizer("steerbench-tiny")(["a red unicorn"])
        text = model.encode_text(words, normalize=True)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.allclose(mine.encode_image(images), want, atol=1e-3)
    assert torch.allclose(mine.encode_text("a red unicorn"), text, atol=1e-5)
    assert mine.unknown_words("a red unicorn") == ()
    assert mine.cut_off("word " * 500) == 486

    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="did not load"):
        sb.clip("steerbench-tiny", pretrained=weights)
