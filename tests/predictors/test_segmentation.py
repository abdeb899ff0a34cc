"""The segmenter: its network, its answers, and that it sees rooms it never saw before."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import assets
from steerbench.errors import CheckpointError, PredictorError
from steerbench.predictors import SegmentationNetwork, SegmentationPredictor, save
from steerbench.stats import IoU
from steerbench.worlds import WorldBatch

SEGMENTERS = ("rooms-segmenter", "rooms-segmenter-2")
SEED = 900_600_000
"""Rooms that neither training nor the cards' held-out pictures contain."""
LARGE = ("wall", "ceiling", "floor", "rug", "curtain", "bed", "sofa", "table")


@pytest.fixture(scope="module")
def fresh() -> WorldBatch:
    return sb.world("rooms").sample(48, seed=SEED)


def toy(norm: bool = False, classes: int = 3) -> SegmentationNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SegmentationNetwork(classes, (4, 6, 8), norm=norm)


def test_folding_the_normalisation_changes_no_logit() -> None:
    network, images = toy(norm=True), torch.randn(8, 3, 32, 32)
    network(images)
    assert torch.allclose(network.eval()(images), network.fold()(images), atol=1e-5)


def test_a_pixel_is_named_by_what_surrounds_it() -> None:
    network, images = toy(), torch.zeros(1, 3, 64, 64, requires_grad=True)
    network(images)[0, 0, 32, 32].backward()
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0) > 0
    assert seen[32, 24:40].all()
    assert seen[24:40, 32].all()


def test_labels_areas_and_probabilities_tell_the_same() -> None:
    segmenter = SegmentationPredictor(toy(), ["a", "b", "c"])
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    logits = segmenter.network(images)
    assert torch.allclose(segmenter.logits(images), logits, atol=1e-6)
    assert torch.allclose(segmenter.probabilities(images), logits.softmax(1), atol=1e-6)
    assert torch.equal(segmenter.predict(images), logits.argmax(1))
    shares = torch.nn.functional.one_hot(logits.argmax(1), 3).float().mean((1, 2))
    assert torch.allclose(segmenter.areas(images), shares)


def test_it_works_in_half_precision() -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    exact = SegmentationPredictor(toy(), ["a", "b", "c"]).probabilities(images)
    coarse = SegmentationPredictor(toy().bfloat16(), ["a", "b", "c"]).probabilities(images)
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().max() < 0.02


def test_classes_are_neither_left_out_nor_unnamed(tmp_path) -> None:
    segmenter = SegmentationPredictor(toy(), ["a", "b", "c"])
    save(segmenter, tmp_path / "toy.safetensors")
    with pytest.raises(PredictorError, match=r"names=\['b'\].*columns of areas"):
        sb.predictor(tmp_path / "toy.safetensors", ["b"])
    with pytest.raises(PredictorError, match="2 names for a network of 3 classes"):
        SegmentationPredictor(toy(), ["a", "b"])


def test_an_incomplete_file_is_refused(tmp_path) -> None:
    from steerbench import store

    segmenter = SegmentationPredictor(toy(), ["a", "b", "c"])
    header = {"kind": "steerbench predictor", "architecture": "segmentation"}
    for name, config, tensors in (
        ("widths", segmenter.config() | {"widths": [4, 6]}, segmenter.tensors()),
        ("names", {"widths": [4, 6, 8]}, segmenter.tensors()),
        ("tensors", segmenter.config(), {"a": torch.zeros(1)}),
    ):
        store.save(tmp_path / f"{name}.safetensors", tensors, header | {"config": config})
        with pytest.raises(CheckpointError, match="incomplete segmentation file"):
            sb.predictor(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("name", SEGMENTERS)
def test_it_sees_rooms_it_never_saw(name: str, fresh: WorldBatch) -> None:
    segmenter = sb.predictor(name)
    assert segmenter.names == sb.world("rooms").class_names
    read, k = segmenter.predict(fresh.images), len(segmenter.names)
    assert (read == fresh.masks).float().mean() > 0.95
    one_hot = [torch.nn.functional.one_hot(m.flatten(), k) for m in (fresh.masks, read)]
    iou = dict(zip(segmenter.names, IoU().add(*one_hot).iou().diagonal().tolist()))
    for each in LARGE:
        assert iou[each] > 0.8, each


@pytest.mark.parametrize("name", SEGMENTERS)
def test_it_sees_the_watermark_and_the_lamp_go(name: str) -> None:
    world, segmenter = sb.world("rooms"), sb.predictor(name)
    factors = world.draw(16, seed=SEED)
    areas = {}
    for what in ("watermark", "lamp"):
        column = segmenter.names.index(what)
        for present in (0.0, 1.0):
            changed = factors | {what: torch.full((16,), present)}
            images = world.render(changed).images
            areas[what, present] = segmenter.areas(images)[:, column].mean()
        assert areas[what, 1.0] > 5 * areas[what, 0.0] + 0.002, what


def test_the_two_networks_differ() -> None:
    first, second = (sb.predictor(name) for name in SEGMENTERS)
    assert first.network.widths != second.network.widths
    assert set(SEGMENTERS) <= set(assets.names("predictors"))
