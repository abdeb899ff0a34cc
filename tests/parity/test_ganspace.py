"""GANSpace against what the authors' code recorded: three estimators and the regression to z."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from steerbench.stats.principal import Principal, principal_components
from steerbench.unsupervised.ganspace import regress

Recorded = dict[str, Tensor]


@pytest.fixture(scope="module")
def recorded(shared_path: Callable[[str], Path]) -> Recorded:
    with np.load(shared_path("fixtures/method_ganspace_pca/expected.npz")) as file:
        return {name: torch.from_numpy(np.array(file[name])) for name in file.files}


@pytest.mark.parametrize(
    ("estimator", "rtol", "cosine", "first"),
    [("pca", 1e-4, 0.9999, None), ("ipca", 1e-3, 0.999, 8), ("fbpca", 1e-2, 0.99, 6)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_components_are_those_of_the_authors_estimators(
    recorded: Recorded, estimator: str, rtol: float, cosine: float, first: int | None, dtype
) -> None:
    theirs = {key: recorded[f"{estimator}/{key}"] for key in ("components", "stdev", "var_ratio")}
    n = len(theirs["stdev"])
    ours = principal_components(recorded["X"].to(dtype), n)
    assert torch.allclose(ours.std[:first], theirs["stdev"][:first].double(), rtol=rtol)
    assert torch.allclose(ours.ratio[:first], theirs["var_ratio"][:first].double(), rtol=2 * rtol)
    cosines = (ours.components * theirs["components"].double()).sum(1).abs()
    assert cosines[:first].min() > cosine
    assert torch.allclose(ours.mean, recorded["mean_full"][0].double(), atol=1e-4)


def test_activations_are_taken_back_to_the_latent_as_the_authors_do(recorded: Recorded) -> None:
    axes = Principal(
        components=recorded["reg/comp"].double(),
        std=recorded["reg/stdev"].double(),
        ratio=torch.zeros(0),
        mean=recorded["reg/mean"][0].double(),
    )
    coordinates = axes.project(recorded["reg/act_first4000"]) / axes.std
    ours = regress(coordinates, recorded["reg/z_first4000"])
    theirs = recorded["reg/Z_comp_4000"].double()
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    unit = ours / ours.norm(dim=1, keepdim=True)
    longer = recorded["reg/Z_comp_10000_normalised"].double()
    assert (unit * longer).sum(1).min() > 0.99
