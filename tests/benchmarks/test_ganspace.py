"""Principal components of 100,000 codes of 512 numbers, beside scikit-learn, in the same run.

How far each result is from the truth, the eigenvectors of a covariance in float64, is the largest
principal angle between the two spans of 80 axes. Spectra of w fall off like this one.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA, IncrementalPCA

from steerbench.stats.principal import principal_components
from tests.benchmarks.timing import in_turn, threads

SAMPLES, SIZE, N = 100_000, 512, 80


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    random = np.random.default_rng(0)
    data = random.standard_normal((SAMPLES, SIZE), dtype=np.float32)
    turn = np.linalg.qr(random.standard_normal((SIZE, SIZE)))[0]
    scales = np.arange(1, SIZE + 1) ** -0.5
    data = data @ (scales[:, None] * turn.T).astype(np.float32)
    return data + random.standard_normal(SIZE).astype(np.float32)


@pytest.fixture(scope="module")
def truth(codes: np.ndarray) -> np.ndarray:
    total, mean = np.zeros((SIZE, SIZE)), codes.mean(0, dtype=np.float64)
    for start in range(0, SAMPLES, 5000):
        part = codes[start : start + 5000] - mean
        total += part.T @ part
    return np.linalg.eigh(total)[1][:, ::-1][:, :N]


def peak(call: Callable[[], object]) -> float:
    """The memory that a call takes beyond what was taken before, in megabytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def angle(components: np.ndarray, truth: np.ndarray) -> float:
    """The largest principal angle between two spans, in degrees."""
    left = np.linalg.qr(np.asarray(components, dtype=np.float64).T)[0]
    outside = left - truth @ (truth.T @ left)
    return float(np.degrees(np.arcsin(min(1.0, np.linalg.norm(outside, 2)))))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read on Linux")
def test_against_scikit_learn(codes: np.ndarray, truth: np.ndarray) -> None:
    calls: dict[str, Callable[[], np.ndarray]] = {
        "principal_components": lambda: principal_components(codes, N).components.numpy(),
        "IncrementalPCA": lambda: IncrementalPCA(N, batch_size=1000).fit(codes).components_,
        "PCA, randomised": lambda: (
            PCA(N, svd_solver="randomized", random_state=0).fit(codes).components_
        ),
        "PCA, covariance": lambda: PCA(N, svd_solver="covariance_eigh").fit(codes).components_,
    }
    with threads():
        timings = in_turn(calls, seconds=10.0)
        taken = {name: peak(call) for name, call in calls.items()}
    angles = {name: angle(call(), truth) for name, call in calls.items()}
    for name, timing in timings.items():
        print(f"{name:<21} {timing}, {taken[name]:.0f} MB, angle {angles[name]:.2g} degrees")
    assert angles["principal_components"] < 0.01
    assert angles["principal_components"] < angles["IncrementalPCA"]
    assert taken["principal_components"] < 100
    assert timings["principal_components"].over(timings["IncrementalPCA"]) < 0.5
