"""How every committed table of the chapters was made, and which of them are stale.

One file a chapter measures; `STUDIES` has a line a table. A table knows on which weights it was
measured (`steerbench.studies.tables`), so that ``python -m steerbench.studies list`` can say which
of them new weights have made stale, and ``measure --stale`` measures those again.

A chapter reads its table with `table`, which says in one line where it is stale:

>>> table("10-leaderboard").columns[:2].tolist()
['finder', 'recovered']
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """

    measure: Callable[[Path, Mapping[str, str]], None]
    models: Mapping[str, str]
    beyond: str = ""
    minutes: float | None = None


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
    "03-effects": Study(units.measure_effects, _ROOMS | _SEGMENTERS),
    "03-search": Study(units.measure_search, _ROOMS | _SEGMENTERS),
    "03-artefacts": Study(units.measure_artefacts, _ROOMS | _JUDGE),
    "03-watermarks": Study(units.measure_watermarks, _MARKED | _JUDGE),
    "10-leaderboard": Study(leaderboard.measure, _ROOMS | _ORACLES, minutes=20),
    "10-leaderboard-factors": Study(leaderboard.measure, _ROOMS | _ORACLES, minutes=20),
    "10-channels": Study(leaderboard.measure_counts, _ROOMS | _ORACLES),
    "10-faces": Study(leaderboard.measure_faces, {}, _FACES),
    "10-faces-factors": Study(leaderboard.measure_faces, {}, _FACES),
    "12-training": Study(regularisers.measure, _ORACLES, _RUNS),
    "12-training-factors": Study(regularisers.measure, _ORACLES, _RUNS),
    "14-spaces": Study(latent_spaces.measure, _ROOMS | _SIBLINGS | _JUDGE),
    "15-spaces": Study(inversion.measure_spaces, _ROOMS | _ENCODER | _ORACLES),
    "15-starts": Study(inversion.measure_starts, _ROOMS | _ENCODER | _ORACLES),
    "17-restoration": Study(restoration.measure, _ROOMS | _ENCODER | _ORACLES),
    "18-prompts": Study(prompts.measure, _ROOMS | _CLIPS | _ORACLES),
    "18-relevance": Study(prompts.measure_relevance, _ROOMS | {"clip": "rooms-clip"}),
}
"""Name of a table (of its CSV in ``assets/results``; the number is the chapter's) to its study."""


def table(name: str) -> pd.DataFrame:
    """Return a committed table; where it is stale, print a line that says so.

    Raises:
        MissingFileError: There is none of this name; the closest names are offered.
    """
    found = tables.read(name, tables.results())
    reason = tables.staleness(name, find(name).models, tables.results())
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


def describe(name: str, folder: Path | None = None) -> str:
    """Say in a few lines what a table hangs on, and whether it is stale.

    Args:
        name: A table.
        folder: Where it is; None for the package.
    """
    folder, study = tables.results() if folder is None else folder, find(name)
    record = tables.records_of(folder).get(name, {})
    reason = tables.staleness(name, study.models, folder)
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
    reasons = {name: tables.staleness(name, s.models, folder) for name, s in STUDIES.items()}
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
        tables.record([name], find(name).models, "recorded afterwards", folder)


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
    now = repr(sorted(tables.fingerprints(study.models).items()))
    if begun.is_file() and begun.read_text(encoding="utf-8") == now:
        return False
    for name in group:
        (work / f"{name}.csv").unlink(missing_ok=True)
    begun.write_text(now, encoding="utf-8")
    return True


def _publish(group: list[str], study: Study, work: Path, folder: Path, **facts: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in group:
        shutil.move(work / f"{name}.csv", folder / f"{name}.csv")
    command = f"python -m steerbench.studies measure {group[0]}"
    today = datetime.date.today().isoformat()
    tables.record(group, study.models, command, folder, date=today, **facts)
    (work / f"{group[0]}.begun").unlink()
