"""What a file of no known format holds, in words: for whoever must find out what it is.

Names that differ in their numbers only, and hold tensors of one shape, share a line:

>>> import torch
>>> state = {f"layers.{i}.weight": torch.zeros(4, 4) for i in range(3)}
>>> print("\\n".join(outline(state)))
layers.*.weight  [4, 4]  3 times
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.reading import Contents, state_dicts
from steerbench.generators.checkpoints.safe.records import Record

STATES, LINES, KEYS, NEAREST = 4, 24, 12, 3
"""How much is shown: dictionaries of tensors, lines of each, other values, formats."""


def report(contents: Contents, formats: Mapping[str, ModuleType]) -> str:
    """What a file holds, and what the nearest formats would need."""
    lines = [f"{str(contents.path)!r} is a {contents.kind} of no known format. It holds:"]
    found = list(state_dicts(contents.value))
    outlines: dict[str, list[str]] = {}
    for prefix, state in found[:STATES]:
        lines.append(f"  {len(state)} tensor{'s' if len(state) > 1 else ''}{_under(prefix)}")
        shown = outline(state)
        alike = next((other for other, before in outlines.items() if before == shown), None)
        outlines[prefix] = shown
        if alike is not None:
            lines.append(f"    the same as{_under(alike) or ' before'}")
            continue
        lines += [f"    {line}" for line in shown[:LINES]]
        if len(shown) > LINES:
            lines.append(f"    and {len(shown) - LINES} more such lines")
    if len(found) > STATES:
        lines.append(f"  and {len(found) - STATES} more dictionaries of tensors")
    if not found:
        lines.append("  no named tensors")
    lines += [f"  {line}" for line in _others(contents.value)]
    lines += _nearest(contents, formats)
    lines.append("If you have its code, build the module, load the weights, and use sb.wrap.")
    return "\n".join(lines)


def _under(prefix: str) -> str:
    return f" under {_short(prefix)}" if prefix else ""


def outline(state: Mapping[str, Tensor]) -> list[str]:
    """A line for each kind of name and shape, in the order of the file."""
    kinds: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, tensor in state.items():
        kinds.setdefault((re.sub(r"\d+", "*", name), tuple(tensor.shape)), []).append(name)
    return [
        f"{_short(names[0])}  {list(shape)}"
        if len(names) == 1
        else f"{_short(pattern)}  {list(shape)}  {len(names)} times"
        for (pattern, shape), names in kinds.items()
    ]


def _short(name: object) -> str:
    """A name out of somebody's file: no longer than a line, and nothing that a terminal obeys."""
    return str(name)[:100].encode("unicode_escape").decode()


def _others(value: Any) -> Iterator[str]:
    """The values on top that are no tensors, with their kinds."""
    if not isinstance(value, dict):
        yield f"at its top {_kind(value)}"
        return
    others = [(key, item) for key, item in value.items() if not isinstance(item, Tensor)]
    for key, item in others[:KEYS]:
        yield f"{_short(key)}: {_kind(item)}"
    if len(others) > KEYS:
        yield f"and {len(others) - KEYS} more values"


def _kind(value: Any) -> str:
    if isinstance(value, Record):
        return f"an object of the class {_short(value.class_name)}"
    if isinstance(value, Tensor) or hasattr(value, "shape"):
        return f"a {type(value).__name__} {list(value.shape)}"
    if isinstance(value, bool | int | float | None):
        return str(value)[:60]
    if isinstance(value, str):
        return _short(value[:60])
    length = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"a {type(value).__name__}{length}"


def _nearest(contents: Contents, formats: Mapping[str, ModuleType]) -> Iterator[str]:
    """The formats of which the file has something, and what it lacks to be one."""
    lacks = {name: form.recognise(contents) for name, form in formats.items()}
    share = {name: 1 - len(lacks[name]) / len(form.REQUIRED) for name, form in formats.items()}
    near = [name for name in sorted(share, key=share.__getitem__, reverse=True) if share[name] > 0]
    if not near:
        titles = ", ".join(form.TITLE for form in formats.values())
        yield f"It has none of the names that known formats have. Known are: {titles}."
        return
    yield "The nearest formats, and what the file lacks to be one:"
    for name in near[:NEAREST]:
        missing = ", ".join(lacks[name][:4]) + (", ..." if len(lacks[name]) > 4 else "")
        yield f"  {formats[name].TITLE}: {missing}"


__all__ = ["outline", "report"]
