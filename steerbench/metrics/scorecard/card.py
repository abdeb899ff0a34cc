"""A scorecard: the table, the effects under it, and what they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, NotFoundError, unknown
from steerbench.metrics.null import p_value
from steerbench.metrics.rescoring import Rescoring
from steerbench.metrics.scorecard.null_model import NullEffects, familywise_p_values
from steerbench.metrics.scorecard.trial import DirectionTrial
from steerbench.stats import bootstrap
from steerbench.types import Traversal, format_layers

COLUMNS = {
    "attribute": "moved most",
    "effect": "on it, in its spreads, for one step; low and high are its 95% interval",
    "share": "of the total effect; 1 moves nothing else",
    "next": "moved next",
    "leakage": "the next effect over the first",
    "rest": "the share of all others",
    "monotonicity": "rank correlation with alpha, 1 at best",
    "usable_low": "how far down pictures stay in the distribution, in alpha",
    "usable_high": "how far up",
    "pixel_change": "mean change of a pixel, as a part of its range",
    "changed": "the share of pixels that changed",
    "distance": "of features, 1 is another picture",
    "null_effect": "95% of random directions of equal pixel change move nothing more than this",
    "p_effect": "the share of random directions that move something as much",
    "null_share": "95% of random directions have a smaller share",
    "p_share": "the share of random directions whose share is as large",
}
"""What the columns of the table mean."""


@dataclass(frozen=True, eq=False)
class Scorecard:
    """What `steerbench.scorecard` measured; it stands for its table where a table is wanted.

    ``card["share"]``, ``card.loc``, ``card.sort_values("share")`` and everything else that a
    DataFrame offers are those of ``card.table``; ``len(card)`` is the number of directions.

    Attributes:
        directions: What was measured, under the names of the rows.
        table: One row a direction; `COLUMNS` says what the columns mean.
        effects: Directions by attributes, in spreads, for one step.
        low: The lower ends of their 95% intervals.
        high: The upper ends.
        chance: P-values of the same, corrected for the number of attributes; NaN without a null.
        rescoring: The changes of every picture, in the predictor's units.
        trials: What each direction did.
        settings: What was asked for, pictures and seconds.
    """

    directions: tuple[Traversal, ...]
    table: pd.DataFrame
    effects: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    chance: pd.DataFrame
    rescoring: Rescoring
    trials: tuple[DirectionTrial, ...]
    settings: Mapping[str, Any]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of what was read."""
        return self.rescoring.attributes

    @property
    def pictures_per_second(self) -> float:
        """Pictures a second, reading and bookkeeping included."""
        return float(self.settings["pictures"] / max(self.settings["seconds"], 1e-9))

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of the table should know."""
        notes = []
        if self.settings["sees"] == "pixels":
            notes.append("The predictor has no features: distances are of pixels, at 16x16.")
        if self.settings["judge"] != "features":
            notes.append(f"The usable range is judged by the {self.settings['judge']}.")
        if not self.settings["n_null"]:
            notes.append("Nothing was held against random directions (n_null=0).")
        return notes

    def evidence(self, direction: str) -> pd.DataFrame:
        """Return what is known of a direction, the strongest attribute first.

        Returns:
            A row for each attribute: effect, low, high and the corrected p-value.

        Raises:
            NotFoundError: There is no such direction.
        """
        if direction not in self.table.index:
            raise NotFoundError(unknown("direction", direction, self.table.index))
        parts = {"effect": self.effects, "low": self.low, "high": self.high, "p": self.chance}
        frame = pd.DataFrame({name: part.loc[direction] for name, part in parts.items()})
        order = frame["effect"].abs().sort_values(ascending=False, kind="stable").index
        return frame.loc[order]

    def directions_with_scores(self) -> list[Traversal]:
        """Return the directions with their scores in their provenance, as plain numbers.

        The columns of the table keep their names; the effect on an attribute is called
        ``"effect on NAME"``. What the finder had written there stays.
        """
        numbers, found = self.table.select_dtypes("number"), []
        for direction in self.directions:
            scores = dict(numbers.loc[direction.name])
            effects = self.effects.loc[direction.name].items()
            scores |= {f"effect on {name}": value for name, value in effects}
            plain = {name: float(value) for name, value in scores.items() if np.isfinite(value)}
            provenance = replace(
                direction.provenance, scores={**direction.provenance.scores, **plain}
            )
            found.append(replace(direction, provenance=provenance))
        return found

    def plot(self, **options: Any) -> Any:
        """Draw a heatmap of the effects; see `steerbench.metrics.scorecard.card.plot`."""
        return plot(self, **options)

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.table)

    def __getitem__(self, key: Any) -> Any:
        return self.table[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in dir(pd.DataFrame):
            raise AttributeError(f"Scorecard has no {name!r}.")
        return getattr(self.table, name)

    def __repr__(self) -> str:
        return "\n".join([repr(self.table), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{note}</p>" for note in self.notes)
        return f"{self.table.round(3).to_html()}{notes}"


def tabulate(
    directions: Sequence[Traversal],
    found: Rescoring,
    trials: Sequence[DirectionTrial],
    nulls: Sequence[NullEffects | None],
    typical: float,
    settings: Mapping[str, Any],
) -> Scorecard:
    """Make the scorecard of what was measured.

    Args:
        directions: In order.
        found: The changes of every picture.
        trials: What each direction did.
        nulls: What each is held against.
        typical: The distance between the features of two different pictures.
        settings: As they were; they travel along.
    """
    changes = found.changes.double() / found.spread.double()
    power, n = settings["power"], settings["n_null_samples"]
    rows, ps = [], []
    for each, trial, null, change in zip(directions, trials, nulls, changes, strict=True):
        top = int(change.mean(0).abs().argmax())
        by_chance, p = _compare(change[:n].mean(0), trial.change_of(n), null, power)
        row = _effects(change, found.attributes, power) | _reach(trial, top, typical)
        where = {"space": each.space, "layers": format_layers(each.layers)}
        rows.append({**row, **by_chance, **where})
        ps.append(p)
    low, high = bootstrap(changes.transpose(0, 1))
    return Scorecard(
        directions=tuple(directions),
        table=pd.DataFrame(rows, index=pd.Index(found.directions, name="direction")),
        effects=_frame(found, changes.mean(1)),
        low=_frame(found, low),
        high=_frame(found, high),
        chance=_frame(found, torch.stack(ps)),
        rescoring=found,
        trials=tuple(trials),
        settings=settings,
    )


def shares(effects: Tensor, power: float) -> Tensor:
    """Compute the part of the total effect that goes to each attribute, ``[..., attributes]``."""
    energy = effects.abs() ** power
    return energy / energy.sum(-1, keepdim=True).clamp_min(1e-300)


def _effects(changes: Tensor, attributes: Sequence[str], power: float) -> dict[str, Any]:
    """Return effect and share of the attribute moved most, with intervals, and of the next."""
    effects = changes.mean(0)
    order = effects.abs().argsort(descending=True, stable=True)
    top = int(order[0])
    share = shares(effects, power)
    low, high = map(float, bootstrap(changes[:, top]))
    ends = bootstrap(changes, lambda draws: shares(draws.mean(1), power)[:, top])
    share_low, share_high = map(float, ends)
    row = {
        "attribute": attributes[top], "effect": float(effects[top]), "low": low, "high": high,
        "share": float(share[top]), "share_low": share_low, "share_high": share_high,
        "next": "", "leakage": 0.0, "rest": 0.0,
    }  # fmt: skip
    if len(attributes) > 1:
        second = int(order[1])
        row["next"] = attributes[second]
        row["leakage"] = float(abs(effects[second]) / effects[top].abs().clamp_min(1e-300))
        row["rest"] = float(share.sum() - share[top] - share[second])
    return row


def _reach(trial: DirectionTrial, top: int, typical: float) -> dict[str, float]:
    low, high = trial.usable()
    return {
        "monotonicity": trial.monotonicity(top),
        "usable_low": low,
        "usable_high": high,
        "pixel_change": float(trial.pixels.mean()),
        "changed": float(trial.changed.mean()),
        "distance": float(trial.moved.mean()) / max(typical, 1e-12),
    }


def _compare(
    effects: Tensor, change: float, null: NullEffects | None, power: float
) -> tuple[dict[str, float], Tensor]:
    """Compare effects on the first pictures with those of random directions there."""
    names = ("null_effect", "p_effect", "null_share", "p_share")
    if null is None:
        return dict.fromkeys(names, float("nan")), torch.full_like(effects, torch.nan)
    by_chance = null.at(change)
    largest = by_chance.abs().amax(1)
    share, by_shares = shares(effects, power).amax(), shares(by_chance, power).amax(1)
    values = (
        largest.quantile(0.95), p_value(effects.abs().amax(), largest),
        by_shares.quantile(0.95), p_value(share, by_shares),
    )  # fmt: skip
    return dict(zip(names, map(float, values))), familywise_p_values(effects, by_chance)


def _frame(found: Rescoring, values: Tensor) -> pd.DataFrame:
    return pd.DataFrame(values.numpy(), list(found.directions), list(found.attributes))


def plot(card: Scorecard, *, attributes: int = 16, level: float = 0.05) -> Any:
    """Draw a scorecard.

    Args:
        card: What to draw.
        attributes: How many to show at most: those that some direction moves most.
        level: Effects with a corrected p of at most this get a dot.

    Returns:
        A matplotlib Figure, closed: a cell that ends with it shows it once.

    Raises:
        ArgumentError: No attribute was to be shown.
    """
    from matplotlib import pyplot

    if attributes < 1:
        raise ArgumentError(f"attributes={attributes}; show at least one.")
    effects = card.effects
    shown = _order(card, attributes)
    height = 1.9 + 0.34 * len(card)
    size = (3.6 + 0.42 * len(shown) + 3.4, height)
    figure = pyplot.figure(figsize=size, layout="constrained")
    widths = [0.42 * len(shown) + 0.4, 1.5, 1.5]
    heat, share, reach = figure.subplots(1, 3, sharey=True, width_ratios=widths)
    limit = float(np.abs(effects[shown].to_numpy()).max()) or 1.0
    image = heat.imshow(effects[shown], cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    heat.set_xticks(range(len(shown)), [name.replace("_", " ") for name in shown])
    heat.tick_params(axis="x", rotation=55)
    for label in heat.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    heat.set_yticks(range(len(card)), list(effects.index))
    heat.set_title(f"effect of one step of {card.settings['alpha']:g}, in spreads", fontsize=9)
    down, right = np.nonzero((card.chance[shown] <= level).to_numpy())
    heat.scatter(right, down, s=14, color="black", edgecolors="white", linewidths=0.6)
    figure.colorbar(image, ax=heat, location="left", shrink=0.8, pad=0.02)
    _shares(share, card)
    _ranges(reach, card)
    for axes in (heat, share, reach):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8)
    # A notebook shows what a cell ends with; an open figure it would show once more.
    pyplot.close(figure)
    return figure


def _order(card: Scorecard, count: int) -> list[str]:
    """Return the attributes that are moved most, in the predictor's order."""
    strongest = card.effects.abs().max().sort_values(ascending=False, kind="stable").index[:count]
    return [name for name in card.attributes if name in set(strongest)]


def _shares(axes: Any, card: Scorecard) -> None:
    """Draw a bar for the share, its interval, and a mark for what 95% of chance stays below."""
    table, rows = card.table, np.arange(len(card))
    axes.barh(rows, table["share"], height=0.6, color="#5e3c99")
    axes.hlines(rows, table["share_low"], table["share_high"], color="black", linewidth=1)
    axes.scatter(table["null_share"], rows, marker="|", s=120, color="#e66101", linewidths=2)
    for row, name in enumerate(table["attribute"]):
        axes.text(0.02, row - 0.42, name.replace("_", " "), fontsize=6, va="center", color="#444")
    axes.set_xlim(0, 1)
    axes.set_title("share (orange: chance)", fontsize=9)


def _ranges(axes: Any, card: Scorecard) -> None:
    """Draw a line from the lowest to the highest usable alpha, on the alphas that were tried."""
    rows, limit = np.arange(len(card)), max(float(t.alphas.max()) for t in card.trials)
    axes.hlines(rows, -limit, limit, color="#bdbdbd", linewidth=1)
    table = card.table
    axes.hlines(rows, table["usable_low"], table["usable_high"], color="#5e3c99", linewidth=5)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_title("usable alpha", fontsize=9)
