"""Laws of the running statistics: splits, merges, states, and numpy as the judge."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steerbench import store
from steerbench.errors import ArgumentError, CheckpointError, ShapeError, SteerbenchError
from steerbench.stats import (
    Covariance,
    IoU,
    Mean,
    MeanVar,
    Quantile,
    TopK,
    bootstrap,
    rows,
    wilson,
)

KINDS = {
    "mean": Mean,
    "meanvar": MeanVar,
    "covariance": Covariance,
    "quantile": lambda: Quantile(capacity=512),
    "topk": lambda: TopK(k=5),
    "bottomk": lambda: TopK(k=3, largest=False),
    "iou": IoU,
}


def data(kind, seed, count, columns=4):
    x = np.random.RandomState(seed).randn(count, columns)
    if kind == "iou":
        return torch.from_numpy(x > 0.3)
    # Rounding makes ties, which an order must settle the same way in every split.
    return torch.from_numpy(x.round(1) if kind.endswith("topk") else 1000 + x)


def assert_same(a, b):
    first, second = a.state_dict(), b.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-9, atol=1e-9)


def results(stat):
    """What a Quantile says, whatever the order in which it keeps its samples."""
    return stat.quantile([0.0, 0.25, 0.5, 0.99, 1.0]) if isinstance(stat, Quantile) else None


def assert_equivalent(a, b):
    if isinstance(a, Quantile):
        torch.testing.assert_close(results(a), results(b), rtol=0, atol=1e-9)
    else:
        assert_same(a, b)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_adding_in_any_split_is_adding_all_at_once(kind, seed, cuts):
    x = data(kind, seed, 200)
    whole, parts = KINDS[kind]().add(x), KINDS[kind]()
    edges = [0, *sorted(cuts), 200]
    for start, end in itertools.pairwise(edges):
        parts.add(x[start:end])
    assert parts.count == whole.count == 200
    assert_equivalent(parts, whole)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), sizes=st.tuples(*[st.integers(0, 60)] * 3))
def test_merging_is_associative_and_empty_is_neutral(kind, seed, sizes):
    x = data(kind, seed, max(1, sum(sizes)))
    chunks = x[: sum(sizes)].split(list(sizes))

    def parts():
        return [KINDS[kind]().add(chunk) for chunk in chunks]

    a, b, c = parts()
    left = a.merge(b).merge(c)
    a, b, c = parts()
    right = a.merge(b.merge(c))
    if sum(sizes):
        assert_equivalent(left, right)
        assert_equivalent(KINDS[kind]().merge(left), right)
        assert_equivalent(left.merge(KINDS[kind]()), right)
    assert left.count == sum(sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_from_a_file(kind, tmp_path):
    x = data(kind, 3, 100)
    first = KINDS[kind]().add(x[:40])
    store.save(tmp_path / "state.safetensors", first.state_dict())
    state, _ = store.load(tmp_path / "state.safetensors")
    resumed = type(first).from_state(state)
    assert_same(resumed, first)
    assert_same(resumed.add(x[40:]), first.add(x[40:]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_one_has_a_state_but_no_results(kind):
    empty = KINDS[kind]()
    assert type(empty).from_state(empty.state_dict()).count == 0
    with pytest.raises(ShapeError, match="add a batch first"):
        _ = empty.shape


@pytest.mark.parametrize("kind", KINDS)
def test_merging_does_not_change_the_other(kind):
    x = data(kind, 5, 60)
    other = KINDS[kind]().add(x[30:])
    before = {name: value.clone() for name, value in other.state_dict().items()}
    adopted = KINDS[kind]().merge(other).add(x[:30])
    assert adopted.count == 60
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name])


def test_moments_agree_with_numpy_far_from_zero():
    x = 1e8 + np.random.RandomState(0).randn(500, 6) @ np.random.RandomState(1).randn(6, 6)
    stat = Covariance()
    for part in np.array_split(x, 7):
        stat.add(torch.from_numpy(part))
    np.testing.assert_allclose(stat.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(stat.covariance(), np.cov(x, rowvar=False), rtol=1e-6)
    np.testing.assert_allclose(stat.variance(), x.var(0), rtol=1e-6)
    np.testing.assert_allclose(stat.std(1), x.std(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(stat.correlation(), np.corrcoef(x, rowvar=False), rtol=1e-6)


def test_moments_take_any_shape_and_dtype():
    x = torch.randn(32, 3, 4, 5, requires_grad=True)
    stat = MeanVar().add(x[:1]).add(x[1:])
    assert stat.mean.dtype == torch.float64
    assert not stat.mean.requires_grad
    torch.testing.assert_close(stat.variance(), x.detach().double().var(0, correction=0))
    torch.testing.assert_close(Mean().add(x.half()).mean.shape, torch.Size([3, 4, 5]))
    assert float(Mean().add(torch.tensor([1, 2])).add(torch.tensor([6])).mean) == 3


@pytest.mark.parametrize("q", [0.0, 0.1, 1 / 3, 0.5, 0.995, 1.0])
def test_quantiles_are_numpys_while_small(q):
    x = np.random.RandomState(0).randn(300, 3)
    sketch = Quantile(capacity=512)
    for part in np.array_split(x, 4):
        sketch.add(torch.from_numpy(part))
    assert sketch.error_bound == 0
    np.testing.assert_allclose(sketch.quantile(q), np.quantile(x, q, axis=0), atol=1e-12)
    np.testing.assert_allclose(
        sketch.quantile(np.array([q])), np.quantile(x, [q], axis=0), atol=1e-12
    )


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "organ pipe"])
@pytest.mark.parametrize("batch", [37, 1000, 40_000])
def test_quantile_ranks_stay_within_the_bound(order, batch):
    count, capacity = 40_000, 256
    x = np.random.RandomState(0).permutation(count).astype(np.float64)
    if order != "random":
        x = np.sort(x)
    if order == "descending":
        x = x[::-1].copy()
    if order == "organ pipe":
        x = np.concatenate([x[::2], x[1::2][::-1]])
    sketches = [Quantile(capacity), Quantile(capacity)]
    for index, part in enumerate(torch.from_numpy(x)[:, None].split(batch)):
        sketches[index % 2].add(part)
    sketch = sketches[0].merge(sketches[1])
    levels = np.log2(2 * count / capacity)
    assert 0 < sketch.error_bound <= levels / capacity
    # The value of rank r is r here, so that values are their own true ranks.
    q = np.linspace(0, 1, 201)
    wrong = np.abs(sketch.quantile(q)[:, 0].numpy() - q * (count - 1))
    assert wrong.max() <= sketch.error_bound * count + 1
    assert float(sketch.quantile(0.0)) == 0
    assert float(sketch.quantile(1.0)) == count - 1
    assert len(sketch.state_dict()["values"]) <= capacity * (levels + 1)


def test_topk_names_the_samples():
    x = torch.from_numpy(np.random.RandomState(0).randn(50, 3))
    top = TopK(k=4).add(x[:20]).merge(TopK(k=4).add(x[20:]))
    expected = np.argsort(-x.numpy(), axis=0, kind="stable")[:4]
    np.testing.assert_array_equal(top.indices, expected)
    np.testing.assert_array_equal(top.values, np.take_along_axis(x.numpy(), expected, 0))
    assert TopK(k=90).add(x).values.shape == (50, 3)


def test_iou_agrees_with_sets():
    rng = np.random.RandomState(0)
    a, b = rng.rand(200, 5) > 0.5, rng.rand(200, 3) > 0.8
    b[:, 2] = False
    a[:, 4] = False
    stat = IoU()
    for start in (0, 70):
        end = start + 70 if start == 0 else 200
        stat.add(torch.from_numpy(a[start:end]), torch.from_numpy(b[start:end]))
    both = (a[:, :, None] & b[:, None]).sum(0)
    either = (a[:, :, None] | b[:, None]).sum(0)
    np.testing.assert_array_equal(stat.intersection, both)
    np.testing.assert_array_equal(stat.union, either)
    np.testing.assert_allclose(stat.iou(), both / np.maximum(either, 1))
    assert torch.equal(
        IoU().add(torch.from_numpy(a)).iou()[:4, :4].diagonal(), torch.ones(4).double()
    )


def test_rows_puts_units_in_columns():
    x = torch.arange(2 * 3 * 4).view(2, 3, 2, 2)
    assert rows(x).shape == (8, 3)
    assert rows(x)[5].tolist() == x[1, :, 0, 1].tolist()
    assert rows(torch.zeros(7, 3)).shape == (7, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Mean().add(torch.zeros(2, 3)).add(torch.zeros(2, 4)), ShapeError, r"\[4\]"),
        (lambda: Mean().add(3.0), ShapeError, "float"),
        (lambda: Covariance().add(torch.zeros(2, 3, 4)), ShapeError, "rows"),
        (lambda: Mean().merge(MeanVar()), ShapeError, "same"),
        (lambda: Quantile(8).merge(Quantile(16)), ShapeError, "capacity=8"),
        (lambda: Quantile(1), ShapeError, "capacity=1"),
        (lambda: TopK(0), ShapeError, "k=0"),
        (lambda: Quantile().add(torch.tensor([[float("nan")]])), SteerbenchError, "NaN"),
        (lambda: TopK().add(torch.tensor([[float("nan")]])), SteerbenchError, "NaN"),
        (lambda: Quantile().add(torch.zeros(1, 1)).quantile(1.5), ShapeError, r"\[0, 1\]"),
        (lambda: IoU().add(torch.tensor([[0.5]])), SteerbenchError, "threshold"),
        (lambda: IoU().add(torch.zeros(2, 1), torch.zeros(3, 1)), ShapeError, "2 rows and 3"),
        (lambda: rows(torch.zeros(3)), ShapeError, r"\[N, C"),
        (lambda: Mean.from_state({"count": torch.tensor(2)}), CheckpointError, "Mean"),
        (lambda: Mean.from_state(TopK().state_dict()), CheckpointError, "Mean"),
    ],
)
def test_mistakes_are_explained(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_refused_batch_changes_nothing():
    stat = MeanVar().add(torch.ones(3, 2))
    with pytest.raises(ShapeError):
        stat.add(torch.ones(3, 5))
    assert stat.count == 3
    assert stat.mean.tolist() == [1.0, 1.0]


# -- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["BCa", "basic"])
def test_bootstrap_intervals_hold_what_they_promise(method):
    random = np.random.RandomState(0)
    inside = 0
    for trial in range(100):
        values = torch.from_numpy(random.exponential(size=(60, 1)))
        low, high = bootstrap(values, method=method, resamples=200, seed=trial)
        inside += int(low <= 1 <= high)
    assert 0.86 < inside / 100 < 0.99


def share_of_squares(draws):
    squares = draws.mean(1).square()
    return squares / squares.sum(1, keepdim=True).clamp_min(1e-12)


@given(
    values=arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 1e6]) | st.floats(-5, 5),
    ),
    method=st.sampled_from(["BCa", "basic"]),
    statistic=st.sampled_from([None, share_of_squares, lambda draws: draws.amax(1)]),
)
@settings(max_examples=120, deadline=None)
def test_an_interval_contains_its_estimate(values, method, statistic):
    """Also where most samples are the same, all of them are, or no draw reaches the estimate."""
    data = torch.from_numpy(values)
    low, high = bootstrap(data, statistic, method=method, resamples=40)
    estimate = (statistic or (lambda draws: draws.mean(1)))(data[None])[0]
    assert torch.isfinite(low).all()
    assert torch.isfinite(high).all()
    assert (low <= estimate).all()
    assert (estimate <= high).all()


def test_a_constant_is_known_exactly():
    low, high = bootstrap(torch.full((20, 3), 0.25))
    assert (low == 0.25).all()
    assert (high == 0.25).all()


def test_a_bca_interval_of_a_share_stays_a_share():
    values = torch.tensor([1.0] * 19 + [0.0])[:, None]
    low, high = bootstrap(values)
    assert 0 <= low < 0.95 < high <= 1


def test_the_basic_interval_knows_what_a_statistic_corrects_for():
    """Draws of a corrected square lie around the plain square of the sample, and are held to it.

    The truth is 0.25; an interval that starts above it claims too much.
    """

    def corrected(draws):
        return draws.mean(1).square() - draws.var(1) / draws.shape[1]

    random, claims = np.random.RandomState(0), 0
    for trial in range(100):
        values = torch.from_numpy(random.randn(50) + 0.5)
        options = {"method": "basic", "resamples": 200, "seed": trial}
        plain = bootstrap(values, corrected, **options)
        known = bootstrap(values, corrected, population=lambda x: x.mean(1).square(), **options)
        noise = float(values.var() / 50)
        assert float(known[0] - plain[0]) == pytest.approx(noise)
        assert float(known[1] - plain[1]) == pytest.approx(noise)
        claims += float(known[0]) > 0.25
    assert claims <= 5


def test_bootstrap_keeps_shape_and_seed():
    values = torch.randn(30, 2, 3)
    low, high = bootstrap(values, resamples=50, seed=3)
    assert low.shape == high.shape == (2, 3)
    assert torch.equal(low, bootstrap(values, resamples=50, seed=3)[0])
    assert not torch.equal(low, bootstrap(values, resamples=50, seed=4)[0])
    with pytest.raises(ShapeError, match="at least one"):
        bootstrap(torch.zeros(0, 2))
    with pytest.raises(ArgumentError, match="method"):
        bootstrap(values, method="bca")


def test_wilson_covers_the_truth_as_often_as_it_says():
    hits = np.random.default_rng(0).binomial(200, 0.7, size=2000)
    ends = {k: wilson(k, 200) for k in np.unique(hits).tolist()}
    covered = np.mean([ends[k][0] <= 0.7 <= ends[k][1] for k in hits.tolist()])
    assert 0.93 <= covered <= 0.97


def test_wilson_stays_inside_and_knows_few_samples():
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(10, 10)[1] == pytest.approx(1)
    few, many = wilson(9, 10), wilson(900, 1000)
    assert few[0] < many[0] < 0.9 < many[1] < few[1]
    with pytest.raises(ShapeError):
        wilson(3, 2)
