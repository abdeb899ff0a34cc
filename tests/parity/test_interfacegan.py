"""InterFaceGAN against what its authors' code recorded: boundaries, projections, interpolations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from steerbench.supervised.boundaries import interpolate, linear_boundary, train_boundary
from steerbench.supervised.boundaries.interfacegan import choose_ends
from steerbench.types import Direction

INVALID = -999.0
CLOSE = {"n300_all": 0.9999, "r02": 0.995}
"""The recorded tolerances: everything is trained on, or a shuffled part."""


class Arrays:
    """The recorded arrays; remembers which were used."""

    def __init__(self, folder: Path) -> None:
        self.meta = json.loads((folder / "meta.json").read_text())
        with np.load(folder / "expected.npz") as file:
            self.all = {name: file[name] for name in file.files}
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        self.used.add(name)
        return self.all[name]

    def direction(self, vector: np.ndarray, name: str) -> Direction:
        return Direction(name, "z", vector.reshape(-1))


@pytest.fixture(scope="module")
def recorded(shared_path: Callable[[str], Path]) -> Arrays:
    return Arrays(shared_path("fixtures/method_interfacegan"))


def attributes(recorded: Arrays) -> list[str]:
    return sorted({name.split("/")[1] for name in recorded.all if name.startswith("scores/")})


OPTIONS = {"n300_all": {"chosen": 300, "split_ratio": 1.0}, "r02": {"chosen": 0.02}}


def test_boundaries(recorded: Arrays) -> None:
    """The shuffle is NumPy's with the authors' seed, so even the halves that train are theirs."""
    for name in attributes(recorded):
        for case, options in OPTIONS.items():
            scores = recorded[f"scores/{name}"]
            found = train_boundary(recorded["latents"], scores, **options, invalid_value=INVALID)
            expected = recorded[f"boundary/{name}/{case}"].reshape(-1).astype(np.float64)
            cosine = float(found.boundary.normal.numpy() @ expected / np.linalg.norm(expected))
            print(f"{name} {case}: cosine {cosine:.7f}, held-out accuracy {found.accuracy:.3f}")
            assert cosine > CLOSE[case]
            assert (found.held_out == 0) == (case == "n300_all")


def test_the_solver_is_that_of_scikit_learn(recorded: Arrays) -> None:
    latents = recorded["latents"].astype(np.float64)
    for name in attributes(recorded):
        scores = recorded[f"scores/{name}"].reshape(-1)
        rows = np.flatnonzero(scores != INVALID)
        high, low = choose_ends(rows, scores[rows], 0.2)
        codes, labels = latents[np.r_[high, low]], np.repeat([1, 0], [len(high), len(low)])
        ours = linear_boundary(codes, labels)
        theirs = SVC(kernel="linear", C=1, tol=1e-6).fit(codes, labels)
        norm = np.linalg.norm(theirs.coef_)
        assert ours.normal.numpy() @ theirs.coef_[0] / norm > 0.99999
        assert ours.bias == pytest.approx(theirs.intercept_[0] / norm, abs=1e-3)


def test_projections(recorded: Arrays) -> None:
    """The attributes' boundaries in the order of their scores, and one that is nobody's."""
    names = [name.split("/")[1] for name in recorded.all if name.startswith("scores/")]
    normals = [recorded[f"boundary/{name}/n300_all"] for name in names]
    first, *others = (recorded.direction(vector, str(i)) for i, vector in enumerate(normals))
    extra = recorded.direction(recorded["extra_boundary"], "extra")
    conditions = {"1": others[0], "2": others[1], "extra": extra}
    for name in [n for n in recorded.all if n.startswith("project/")]:
        on = [conditions[part] for part in name.removeprefix("project/0_given_").split("_")]
        got = first.condition(on=on).vector.numpy()
        assert np.allclose(got, recorded[name].reshape(-1), atol=1e-6), name


INTERPOLATIONS = {
    "interp/z_default": {},
    "interp/z_-2_4_7": {"start": -2, "end": 4, "n_steps": 7},
    "interp/wp_-2_4_7": {"start": -2, "end": 4, "n_steps": 7},
}


@pytest.mark.parametrize("name", sorted(INTERPOLATIONS))
def test_interpolations(recorded: Arrays, name: str) -> None:
    layered = name.startswith("interp/wp")
    code = recorded["interp/wp_in"] if layered else recorded["latents"][:1]
    normal = torch.from_numpy(recorded["boundary/sep/n300_all"])
    got = interpolate(torch.from_numpy(code), normal, **INTERPOLATIONS[name])
    assert got.shape == recorded[name].shape
    assert np.allclose(got, recorded[name], atol=1e-5)


def test_the_planted_normals_are_found(recorded: Arrays) -> None:
    """What made the scores, and was no input of the authors' code."""
    planted = recorded["true_normals"][0].astype(np.float64)
    found = train_boundary(recorded["latents"], recorded["scores/sep"], 0.2).boundary.normal
    assert found.numpy() @ planted / np.linalg.norm(planted) > 0.99


def test_every_array_was_compared(recorded: Arrays) -> None:
    assert set(recorded.all) == recorded.used
