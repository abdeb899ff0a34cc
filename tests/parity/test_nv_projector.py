"""Our projector against the recorded run of NVIDIA's, with its feature network and its budget."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import steerbench as sb
from steerbench.inversion import OptimisationConfig, ProjectorConfig, moments_of_w, project

STEPS = 120


@pytest.fixture(scope="module")
def recorded(shared_path):
    folder = shared_path("fixtures/method_nv_projector")
    meta = json.loads((folder / "meta.json").read_text())
    with np.load(folder / "expected.npz") as file:
        arrays = dict(file)
    (path,) = (folder.parent / meta["config"]["fixture"]).glob("*.pkl")
    return SimpleNamespace(arrays=arrays, generator=sb.load(path))


@pytest.fixture
def features(recorded):
    """The fixed convolutions that stood in for VGG16, of pictures in [0, 255]."""
    kernels = [torch.from_numpy(recorded.arrays[f"feature_conv{i}"]) for i in (1, 2)]

    def look(images: Tensor) -> Tensor:
        first = F.leaky_relu(F.conv2d(images - 127.5, kernels[0], stride=2, padding=1), 0.2)
        second = F.leaky_relu(F.conv2d(first, kernels[1], stride=2, padding=1), 0.2)
        return torch.cat([first.flatten(1), second.flatten(1)], 1) * (32 / first.shape[2])

    return look


@pytest.fixture
def target(recorded) -> Tensor:
    return torch.from_numpy(recorded.arrays["target_uint8"])[None].float() / 127.5 - 1


def test_mean_and_deviation_of_w(recorded):
    mean, deviation = moments_of_w(recorded.generator, 2000)
    assert np.allclose(mean, recorded.arrays["w_avg_2000"], rtol=1e-4, atol=1e-5)
    assert deviation == pytest.approx(float(recorded.arrays["w_std_2000"]), rel=1e-4)


def test_the_rate(recorded):
    config = OptimisationConfig(learning_rate=0.1)
    rates = [config.rate_at(step / STEPS) for step in range(STEPS)]
    assert np.allclose(rates, recorded.arrays[f"lr_schedule_{STEPS}"], atol=1e-7)


@pytest.mark.parametrize(("name", "jitter"), [("default", 0.05), ("nonoise", 0.0)])
def test_it_gets_as_close_with_the_same_budget(recorded, features, target, name, jitter):
    options = {"n_steps": STEPS, "n_samples": 2000, "config": ProjectorConfig(jitter=jitter)}
    found = project(recorded.generator, target, features, **options)
    want = recorded.arrays[f"{name}_{STEPS}/dist_loss"][:, 0]
    print(f"{name}: {found.report['loss'][0]:.1f}, recorded {want[-1]:.1f}")
    assert found.report["loss"][0] <= 1.2 * want[-1]
    if not jitter:  # the same noise begins both runs, and nothing else is drawn
        assert np.allclose(found.losses[0], want, rtol=1e-2)
