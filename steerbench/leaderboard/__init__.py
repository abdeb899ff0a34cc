"""The leaderboard: which directions found without labels are any good, all judged alike.

Every finder gets the same generator, the same seed, the same number of directions, and otherwise
its defaults, in a process of its own, whose seconds, memory and rendered pictures are counted. What
it found is judged in three steps:

1. **The same dose.** A standard deviation along one direction changes a picture more than along
   another. Steps are scaled until pictures change equally, by 0.12 (root mean square of pixels in
   [-1, 1]) on average, with 8 standard deviations as the limit.
2. **Chosen.** On some pictures one oracle reads all factors after a step up and a step down. e is
   half of the difference, in standard deviations of the reading between pictures, and the share of
   the effect that goes to factor f is:

       share(f) = e(f)^2 / sum over g of e(g)^2

   where the variance of its mean is taken off each square, so that noise counts for little. For
   each factor the direction with the largest share stands for the finder.
3. **Judged.** A second oracle reads the same from other pictures. A factor is *recovered* where
   more than half of the effect goes to it and it changes by a quarter of a spread or more. The
   intervals (95%) are a bootstrap's over these pictures; that of a share minds that a draw is
   noisier than the pictures (`steerbench.stats.bootstrap`). Leakage is the largest other effect
   over this one. The count of recovered factors lies between those that are *surely* recovered,
   whose share is above one half over its whole interval, and those that are not ruled out.

Factors are those on which both oracles agree on the generator's pictures (a correlation of 0.8 or
more): what cannot be read cannot be recovered. The null are random directions under the same three
steps, several draws of them: the best of many random directions is what a finder has to beat.

>>> import torch
>>> shares(torch.tensor([[[3.0, 1.0], [3.0, 1.0]], [[0.0, 2.0], [0.0, 2.0]]]))
tensor([[0.9000, 0.1000],
        [0.0000, 1.0000]], dtype=torch.float64)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from types import ModuleType
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from steerbench.errors import NotFoundError, unknown
from steerbench.generators import load
from steerbench.leaderboard.judging import Evaluation, evaluate, readable, shares
from steerbench.leaderboard.running import FinderRun, run_finder
from steerbench.methods import FINDERS
from steerbench.types import Generator, Predictor

__all__ = [
    "NULL",
    "FinderRun",
    "Leaderboard",
    "Protocol",
    "leaderboard",
    "markdown",
    "shares",
    "summary",
]

NULL = "random_directions"


@dataclass(frozen=True)
class Protocol:
    """What all finders have in common.

    Attributes:
        n_directions: How many each one gives.
        choosing: Pictures on which the best direction for each factor is chosen.
        judging: Pictures on which it is judged.
        seed: Of the finders.
        nulls: Draws of random directions, each of as many.
    """

    n_directions: int = 32
    choosing: int = 48
    judging: int = 96
    seed: int = 0
    nulls: int = 3


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Who recovered what.

    Attributes:
        table: One row a finder, the best first: ``finder``, ``recovered`` factors, from
            ``recovered_low`` (as many as ``surely``) to ``recovered_high``, of so many
            ``factors``; ``share`` (the mean over all factors) with ``share_low`` and
            ``share_high``; ``leakage`` (the median); ``directions``, ``space``, ``seconds``,
            ``megabytes``, ``pictures``. The null's row is the mean of its draws, and its interval
            their range.
        factors: One row for each finder, draw and factor: ``direction``, ``alpha``, ``effect`` (in
            spreads), ``share``, ``leakage``, ``leaks_into``, ``recovered``; intervals are
            ``effect_low``, ``effect_high``, ``share_low``, ``share_high``.
        refused: Finder to the reason why it cannot work here.
    """

    table: pd.DataFrame
    factors: pd.DataFrame
    refused: Mapping[str, str] = field(default_factory=dict)


