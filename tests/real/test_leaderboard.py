"""The leaderboard on real faces, judged by a network that learned their recorded scores.

The committed tables of all finders: ``python -m steerbench.studies measure 10-faces``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steerbench.leaderboard import Protocol
from steerbench.predictors.distillation import DistilledPredictor
from steerbench.studies.leaderboard import face_readers, faces_board


@pytest.fixture(scope="module")
def folder(shared_path: Callable[[str], Path]) -> Path:
    return shared_path("real/celeba-dcgan-32")


@pytest.fixture(scope="module")
def networks(folder: Path) -> tuple[DistilledPredictor, DistilledPredictor]:
    return face_readers(folder)


def test_the_networks_read_faces_that_they_have_not_seen(networks) -> None:
    for network in networks:
        assert network.held_out["age"] > 0.6
        assert network.held_out["male"] > 0.75


def test_sefa_and_the_null_on_faces(folder, networks) -> None:
    protocol = Protocol(n_directions=8, choosing=24, judging=48, nulls=1)
    board = faces_board(folder, networks, ["sefa"], protocol)
    assert set(board.table["finder"]) == {"sefa", "random_directions"}
    assert board.factors["share"].between(0, 1).all()
