"""The public names of the package, found by walking it, and what griffe has to be told of them.

A name is public where a package lists it in ``__all__``. It is shown on the page of the module that
defines it, so a module that moves takes its page along, and nothing here knows any module by name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import griffe

import steerbench

SEVERAL = re.compile(r"^( +)((?:\*{0,2}\w+, )+\*{0,2}\w+): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)
DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*|\n\n(?=>>> ))*", re.MULTILINE)


class Public(NamedTuple):
    """A name that people may use: where they find it, where it is defined, and what it is."""

    module: str
    name: str
    home: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring; empty for a constant, which has none of its own."""
        documented = inspect.isroutine(self.value) or isinstance(self.value, type | ModuleType)
        text = inspect.getdoc(self.value) if documented else ""
        return " ".join((text or "").split("\n\n")[0].split())


def modules() -> Iterator[ModuleType]:
    """The package, its sub-packages, and the modules that stand beside them."""
    yield steerbench
    for found in pkgutil.walk_packages(steerbench.__path__, "steerbench."):
        hidden = any(part.startswith("_") for part in found.name.split("."))
        if not hidden and (found.ispkg or found.name.count(".") == 1):
            yield importlib.import_module(found.name)


def exports(module: ModuleType) -> list[Public]:
    """The public names of a module: its ``__all__``; a file without one exports what it defines."""
    if hasattr(module, "__all__"):
        names = list(module.__all__)
    elif hasattr(module, "__path__"):
        names = []
    else:
        names = [name for name, value in vars(module).items() if _defined(name, value, module)]
    values = [(name, getattr(module, name)) for name in names]
    return [Public(module.__name__, name, _home(module, name, v), v) for name, v in values]


def _defined(name: str, value: Any, module: ModuleType) -> bool:
    documented = inspect.isroutine(value) or isinstance(value, type)
    return not name.startswith("_") and documented and value.__module__ == module.__name__


def _home(module: ModuleType, name: str, value: Any) -> str:
    """Where a name is defined; a constant does not know, and stays where it is exported."""
    if isinstance(value, ModuleType):
        return value.__name__
    place, inside = getattr(value, "__module__", None), getattr(value, "__qualname__", "<none>")
    if isinstance(place, str) and place.split(".")[0] == "steerbench" and "<" not in inside:
        return f"{place}.{inside}"
    return f"{module.__name__}.{name}"


def as_markdown(docstring: str) -> str:
    """A docstring as the parser and Markdown want it: doctests fenced, an entry a parameter.

    >>> print(as_markdown("Args:\\n    a, b: Numbers."))
    Args:
        a: Numbers.
        b: Numbers.
    """
    single = SEVERAL.sub(
        lambda match: "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", ")),
        docstring,
    )
    return DOCTEST.sub(r"```pycon\n\g<0>\n```", single)


def inherited(value: Any, public: set[Any]) -> list[str]:
    """What a class has from parents that are not public themselves, so that no other page tells it.

    Args:
        value: A class, or anything else, which inherits nothing.
        public: Every public value.
    """
    if not isinstance(value, type):
        return []
    parents = [
        parent for parent in value.__mro__[1:] if parent.__module__.startswith("steerbench.")
    ]
    shown = [parent for parent in parents if parent in public]
    hidden = [
        parent
        for parent in parents
        if parent not in public and not any(issubclass(other, parent) for other in shown)
    ]
    names = {name for parent in hidden for name in vars(parent) if not name.startswith("_")}
    return sorted(names - set(vars(value)))


def _special(obj: griffe.Object) -> bool:
    return obj.name.startswith("__") and obj.name.endswith("__")


class Names(griffe.Extension):
    """Doctests become code, and names that are fetched on first use are known."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
        elif obj.parent is not None and obj.parent.is_class and (obj.is_attribute or _special(obj)):
            obj.public = False  # The class describes it under "Attributes", or nobody needs it.

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        if pkg.path != "steerbench":
            return
        self.on_object(obj=pkg)  # griffe calls it for every other module.
        for module in modules():
            for public in exports(module):
                self._expose(pkg, public)

    def _expose(self, pkg: griffe.Module, public: Public) -> None:
        inside = public.module.split(".")[1:]
        module = pkg[inside] if inside else pkg
        if public.name not in module.members and public.home != public.path:
            module.set_member(public.name, griffe.Alias(public.name, public.home))
        if public.module == "steerbench" and not isinstance(public.value, ModuleType):
            pkg[public.home.split(".")[1:]].labels.add(f"sb.{public.name}")
