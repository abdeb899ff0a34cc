"""Our counts against the recorded ones of netdissect on the same activations and label maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from steerbench.stats import Quantile, TopK, units_as_columns
from steerbench.supervised.dissection.overlap import Layout, UnitOverlap

KINDS = {"align_true": True, "align_default_false": False}


@pytest.fixture(scope="module")
def recorded(shared_path) -> tuple[dict[str, np.ndarray], dict]:
    folder = shared_path("fixtures/method_netdissect_iou")
    with np.load(folder / "expected.npz") as file:
        return dict(file), json.loads((folder / "meta.json").read_text())


def levels(arrays: dict[str, np.ndarray], exact: bool = False) -> np.ndarray:
    (name,) = (n for n in arrays if n.startswith("levels_exact" if exact else "levels_q"))
    return arrays[name]


def test_the_thresholds_and_the_top_pictures(recorded):
    arrays, meta = recorded
    activations = torch.from_numpy(arrays["acts"])
    thresholds = (
        Quantile().add(units_as_columns(activations)).quantile(1 - meta["config"]["quantile"])
    )
    assert np.allclose(thresholds, levels(arrays, exact=True), atol=1e-6)
    # The recorded sketch is allowed this much; ours is exact here.
    assert np.allclose(thresholds, levels(arrays), atol=0.02)
    k = arrays["topk_index"].shape[1]
    top = TopK(k).add(activations.amax((2, 3)))
    assert np.array_equal(top.indices.T, arrays["topk_index"])
    assert np.allclose(top.values.T, arrays["topk_values"], atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_enlarged_activations(recorded, kind):
    arrays, _ = recorded
    want = arrays[f"{kind}/upsampled_first"]
    ours = Layout(align_corners=KINDS[kind]).enlarge(
        torch.from_numpy(arrays["acts"][:1]), want.shape[2:]
    )
    assert np.allclose(ours, want, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5, 24])
@pytest.mark.parametrize("kind", KINDS)
def test_the_counts_and_what_follows_from_them(recorded, kind, batch):
    arrays, meta = recorded
    counts = UnitOverlap(meta["config"]["labels"], ignored=0)
    for first in range(0, len(arrays["acts"]), batch):
        counts.add(
            torch.from_numpy(arrays["acts"][first : first + batch]),
            torch.from_numpy(levels(arrays)),
            torch.from_numpy(arrays["seg"][first : first + batch]).long(),
            Layout(align_corners=KINDS[kind]),
            arrays["label_category"].tolist(),
        )
    pixels = 3  # a cell may differ by so many where a value meets its threshold
    assert np.allclose(counts.intersection.T, arrays[f"{kind}/intersection_counts"], atol=pixels)
    regions = arrays[f"{kind}/category_activation_counts"]
    assert np.allclose(counts.regions.T, regions, atol=pixels)
    assert np.array_equal(counts.areas, arrays["label_counts"])
    assert np.array_equal(counts.totals, arrays["total_counts"])
    assert np.allclose(counts.iou().T, arrays[f"{kind}/iou"], atol=1e-3)
    assert np.allclose(counts.quality().T, arrays[f"{kind}/iqr"], atol=1e-3)
