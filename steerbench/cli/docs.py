"""``steerbench docs``: the reference, made from the docstrings, opened without a network.

An installed steerbench brings the built pages along. A checkout builds them into the cache folder,
once, and again when something that they are made of has changed; that takes mkdocs, which comes
with ``pip install "steerbench[docs]"``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import steerbench
from steerbench.cli.lab import chapters
from steerbench.errors import FileError, NotFoundError, SteerbenchError
from steerbench.store import cache_folder

FIRST = "index.html"
PACKAGE = Path(steerbench.__file__).parent
NEEDED = ("mkdocs", "material", "mkdocstrings_handlers")
"""Modules that a build imports."""


def sources() -> Path:
    """Return the folder that the reference is built from, beside the chapters."""
    return chapters() / "reference"


def first_page(say: Callable[[str], object]) -> Path:
    """Return the first page of the reference; build it where nothing up to date is there.

    Args:
        say: Is told, in a line, that a build begins.

    Raises:
        NotFoundError: Nothing is built, and what builds it is not installed.
        FileError: The cache folder cannot be written.
    """
    shipped = sources() / "site" / FIRST
    if PACKAGE in shipped.parents and shipped.is_file():
        return shipped
    folder = cache_folder("reference", digest()).absolute()
    if not (folder / FIRST).is_file():
        say("Building the reference, for the first time or because something changed: a minute.")
        build(folder)
        _remove_others(folder)
    return folder / FIRST


def build(folder: Path, source: Path | None = None) -> None:
    """Write the pages to a folder, strictly: a reference that leads nowhere is an error.

    Args:
        folder: Made if missing; if it holds an earlier build, that is replaced.
        source: Where mkdocs.yml is; None for the reference's own.

    Raises:
        NotFoundError: mkdocs or one of its companions is not installed.
        FileError: The folder holds something else, or cannot be written.
        SteerbenchError: mkdocs complains; the folder is as it was.
    """
    _check_tools()
    _check_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".reference-") as temporary:
            made = Path(temporary) / "site"
            _run_mkdocs(source or sources(), made)
            if folder.exists():
                shutil.rmtree(folder)
            made.rename(folder)
    except OSError as error:
        raise FileError(
            f"The reference cannot be written to {folder}: {error.strerror}. Give another folder: "
            "steerbench docs --build FOLDER."
        ) from error


def digest() -> str:
    """Return sixteen hex digits that name everything that the pages are made of."""
    found = hashlib.sha256()
    for path in _ingredients():
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _ingredients() -> Iterator[Path]:
    yield from sorted(PACKAGE.rglob("*.py"))
    yield from sorted(chapters().glob("*.ipynb"))
    for path in sorted(sources().rglob("*")):
        if path.is_file() and not {"site", "__pycache__"} & set(path.parts):
            yield path


def _check_tools() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NotFoundError(
            f"The pages of the reference are not built here, and {', '.join(missing)}, which "
            'builds them, is not installed. Install it with: pip install "steerbench[docs]", or in '
            'a checkout: pip install -c binder/constraints.txt -e ".[docs]".'
        )


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace what is no earlier build."""
    if not folder.exists():
        return
    if folder.is_dir() and ((folder / "objects.inv").is_file() or not any(folder.iterdir())):
        return
    raise FileError(
        f"{folder} holds something else than an earlier build of the reference, which a build "
        "would delete. Give a folder that is new, empty, or was built before."
    )


def _run_mkdocs(source: Path, folder: Path) -> None:
    # Run beside the package, so that the pages describe this one and not another that is installed.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)),
            *("--config-file", str(source.absolute() / "mkdocs.yml")),
        ],
        cwd=PACKAGE.parent,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("WARNING", "ERROR"))] or lines
        raise SteerbenchError("The reference was not built:\n" + "\n".join(told[-20:]))


def _remove_others(folder: Path) -> None:
    """Remove builds of earlier editions from the cache."""
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
