"""What a file of no known format holds, in words: for whoever must find out what it is.

Names that differ in their numbers only, and hold tensors of one shape, share a line:

>>> import torch
>>> state = {f"layers.{i}.weight": torch.zeros(4, 4) for i in range(3)}
>>> print("\\n".join(outline(state)))
layers.*.weight  [4, 4]  3 times
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.contents import Contents
from steerbench.generators.checkpoints.format import Format
from steerbench.generators.checkpoints.safe.records import Record
from steerbench.generators.checkpoints.state_dicts import StateDict, dictionaries


def report(contents: Contents, states: Sequence[StateDict], formats: Mapping[str, Format]) -> str:
    """Return what a file holds in words, and what the nearest formats would need.

    Args:
        contents: What was read.
        states: The dictionaries of tensors in it, prefixes off.
        formats: The known ones.
    """
    lines = [f"{str(contents.path)!r} is a {contents.kind} of no known format. It holds:"]
    lines += [f"  {line}" for line in _dictionaries(list(dictionaries(contents.value)))]
    lines += [f"  {line}" for line in _others(contents.value)]
    lines += _nearest(states, formats)
    lines.append("If you have its code, build the module, load the weights, and use sb.wrap.")
    return "\n".join(lines)


def _dictionaries(states: list[StateDict], shown: int = 4, length: int = 24) -> Iterator[str]:
    """Yield the outlines of the first dictionaries of tensors, none of them twice."""
    outlines: dict[str, list[str]] = {}
    for state in states[:shown]:
        prefix, count = ".".join(state.keys), len(state.tensors)
        yield f"{count} tensor{'s' if count > 1 else ''}{_under(prefix)}"
        rows = outline(state.tensors)
        alike = next((other for other, before in outlines.items() if before == rows), None)
        outlines[prefix] = rows
        if alike is not None:
            yield f"  the same as{_under(alike) or ' before'}"
            continue
        yield from (f"  {row}" for row in rows[:length])
        if len(rows) > length:
            yield f"  and {len(rows) - length} more such lines"
    if len(states) > shown:
        yield f"and {len(states) - shown} more dictionaries of tensors"
    if not states:
        yield "no named tensors"


def _under(prefix: str) -> str:
    return f" under {_short(prefix)}" if prefix else ""


def outline(state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each kind of name and shape, in the order of the file."""
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
    """Return a name out of a file, no longer than a line, with nothing that a terminal obeys."""
    return str(name)[:100].encode("unicode_escape").decode()


def _others(value: Any, shown: int = 12) -> Iterator[str]:
    """Yield the values on top that are no tensors, with their kinds."""
    if not isinstance(value, dict):
        yield f"at its top {_kind(value)}"
        return
    others = [(key, item) for key, item in value.items() if not isinstance(item, Tensor)]
    for key, item in others[:shown]:
        yield f"{_short(key)}: {_kind(item)}"
    if len(others) > shown:
        yield f"and {len(others) - shown} more values"


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


def _nearest(
    states: Sequence[StateDict], formats: Mapping[str, Format], shown: int = 3
) -> Iterator[str]:
    """Yield the formats of which the file has something, and what it lacks to be one."""
    nothing = StateDict()
    lacks = {
        form: min((form.lacks(state) for state in [*states, nothing]), key=len)
        for form in formats.values()
    }
    share = {form: 1 - len(missing) / len(form.required) for form, missing in lacks.items()}
    near = [form for form in sorted(share, key=share.__getitem__, reverse=True) if share[form] > 0]
    if not near:
        titles = ", ".join(form.title for form in formats.values())
        yield f"It has none of the names that known formats have. Known are: {titles}."
        return
    yield "The nearest formats, and what the file lacks to be one:"
    for form in near[:shown]:
        missing = ", ".join(lacks[form][:4]) + (", ..." if len(lacks[form]) > 4 else "")
        yield f"  {form.title}: {missing}"


__all__ = ["outline", "report"]
