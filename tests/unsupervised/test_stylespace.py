"""StyleSpace where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.errors import (
    CapabilityError,
    LayerError,
    NotFoundError,
    PredictorError,
    ShapeError,
    SteerbenchError,
)
from steerbench.unsupervised.stylespace import (
    attribute_channels,
    channel_direction,
    localised_channels,
    positive_examples,
)
from steerbench.unsupervised.stylespace.channels import locate, overlap, top_rate
from steerbench.unsupervised.stylespace.gradients import energy_maps, gradient_maps
from tests.conftest import make_toy
from tests.contracts.test_generators import dcgan
from tests.linear_generator import CHANNEL, SHAPE, SIZE, LinearGenerator


def corner(pictures: torch.Tensor) -> torch.Tensor:
    """Label 1 in the corner where the planted channel draws, 0 elsewhere."""
    labels = torch.zeros(len(pictures), *pictures.shape[2:], dtype=torch.int64)
    labels[:, :4, :4] = 1
    return labels


def test_gradient_maps_are_the_columns_of_the_jacobian() -> None:
    generator = LinearGenerator()
    maps = gradient_maps(generator, generator.sample(2), size=8)
    jacobian = generator.module.m.T.reshape(SIZE, *SHAPE)
    assert maps.shape == (2, SIZE, 8, 8)
    assert torch.allclose(maps[1].double(), jacobian.abs().mean(1), rtol=1e-6)


def test_energy_is_right_on_average() -> None:
    generator = LinearGenerator()
    latent = generator.sample(1)
    mean = torch.stack([energy_maps(generator, latent, size=2, seed=s)[0] for s in range(400)])
    squares = generator.module.m.T.reshape(SIZE, *SHAPE).square().sum(1)
    exact = squares.unfold(1, 4, 4).unfold(2, 4, 4).sum((-1, -2)) / np.prod(SHAPE)
    assert torch.allclose(mean.mean(0), exact, rtol=0.5)
    assert mean.mean(0).sum() == pytest.approx(float(exact.sum()), rel=0.2)
    assert not energy_maps(generator, latent, size=2)[0, CHANNEL, 1].any()


def test_the_table_says_how_much_and_where() -> None:
    found = sb.StyleSpace(1, n_samples=8, size=2).fit(LinearGenerator())
    first = found.channels_.iloc[0]
    assert (first["channel"], first["layer"], first["unit"]) == (CHANNEL, "last", 2)
    assert first["area"] == pytest.approx(0.25)
    assert found.channels_["score"].is_monotonic_decreasing
    assert len(found.channels_) == SIZE


def test_layers_that_only_paint_are_left_out_unless_wanted() -> None:
    generator = make_toy()
    plain = sb.StyleSpace(1, 1, size=2).fit(generator).channels_
    assert not plain["layer"].str.endswith("torgb").any()
    coloured = sb.StyleSpace(1, 1, size=2, colours=True).fit(generator).channels_
    assert len(coloured) == generator.spaces["s"].shape[0]
    one = sb.StyleSpace(1, 1, size=2, layers=["b8.conv0"]).fit(generator).channels_
    assert set(one["layer"]) == {"b8.conv0"}
    with pytest.raises(LayerError, match=r"b8\.conv0"):
        sb.StyleSpace(1, 1, layers="b8.conv7").fit(generator)


def test_a_channel_goes_through_sliders_recipes_and_files(tmp_path) -> None:
    generator = make_toy()
    direction = sb.StyleSpace(1, 1, size=2).fit(generator).directions_[0]
    latent = generator.sample(1, seed=3)
    picture = generator.render(latent, edits=[3 * direction])
    assert not torch.equal(picture, generator.render(latent))
    recipe = sb.Recipe.of(generator, latent, [3 * direction])
    recipe.save(tmp_path / "r.safetensors")
    again = sb.Recipe.load(tmp_path / "r.safetensors")
    assert torch.allclose(again.render(generator), picture)
    sliders = sb.widgets.LatentSliders(generator, [direction])
    assert sliders is not None
    moved = generator.to(latent, "s") + 3 * direction
    difference = (moved.data - generator.to(latent, "s").data)[0]
    assert difference.nonzero().flatten().tolist() == [int(direction.vector.argmax())]


def test_a_channel_is_found_by_where_it_acts() -> None:
    generator = LinearGenerator()
    table = localised_channels(generator, sb.predictor(corner, ["rest", "corner"]), size=8)
    best = table[table["concept"] == "corner"].iloc[0]
    assert best["channel"] == CHANNEL
    assert (best["rate"], best["iou"]) == (1, 1)
    scores = sb.predictor(lambda x: x.mean((1, 2, 3))[:, None], ["light"])
    with pytest.raises(PredictorError, match="segmenter"):
        localised_channels(generator, scores)
    with pytest.raises(CapabilityError, match="no space s"):
        localised_channels(dcgan(), scores)


def test_a_channel_is_found_by_what_examples_share() -> None:
    generator = LinearGenerator()
    light = sb.predictor(lambda x: x[:, :, :4, :4].mean((1, 2, 3))[:, None], ["light"])
    examples = positive_examples(generator, light, "light", keep=5, n_samples=300)
    table = attribute_channels(generator, examples)
    assert table.iloc[0]["channel"] == CHANNEL
    assert abs(table.iloc[0]["shift"]) > 0.3
    with pytest.raises(NotFoundError, match="light"):
        positive_examples(generator, light, "night")
    with pytest.raises(SteerbenchError, match="at least 2"):
        positive_examples(generator, light, "light", keep=1)
    with pytest.raises(ShapeError, match="two at least"):
        attribute_channels(generator, examples[0])
    with pytest.raises(CapabilityError, match="no space s"):
        attribute_channels(dcgan(), examples)


def test_a_concept_that_no_picture_has_counts_nothing() -> None:
    maps = np.random.default_rng(0).random((3, 4, 4))
    regions = np.zeros((2, 4, 4), bool)
    regions[0, :2] = True
    counts = overlap(maps, regions)[None]
    assert np.isnan(counts[:, :, 1]).all()
    assert top_rate(counts).tolist() == [[1, 0]] * 3
    with pytest.raises(ShapeError):
        overlap(maps, regions[:, :3])


def test_channels_that_do_not_exist_are_refused() -> None:
    generator = LinearGenerator()
    with pytest.raises(LayerError, match="0 to 7"):
        locate(generator.spaces["s"].slices, 8)
    assert channel_direction(generator, 3).name == "last channel 0"
