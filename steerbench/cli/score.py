"""``steerbench score``: the leaderboard of finders, as tables in files and a part of a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from steerbench import store
from steerbench.bundles import require
from steerbench.errors import ArgumentError
from steerbench.generators import load
from steerbench.leaderboard import NULL, Leaderboard, Protocol, leaderboard, markdown
from steerbench.predictors import predictor
from steerbench.types import Predictor

TABLE, FACTORS = "10-leaderboard.csv", "10-leaderboard-factors.csv"
START, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"


def score(
    source: str,
    oracle: str | None,
    judge: str | None,
    finders: Sequence[str] | None,
    protocol: Protocol,
    out: Path,
    readme: Path | None = None,
) -> str:
    """Measure, write the tables, renew the README where one is given; returns what to print.

    Args:
        source: What ``sb.load`` takes.
        oracle, judge: Names or files of predictors; None for those of the model's bundle.
        finders: Only these; None for all.
        protocol: What they have in common.
        out: Where the tables go.
        readme: A file whose part between the marks is renewed.

    Raises:
        CapabilityError: A predictor was not given, and none is known.
        ArgumentError: The README has no marks; said before anything is measured.
    """
    parts = _split(readme) if readme is not None else None
    board = leaderboard(
        source,
        _network(source, oracle, "reader", "chooses the directions", "--oracle"),
        _network(source, judge, "judge", "judges them", "--judge"),
        finders,
        protocol=protocol,
        done=lambda table: write(table, out / TABLE),
    )
    write(board.table, out / TABLE)
    write(board.factors, out / FACTORS)
    if readme is not None and parts is not None:
        text = f"{parts[0]}{START}\n{section(board, source, protocol)}\n{END}{parts[1]}"
        store.write_text_atomic(readme, text)
    reasons = [f"{name} was left out: {reason}" for name, reason in board.refused.items()]
    return "\n".join([markdown(board.table), *reasons])


def _network(source: str, given: str | None, part: str, use: str, option: str) -> Predictor:
    return predictor(given) if given is not None else require(load(source), part, use, option)


def section(board: Leaderboard, source: str, protocol: Protocol) -> str:
    """The table with the words that say how it was made."""
    null = board.table.query("finder == @NULL")
    draws = f" (`{NULL}`: the mean of {protocol.nulls} draws, and their range)" * len(null)
    return (
        f"{protocol.n_directions} directions of each finder on `{source}`, otherwise with its "
        f"default settings; chosen on {protocol.choosing} pictures by one oracle, judged on "
        f"{protocol.judging} others by a second one{draws}.\n\n{markdown(board.table)}"
    )


def write(table: pd.DataFrame, path: Path) -> None:
    """A table as CSV, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write_text_atomic(path, table.round(4).to_csv(index=False))


def _split(readme: Path) -> tuple[str, str]:
    text = readme.read_text(encoding="utf-8")
    if START not in text or END not in text:
        raise ArgumentError(f"{readme} has no {START} ... {END}. Put both where it should go.")
    before, rest = text.split(START, 1)
    return before, rest.split(END, 1)[1]
