"""SeFa against the eigenvectors that its authors' code recorded, on the weights it read.

Eigenvectors of nearly equal eigenvalues may turn into one another, so only those are compared
whose eigenvalue stands clear of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from steerbench.unsupervised.sefa import factorise

STYLES = ["genforce_stylegan1_128", "genforce_stylegan1_cond32", "genforce_stylegan2_64"]


def weights_of(folder: Path) -> dict[str, Tensor]:
    state = torch.load(folder / "model.pth", map_location="cpu", weights_only=True)
    return state["generator_smooth"]


def style_weights(state: dict[str, Tensor], layers: np.ndarray) -> Tensor:
    rows = []
    for layer in layers:
        name = f"synthesis.layer{layer}.style.weight"
        rows.append(state.get(name, state.get(f"synthesis.output{layer // 2}.style.weight")))
    return torch.cat(rows)


def compare(weights: Tensor, values: np.ndarray, vectors: np.ndarray) -> int:
    """Compare with recorded values and (rows of) vectors; returns how many stood clear."""
    order = np.argsort(-values)
    values, vectors = values[order].astype(np.float64), vectors[order].astype(np.float64)
    ours, our_vectors = factorise(weights)
    assert np.allclose(ours, values, rtol=1e-4, atol=1e-5)
    gaps = np.abs(np.diff(values)) / values[0]
    clear = (np.append(gaps, 1) > 1e-3) & (np.insert(gaps, 0, 1) > 1e-3)
    cosines = np.abs((our_vectors.T.numpy() * vectors).sum(axis=1))
    assert (cosines[clear] > 1 - 1e-5).all()
    return int(clear.sum())


@pytest.mark.parametrize("fixture", STYLES)
def test_style_based_generators(fixture: str, shared_path: Callable[[str], Path]) -> None:
    folder = shared_path(f"fixtures/{fixture}")
    state = weights_of(folder)
    with np.load(folder / "expected.npz") as expected:
        selections = {name.split("/")[1] for name in expected.files if name.startswith("sefa/")}
        assert len(selections) >= 4
        for selection in selections:
            recorded = {
                key: expected[f"sefa/{selection}/{key}"]
                for key in ("layers", "eigenvalues", "eigenvectors")
            }
            weights = style_weights(state, recorded["layers"])
            assert compare(weights, recorded["eigenvalues"], recorded["eigenvectors"]) > 5


def test_progressive_gan(shared_path: Callable[[str], Path]) -> None:
    folder = shared_path("fixtures/genforce_pggan_64")
    kernel = weights_of(folder)["layer0.weight"]
    weights = kernel.permute(0, 2, 3, 1).flatten(0, 2)
    with np.load(folder / "expected.npz") as expected:
        found = compare(
            weights, expected["sefa/all/eigenvalues"], expected["sefa/all/eigenvectors"]
        )
    assert found > 5
