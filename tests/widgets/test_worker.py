"""Work beside the page: one at a time, ended at any moment, mistakes in the log."""

from __future__ import annotations

import logging
import threading

import pytest

from steerbench.widgets.worker import Ending, Worker

PATIENCE = 60


def until_told(ending: Ending) -> None:
    assert ending.wait(PATIENCE)


def test_new_work_ends_the_old() -> None:
    worker, ended = Worker("waiting"), []
    worker.begin(lambda ending: ended.append(ending.wait(PATIENCE)))
    assert worker.busy
    worker.begin(until_told)
    assert ended == [True]
    worker.stop()
    assert not worker.busy
    assert worker.wait(0)


def test_cancelling_does_not_wait_and_waiting_says_whether_it_ended() -> None:
    worker, go_on = Worker("waiting"), threading.Event()
    worker.begin(lambda ending: until_told(go_on))
    worker.cancel()
    assert not worker.wait(0.01)
    go_on.set()
    assert worker.wait(PATIENCE)


def test_work_may_stop_itself() -> None:
    worker, told = Worker("waiting"), []

    def work(ending: Ending) -> None:
        worker.stop()
        told.append(ending.is_set())

    worker.begin(work)
    assert worker.wait(PATIENCE)
    assert told == [True]


def test_a_bug_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker("counting")
    with caplog.at_level(logging.ERROR):
        worker.begin(lambda ending: 1 / 0)
        worker.wait(PATIENCE)
    assert "Counting went wrong." in caplog.text
    assert "ZeroDivisionError" in caplog.text
