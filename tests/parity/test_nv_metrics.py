"""Our distances against the recorded numbers of NVIDIA's metrics on the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steerbench.metrics import frechet_distance, kernel_distance, precision_recall
from steerbench.stats import Covariance, slerp


@pytest.fixture
def recorded(shared_path) -> dict[str, np.ndarray]:
    with np.load(shared_path("fixtures/method_nv_metrics") / "expected.npz") as file:
        return dict(file)


def test_moments(recorded):
    moments = Covariance().add(torch.from_numpy(recorded["real"]))
    assert np.allclose(moments.mean, recorded["mu_real"], atol=1e-6)
    assert np.allclose(moments.covariance(ddof=0), recorded["sigma_real"], atol=1e-6)


def test_frechet_distance(recorded):
    ours = frechet_distance(torch.from_numpy(recorded["real"]), torch.from_numpy(recorded["gen"]))
    assert ours == pytest.approx(float(recorded["fid"]), rel=1e-4)


def test_kernel_distance_on_the_same_subsets(recorded):
    ours = kernel_distance(
        torch.from_numpy(recorded["real"]),
        torch.from_numpy(recorded["gen"]),
        subsets=100,
        size=200,
        seed=0,
    )
    assert ours == pytest.approx(float(recorded["kid_100x200_seed0"]), rel=1e-5)


def test_precision_and_recall(recorded):
    ours = precision_recall(
        torch.from_numpy(recorded["pr_real"]), torch.from_numpy(recorded["pr_gen"]), k=3
    )
    # The recorded numbers come from features rounded to half precision.
    assert ours.generated_in_real == pytest.approx(float(recorded["precision_k3"]), abs=0.01)
    assert ours.real_in_generated == pytest.approx(float(recorded["recall_k3"]), abs=0.01)


def test_slerp(recorded):
    a, b, t = (torch.from_numpy(recorded[f"slerp/{name}"]) for name in ("z0", "z1", "t"))
    # Theirs is of unit length whatever the ends are.
    ends = (end / end.norm(dim=-1, keepdim=True) for end in (a, b))
    assert np.allclose(slerp(*ends, t), recorded["slerp/out"], atol=1e-5)
