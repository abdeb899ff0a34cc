"""Laws that every embedded predictor obeys."""

from __future__ import annotations

import copy

import pytest
import torch

import steerbench as sb
from steerbench import assets
from steerbench.errors import PredictorError, ShapeError
from steerbench.predictors import (
    PREDICTORS,
    BasePredictor,
    SegmentationPredictor,
    save,
)


@pytest.fixture(scope="module", params=sorted(assets.names("predictors")))
def predictor(request: pytest.FixtureRequest) -> BasePredictor:
    return sb.predictor(request.param)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return sb.world("rooms").sample(6, seed=900_500_000).images


@pytest.fixture(scope="module")
def segmenter(predictor: BasePredictor) -> SegmentationPredictor:
    if not isinstance(predictor, SegmentationPredictor):
        pytest.skip("reads whole pictures")
    return predictor


def smooth(predictor: BasePredictor, images: torch.Tensor) -> torch.Tensor:
    """What has a gradient: scores, or of a segmenter the probabilities behind its labels."""
    read = getattr(predictor, "probabilities", predictor.predict)
    return read(images)


def test_every_architecture_is_embedded(predictor: BasePredictor) -> None:
    assert type(predictor) in PREDICTORS.values()


def test_it_fulfils_the_protocol(predictor: BasePredictor) -> None:
    assert isinstance(predictor, sb.types.Predictor)
    assert len(set(predictor.names)) == len(predictor.names) == len(predictor.units)


def test_scores_have_the_shape_they_promise(predictor: BasePredictor, images: torch.Tensor) -> None:
    scores = predictor.predict(images)
    if isinstance(predictor, SegmentationPredictor):
        assert (scores.shape, scores.dtype) == ((6, 64, 64), torch.int64)
        assert 0 <= scores.min() <= scores.max() < len(predictor.names)
    else:
        assert (scores.shape, scores.dtype) == ((6, len(predictor.names)), torch.float32)
    assert not scores.requires_grad
    assert torch.isfinite(scores).all()


def test_probabilities_are_probabilities(predictor: BasePredictor, images: torch.Tensor) -> None:
    unit = torch.tensor([unit == "probability" for unit in predictor.units])
    scores = smooth(predictor, images)[:, unit]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_equal_pictures_get_equal_scores(predictor: BasePredictor, images: torch.Tensor) -> None:
    assert torch.equal(predictor.predict(images), predictor.predict(images.clone()))


def test_a_batch_changes_nothing(predictor: BasePredictor, images: torch.Tensor) -> None:
    together = smooth(predictor, images)
    alone = torch.cat([smooth(predictor, image[None]) for image in images])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-4)
    before, predictor.batch_size = predictor.batch_size, 4
    try:
        assert torch.allclose(together, smooth(predictor, images), rtol=1e-4, atol=1e-4)
    finally:
        predictor.batch_size = before


def test_values_outside_the_range_are_clamped(
    predictor: BasePredictor, images: torch.Tensor
) -> None:
    loud = images * 3
    assert torch.equal(predictor.predict(loud), predictor.predict(loud.clamp(-1, 1)))


def test_grey_pictures_and_other_sizes_are_read(
    predictor: BasePredictor, images: torch.Tensor
) -> None:
    grey = images.mean(1, keepdim=True)
    assert torch.equal(predictor.predict(grey), predictor.predict(grey.expand(-1, 3, -1, -1)))
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    size = (128, 128) if isinstance(predictor, SegmentationPredictor) else (len(predictor.names),)
    assert predictor.predict(large).shape == (6, *size)


def test_gradients_flow_where_the_pictures_want_them(
    predictor: BasePredictor, images: torch.Tensor
) -> None:
    wanted = (images * 0.9).requires_grad_(True)
    smooth(predictor, wanted)[:, 0].sum().backward()
    assert wanted.grad is not None
    assert wanted.grad.abs().flatten(1).sum(1).min() > 0
    assert torch.equal(predictor.predict(wanted).detach(), predictor.predict(wanted.detach()))


def test_predicting_changes_no_state(predictor: BasePredictor, images: torch.Tensor) -> None:
    weights = copy.deepcopy(dict(predictor.model.state_dict()))  # type: ignore[attr-defined]
    random, given, grad = torch.get_rng_state(), images.clone(), torch.is_grad_enabled()
    predictor.predict(images)
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(given, images)
    assert grad == torch.is_grad_enabled()
    after = predictor.model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(weights[name], after[name]) for name in weights)


def test_it_is_the_same_after_a_file(predictor: BasePredictor, images: torch.Tensor, tmp_path):
    save(predictor, tmp_path / "copy.safetensors")  # type: ignore[arg-type]
    loaded = sb.predictor(tmp_path / "copy.safetensors")
    assert (loaded.names, loaded.units) == (predictor.names, predictor.units)
    assert torch.equal(loaded.predict(images), predictor.predict(images))


def test_what_is_no_picture_is_refused(predictor: BasePredictor) -> None:
    for bad in (torch.zeros(2, 5, 8, 8), torch.zeros(4), torch.zeros(0, 3, 64, 64)):
        with pytest.raises(ShapeError, match="expected pictures"):
            predictor.predict(bad)
    with pytest.raises(PredictorError, match="NaN"):
        predictor.predict(torch.full((1, 3, 64, 64), torch.nan))


@pytest.mark.parametrize("size", [(64, 64), (24, 40), (100, 128)])
def test_a_segmenters_answers_agree(
    segmenter: SegmentationPredictor, images: torch.Tensor, size: tuple[int, int]
) -> None:
    pictures = sb.image.resize(images, size)
    labels, likely = segmenter.predict(pictures), segmenter.probabilities(pictures)
    assert labels.shape == (6, *size)
    assert likely.shape == (6, len(segmenter.names), *size)
    assert torch.allclose(likely.sum(1), torch.ones(6, *size), atol=1e-5)
    assert torch.equal(likely.argmax(1), labels)
    counted = [(labels == k).float().mean((1, 2)) for k in range(len(segmenter.names))]
    assert torch.allclose(segmenter.areas(pictures), torch.stack(counted, dim=1), atol=1e-6)


def test_only_segmenters_have_areas(predictor: BasePredictor, images: torch.Tensor) -> None:
    if isinstance(predictor, SegmentationPredictor):
        assert predictor.areas(images).shape == (6, len(predictor.names))
        return
    with pytest.raises(PredictorError, match="whole pictures"):
        predictor.areas(images)
