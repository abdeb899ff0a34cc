"""How fast units and concepts are counted, against the plain way in the same run.

``pytest tests/benchmarks/test_dissection.py --benchmark-only``. ``extra_info`` holds units times
pictures a second. The plain way is netdissect's: enlarge, compare, and sum over each label that
occurs. Both give the same counts, which is asserted; nothing is asserted about time.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.supervised.dissection.overlap import Layout, UnitOverlap

UNITS, PICTURES, SMALL, LARGE, CONCEPTS = 512, 2, 16, 128, 21


@pytest.fixture(scope="module")
def material() -> tuple[Tensor, Tensor, Tensor]:
    """Smooth activations, as layers have them, their 99 % quantiles, and coherent label maps."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(PICTURES, UNITS, 8, 8, generator=random)
    fine = torch.randn(PICTURES, UNITS, SMALL, SMALL, generator=random)
    a = F.interpolate(coarse, (SMALL, SMALL), mode="bicubic") + 0.2 * fine
    patches = torch.randint(CONCEPTS, (PICTURES, 1, 6, 6), generator=random).float()
    labels = F.interpolate(patches, (LARGE, LARGE), mode="nearest")[:, 0].long()
    return a, a.movedim(1, 0).flatten(1).quantile(0.99, dim=1), labels


def plain(a: Tensor, thresholds: Tensor, labels: Tensor) -> Tensor:
    counts = torch.zeros(UNITS, CONCEPTS, dtype=torch.float64)
    for x, seen in zip(a, labels):
        enlarged = F.interpolate(x[None], (LARGE, LARGE), mode="bilinear", align_corners=False)[0]
        above = enlarged > thresholds[:, None, None]
        for label in seen.unique().tolist():
            counts[:, label] += (above * (seen == label)).int().flatten(1).sum(1)
    return counts


WAYS = {
    "enlarged, label by label": plain,
    "bilinear": lambda a, t, labels: UnitOverlap(CONCEPTS).add(a, t, labels).intersection,
    "nearest": lambda a, t, labels: (
        UnitOverlap(CONCEPTS).add(a, t, labels, Layout("nearest")).intersection
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_counting(benchmark, material, way) -> None:
    rounds = 2 if way.startswith("enlarged") else 10
    counts = benchmark.pedantic(WAYS[way], args=material, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["units_x_pictures_per_second"] = round(
        UNITS * PICTURES / benchmark.stats.stats.median
    )
    if way == "bilinear":
        assert (counts - plain(*material)).abs().max() <= 3
