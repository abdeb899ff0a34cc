"""How long half a million samples take, and how much memory, from scores to a boundary.

Codes of 512 numbers and scores are made up, so that nothing is rendered. Two ways that both look at
all samples: the ends of the scores by their seeds, which is what `LatentBoundaries` does, and
`train_boundary` on codes in a file. The solvers are compared on the same ends.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.svm import SVC, LinearSVC

from steerbench.supervised.boundaries import linear_boundary, train_boundary
from steerbench.supervised.boundaries.score_extremes import ScoreExtremes

SAMPLES, SIZE = 500_000, 512


@pytest.fixture(scope="module")
def problem(tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    """Codes in a file of single precision, and noisy scores of a planted direction."""
    path = tmp_path_factory.mktemp("codes") / "codes.npy"
    codes = np.lib.format.open_memmap(path, "w+", np.float32, (SAMPLES, SIZE))
    random = np.random.RandomState(0)
    normal = random.randn(SIZE) / np.sqrt(SIZE)
    scores = np.empty(SAMPLES)
    for start in range(0, SAMPLES, 10_000):
        part = random.randn(10_000, SIZE).astype(np.float32)
        codes[start : start + 10_000] = part
        scores[start : start + 10_000] = part @ normal + random.randn(10_000)
    del codes
    return np.load(path, mmap_mode="r"), scores


def measured(work, *given):
    """The result, seconds, and the peak of what Python and NumPy took, in megabytes."""
    tracemalloc.start()
    start = time.process_time()
    result = work(*given)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return result, seconds, peak


def test_half_a_million_samples(problem) -> None:
    codes, scores = problem
    found, seconds, peak = measured(train_boundary, codes, scores)
    print(
        f"train_boundary, {SAMPLES} codes in a file, 2% of each end: {seconds:.1f} s of CPU, "
        f"peak {peak:.0f} MB, held-out accuracy {found.accuracy:.3f}"
    )
    assert peak < 500
    assert found.accuracy > 0.9


def test_the_ends_of_forty_attributes() -> None:
    def stream() -> ScoreExtremes:
        ends = ScoreExtremes(keep=10_000, first=0)
        generator = torch.Generator().manual_seed(0)
        for _ in range(SAMPLES // 10_000):
            ends.add(torch.randn(10_000, 40, generator=generator))
        return ends

    ends, seconds, _ = measured(stream)
    kept = (
        sum(
            t.numel() * t.element_size()
            for e in (ends.high, ends.low)
            for t in e.state_dict().values()
        )
        / 2**20
    )
    print(f"the ends of 40 attributes of {SAMPLES} samples: {seconds:.1f} s, {kept:.0f} MB kept")
    assert kept < 20


def test_solvers_on_the_same_ends(problem) -> None:
    """On the 14,000 codes that 2% of each end give to train on."""
    codes, scores = problem
    order = np.argsort(-scores)
    rows = np.r_[order[:7000], order[-7000:]]
    x, y = codes[np.sort(rows)].astype(np.float64), (scores[np.sort(rows)] > 0).astype(int)
    ours, seconds, _ = measured(linear_boundary, x, y)
    theirs = {
        "LinearSVC": LinearSVC(),
        "LinearSVC(loss='hinge')": LinearSVC(loss="hinge", max_iter=20_000),
        "SVC(kernel='linear')": SVC(kernel="linear"),
    }
    print(f"ours: {seconds:.2f} s of CPU")
    for name, model in theirs.items():
        _, taken, _ = measured(model.fit, x, y)
        normal = model.coef_[0] / np.linalg.norm(model.coef_)
        cosine = float(normal @ ours.normal.numpy())
        print(
            f"{name}: {taken:.2f} s of CPU ({taken / seconds:.1f} times ours), cosine {cosine:.5f}"
        )
        if name.startswith("SVC"):
            assert cosine > 0.999
            assert taken > seconds


def test_all_half_million_labelled(problem) -> None:
    """Every sample labelled by its sign, none left out: ours only; LinearSVC gets a tenth."""
    codes, scores = problem
    whole = np.asarray(codes)
    ours, seconds, _ = measured(linear_boundary, whole, scores > 0)
    part, labels = whole[: SAMPLES // 10].astype(np.float64), scores[: SAMPLES // 10] > 0
    _, again, _ = measured(linear_boundary, part, labels)
    model, taken, _ = measured(LinearSVC().fit, part, labels)
    cosine = float(model.coef_[0] / np.linalg.norm(model.coef_) @ ours.normal.numpy())
    print(
        f"all {SAMPLES} codes: {seconds:.1f} s of CPU; a tenth: {again:.1f} s, "
        f"LinearSVC {taken:.1f} s; cosine of the two {cosine:.4f}"
    )
