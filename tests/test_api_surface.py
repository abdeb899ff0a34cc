"""The public names are a promise: each keeps its kind and its parameters, whatever was imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import steerbench
from tests.surface import RECORD

ROOT = Path(__file__).parents[1]
HINT = "Was it meant? Then record it: python -m tests.surface --write, and say so in CHANGELOG.md."


def fresh(program: str) -> str:
    """What a program prints in a process that has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found_after(preparation: str = "") -> dict[str, Any]:
    """The surface in a fresh process in which every submodule was imported."""
    program = f"{preparation}\nfrom tests import surface\nsurface.import_everything()\n"
    return json.loads(fresh(program + "print(surface.text(surface.surface()))"))


def differences(found: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """One line for each public name that is not what was recorded."""
    return [
        f"{name}: {recorded.get(name, 'not public')} became {found.get(name, 'not public')}"
        for name in sorted({*found, *recorded})
        if found.get(name) != recorded.get(name)
    ]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text())


def test_every_name_is_what_was_recorded_whatever_was_imported(recorded) -> None:
    changed = differences(found_after(), recorded)
    assert not changed, "\n".join([*changed, HINT])


def test_a_module_that_takes_the_place_of_a_function_is_noticed(recorded, tmp_path: Path) -> None:
    """``steerbench/film.py`` once did, as soon as a widget imported it."""
    (tmp_path / "film.py").write_text('"""Films."""\n')
    planted = f"import steerbench\nsteerbench.__path__.append({str(tmp_path)!r})"
    changed = [line for line in differences(found_after(planted), recorded) if "film" in line]
    assert len(changed) == 1
    assert changed[0].startswith("film: {'kind': 'function'")
    assert changed[0].endswith("became {'kind': 'module'}")


def test_every_sub_package_is_reachable_before_anything_else() -> None:
    folder = Path(steerbench.__file__).parent
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    assert set(packages) <= set(steerbench.__all__)
    names = fresh(f"import steerbench as sb\nfor n in {packages}: print(getattr(sb, n).__name__)")
    assert names.split() == [f"steerbench.{name}" for name in packages]


def test_modules_that_can_be_called() -> None:
    for name in ("check", "leaderboard"):
        assert callable(getattr(steerbench, name))
        assert getattr(steerbench, name).__name__ == f"steerbench.{name}"
