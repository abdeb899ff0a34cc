"""Committed tables that know what they were measured on.

A table is a CSV file; beside all of them lies ``provenance.json``, which says of each on which
models it was measured, each by its role and its fingerprint:

    {"14-spaces": {"models": {"judge": {"name": "rooms-attributes-2", "fingerprint": "..."}, ...},
                   "digest": "...", "command": "...", "version": "0.1.0"}}

``digest`` is of the CSV itself, so that a table that was exchanged by hand is noticed. A table is
stale where a model that it names is no longer the one of that name, where it was measured on
models of other names than those that its study uses now, where its study has since come to measure
otherwise (its ``revision``), or where nothing is known of it.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> write(pd.DataFrame({"share": [0.123456]}), folder / "toy.csv")
>>> staleness("toy", {}, folder)
'nothing says on what it was measured'
>>> record(["toy"], {}, "a doctest", folder)
>>> staleness("toy", {}, folder)
''
>>> staleness("toy", {"judge": "rooms-attributes-2"}, folder)
'it was measured without the judge rooms-attributes-2'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

import steerbench
from steerbench import store
from steerbench.cards.models import find
from steerbench.errors import CheckpointError, MissingFileError, NotFoundError, closest

_RECORDS = "provenance.json"


def results() -> Path:
    """Return the folder of the tables that come with the package."""
    return Path(str(resources.files("steerbench") / "assets" / "results"))


def names(folder: Path) -> list[str]:
    """List the tables that a folder holds."""
    return sorted(path.stem for path in folder.glob("*.csv"))


def read(name: str, folder: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        MissingFileError: The folder has none of this name.
    """
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise MissingFileError(f"No table is called {name!r}. {closest(name, names(folder))}")
    return pd.read_csv(path)


def write(table: pd.DataFrame, path: Path, digits: int = 4) -> None:
    """Write a table as CSV, whole or not at all, with so many digits after the point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write_text_atomic(path, table.round(digits).to_csv(index=False))


def fingerprints(models: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Look up what the models of these names are now, role by role.

    Args:
        models: Role (``generator``, ``judge``, ...) to the name of an embedded model, the path of
            a file, or whatever else `steerbench.load` takes.
    """
    return {
        role: {"name": name, "fingerprint": _fingerprint(name)} for role, name in models.items()
    }


def _fingerprint(name: str) -> str:
    try:
        return find(name).fingerprint
    except (NotFoundError, CheckpointError):
        from steerbench.generators import load

        return load(name).fingerprint


def record(
    tables: Iterable[str],
    models: Mapping[str, str],
    command: str,
    folder: Path,
    **facts: Any,
) -> None:
    """Write down on what tables of a folder were measured.

    Args:
        tables: Their names; each has its CSV in the folder.
        models: Role to name; their present fingerprints are taken.
        command: What measured them.
        folder: Where the tables are.
        facts: Whatever else is known, such as ``date`` and ``minutes``.

    Raises:
        MissingFileError: There is no such table.
    """
    records, present = records_of(folder), fingerprints(models)
    for name in tables:
        if name not in names(folder):
            raise MissingFileError(f"No table is called {name!r}. {closest(name, names(folder))}")
        records[name] = {
            "models": present,
            "digest": _digest(folder / f"{name}.csv"),
            "command": command,
            "version": steerbench.__version__,
            **facts,
        }
    text = json.dumps(dict(sorted(records.items())), indent=1)
    store.write_text_atomic(folder / _RECORDS, text + "\n")


def records_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what a folder says of its tables; nothing where it says nothing.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = folder / _RECORDS
    if not path.is_file():
        return {}
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(record["models"], dict) for record in records.values()):
            raise TypeError("models")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {error}); an object of records, one a "
            "table, was expected. Restore it, or delete it and measure the tables again."
        ) from error
    return dict(records)


def staleness(name: str, models: Mapping[str, str], folder: Path, revision: int = 1) -> str:
    """Say why a table is stale; nothing where it is fresh.

    Args:
        name: A table.
        models: Role to name, what it would be measured on now.
        folder: Where it is.
        revision: Of its study now.
    """
    if not (folder / f"{name}.csv").is_file():
        return "it was never measured"
    record = records_of(folder).get(name)
    if record is None:
        return "nothing says on what it was measured"
    if record.get("digest") != _digest(folder / f"{name}.csv"):
        return "the file is not the one that was measured"
    known, was = record["models"], record.get("revision", 1)
    anew = f"it was measured by revision {was} of its study, which is {revision} by now"
    reasons = [anew if was != revision else ""]
    reasons += [_difference(role, model, known.get(role)) for role, model in models.items()]
    return "; ".join(filter(None, reasons))


def _difference(role: str, name: str, measured: Mapping[str, str] | None) -> str:
    """Say how a model differs from the one that a table was measured on."""
    if measured is None:
        return f"it was measured without the {role} {name}"
    if measured["name"] != name:
        return f"the {role} was {measured['name']}, and is {name}"
    now = _fingerprint(name)
    if measured["fingerprint"] != now:
        return f"the {role} {name} was {measured['fingerprint']}, and is {now}"
    return ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
