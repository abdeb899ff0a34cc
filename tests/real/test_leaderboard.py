"""The leaderboard on real faces, judged by a network that learned their recorded scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import steerbench as sb
from steerbench.cli.score import write
from steerbench.leaderboard import Protocol, leaderboard
from steerbench.predictors.distillation import distill
from tests.real.models import face_dcgan

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
LEARNED = 2000
"""How many of the 4,000 recorded codes each network sees: the halves do not overlap."""


def build(folder: Path) -> sb.generators.BaseGenerator:
    module = face_dcgan(folder)
    return sb.wrap(module, latent_shape=(100, 1, 1), prior="uniform", name="celeba-dcgan")


@pytest.fixture(scope="module")
def faces(shared_path: Callable[[str], Path]) -> Callable[[], sb.generators.BaseGenerator]:
    return functools.partial(build, shared_path("real/celeba-dcgan-32"))


@pytest.fixture(scope="module")
def networks(faces, shared_path) -> list:
    with np.load(shared_path("real/celeba-dcgan-32") / "attribute_scores.npz") as file:
        recorded = dict(file)
    generator, halves = faces(), (slice(0, LEARNED), slice(LEARNED, None))
    found = []
    for seed, rows in enumerate(halves):
        codes = generator.latent(recorded["z"][rows])
        scores = {"age": recorded["age_years"][rows], "male": recorded["male_logit"][rows]}
        found.append(distill(generator, codes, scores, units=["years", "logit"], seed=seed))
        print("held-out correlations:", found[-1].held_out)
    return found


def _measured(faces, networks, finders, protocol: Protocol):
    oracle, judge = networks
    board = leaderboard(faces, oracle, judge, finders, protocol=protocol, factors=["age", "male"])
    print(board.table.round(2).to_string(), board.factors.round(2).to_string(), sep="\n")
    print(board.refused)
    return board


def test_the_networks_read_faces_that_they_have_not_seen(networks) -> None:
    for network in networks:
        assert network.held_out["age"] > 0.6
        assert network.held_out["male"] > 0.75


def test_sefa_and_the_null_on_faces(faces, networks) -> None:
    protocol = Protocol(n_directions=8, choosing=24, judging=48, nulls=1)
    board = _measured(faces, networks, ["sefa"], protocol)
    assert set(board.table["finder"]) == {"sefa", "random_directions"}
    assert board.factors["share"].between(0, 1).all()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_finder_on_faces(faces, networks) -> None:
    """The committed table ``assets/results/10-faces.csv``: copied from ``artifacts/``."""
    board = _measured(faces, networks, None, Protocol())
    write(board.table, ARTIFACTS / "10-faces.csv")
    write(board.factors, ARTIFACTS / "10-faces-factors.csv")
