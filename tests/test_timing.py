"""The least time of a few tries, and no more tries than patience allows."""

from __future__ import annotations

import time

import steerbench.timing as timing


def test_the_best_try_counts(monkeypatch) -> None:
    clock = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    assert timing.best_of(lambda: None, tries=3) == 2


def test_a_slow_call_is_tried_once() -> None:
    calls: list[int] = []
    timing.best_of(lambda: calls.append(1) or time.sleep(0.01), patience=0.001)
    assert len(calls) == 1
