"""The torchvision trap: cured where it snaps, left alone where it does not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from steerbench import compat

TRAP = "operator torchvision::nms does not exist"


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records imports of torchvision; a test replaces ``importlib.import_module`` through it."""
    monkeypatch.setattr(compat, "_libraries", [])
    return []


def failing(error: Exception, times: int, calls: list[str]):
    def import_module(name: str) -> ModuleType:
        calls.append(name)
        if len(calls) <= times:
            raise error
        return ModuleType(name)

    return import_module


def test_a_working_torchvision_is_left_untouched(monkeypatch, imports):
    described = []
    monkeypatch.setattr(compat, "_describe_operators", lambda: described.append(1))
    monkeypatch.setattr(importlib, "import_module", failing(RuntimeError(), 0, imports))
    assert compat.ensure_torchvision().__name__ == "torchvision"
    assert imports == ["torchvision"]
    assert not described


def test_the_trap_is_cured_and_the_half_imported_modules_are_dropped(monkeypatch, imports):
    described = []
    half = "torchvision.half_imported"
    monkeypatch.setitem(sys.modules, half, ModuleType(half))
    kept = {k: v for k, v in sys.modules.items() if k.split(".")[0] == "torchvision"}
    monkeypatch.setattr(compat, "_describe_operators", lambda: described.append(1))
    monkeypatch.setattr(importlib, "import_module", failing(RuntimeError(TRAP), 1, imports))
    try:
        compat.ensure_torchvision()
        assert half not in sys.modules
    finally:
        sys.modules.update(kept)
    assert imports == ["torchvision", "torchvision"]
    assert described == [1]


@pytest.mark.parametrize(
    "error", [RuntimeError("no space left"), ImportError("no module torchvision")]
)
def test_other_failures_come_through(monkeypatch, imports, error):
    monkeypatch.setattr(importlib, "import_module", failing(error, 9, imports))
    with pytest.raises(type(error), match="no "):
        compat.ensure_torchvision()
    assert len(imports) == 1


def test_in_a_fresh_process_torchvision_imports_whatever_it_was_built_for():
    program = (
        "from steerbench.compat import ensure_torchvision as ensure; ensure(); "
        "import torchvision.transforms.v2; assert ensure() is ensure()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