def leaderboard(
    generator: str | Callable[[], Generator],
    reader: Predictor,
    judge: Predictor,
    finders: Mapping[str, Mapping[str, Any]] | Sequence[str] | None = None,
    *,
    protocol: Protocol = Protocol(),
    factors: Sequence[str] | None = None,
    done: Callable[[pd.DataFrame], None] | None = None,
) -> Leaderboard:
    """Run finders on a generator and judge what they found.

    Args:
        generator: What ``sb.load`` takes, or a function that builds one and can be pickled.
        reader: Chooses the best direction for each factor.
        judge: Judges them; another network.
        finders: Names from ``FINDERS``, or name to options; None for all. The null is always there.
        protocol: What they have in common.
        factors: Which factors; None for all on which the two networks agree.
        done: Called after each run with the table so far.

    Raises:
        NotFoundError: There is no such finder, or no such factor.
    """
    build = partial(load, generator) if isinstance(generator, str) else generator
    wanted = _choose_finders(finders)
    home = build()
    names = list(factors) if factors is not None else readable(home, reader, judge)
    runs = [(name, options | {"seed": protocol.seed}) for name, options in wanted.items()]
    runs += [(NULL, {"seed": protocol.seed + draw}) for draw in range(protocol.nulls)]
    results: list[tuple[FinderRun, Evaluation]] = []
    refused, tables = {}, []
    for name, options in tqdm(runs, "finders", delay=1):
        given = _options(name, options | {"n_directions": protocol.n_directions})
        found = run_finder(name, FINDERS[name], given, build)
        if not found.directions:
            refused[name] = found.reason
            continue
        counts = {"choosing": protocol.choosing, "judging": protocol.judging}
        verdict = evaluate(found.directions, home, reader, judge, names, **counts)
        results.append((found, verdict))
        draw = options["seed"] - protocol.seed
        tables.append(verdict.factors.assign(finder=name, draw=draw))
        if done is not None:
            done(summary(results))
    return Leaderboard(summary(results), pd.concat(tables, ignore_index=True), refused)


def _choose_finders(
    finders: Mapping[str, Mapping[str, Any]] | Sequence[str] | None,
) -> dict[str, dict[str, Any]]:
    chosen = finders if finders is not None else [name for name in FINDERS if name != NULL]
    options = chosen if isinstance(chosen, Mapping) else {name: {} for name in chosen}
    for name in options:
        if name not in FINDERS:
            raise NotFoundError(unknown("finder", name, FINDERS))
    return {name: dict(given) for name, given in options.items() if name != NULL}


def _options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that a finder takes: closed forms have no seed."""
    known = inspect.signature(FINDERS[name]).parameters
    return {key: value for key, value in options.items() if key in known}


def summary(runs: Sequence[tuple[FinderRun, Evaluation]]) -> pd.DataFrame:
    """Make the table of a `Leaderboard`, from what each run gave and how it was judged."""
    names = list(dict.fromkeys(run.finder for run, _ in runs))
    rows = [_row(name, [run for run in runs if run[0].finder == name]) for name in names]
    table = pd.DataFrame(rows)
    return table.sort_values(["recovered", "share"], ascending=False, ignore_index=True)


def _row(name: str, pairs: Sequence[tuple[FinderRun, Evaluation]]) -> dict[str, Any]:
    runs, verdicts = zip(*pairs)
    return {
        "finder": name,
        **_ends(name, verdicts),
        "surely": fmean(verdict.surely for verdict in verdicts),
        "factors": len(verdicts[0].factors),
        "leakage": fmean(verdict.factors["leakage"].median() for verdict in verdicts),
        "directions": len(runs[0].directions),
        "space": "/".join(sorted({d.space for d in runs[0].directions})),
        "seconds": fmean(run.seconds for run in runs),
        "megabytes": max(run.megabytes for run in runs),
        "pictures": runs[0].pictures,
    }


def _ends(name: str, verdicts: Sequence[Evaluation]) -> dict[str, float]:
    """Return recovered factors and their share with intervals; of several draws their range."""
    recovered = [verdict.n_recovered for verdict in verdicts]
    share = [verdict.share for verdict in verdicts]
    one = verdicts[0]
    ends = (one.surely, one.possibly, one.share_low, one.share_high)
    if len(verdicts) > 1:
        ends = (min(recovered), max(recovered), min(share), max(share))
    return {
        "recovered": fmean(recovered),
        "recovered_low": float(ends[0]),
        "recovered_high": float(ends[1]),
        "share": fmean(share),
        "share_low": ends[2],
        "share_high": ends[3],
    }


def markdown(table: pd.DataFrame) -> str:
    """Write the table as Markdown, for a README."""
    lines = [
        "| finder | space | recovered | surely | mean share | leakage | seconds | MB | pictures |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        counts = f"{row['recovered']:.3g} [{row['recovered_low']:.3g}, {row['recovered_high']:.3g}]"
        share = f"{row['share']:.2f} [{row['share_low']:.2f}, {row['share_high']:.2f}]"
        lines.append(
            f"| `{row['finder']}` | {row['space']} | {counts} of {row['factors']} | "
            f"{row['surely']:.3g} | {share} | {row['leakage']:.2f} | {row['seconds']:.1f} | "
            f"{row['megabytes']:.0f} | {row['pictures']:,} |"
        )
    return "\n".join(lines)


class _Callable(ModuleType):
    """``sb.leaderboard(...)`` runs it, ``sb.leaderboard.Protocol`` is the module's."""

    def __call__(self, *given: Any, **options: Any) -> Leaderboard:
        return leaderboard(*given, **options)


sys.modules[__name__].__class__ = _Callable
