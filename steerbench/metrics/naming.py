"""Names for directions, from what they do: "lamp on +, night -", or "unclear".

A name says which attributes go up and down along a direction. An attribute is named where

1. the direction passes at all: its smallest p-value, already corrected for the number of
   attributes (`familywise_p_values` of the scorecard's null model), is accepted by the procedure of
   Benjamini and Hochberg over all directions of the card, so that of the directions that get a
   name at most a part of `level` is expected to be named after chance;
2. its own corrected p-value is at most `level`;
3. its effect is at least `least` of the strongest one that passed, so that names stay short.

Everything else is "unclear": random directions of equal picture change do as much. With K random
directions no p-value is below 1 / (K + 1), so a single good direction among ten needs K = 199 or
more to be told apart; `Suggestion.note` says where this is what stands in the way.

A name is a proposal. `Direction.named` changes it, and a sheet of pictures settles it.

**Names of another kind.** `namer` gets the direction and the evidence and returns the name, or None
for "unclear". It may look at pictures, ask a network that knows language, or ask a person; what
was measured stands beside its name all the same.

>>> import torch
>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 4, 8)), latent_shape=(32,))
>>> read = sb.predictor(lambda x: x.flatten(1)[:, :4], names=["lamp_on", "night", "yaw", "wood"])
>>> vector = torch.zeros(32).index_fill(0, torch.tensor([0]), -1.0)
>>> card = sb.scorecard([sb.Direction("PC 1", "z", vector)], G, read, n_samples=16, n_null=99)
>>> suggest_names(card)[0].name
'lamp on -'

References: Benjamini and Hochberg, "Controlling the False Discovery Rate" (1995); Westfall and
Young, "Resampling-Based Multiple Testing" (1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from steerbench.errors import ArgumentError
from steerbench.metrics.scorecard import Scorecard
from steerbench.types import Traversal

UNCLEAR = "unclear"


class Namer(Protocol):
    """Gives a direction a name from what was measured of it."""

    def __call__(self, direction: Traversal, evidence: pd.DataFrame) -> str | None:
        """Return a name, or None where there is no good one.

        Args:
            direction: With its scores in its provenance.
            evidence: A row for each attribute, the strongest first: ``effect`` and its interval
                ``low`` and ``high`` in spreads, the corrected ``p``, and ``named``, whether it
                passed the three rules.
        """


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A proposed name and what speaks for it.

    Attributes:
        direction: As it was called.
        name: The proposal; "unclear" where nothing can be said.
        evidence: As a `Namer` gets it.
        note: Why it is unclear, or the empty text.
    """

    direction: Traversal
    name: str
    evidence: pd.DataFrame
    note: str = ""

    @property
    def proposal(self) -> Traversal:
        """The direction under the proposed name; under its old one where that is unclear."""
        return self.direction if self.name == UNCLEAR else self.direction.named(self.name)

    def __str__(self) -> str:
        first = self.evidence.iloc[0]
        said = f"{_plain(first.name)} {first['effect']:+.2f} spreads, corrected p {first['p']:.3f}"
        return f"{self.direction.name}: {self.name} ({self.note or said})"


def suggest_names(
    card: Scorecard,
    *,
    level: float = 0.05,
    limit: int = 2,
    least: float = 0.5,
    namer: Namer | None = None,
) -> list[Suggestion]:
    """Propose a name for every direction of a scorecard.

    Args:
        card: Measured with a null.
        level: The share of false names that is accepted.
        limit: How many attributes a name holds at most.
        least: An attribute is left out below this part of the strongest one.
        namer: Another way to names; None for the one above.

    Returns:
        One for each row. Names that would occur twice get a number.

    Raises:
        ArgumentError: The card was made without random directions, or a number is out of range.
    """
    if card.chance.isna().any(axis=None):
        raise ArgumentError(
            "This scorecard holds nothing against chance, so nobody can say whether a name would "
            "mean anything. Measure it with random directions: sb.scorecard(..., n_null=99)."
        )
    if not 0 < level < 1 or limit < 1 or not 0 <= least <= 1:
        raise ArgumentError(
            f"level={level}, limit={limit}, least={least}; give a level between 0 and 1, at least "
            "one attribute, and a part from 0 to 1."
        )
    accepted = benjamini_hochberg(card.chance.min(axis=1).to_numpy(), level)
    taken: dict[str, int] = {}
    found = []
    for direction, passes in zip(card.directions_with_scores(), accepted, strict=True):
        evidence = card.evidence(direction.name)
        evidence["named"] = _name_mask(evidence, bool(passes), level, limit, least)
        name = (namer or by_effects)(direction, evidence) or UNCLEAR
        if name != UNCLEAR:
            taken[name] = count = taken.get(name, 0) + 1
            name = name if count == 1 else f"{name} ({count})"
        note = _note(evidence, card, level) if name == UNCLEAR else ""
        found.append(Suggestion(direction, name, evidence, note))
    return found


def by_effects(direction: Traversal, evidence: pd.DataFrame) -> str | None:
    """Name the attributes that passed, with their signs: ``"lamp on +, night -"``."""
    passed = evidence[evidence["named"]]
    if passed.empty:
        return None
    signs = np.where(passed["effect"] > 0, "+", "-")
    return ", ".join(f"{_plain(name)} {sign}" for name, sign in zip(passed.index, signs))


def benjamini_hochberg(p: Sequence[float] | np.ndarray, level: float) -> np.ndarray:
    """Tell which p-values to accept so that at most `level` of them are expected false.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.6], 0.05)
    array([ True, False, False, False])
    """
    given = np.asarray(p, dtype=float)
    order = np.sort(given)
    passing = np.flatnonzero(order <= level * np.arange(1, len(order) + 1) / len(order))
    return given <= (order[passing[-1]] if len(passing) else -1.0)


def names_table(suggestions: Sequence[Suggestion]) -> pd.DataFrame:
    """Return proposals as a table: the old name, the new one, and the strongest evidence."""
    rows = [
        {
            "direction": each.direction.name,
            "name": each.name,
            "attribute": each.evidence.index[0],
            **each.evidence.iloc[0][["effect", "low", "high", "p"]],
            "note": each.note,
        }
        for each in suggestions
    ]
    return pd.DataFrame(rows).set_index("direction")


def _name_mask(
    evidence: pd.DataFrame, passes: bool, level: float, limit: int, least: float
) -> pd.Series:
    """Tell which attributes go into the name."""
    able = (evidence["p"] <= level) & passes
    strongest = evidence["effect"].abs().where(able).max()
    able &= evidence["effect"].abs() >= least * strongest
    return able & (able.cumsum() <= limit)


def _note(evidence: pd.DataFrame, card: Scorecard, level: float) -> str:
    smallest, floor = evidence["p"].min(), 1 / (card.settings["n_null"] + 1)
    if smallest > level:
        return f"random directions do as much: corrected p {smallest:.2f}"
    if smallest <= floor * 1.001:
        return (
            f"no random direction of {card.settings['n_null']} does as much, which is not enough "
            f"among {len(card)} directions: measure with more (n_null=)"
        )
    return f"corrected p {smallest:.3f} does not hold among {len(card)} directions"


def _plain(name: object) -> str:
    return str(name).replace("_", " ")
