"""A scorecard at a glance: effects as a heatmap, share and usable range beside it.

A dot marks an effect that random directions of equal picture change do not have (corrected p at
most 0.05). Colours go from purple (less) over white to orange (more), which every common kind of
colour vision tells apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from steerbench.errors import SteerbenchError

if TYPE_CHECKING:
    from steerbench.metrics.scorecard.card import Scorecard

LEVEL = 0.05
ACCENT, FAINT = "#5e3c99", "#bdbdbd"


def plot(card: Scorecard, *, attributes: int = 16, level: float = LEVEL) -> Any:
    """Draw a scorecard.

    Args:
        card: What to draw.
        attributes: How many to show at most: those that some direction moves most.
        level: Effects with a corrected p of at most this get a dot.

    Returns:
        A matplotlib Figure, closed: a cell that ends with it shows it once.

    Raises:
        SteerbenchError: No attribute was to be shown.
    """
    from matplotlib import pyplot

    if attributes < 1:
        raise SteerbenchError(f"attributes={attributes}; show at least one.")
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
    heat.set_title(f"effect of one step of {card.settings['step']:g}, in spreads", fontsize=9)
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
    """The attributes that are moved most, in the predictor's order."""
    strongest = card.effects.abs().max().sort_values(ascending=False, kind="stable").index[:count]
    return [name for name in card.attributes if name in set(strongest)]


def _shares(axes: Any, card: Scorecard) -> None:
    """A bar for the share, its interval, and a mark for what 95% of chance stays below."""
    table, rows = card.table, np.arange(len(card))
    axes.barh(rows, table["share"], height=0.6, color=ACCENT)
    axes.hlines(rows, table["share_low"], table["share_high"], color="black", linewidth=1)
    axes.scatter(table["null_share"], rows, marker="|", s=120, color="#e66101", linewidths=2)
    for row, name in enumerate(table["attribute"]):
        axes.text(0.02, row - 0.42, name.replace("_", " "), fontsize=6, va="center", color="#444")
    axes.set_xlim(0, 1)
    axes.set_title("share (orange: chance)", fontsize=9)


def _ranges(axes: Any, card: Scorecard) -> None:
    """A line from the lowest to the highest usable alpha, on the alphas that were looked at."""
    rows, limit = np.arange(len(card)), max(float(t.alphas.max()) for t in card.trials)
    axes.hlines(rows, -limit, limit, color=FAINT, linewidth=1)
    table = card.table
    axes.hlines(rows, table["usable_low"], table["usable_high"], color=ACCENT, linewidth=5)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_title("usable alpha", fontsize=9)
