"""Chapter 10: which directions are any good, how many it takes, and the same on real faces.

- ``10-leaderboard.csv``, ``10-leaderboard-factors.csv``: every finder by the protocol of
  `steerbench.leaderboard`. ``steerbench score`` measures the same on any model.
- ``10-channels.csv``: how many directions does it take? Recovered factors among the first so many,
  for StyleSpace's channels of s by its own order and for channels drawn by chance. Last, what
  labels can do: the boundaries in w of all that the first oracle reads.
- ``10-faces.csv``, ``10-faces-factors.csv``: every finder on a DCGAN of faces, for which somebody
  recorded age and gender. Two networks learn these scores, from halves of the codes that do not
  overlap: one chooses, the other one judges. Neither weights nor scores are shipped; the folder
  that the environment variable ``STEERBENCH_SHARED`` names has to hold them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from steerbench.cards.text import fill_section
from steerbench.errors import MissingFileError
from steerbench.generators import BaseGenerator, load, wrap
from steerbench.leaderboard import (
    NULL,
    FinderRun,
    Leaderboard,
    Protocol,
    leaderboard,
    markdown,
    summary,
)
from steerbench.leaderboard.judging import Evaluation, evaluate_prefixes, readable
from steerbench.methods import FINDERS
from steerbench.predictors import AttributePredictor, oracle, predictor
from steerbench.predictors.distillation import DistilledPredictor, distill
from steerbench.studies import tables
from steerbench.supervised.boundaries.higan import LatentBoundaries
from steerbench.types import Direction, Generator, Predictor

SECTION = "leaderboard"
"""The marks in a README between which the leaderboard stands."""


def measure(out: Path, models: Mapping[str, str]) -> None:
    """Measure every finder on a generator, and write both tables of the leaderboard to a folder."""
    measure_finders(out, models, None, Protocol())


def measure_finders(
    out: Path, models: Mapping[str, str], finders: Sequence[str] | None, protocol: Protocol
) -> Leaderboard:
    """Measure finders on a generator, and write both tables to a folder.

    Args:
        out: The folder; it is made.
        models: Names, or paths, of the ``generator``, of the ``reader`` that chooses directions,
            and of the ``judge`` that judges them.
        finders: Names; None for all.
        protocol: What they have in common.
    """
    board = leaderboard(
        models["generator"],
        predictor(models["reader"]),
        predictor(models["judge"]),
        finders,
        protocol=protocol,
        done=lambda table: tables.write(table, out / "10-leaderboard.csv"),
    )
    _write(board, out, "10-leaderboard")
    return board


def _write(board: Leaderboard, out: Path, name: str) -> None:
    tables.write(board.table, out / f"{name}.csv")
    tables.write(board.factors, out / f"{name}-factors.csv")


def section(table: pd.DataFrame, source: str, protocol: Protocol) -> str:
    """Write the table in Markdown, with the words that say how it was made."""
    null = table.query("finder == @NULL")
    draws = f" (`{NULL}`: the mean of {protocol.nulls} draws, and their range)" * len(null)
    return (
        f"{protocol.n_directions} directions of each finder on `{source}`, otherwise with its "
        f"default settings; chosen on {protocol.choosing} pictures by one oracle, judged on "
        f"{protocol.judging} others by a second one{draws}.\n\n{markdown(table)}"
    )


def fill_readme(readme: Path, table: pd.DataFrame, source: str, protocol: Protocol) -> None:
    """Renew the leaderboard in a README.

    Raises:
        ArgumentError: The file has no ``leaderboard`` marks.
    """
    fill_section(readme, SECTION, section(table, source, protocol))


# How many directions it takes.


def measure_counts(
    out: Path,
    models: Mapping[str, str],
    counts: Sequence[int] = (32, 128, 384),
    *,
    n_choosing: int = 24,
    n_judging: int = 96,
    seed: int = 0,
) -> None:
    """Measure how much more directions recover, and write the table after each kind of them."""
    generator = load(models["generator"])
    reader, judge = oracle(models["reader"]), oracle(models["judge"])
    factors = readable(generator, reader, judge)
    rows: list[pd.DataFrame] = []
    for kind, directions in _kinds(generator, reader, counts[-1], seed):
        steps = [count for count in counts if count < len(directions)] + [len(directions)]
        found = evaluate_prefixes(
            directions,
            steps,
            generator,
            reader,
            judge,
            factors,
            choosing=n_choosing,
            judging=n_judging,
        )
        rows += [_count(kind, directions[:count], verdict) for count, verdict in found.items()]
        tables.write(pd.concat(rows, ignore_index=True), out / "10-channels.csv")


def _count(kind: str, directions: Sequence[Direction], verdict: Evaluation) -> pd.DataFrame:
    columns = ["recovered", "recovered_low", "recovered_high", "surely", "factors"]
    row = summary([(FinderRun(kind, tuple(directions)), verdict)])[[*columns, "share", "leakage"]]
    row.insert(0, "directions", len(directions))
    row.insert(0, "kind", kind)
    return row


def _kinds(generator: Generator, reader: AttributePredictor, count: int, seed: int) -> Any:
    """Yield kinds of directions: by StyleSpace's order, by chance, and those that labels give."""
    chance = {"space": "s", "kind": "channels"}
    for kind, finder, options in (
        ("stylespace", "stylespace", {}),
        ("random channels", "random_directions", chance),
    ):
        found = FINDERS[finder](n_directions=count, seed=seed, **options).fit(generator)
        yield kind, found.directions_
    labelled = LatentBoundaries(
        reader, "w", n_samples=3072, chosen=0.25, c=0.01, n_fresh_samples=2, n_random=0, seed=seed
    )
    yield "boundaries, with labels", labelled.fit(generator).directions_


