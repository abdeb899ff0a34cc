"""The columns of a scorecard on the screen: titles, how to sort by them, and their cells."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

CLEAR = 0.05
"""P-values up to this are set in bold."""

Row = Any  # a pandas Series of unlike things


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: What stands over it.
        meaning: A sentence for those who hover.
        key: What to sort by; larger is better.
        cell: HTML of a row's cell.
    """

    title: str
    meaning: str
    key: Callable[[Row, str], Any]
    cell: Callable[[Row], str]


def cells(row: Row) -> str:
    """The cells of a row but for its name, as HTML."""
    columns = [each for key, each in COLUMNS.items() if key != "direction"]
    return "".join(f"<span>{each.cell(row)}</span>" for each in columns)


def _text(value: object) -> str:
    return html.escape(str(value).replace("_", " "))


def _attribute(row: Row) -> str:
    return f"{_text(row['attribute'])} {'+' if row['effect'] >= 0 else '−'}"


def _effect(row: Row) -> str:
    return f"{row['effect']:+.2f} <small>[{row['low']:.2f}, {row['high']:.2f}]</small>"


def _share(row: Row) -> str:
    width = f"{100 * row['share']:.0f}%"
    return f'<i class="sb-bar"><b style="width:{width}"></b></i>{width}'


def _p(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        if pd.isna(row[name]):
            return "–"
        text = f"{row[name]:.2f}"
        return f"<strong>{text}</strong>" if row[name] <= CLEAR else text

    return cell


def _low(name: str) -> Callable[[Row, str], Any]:
    return lambda row, _: -row[name] if pd.notna(row[name]) else -2.0


def _backwards(text: str) -> list[int]:
    """A key under which A is larger than Z, for columns that begin with the largest."""
    return [-ord(letter) for letter in text.lower()] + [1]


COLUMNS = {
    "direction": Column("Direction", "Its name", lambda _, name: _backwards(name), lambda _: ""),
    "attribute": Column(
        "Moves most",
        "The attribute with the largest effect, and its sign",
        lambda row, _: _backwards(row["attribute"]),
        _attribute,
    ),
    "effect": Column(
        "Effect",
        "In spreads of the score between pictures, for one step, with its 95% interval",
        lambda row, _: abs(row["effect"]),
        _effect,
    ),
    "share": Column(
        "Share",
        "How much of the total effect goes there; 100% moves nothing else",
        lambda row, _: row["share"],
        _share,
    ),
    "p_effect": Column(
        "p effect",
        "The share of random directions of equal picture change that move something as much",
        _low("p_effect"),
        _p("p_effect"),
    ),
    "p_share": Column(
        "p share",
        "The share of random directions of equal picture change whose share is as large",
        _low("p_share"),
        _p("p_share"),
    ),
    "leakage": Column(
        "Next",
        "The attribute moved next, and its effect over the first",
        lambda row, _: -row["leakage"],
        lambda row: f"{_text(row['next'])} <small>{row['leakage']:.0%}</small>",
    ),
    "monotonicity": Column(
        "Steady",
        "Rank correlation of the score with alpha; 1 where every step counts",
        lambda row, _: row["monotonicity"],
        lambda row: f"{row['monotonicity']:.2f}",
    ),
    "usable": Column(
        "Usable",
        "From where to where pictures stay in the distribution, in alpha",
        lambda row, _: row["usable_high"] - row["usable_low"],
        lambda row: f"{row['usable_low']:.1f} to {row['usable_high']:.1f}",
    ),
    "changed": Column(
        "Pixels",
        "The share of pixels that changed by a tenth of their range; the fewest first",
        lambda row, _: -row["changed"],
        lambda row: f"{row['changed']:.0%}",
    ),
}
"""The columns, by what `ScorecardTable.sort` calls them."""
