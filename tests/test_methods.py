"""One line in the list is all that a method takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import steerbench as sb
from steerbench.errors import ArgumentError, NotFoundError
from steerbench.methods import DISSECTORS, FINDERS, METHODS, SUPERVISED, Method, register
from tests.test_leaderboard import SMALL, Rows, axes
from tests.toy_finder import ToyFinder

ROOT = Path(__file__).parents[1]
LINE = 'register("toy", "finder", "10", "a toy", "tests.toy_finder:ToyFinder")'


@pytest.fixture
def toy() -> Iterator[Method]:
    """The list with one line more, and without it again."""
    yield eval(LINE)
    del METHODS["toy"]
    vars(sb).pop("ToyFinder", None)


def test_a_line_makes_a_public_name(toy) -> None:
    assert sb.ToyFinder is ToyFinder
    assert "ToyFinder" in dir(sb)
    assert "ToyFinder" in sb.__all__


def test_a_line_is_a_row_of_every_report(toy, toy_generator) -> None:
    row = sb.inspect(toy_generator).methods.set_index("method").loc["toy"]
    assert (row["kind"], row["applies"], row["reason"]) == ("finder", True, "")


def test_a_line_enters_the_leaderboard(toy) -> None:
    board = sb.leaderboard(axes, Rows(), Rows(), ["toy"], protocol=SMALL)
    assert board.table.set_index("finder").loc["toy", "recovered"] == 4
    assert "toy" in FINDERS
    assert FINDERS["toy"] is ToyFinder


def test_a_line_is_held_to_every_law() -> None:
    program = (
        f"import sys, pytest; from steerbench.methods import register; {LINE}; "
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'toy', 'tests/contracts']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.splitlines()[-1].split(" passed")[0].split()[-1])
    assert passed > 15


def test_without_the_line_there_is_nothing_of_it() -> None:
    assert "toy" not in METHODS
    assert "ToyFinder" not in dir(sb)
    with pytest.raises(AttributeError, match="no 'ToyFinder'"):
        _ = sb.ToyFinder


def test_the_kinds_share_the_list_out() -> None:
    assert set(FINDERS) == {name for name, method in METHODS.items() if method.kind == "finder"}
    assert list(SUPERVISED) == ["latent_boundaries"]
    assert list(DISSECTORS) == ["dissection"]
    assert len(FINDERS) > 7
    with pytest.raises(KeyError):
        FINDERS["dissection"]


def test_a_line_that_says_nonsense_is_refused() -> None:
    with pytest.raises(NotFoundError, match="finder"):
        register("toy", "findr", "", "", "tests.toy_finder:ToyFinder")
    with pytest.raises(ArgumentError, match="module and name"):
        register("toy", "finder", "", "", "tests.toy_finder")
    assert "toy" not in METHODS
