"""What `import steerbench as sb` offers, as data: each public name, its kind and its parameters.

    python -m tests.surface --write        # after a deliberate change of the public surface

Every submodule is imported first, because importing one binds it in its package: a module that is
called like a public function would take the function's place.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import steerbench

RECORD = Path(__file__).with_name("api_surface.json")


def import_everything() -> None:
    """Import every module of the package, but for those that are programs."""
    for module in pkgutil.walk_packages(steerbench.__path__, "steerbench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def kind_of(value: Any) -> str:
    """Return what sort of thing a public name stands for."""
    if isinstance(value, ModuleType):
        return "callable module" if callable(value) else "module"
    if isinstance(value, type):
        return "class"
    return "function" if inspect.isroutine(value) else "type alias"


def describe(value: Any) -> dict[str, Any]:
    """Return the kind of a public name and, of a class or function, its parameters."""
    kind = kind_of(value)
    if kind not in ("class", "function"):
        return {"kind": kind}
    return {"kind": kind, "parameters": list(inspect.signature(value).parameters)}


def surface() -> dict[str, dict[str, Any]]:
    """Return the public names, each with its kind and parameters."""
    return {name: describe(getattr(steerbench, name)) for name in steerbench.__all__}


def text(found: dict[str, dict[str, Any]]) -> str:
    """Return a surface as JSON, a line for each name."""
    lines = [f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(found.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    import_everything()
    if "--write" in sys.argv:
        RECORD.write_text(text(surface()))
    else:
        print(text(surface()))
