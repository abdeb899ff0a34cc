"""Counting at the low resolution gives what counting enlarged maps gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from steerbench.errors import ShapeError, SteerbenchError
from steerbench.supervised.dissection.overlap import Layout, UnitOverlap

CONCEPTS = 5


def example(seed: int, small=(8, 6), large=(32, 30), units=7, pictures=3):
    """Activations in float64 (so that no value meets its threshold), thresholds and labels."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(pictures, units, *small, generator=random, dtype=torch.float64)
    labels = torch.randint(CONCEPTS, (pictures, *large), generator=random)
    return a, a.movedim(1, 0).flatten(1).quantile(0.8, dim=1), labels


def plain(enlarged, thresholds, labels):
    """The definition: compare enlarged maps with the threshold, then with each label."""
    above = enlarged > thresholds[:, None, None]
    return torch.stack(
        [(above & (labels == c)[:, None]).sum((0, 2, 3)) for c in range(CONCEPTS)], dim=1
    ).double()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    small=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    large=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    align=st.booleans(),
)
def test_cells_count_what_enlarged_maps_count(seed, small, large, align):
    a, t, labels = example(seed, small, large)
    layout = Layout(align_corners=align)
    counts = UnitOverlap(CONCEPTS).add(a, t, labels, layout)
    assert torch.equal(counts.intersection, plain(layout.enlarge(a, large), t, labels))


@pytest.mark.parametrize(("small", "large"), [((8, 8), (32, 32)), ((5, 7), (33, 20))])
def test_the_papers_layout_is_torchs_bilinear_enlargement(small, large):
    a, _, _ = example(0, small, large)
    want = F.interpolate(a, large, mode="bilinear", align_corners=False)
    assert torch.allclose(Layout().enlarge(a, large), want, atol=1e-6)


@pytest.mark.parametrize("large", [(32, 30), (8, 6), (35, 33)])
def test_nearest_counts_what_repeated_activations_count(large):
    a, t, labels = example(1, large=large)
    counts = UnitOverlap(CONCEPTS).add(a, t, labels, Layout("nearest"))
    enlarged = F.interpolate(a, large, mode="nearest-exact")
    assert torch.equal(counts.intersection, plain(enlarged, t, labels))
    assert torch.equal(Layout("nearest").enlarge(a, large), enlarged)


def test_the_iou_is_that_of_the_sets():
    a, t, labels = example(2)
    counts = UnitOverlap(CONCEPTS).add(a, t, labels)
    region = Layout().enlarge(a, labels.shape[1:])[:, 3] > t[3]
    concept = labels == 2
    want = (region & concept).sum() / (region | concept).sum()
    assert counts.iou()[3, 2] == pytest.approx(float(want))
    inside = F.interpolate(a, labels.shape[1:], mode="nearest-exact")[:, 3][concept].mean()
    assert counts.inside()[3, 2] == pytest.approx(float(inside))


def test_quality_is_one_for_the_same_region_and_zero_for_independent_ones():
    labels = torch.tensor([[[0, 1], [0, 1]]])
    same = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]]])
    quality = UnitOverlap(2).add(same, torch.tensor([0.5, 0.5]), labels).quality()
    assert quality[0].tolist() == pytest.approx([1, 1])
    assert quality[1].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_any_split_counts_the_same_and_survives_its_state():
    a, t, labels = example(3, pictures=6)
    whole = UnitOverlap(CONCEPTS).add(a, t, labels)
    first = UnitOverlap(CONCEPTS).add(a[:1], t, labels[:1])
    rest = UnitOverlap(CONCEPTS).add(a[1:], t, labels[1:])
    joined = UnitOverlap.from_state(first.state_dict()).merge(rest)
    for name in ("intersection", "regions", "areas", "totals"):
        assert torch.equal(getattr(joined, name), getattr(whole, name))
    assert torch.allclose(joined.inside(), whole.inside())
    assert joined.count == 6


def test_a_category_counts_only_where_it_occurs():
    a, t, labels = example(4, pictures=2)
    labels = labels.clamp(max=2)
    labels[0, 0, 0] = 4  # the second category occurs in the first picture alone
    counts = UnitOverlap(CONCEPTS).add(a, t, labels, categories=[0, 0, 0, 1, 1])
    alone = UnitOverlap(CONCEPTS).add(a[:1], t, labels[:1], categories=[0, 0, 0, 1, 1])
    assert torch.equal(counts.regions[:, 1], alone.regions[:, 1])
    assert (counts.regions[:, 0] > counts.regions[:, 1]).any()
    assert counts.totals.tolist() == [2 * 960, 960]


def test_label_maps_of_several_kinds_lie_over_each_other():
    a, t, labels = example(5)
    objects, materials = labels.clamp(max=2), (labels > 2) * 4
    both = UnitOverlap(CONCEPTS).add(a, t, torch.stack([objects, materials], dim=1))
    apart = UnitOverlap(CONCEPTS).add(a, t, materials)
    assert torch.equal(both.intersection[:, 4], apart.intersection[:, 4])
    assert torch.equal(both.regions, apart.regions)


def test_what_does_not_fit_is_refused():
    a, t, labels = example(6)
    with pytest.raises(ShapeError, match="same N pictures"):
        UnitOverlap(CONCEPTS).add(a, t, labels[:2])
    with pytest.raises(ShapeError, match="7 units"):
        UnitOverlap(CONCEPTS).add(a, t[:4], labels)
    with pytest.raises(ShapeError, match="categories"):
        UnitOverlap(CONCEPTS).add(a, t, labels, categories=[0, 1])
    with pytest.raises(SteerbenchError, match="bilinear"):
        Layout("cubic")
    with pytest.raises(ShapeError, match="merge"):
        UnitOverlap(CONCEPTS).add(a, t, labels).merge(
            UnitOverlap(CONCEPTS).add(a, t, labels, categories=[0, 0, 0, 0, 1])
        )
