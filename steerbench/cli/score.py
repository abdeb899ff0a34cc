"""``steerbench score``: the leaderboard of finders, as tables in files and a part of a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from steerbench.bundles import require
from steerbench.cards.text import check_section
from steerbench.generators import load
from steerbench.leaderboard import Protocol, markdown
from steerbench.studies import STUDIES, leaderboard, tables


def score(
    source: str,
    oracle: str | None,
    judge: str | None,
    finders: Sequence[str] | None,
    protocol: Protocol,
    out: Path,
    readme: Path | None = None,
) -> str:
    """Measure, write the tables and on what they were measured; return what to print.

    Args:
        source: A generator's name or file.
        oracle: A predictor, likewise, that chooses directions; None for that of the model's bundle.
        judge: Another one, that judges them; likewise.
        finders: Names; None for all.
        protocol: What they have in common.
        out: The folder of the tables.
        readme: A file whose leaderboard is renewed.

    Raises:
        CapabilityError: A predictor was not given, and none is known.
        ArgumentError: The README has no marks; said before anything is measured.
    """
    if readme is not None:
        check_section(readme, leaderboard.SECTION)
    models = {
        "generator": source,
        "reader": oracle or _part_name(source, "reader", "chooses the directions", "--oracle"),
        "judge": judge or _part_name(source, "judge", "judges them", "--judge"),
    }
    board = leaderboard.measure_finders(out, models, finders, protocol)
    tables.record(
        ["10-leaderboard", "10-leaderboard-factors"],
        models,
        " ".join(["steerbench score", source, *(f"--finder {name}" for name in finders or [])]),
        out,
        protocol=asdict(protocol),
        revision=STUDIES["10-leaderboard"].revision,
    )
    if readme is not None:
        leaderboard.fill_readme(readme, board.table, source, protocol)
    reasons = [f"{name} was left out: {reason}" for name, reason in board.refused.items()]
    return "\n".join([markdown(board.table), *reasons])


def _part_name(source: str, part: str, use: str, option: str) -> str:
    """Return the name of a network of the model's bundle."""
    return str(require(load(source), part, use, option).name)
