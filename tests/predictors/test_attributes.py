"""The oracle: its network, its training, and that it reads rooms it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench import store
from steerbench.cards.attributes import measure
from steerbench.cards.attributes import run as write_card
from steerbench.errors import NotFoundError, PredictorError, SteerbenchError
from steerbench.predictors import (
    Attribute,
    AttributeNetwork,
    AttributePredictor,
    SegmentationNetwork,
    SegmentationPredictor,
    oracle,
    save,
)
from steerbench.training import attributes as training
from steerbench.training import pictures as cache
from steerbench.training.attributes import AttributesTrainer, Examples, Settings, augment
from steerbench.training.trainer import Place
from steerbench.worlds import WorldBatch
from steerbench.worlds.rooms.visibility import RULES, visibility_mask

ORACLES = ("rooms-attributes", "rooms-attributes-2")
SEED = 900_600_000
"""Rooms that neither training nor the cards' held-out pictures contain."""


@pytest.fixture(scope="module")
def fresh() -> WorldBatch:
    return sb.world("rooms").sample(96, seed=SEED)


@pytest.fixture(scope="module")
def shows(fresh: WorldBatch) -> dict[str, torch.Tensor]:
    world = sb.world("rooms")
    pixels = {name: (fresh.masks == i).sum((1, 2)) for i, name in enumerate(world.class_names)}
    columns = visibility_mask(world.factor_names, fresh.factors, pixels)
    return dict(zip(world.factor_names, columns.T))


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD", 48)
        cache.render(folder, 48, resolution=64, world_name="rooms", first_seed=SEED)
        yield folder


def toy(norm: bool = False) -> AttributeNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AttributeNetwork(2, (4, 6, 8, 8), 16, norm=norm)


def test_folding_the_normalisation_changes_no_reading() -> None:
    network, images = toy(norm=True), torch.randn(8, 3, 64, 64)
    network(images)
    assert torch.allclose(network.eval()(images), network.fold()(images), atol=1e-5)


def test_readings_are_brought_to_their_units() -> None:
    attributes = [Attribute("on", "binary", 0, 1, ""), Attribute("yaw", "real", -10, 30, "degrees")]
    oracle = AttributePredictor(toy(), attributes)
    images = torch.rand(3, 3, 64, 64)
    readings = oracle.network(images)
    expected = torch.stack([readings[:, 0].sigmoid(), 10 + readings[:, 1] * 40 / 12**0.5], dim=1)
    assert torch.allclose(oracle.predict(images), expected, atol=1e-5)
    assert torch.allclose(oracle.logits(images)[:, 0], readings[:, 0], atol=1e-6)
    assert torch.equal(oracle.read(oracle.features(images)), oracle.predict(images))
    assert (oracle.binary_names, oracle.continuous_names) == (("on",), ("yaw",))


@pytest.mark.parametrize("name", ORACLES)
def test_it_reads_rooms_it_never_saw(name: str, fresh: WorldBatch, shows) -> None:
    oracle = sb.predictor(name)
    assert oracle.names == sb.world("rooms").factor_names
    read = dict(zip(oracle.names, oracle.predict(fresh.images).T))
    for factor in ("bedroom", "night", "lamp_on", "window", "wood", "side"):
        right = (read[factor] > 0.5) == (fresh.factors[factor] > 0.5)
        assert right[shows[factor]].float().mean() > 0.95, factor
    for factor in ("yaw", "pitch", "wall_warmth", "cover_hue"):
        pair = torch.stack([read[factor], fresh.factors[factor]])
        assert pair[:, shows[factor]].corrcoef()[0, 1] > 0.95, factor


def test_the_two_networks_differ() -> None:
    first, second = (sb.predictor(name) for name in ORACLES)
    assert first.network.widths != second.network.widths


def test_some_attributes_can_be_chosen(fresh: WorldBatch) -> None:
    oracle = sb.predictor("rooms-attributes")
    chosen = sb.predictor("rooms-attributes", ["yaw", "lamp_on"])
    assert chosen.units == ("degrees", "probability")
    columns = [oracle.names.index("yaw"), oracle.names.index("lamp_on")]
    assert torch.allclose(chosen.predict(fresh.images), oracle.predict(fresh.images)[:, columns])
    with pytest.raises(NotFoundError, match="Did you mean 'lamp_on'"):
        sb.predictor("rooms-attributes", ["lamp_onn"])


