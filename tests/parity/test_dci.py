"""DCI against what the functions of disentanglement_lib gave."""

from __future__ import annotations

import numpy as np
import pytest

from steerbench.metrics import DCI, dci, dci_scores


@pytest.fixture
def recorded(shared_path) -> dict[str, np.ndarray]:
    with np.load(shared_path("fixtures/method_dci") / "expected.npz") as file:
        return dict(file)


def close(ours: DCI, recorded: dict[str, np.ndarray], names: dict[str, str], atol: float) -> None:
    for name, theirs in names.items():
        got = np.asarray(getattr(ours, name), dtype=np.float64)
        assert np.abs(got - recorded[theirs]).max() <= atol, name


@pytest.mark.parametrize(
    ("matrix", "prefix", "code", "factor"),
    [
        ("importance", "", "disentanglement_per_code", "completeness_per_factor"),
        ("importance_b", "b/", "b/per_code", "b/per_factor"),
    ],
)
def test_scores_of_an_importance_matrix(recorded, matrix, prefix, code, factor):
    names = {name: prefix + name for name in ("disentanglement", "completeness")}
    names |= {"per_code": code, "per_factor": factor}
    close(dci_scores(recorded[matrix]), recorded, names, atol=1e-9)


def test_importances_and_scores_from_data(recorded):
    ours = dci(
        recorded["mus_train"].T,
        recorded["ys_train"].T,
        test=(recorded["mus_test"].T, recorded["ys_test"].T),
    )
    names = {
        "importance": "importance",
        "disentanglement": "disentanglement",
        "completeness": "completeness",
        "informativeness": "informativeness_test",
        "informativeness_train": "informativeness_train",
        "per_factor": "completeness_per_factor",
    }
    close(ours, recorded, names, atol=0.02)
