"""``steerbench lab``: the chapters, copied so that nobody's work is lost, and JupyterLab on top.

Beside the copies lies a manifest, ``.steerbench.json``, with the digest of each chapter as it was
handed out. A file that still has this digest is ours and follows updates. Any other is the
user's: it stays, and a chapter that is newer than the one it came from is put beside it as
``NAME.new.ipynb``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import steerbench
from steerbench.errors import FileError, NotFoundError
from steerbench.store import write_bytes_atomic, write_text_atomic

DEFAULT = "steerbench-notebooks"
MANIFEST = ".steerbench.json"


def split(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder, where one was given first, and the options that are JupyterLab's.

    >>> folder, options = split(["course", "--ServerApp.token=x"])
    >>> folder.name, options
    ('course', ['--ServerApp.token=x'])
    >>> split(["--debug"])[0].name
    'steerbench-notebooks'
    """
    if arguments and not arguments[0].startswith("-"):
        return Path(arguments[0]).expanduser(), list(arguments[1:])
    return Path(DEFAULT), list(arguments)


def chapters() -> Path:
    """The folder of the chapters: inside an installed package, beside it in a checkout.

    Raises:
        NotFoundError: They are in neither place.
    """
    package = Path(steerbench.__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise NotFoundError(
        f"The chapters are neither in {package} nor beside it. Install steerbench again."
    )


def copy_chapters(source: Path, target: Path, *, solutions: bool = True) -> list[str]:
    """Copy or update the chapters.

    Args:
        source: Where they are.
        target: Where they go; made if missing.
        solutions: Whether to copy the worked answers.

    Returns:
        What was done, a line each.

    Raises:
        FileError: The folder cannot be made or written.
    """
    names = [path.relative_to(source) for path in sorted(source.rglob("*.ipynb"))]
    names = [name for name in names if ".ipynb_checkpoints" not in name.parts]
    if not solutions:
        names = [name for name in names if name.parts[0] != "solutions"]
    known = _read_manifest(target)
    lines = []
    for name in names:
        data = (source / name).read_bytes()
        path = target / name
        _make_folder(path.parent)
        placed = _place(path, data, known.get(name.as_posix()))
        if placed is not None:
            lines.append(_say(path, placed))
        known[name.as_posix()] = _digest(data)
    _write_manifest(target, known)
    return lines


def _place(path: Path, data: bytes, handed_out: str | None) -> Path | None:
    """Write a chapter where it may be written; says where, or none where nothing was to do."""
    if not path.exists():
        write_bytes_atomic(path, data)
        return path
    present = _digest(path.read_bytes())
    if present == _digest(data):
        return None
    if present == handed_out:
        write_bytes_atomic(path, data)
        return path
    if _digest(data) == handed_out:
        return None
    return _place_beside(path, data, handed_out)


def _place_beside(path: Path, data: bytes, handed_out: str | None) -> Path:
    """Write ``NAME.new.ipynb``, or with a number where that one was edited as well."""
    number = 1
    while True:
        mark = ".new" if number == 1 else f".new{number}"
        beside = path.with_name(f"{path.stem}{mark}.ipynb")
        if not beside.exists() or _digest(beside.read_bytes()) in (handed_out, _digest(data)):
            write_bytes_atomic(beside, data)
            return beside
        number += 1


def _say(path: Path, placed: Path) -> str:
    if placed == path:
        return f"{path}"
    return f"{placed}: a newer chapter; {path.name}, which you edited, stays as it is"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"The folder {folder} cannot be made: {error.strerror}. Give another one: "
            "steerbench lab DIR."
        ) from error


def _read_manifest(target: Path) -> dict[str, str]:
    """Digests by name; empty where the manifest is missing or damaged, so that all is kept."""
    try:
        document = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    chapters = document.get("chapters") if isinstance(document, dict) else None
    return dict(chapters) if isinstance(chapters, dict) else {}


def _write_manifest(target: Path, known: dict[str, str]) -> None:
    document = {"steerbench": steerbench.__version__, "chapters": known}
    _make_folder(target)
    write_text_atomic(target / MANIFEST, json.dumps(document, indent=1) + "\n")


def command(folder: Path, options: Sequence[str], *, browser: bool, port: int) -> list[str]:
    """The command line of JupyterLab, opening the first chapter."""
    first = min(path.name for path in folder.glob("*.ipynb"))
    line = [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"),
        *(f"--LabApp.default_url=/lab/tree/{first}", f"--ServerApp.port={port}"),
    ]
    if not browser:
        line.append("--no-browser")
    # Containers run as root; there the server would refuse, and a token still guards it.
    if getattr(os, "geteuid", lambda: 1)() == 0:
        line.append("--allow-root")
    return [*line, *options]


def open_lab(folder: Path, options: Sequence[str], *, browser: bool, port: int) -> None:
    """Become JupyterLab; does not return."""
    line = command(folder, options, browser=browser, port=port)
    if os.name == "posix":
        os.execv(line[0], line)
    sys.exit(subprocess.call(line))
