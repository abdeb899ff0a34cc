"""Any model as a predictor: what it is handed, and what it may return."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import CheckpointError, NotFoundError, PredictorError


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def means(x: Tensor) -> Tensor:
    return x.mean((2, 3))


class Spy:
    """Remembers the pictures it was handed."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x.mean((1, 2, 3))


def test_a_function_becomes_a_predictor(images: Tensor) -> None:
    predictor = sb.predictor(means, names=["red", "green", "blue"], units="")
    assert isinstance(predictor, sb.types.Predictor)
    assert torch.allclose(predictor.predict(images), images.mean((2, 3)))


def test_numpy_answers_and_single_scores_are_taken(images: Tensor) -> None:
    predictor = sb.predictor(lambda x: x.numpy().mean((1, 2, 3)), names=["light"])
    scores = predictor.predict(images)
    assert scores.shape == (5, 1)
    assert scores.dtype == torch.float32


def test_pictures_are_clamped_resized_and_normalised(images: Tensor) -> None:
    spy = Spy()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    sb.predictor(spy, ["x"], resolution=(8, 12), normalise=(mean, std)).predict(images * 4)
    (seen,) = spy.seen
    assert seen.shape == (5, 3, 8, 12)
    shares = seen * torch.tensor(std).view(1, 3, 1, 1) + torch.tensor(mean).view(1, 3, 1, 1)
    assert shares.min() >= -1e-6
    assert shares.max() <= 1 + 1e-6


def test_zero_and_one_ask_for_pixels_from_zero_to_one(images: Tensor) -> None:
    spy = Spy()
    sb.predictor(spy, ["x"], normalise=(0, 1)).predict(images)
    assert torch.allclose(spy.seen[0], (images + 1) / 2)


def test_grey_and_rgb_models_get_their_channels(images: Tensor) -> None:
    grey, colour = Spy(), Spy()
    sb.predictor(grey, ["x"], channels=1).predict(images)
    sb.predictor(colour, ["x"], channels=3).predict(images[:, :1])
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose(grey.seen[0], (images * weights).sum(1, keepdim=True))
    assert torch.equal(colour.seen[0], images[:, :1].expand(-1, 3, -1, -1))


def test_memory_stays_bounded(images: Tensor) -> None:
    spy = Spy()
    sb.predictor(spy, ["x"], batch=2).predict(images)
    assert [len(part) for part in spy.seen] == [2, 2, 1]


def test_segmenters_give_label_maps(images: Tensor) -> None:
    names = ["dark", "light"]
    scores = sb.predictor(lambda x: torch.cat([-x[:, :1], x[:, :1]], 1), names).predict(images)
    labels = sb.predictor(lambda x: (x[:, 0] > 0).long(), names).predict(images)
    assert labels.shape == (5, 16, 16)
    assert labels.dtype == torch.int64
    assert torch.equal(scores, labels)


def test_gradients_reach_the_pictures_through_any_module(images: Tensor) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    predictor = sb.predictor(module, ["a", "b"])
    wanted = images.clone().requires_grad_(True)
    predictor.predict(wanted).sum().backward()
    assert wanted.grad is not None
    assert wanted.grad.abs().sum() > 0
    assert not predictor.predict(images).requires_grad


def test_a_module_is_evaluated_and_left_as_it_was(images: Tensor) -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(768, 1))
    module[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    predictor = sb.predictor(module, ["x"])
    assert torch.equal(predictor.predict(images), predictor.predict(images))
    assert [part.training for part in module] == [False, True, True, True]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda x: means(x)[:2], r"returned \[2, 3\] for 5 pictures"),
        (lambda x: x, r"returned \[5, 3, 16, 16\]|labels"),
        (lambda x: means(x) * torch.nan, "returned NaN"),
        (lambda x: {"out": means(x)}, "returned a dict"),
        (lambda x: np.array(["a"] * 5), "returned a ndarray"),
        (lambda x: torch.full((5, 4, 4), 7), "labels from 7 to 7"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answer, found, images: Tensor) -> None:
    with pytest.raises(PredictorError, match=found):
        sb.predictor(answer, names=["a", "b"]).predict(images)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, "needs names"),
        ({"names": "abc"}, "list of strings"),
        ({"names": []}, "list of strings"),
        ({"names": ["a", "a"]}, "'a' twice"),
        ({"names": ["a"], "units": ["m", "s"]}, "2 units for 1 names"),
        ({"names": ["a"], "normalise": (0.5, 0)}, "std above 0"),
        ({"names": ["a"], "normalise": 3}, "mean, std"),
        ({"names": ["a"], "channels": 2}, "channels=2"),
        ({"names": ["a"], "batch": 0}, "batch=0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, found) -> None:
    with pytest.raises(PredictorError, match=found):
        sb.predictor(means, **options)


def test_normalisation_of_another_number_of_channels_is_refused(images: Tensor) -> None:
    predictor = sb.predictor(means, ["a"], normalise=((0.5,) * 3, (0.5,) * 3))
    with pytest.raises(PredictorError, match="3 channels, the pictures have 1"):
        predictor.predict(images[:, :1])


def test_unknown_names_and_foreign_files_are_refused(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'rooms-attributes'"):
        sb.predictor("room-attributes")
    with pytest.raises(PredictorError, match="knows its own"):
        sb.predictor("rooms-attributes", resolution=32)
    with pytest.raises(PredictorError, match="Got a int"):
        sb.predictor(3, names=["a"])  # type: ignore[arg-type]
    from steerbench import store

    store.save(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"kind": "direction"})
    with pytest.raises(CheckpointError, match="'direction'"):
        sb.predictor(tmp_path / "other.safetensors")
    header = {"kind": "steerbench predictor", "architecture": "attributes", "config": {}}
    store.save(tmp_path / "half.safetensors", {"a": torch.zeros(1)}, header)
    with pytest.raises(CheckpointError, match="incomplete attributes file"):
        sb.predictor(tmp_path / "half.safetensors")
