"""Every dictionary of tensors in a file, however it was wrapped, the averaged generator first.

People keep the same weights in many ways: alone, under ``state_dict`` or ``model``, beside the
discriminator, as a whole module, in a list. Their names may begin with what a tool put before them
(``module.`` of DataParallel, ``_orig_mod.`` of torch.compile), or with the part of a larger module
that they were (``generator.``, ``g_ema.``, e4e's ``decoder.``). Here all of that comes off, once,
for every format. A prefix that all names share is a wrapping whatever it is called; of prefixes
that only some names share, those are tried that say generator or average.

>>> import torch
>>> file = {"state_dict": {"generator.module.w": torch.ones(1), "discriminator.w": torch.ones(1)}}
>>> for state in state_dicts(file):
...     print(".".join(state.keys), list(state.tensors))
state_dict ['generator.module.w', 'discriminator.w']
state_dict.generator ['module.w']
state_dict.generator.module ['w']
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.safe.limits import LIMITS
from steerbench.generators.checkpoints.safe.records import (
    Record,
    module_state,
    submodule,
    variables,
)

Tensors = Mapping[str, Tensor]

_AVERAGE = re.compile(r"(.*_)?(ema|smooth|avg|average|running|shadow)(_.*)?|avgG|Gs|gema", re.I)
_GENERATOR = re.compile(
    r"(g|gen|generator|net_?g|decoder|module|model|network|net|params|state_dict)(_.*)?", re.I
)
_JUDGE = re.compile(r"(d|dis|disc|net_?d|discriminator\w*|critic|encoder|e)(_.*)?", re.I)


@dataclass(frozen=True, eq=False)
class StateDict:
    """One dictionary of tensors in a file.

    Attributes:
        keys: What leads to it from the top; a prefix that came off counts as a key.
        tensors: By name.
        module: The module that it was kept in, with its settings; empty for weights alone.
        beside: What lies beside it in the dictionaries around it, the nearest first.
        config: The ``config.json`` beside the file, where there is one.
    """

    keys: tuple[str, ...] = ()
    tensors: Tensors = field(default_factory=dict)
    module: Record = field(default_factory=lambda: Record(""))
    beside: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def state_dicts(value: Any, config: Mapping[str, Any] | None = None) -> list[StateDict]:
    """Return all dictionaries of tensors in what a file holds, averaged generators first.

    Prefixes are off; a dictionary that has some is listed as it is, too. Of a file that repeats
    itself without end only the beginning is listed.
    """
    found: list[StateDict] = []
    left = LIMITS.tensors
    for state in dictionaries(value, StateDict(config=config or {})):
        for part in _unwrap(state):
            left -= 1 + len(part.tensors)
            if left < 0:
                return sorted(found, key=_rank)
            found.append(part)
    return sorted(found, key=_rank)


def dictionaries(value: Any, at: StateDict | None = None) -> Iterator[StateDict]:
    """Yield the dictionaries of tensors in a value as they are, in the order of the file."""
    at = at or StateDict()
    if isinstance(value, Record):
        tensors = module_state(value) or variables(value)
        if tensors:
            yield replace(at, tensors=tensors, module=value)
        return
    if isinstance(value, tuple | list) and len(value) <= LIMITS.parts:
        value = _name_items(value)
    if not isinstance(value, dict) or len(at.keys) > 4:
        return
    at = replace(at, beside=ChainMap(value, *_maps(at.beside)))
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield replace(at, tensors=tensors)
    for key, item in value.items():
        yield from dictionaries(item, replace(at, keys=(*at.keys, str(key))))


def _name_items(items: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    """Name the items of a list: three networks of which two are alike are G, D and its average."""
    if len(items) == 3 and _names(items[0]) and _names(items[0]) == _names(items[2]):
        return dict(zip(("G", "D", "Gs"), items))
    return {str(place): item for place, item in enumerate(items)}


def _names(value: Any) -> list[str]:
    first = next(dictionaries(value), None) if isinstance(value, Record | dict) else None
    return [] if first is None else list(first.tensors)


def _maps(beside: Mapping[str, Any]) -> list[Any]:
    return beside.maps if isinstance(beside, ChainMap) else []


def _unwrap(state: StateDict, depth: int = 0) -> Iterator[StateDict]:
    """Yield a dictionary as it is, and its parts under prefixes that wrap, these off."""
    state = replace(
        state, tensors={name.replace("_orig_mod.", ""): t for name, t in state.tensors.items()}
    )
    yield state
    for prefix in _wrappings(state.tensors) if depth < LIMITS.parts else ():
        start = f"{prefix}."
        rest = {n: t for n, t in state.tensors.items() if not n.startswith(start)}
        part = replace(
            state,
            keys=(*state.keys, prefix),
            tensors={n[len(start) :]: t for n, t in state.tensors.items() if n not in rest},
            module=submodule(state.module, prefix) or Record(""),
            beside=ChainMap(rest, *_maps(state.beside)),
        )
        yield from _unwrap(part, depth + 1)


def _wrappings(tensors: Tensors) -> list[str]:
    """List the prefixes that wrap: the one of all names, or of some where it says what it is."""
    heads = {name.partition(".")[0] for name in tensors if "." in name}
    if len(heads) == 1 and all("." in name for name in tensors):
        return list(heads)
    known = (head for head in heads if _AVERAGE.fullmatch(head) or _GENERATOR.fullmatch(head))
    return sorted(islice(known, LIMITS.prefixes))


def _rank(state: StateDict) -> int:
    """Order averages before generators, these before what says nothing, judges last."""
    if any(_JUDGE.fullmatch(key) for key in state.keys):
        return 3
    if any(_AVERAGE.fullmatch(key) for key in state.keys):
        return 0
    return 1 if any(_GENERATOR.fullmatch(key) for key in state.keys) else 2


__all__ = ["StateDict", "Tensors", "dictionaries", "state_dicts"]