# Real faces.


class FaceDCGAN(nn.Module):
    """A DCGAN of CelebA faces, 32x32: ``[N, 100, 1, 1]`` uniform to pictures in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.generator_deconv = nn.ModuleList(
            [
                nn.Sequential(nn.ConvTranspose2d(100, 256, 4, bias=False), nn.BatchNorm2d(256)),
                nn.Sequential(nn.Conv2d(256, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)),
                nn.Sequential(nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64)),
                nn.Sequential(nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32)),
                nn.Sequential(nn.ConvTranspose2d(32, 3, 4, 2, 1)),
            ]
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.generator_deconv[0](z)
        for block in self.generator_deconv[1:-1]:
            x = nn.functional.leaky_relu(block(x), 0.2)
        return torch.tanh(self.generator_deconv[-1](x))


def face_generator(folder: Path) -> BaseGenerator:
    """Build the generator of faces from the folder ``celeba-dcgan-32``."""
    module = FaceDCGAN()
    weights = torch.load(folder / "generator.pt", map_location="cpu", weights_only=True)
    module.load_state_dict(weights)
    return wrap(module, latent_shape=(100, 1, 1), prior="uniform", name="celeba-dcgan")


def face_readers(folder: Path) -> tuple[DistilledPredictor, DistilledPredictor]:
    """Let two networks learn the recorded age and gender, each from its half of the codes."""
    with np.load(folder / "attribute_scores.npz") as file:
        recorded = dict(file)
    generator, middle = face_generator(folder), len(recorded["z"]) // 2
    found = []
    for seed, rows in enumerate((slice(0, middle), slice(middle, None))):
        codes = generator.latent(recorded["z"][rows])
        scores = {"age": recorded["age_years"][rows], "male": recorded["male_logit"][rows]}
        found.append(distill(generator, codes, scores, units=["years", "logit"], seed=seed))
    return found[0], found[1]


def faces_board(
    folder: Path,
    readers: tuple[Predictor, Predictor],
    finders: Sequence[str] | None,
    protocol: Protocol,
) -> Leaderboard:
    """Judge finders on faces.

    Args:
        folder: That of the generator.
        readers: One chooses directions, the other one judges them.
        finders: Names; None for all.
        protocol: What they have in common.
    """
    reader, judge = readers
    build = functools.partial(face_generator, folder)
    return leaderboard(build, reader, judge, finders, protocol=protocol, factors=["age", "male"])


def measure_faces(out: Path, models: Mapping[str, str]) -> None:
    """Measure every finder on faces, and write both tables to a folder.

    Raises:
        MissingFileError: The weights are not there.
    """
    folder = Path(os.environ.get("STEERBENCH_SHARED", "shared")) / "real" / "celeba-dcgan-32"
    if not folder.is_dir():
        raise MissingFileError(
            f"There is no folder {str(folder)!r}, which should hold generator.pt and "
            "attribute_scores.npz. Set STEERBENCH_SHARED to the folder that has real/ in it."
        )
    board = faces_board(folder, face_readers(folder), None, Protocol())
    _write(board, out, "10-faces")
