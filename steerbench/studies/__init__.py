"""How every committed table of the chapters was made, and which of them are stale.

One file a chapter measures; `STUDIES` has a line a table. A table knows on which weights it was
measured (`steerbench.studies.tables`), so that ``python -m steerbench.studies list`` can say which
of them new weights have made stale, and ``measure --stale`` measures those again.

A chapter reads its table with ``table("10-leaderboard")``, which says in one line where it is
stale.

>>> STUDIES["10-leaderboard"].models["generator"]
'rooms'
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from steerbench.errors import NotFoundError, SteerbenchError, unknown
from steerbench.studies import (
    inversion,
    latent_spaces,
    leaderboard,
    prompts,
    regularisers,
    restoration,
    tables,
    units,
)

__all__ = ["STUDIES", "Study", "mark", "measure", "stale", "table"]


@dataclass(frozen=True)
class Study:
    """How a table is made.

    Attributes:
        measure: Called with a folder and ``models``; writes the table there, and goes on with the
            rows that it finds. Tables that are measured together have the same.
        models: Role to name: the embedded models that the table hangs on.
        beyond: What it hangs on that is not shipped.
        minutes: Roughly, on two CPU cores; None where it was not recorded.
        revision: Raised whenever the same models would give other figures, because what is measured
            has changed.
    """

    measure: Callable[[Path, Mapping[str, str]], None]
    models: Mapping[str, str]
    beyond: str = ""
    minutes: float | None = None
    revision: int = 1


_ROOMS = {"generator": "rooms"}
_ORACLES = {"reader": "rooms-attributes", "judge": "rooms-attributes-2"}
_SEGMENTERS = {"segmenter": "rooms-segmenter", "second_segmenter": "rooms-segmenter-2"}
_CLIPS = {"clip": "rooms-clip", "second_clip": "rooms-clip-2"}
_MARKED = {"generator": "rooms-watermarked", "segmenter": "rooms-segmenter"}
_ENCODER = {"encoder": "rooms-encoder"}
_SIBLINGS = {"second_generator": "rooms-dcgan", "third_generator": "rooms-pggan"}
_JUDGE = {"judge": "rooms-attributes-2"}
_FACES = "a DCGAN of faces and the scores recorded for it, in STEERBENCH_SHARED"
_RUNS = "four small runs, by python -m steerbench.training compare"

STUDIES: dict[str, Study] = {
    "03-units": Study(units.measure_units, _ROOMS | {"segmenter": "rooms-segmenter"}),
    "03-effects": Study(units.measure_effects, _ROOMS | _SEGMENTERS, revision=2),
    "03-search": Study(units.measure_search, _ROOMS | _SEGMENTERS, revision=2),
    "03-artefacts": Study(units.measure_artefacts, _ROOMS | _JUDGE),
    "03-watermarks": Study(units.measure_watermarks, _MARKED | _JUDGE),
    "10-leaderboard": Study(leaderboard.measure, _ROOMS | _ORACLES, minutes=20, revision=2),
    "10-leaderboard-factors": Study(leaderboard.measure, _ROOMS | _ORACLES, minutes=20, revision=2),
    "10-channels": Study(leaderboard.measure_counts, _ROOMS | _ORACLES, revision=2),
    "10-faces": Study(leaderboard.measure_faces, {}, _FACES, revision=2),
    "10-faces-factors": Study(leaderboard.measure_faces, {}, _FACES, revision=2),
    "12-training": Study(regularisers.measure, _ORACLES, _RUNS, revision=2),
    "12-training-factors": Study(regularisers.measure, _ORACLES, _RUNS, revision=2),
    "14-spaces": Study(latent_spaces.measure, _ROOMS | _SIBLINGS | _JUDGE),
    "15-spaces": Study(inversion.measure_spaces, _ROOMS | _ENCODER | _ORACLES, revision=2),
    "15-starts": Study(inversion.measure_starts, _ROOMS | _ENCODER | _ORACLES, revision=2),
    "17-restoration": Study(restoration.measure, _ROOMS | _ENCODER | _ORACLES, revision=2),
    "18-prompts": Study(prompts.measure, _ROOMS | _CLIPS | _ORACLES, revision=2),
    "18-relevance": Study(prompts.measure_relevance, _ROOMS | {"clip": "rooms-clip"}),
}
"""Name of a table (of its CSV in ``assets/results``; the number is the chapter's) to its study.

Revision 2: intervals by a bootstrap that contains its estimate, and random directions and units as
`steerbench.metrics.null` draws them.
"""


def table(name: str) -> pd.DataFrame:
    """Return a committed table; where it is stale, print a line that says so.

    Raises:
        MissingFileError: There is none of this name; the closest names are offered.
    """
    found = tables.read(name, tables.results())
    reason = _staleness(name, tables.results())
    if reason:
        print(f"Note: the table {name} is stale: {reason}.")
    return found


def find(name: str) -> Study:
    """Find the study of a table.

    Raises:
        NotFoundError: There is none; the closest names are offered.
    """
    if name not in STUDIES:
        raise NotFoundError(unknown("table", name, STUDIES))
    return STUDIES[name]


def _staleness(name: str, folder: Path) -> str:
    study = find(name)
    return tables.staleness(name, study.models, folder, study.revision)


def describe(name: str, folder: Path | None = None) -> str:
    """Say in a few lines what a table hangs on, and whether it is stale.

    Args:
        name: A table.
        folder: Where it is; None for the package.
    """
    folder, study = tables.results() if folder is None else folder, find(name)
    record = tables.records_of(folder).get(name, {})
    reason = _staleness(name, folder)
    minutes = record.get("minutes", study.minutes)
    lines = [
        f"{name}: {'STALE: ' + reason if reason else 'fresh'}"
        + (", as far as what is shipped can tell" if study.beyond and not reason else ""),
        f"    chapter {name[:2]}" + (f", about {minutes:g} minutes" if minutes else ""),
    ]
    for role, model in record.get("models", {}).items():
        lines.append(f"    {role}: {model['name']} {model['fingerprint']}")
    if study.beyond:
        lines.append(f"    and {study.beyond}")
    return "\n".join(lines)


def stale(folder: Path | None = None) -> dict[str, str]:
    """Return the tables that are stale, each with the reason.

    Args:
        folder: Where the tables are; None for those of the package.
    """
    folder = tables.results() if folder is None else folder
    reasons = {name: _staleness(name, folder) for name in STUDIES}
    return {name: reason for name, reason in reasons.items() if reason}


def mark(names: Iterable[str], folder: Path | None = None) -> None:
    """Record that tables were measured on the models as they are now.

    Args:
        names: Tables that nothing is recorded of.
        folder: Where they are; None for those of the package.

    Raises:
        SteerbenchError: A table has a record, which only a measurement may change.
    """
    folder, wanted = tables.results() if folder is None else folder, list(names)
    known = [name for name in wanted if name in tables.records_of(folder)]
    if known:
        raise SteerbenchError(
            f"{', '.join(known)}: on what this was measured is recorded already. Measure it again."
        )
    for name in wanted:
        study = find(name)
        facts = {"revision": study.revision}
        tables.record([name], study.models, "recorded afterwards", folder, **facts)


def measure(
    names: Iterable[str], folder: Path | None = None, work: Path = Path("runs/studies")
) -> list[str]:
    """Measure tables, and those that are measured with them, and record on what.

    A measurement goes on in ``work``, as long as no model was exchanged meanwhile, and is put into
    its place as a whole.

    Args:
        names: Which tables.
        folder: Where they go; None for the package.
        work: Keeps what is half done.

    Returns:
        The tables that were measured.

    Raises:
        NotFoundError: There is no such table.
    """
    folder, done = tables.results() if folder is None else folder, []
    for group in list(_groups(names)):
        study, began = find(group[0]), time.monotonic()
        anew = _prepare(group, study, work)
        study.measure(work, study.models)
        minutes = round((time.monotonic() - began) / 60, 1)
        # How long a measurement took that was broken off is not known.
        _publish(group, study, work, folder, **({"minutes": minutes} if anew else {}))
        done += group
    return done


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield the tables that are wanted, those together that are measured together."""
    functions = list(dict.fromkeys(find(name).measure for name in names))
    for function in functions:
        yield [name for name, study in STUDIES.items() if study.measure == function]


def _prepare(group: list[str], study: Study, work: Path) -> bool:
    """Leave in the folder only what was measured on the models as they are now.

    Returns:
        Whether the measurement begins anew.
    """
    work.mkdir(parents=True, exist_ok=True)
    begun = work / f"{group[0]}.begun"
    now = f"{study.revision} {sorted(tables.fingerprints(study.models).items())}"
    if begun.is_file() and begun.read_text(encoding="utf-8") == now:
        return False
    for name in group:
        (work / f"{name}.csv").unlink(missing_ok=True)
    begun.write_text(now, encoding="utf-8")
    return True


def _publish(group: list[str], study: Study, work: Path, folder: Path, **facts: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in group:
        shutil.move(work / f"{name}.csv", folder / f"{name}.csv")
    command = f"python -m steerbench.studies measure {group[0]}"
    facts |= {"date": datetime.date.today().isoformat(), "revision": study.revision}
    tables.record(group, study.models, command, folder, **facts)
    (work / f"{group[0]}.begun").unlink()
