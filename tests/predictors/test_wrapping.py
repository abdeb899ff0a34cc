"""Any model as a predictor: what it is handed, and what it may return."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

import steerbench as sb
from steerbench.compat import ensure_torchvision
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


def test_one_and_a_255th_ask_for_pixels_from_zero_to_255(images: Tensor) -> None:
    spy = Spy()
    sb.predictor(spy, ["x"], normalise=(0, 1 / 255)).predict(images)
    assert torch.allclose(spy.seen[0], (images + 1) * 127.5, atol=1e-4)


def test_grey_and_rgb_models_get_their_channels(images: Tensor) -> None:
    grey, colour = Spy(), Spy()
    sb.predictor(grey, ["x"], channels=1).predict(images)
    sb.predictor(colour, ["x"], channels=3).predict(images[:, :1])
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose(grey.seen[0], (images * weights).sum(1, keepdim=True))
    assert torch.equal(colour.seen[0], images[:, :1].expand(-1, 3, -1, -1))


def test_memory_stays_bounded(images: Tensor) -> None:
    spy = Spy()
    sb.predictor(spy, ["x"], batch_size=2).predict(images)
    assert [len(part) for part in spy.seen] == [2, 2, 1]


def halves(x: Tensor) -> Tensor:
    """Logits that call the left half 0 and the right half 1, at half the size."""
    ramp = torch.linspace(-1, 1, x.shape[-1] // 2).expand(len(x), 1, x.shape[-2] // 2, -1)
    return torch.cat([-ramp, ramp], 1)


def test_segmenters_give_label_maps_of_the_pictures_size(images: Tensor) -> None:
    names, expected = ["left", "right"], (torch.arange(16) >= 8).long().expand(5, 16, 16)
    for model in (
        halves,
        lambda x: halves(x).argmax(1),
        lambda x: halves(x).argmax(1).numpy().astype(np.uint8),
        lambda x: halves(x).argmax(1).bool(),
        lambda x: halves(x).argmax(1, keepdim=True),
        lambda x: halves(x).double().numpy(),
        lambda x: {"out": halves(x), "aux": x},
        lambda x: SimpleNamespace(logits=halves(x), loss=None),
    ):
        segmenter = sb.predictor(model, names)
        assert torch.equal(segmenter.predict(images), expected)
        assert segmenter.predict(images).dtype == torch.int64
        assert torch.equal(segmenter.areas(images), torch.full((5, 2), 0.5))
    smaller = sb.predictor(halves, names, resolution=8)
    assert torch.equal(smaller.predict(images), expected)


def test_labels_of_many_classes_survive_the_resizing(images: Tensor) -> None:
    names = [str(k) for k in range(5000)]
    segmenter = sb.predictor(lambda x: torch.full((len(x), 3, 3), 4999), names)
    assert (segmenter.predict(images) == 4999).all()
    assert segmenter.areas(images)[:, 4999].tolist() == [1] * 5


def test_hugging_faces_answers_are_taken_by_their_logits(images: Tensor) -> None:
    class Output(OrderedDict):
        """A dictionary whose entries are attributes too, as that library returns it."""

        def __getattr__(self, name: str) -> Tensor:
            return self[name]

    classifier = sb.predictor(
        lambda x: Output(logits=means(x), hidden_states=x),
        ["red", "green", "blue"],
        normalise=((0.5,) * 3, (0.5,) * 3),
    )
    assert torch.allclose(classifier.predict(images), images.mean((2, 3)), atol=1e-6)


def test_modules_of_torchvision_and_timm_are_taken_as_they_are(images: Tensor) -> None:
    torchvision, timm = ensure_torchvision(), pytest.importorskip("timm")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.random.fork_rng(devices=[]):
        classifier = timm.create_model("test_resnet", num_classes=3)
        segments = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=4
        )
    options = {"resolution": 64, "normalise": (mean, std), "channels": 3}
    scores = sb.predictor(classifier, ["a", "b", "c"], **options).predict(images[:, :1])
    assert scores.shape == (5, 3)
    labels = sb.predictor(segments, list("abcd"), **options).predict(images)
    assert labels.shape == (5, 16, 16)


def test_an_estimator_of_scikit_learn_reads_features(images: Tensor) -> None:
    bright = (images.mean((1, 2, 3)) > images.mean()).numpy()
    features = images.flatten(1).numpy()
    by_class = LogisticRegression().fit(features, bright)
    by_value = Ridge(alpha=1e-3).fit(features, images[:, 0].mean((1, 2)).numpy())

    probability = sb.predictor(
        lambda x: by_class.predict_proba(x.flatten(1).numpy()),
        names=["dark", "bright"],
        units="probability",
    ).predict(images)
    assert torch.allclose(probability.sum(1), torch.ones(5))
    assert ((probability[:, 1] > 0.5).numpy() == bright).all()
    value = sb.predictor(lambda x: by_value.predict(x.flatten(1).numpy()), names=["red"])
    assert torch.allclose(value.predict(images)[:, 0], images[:, 0].mean((1, 2)), atol=1e-3)
    with pytest.raises(PredictorError, match="wrapped by a function that calls its predict"):
        sb.predictor(by_class, names=["dark", "bright"])  # type: ignore[call-overload]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_pictures_come_in_the_dtype_of_the_weights(images: Tensor, dtype: torch.dtype) -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).to(dtype)
    scores = sb.predictor(module, ["a", "b"]).predict(images)
    assert scores.dtype == torch.float32
    exact = module.float()(images)
    assert torch.allclose(scores, exact, atol=0.02)


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
        (lambda x: {"scores": means(x)}, "returned a dict"),
        (lambda x: [means(x), means(x)], "returned a list|returned \\[2, 5, 3"),
        (lambda x: (x[:, 0] > 0).float(), r"returned \[5, 16, 16\].*integer labels"),
        (lambda x: (x[:, 0] > 0).long() - 1, "labels from -1 to 0"),
        (lambda x: SimpleNamespace(logits=means(x) * torch.nan), "returned NaN"),
        (lambda x: np.array(["a"] * 5), "returned a ndarray"),
        (lambda x: torch.full((5, 4, 4), 7), "labels from 7 to 7"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answer, found, images: Tensor) -> None:
    with pytest.raises(PredictorError, match=found):
        sb.predictor(answer, names=["a", "b"]).predict(images)


def test_refusals_name_the_predictor_and_the_remedy(images: Tensor) -> None:
    def confused(x: Tensor) -> Tensor:
        return x[:, :1]

    with pytest.raises(PredictorError, match=r"^confused returned .* expected .* Wrap the model"):
        sb.predictor(confused, names=["a", "b"]).predict(images)
    with pytest.raises(PredictorError, match=r"scores a pixel \[N, 2, H, W\]"):
        sb.predictor(confused, names=["a"]).predict(images)
    with pytest.raises(PredictorError, match="Take its predict, or a segmenter"):
        sb.predictor(means, names=["r", "g", "b"]).areas(images)


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
        ({"names": ["a"], "batch_size": 0}, "batch_size=0"),
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
