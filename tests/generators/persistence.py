"""Pickles like NVIDIA's: each module with its source, which must never run, and all it keeps.

The containers are real ones, written by Python's own pickle, so that reading them goes the whole
way through the reader that files of strangers go.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

SOURCE = "raise RuntimeError('source text of a file was executed')"

Attributes = Callable[[str, nn.Module], dict[str, Any]]


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise RuntimeError("only the name of this function is needed, to be written into files")


class Saved:
    """A module as its file keeps it.

    Args:
        module: Whose weights are written.
        attributes: Gives what else a part keeps, by its dotted name.
    """

    def __init__(self, module: nn.Module, attributes: Attributes, name: str = "") -> None:
        prefix = f"{name}." if name else ""
        self.class_name = type(module).__name__
        self.state = {
            "training": False,
            "_parameters": OrderedDict((k, v.data) for k, v in module._parameters.items()),
            "_buffers": OrderedDict(module._buffers),
            "_modules": OrderedDict(
                (k, None if part is None else Saved(part, attributes, prefix + k))
                for k, part in module._modules.items()
            ),
            **attributes(name, module),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.class_name,
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


def write(path: Path, **modules: Saved) -> Path:
    """Write modules under names such as ``G_ema``."""
    package, persistence = types.ModuleType("torch_utils"), types.ModuleType("persistence")
    function = types.FunctionType(
        _reconstruct_persistent_obj.__code__, globals(), "_reconstruct_persistent_obj"
    )
    function.__module__ = "torch_utils.persistence"
    persistence._reconstruct_persistent_obj = function  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch_utils", package)
        patch.setitem(sys.modules, "torch_utils.persistence", persistence)
        path.write_bytes(pickle.dumps({**modules, "augment_pipe": None}, protocol=3))
    return path