def test_rules_are_about_factors_of_the_world_and_hide_what_they_say(fresh, shows) -> None:
    assert set(RULES) <= set(sb.world("rooms").factor_names)
    assert not shows["daylight"][fresh.factors["night"] > 0.5].any()
    assert not shows["lamp_warmth"][fresh.factors["lamp_on"] < 0.5].any()
    assert not shows["cloud_cover"][fresh.factors["window"] < 0.5].any()
    assert shows["yaw"].all()


def test_stamped_pictures_are_those_of_the_world(small_cache) -> None:
    examples, world = Examples(small_cache), sb.world("rooms")
    images, factors, _ = examples.batch(np.arange(4), torch.tensor([True, False, True, False]))
    assert factors[:, examples.names.index("watermark")].tolist() == [1, 0, 1, 0]
    drawn = world.draw(4, seed=SEED) | {"watermark": torch.tensor([1.0, 0, 1, 0])}
    assert (world.render(drawn).images - images).abs().max() < 2 / 255


def test_mirrored_pictures_are_those_of_the_world(small_cache) -> None:
    examples, world = Examples(small_cache), sb.world("rooms")
    images, factors, _ = examples.batch(np.arange(4), torch.zeros(4, dtype=torch.bool))
    plain = Settings(noise=0.0, blur=0.0)
    mirrored, changed = augment(images, factors, examples.names, plain)
    rooms = world.render(dict(zip(examples.names, changed.T)))
    assert (rooms.images - mirrored).abs().max() < 2 / 255
    assert torch.equal(mirrored[2:], images[2:])


def learn(examples: Examples, settings: Settings) -> AttributePredictor:
    trainer = AttributesTrainer(examples, settings)
    trainer.run()
    return trainer.predictor()


def test_a_run_writes_an_asset_and_goes_on_from_its_checkpoint(small_cache, tmp_path) -> None:
    small = {"widths": (4, 4, 4, 4), "features": 8, "batch_size": 8}
    place = Place(small_cache, tmp_path / "oracle.safetensors", tmp_path / "work", "a test")
    training.run(Settings(images=32, **small), place)
    header = store.read_header(place.target)["training"]
    assert header["data"].startswith("48 renders of the world rooms")
    longer = training.run(Settings(images=64, **small), replace(place, resume=True))
    stored = oracle(place.target)
    assert all(torch.equal(v, stored.tensors()[k]) for k, v in longer.tensors().items())
    _, header = store.load(place.work / "latest.safetensors")
    assert header["step"] == 8


def test_a_short_training_learns(small_cache) -> None:
    examples = Examples(small_cache)
    settings = Settings(widths=(8, 12, 12, 12), features=32, images=1440, batch_size=24)
    result = measure(learn(examples, settings), examples)
    assert set(result) == set(sb.world("rooms").factor_names)
    assert result["wall_warmth"]["r2"] > 0.3


def test_a_training_is_fixed_by_its_seed(small_cache) -> None:
    examples = Examples(small_cache)
    settings = Settings(widths=(4, 4, 4, 4), features=8, images=32, batch_size=8)
    first, again = (learn(examples, settings).tensors() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_too_few_held_out_pictures_are_refused(small_cache, tmp_path) -> None:
    with pytest.raises(SteerbenchError, match="fewer than 2000"):
        write_card(tmp_path / "oracle.safetensors", held_out=small_cache)


def test_an_oracle_is_asked_for_where_one_is_needed(tmp_path) -> None:
    assert oracle("rooms-attributes").name == "rooms-attributes"
    segmenter = SegmentationPredictor(SegmentationNetwork(2, (4, 4)), ["wall", "floor"])
    save(segmenter, tmp_path / "toy.safetensors")
    with pytest.raises(PredictorError, match="toy is a SegmentationPredictor"):
        oracle(tmp_path / "toy.safetensors")
