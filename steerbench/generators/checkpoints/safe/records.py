"""What a checkpoint is made of once it is read: plain values, and records that do nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.safe.limits import LIMITS


class Budget:
    """What reading a file may cost, in bytes: a fixed allowance and a share of its length.

    Tensors are counted by what they would take if each had memory of its own, so that many
    windows on one storage do not grow when they are copied.

    Args:
        length: Of the file.
        objects: Whether it may hold NumPy arrays of plain values; only ``.npy`` files may.
    """

    def __init__(self, length: int, *, objects: bool = False) -> None:
        self.length, self.objects = length, objects
        self.values = LIMITS.allowance + length // 4
        self.storages = length
        self.tensors = LIMITS.allowance + 2 * length
        self.depth = 0

    @contextlib.contextmanager
    def nest(self) -> Iterator[None]:
        """Return while a file within the file is read: NVIDIA's hold their storages as such."""
        self.depth += 1
        if self.depth >= LIMITS.files:
            raise CheckpointError("The file holds files within files. It is refused.")
        yield
        self.depth -= 1

    def charge(self, amount: int) -> None:
        self.values -= amount
        self._check(self.values, "values")

    def charge_value(self, value: Any) -> None:
        """Charge one value; text and bytes are covered by the file that they were read from."""
        self.charge(100 + 8 * len(value) if isinstance(value, tuple | list) else 40)

    def charge_storage(self, amount: int) -> None:
        self.storages -= amount
        self._check(self.storages, "weights")

    def charge_tensor(self, amount: int) -> None:
        self.tensors -= amount
        self._check(self.tensors, "tensors")

    def _check(self, left: int, what: str) -> None:
        if left < 0:
            raise CheckpointError(
                f"The file of {self.length} bytes declares more {what} than it can hold. It is "
                "broken or made to harm; fetch it again from where it came from."
            )


@dataclass(frozen=True)
class Global:
    """A name that a file may use, and what is made in its place."""

    name: str
    make: Callable[..., Any]


@dataclass
class Record:
    """An object whose class is somebody else's: its name and its contents, nothing that runs."""

    class_name: str
    args: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.state.get(key, default)


@dataclass(frozen=True)
class StorageType:
    """The kind of numbers in a storage of torch."""

    name: str
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat run of numbers that tensors are windows on."""

    data: Tensor


def plain_key(key: Any) -> Any:
    """Return a key whose hash cannot be made slow; ValueError for another.

    Fractions and short tuples become the text that Python writes for them: many of them can be
    made to share a hash, and nothing that is read here looks for them.
    """
    if isinstance(key, float) or (isinstance(key, tuple) and _is_short(key)):
        return repr(key)
    if isinstance(key, str | bytes | None) or (isinstance(key, int) and abs(key) < LIMITS.key):
        return key
    raise ValueError(f"a key of a dictionary is a {type(key).__name__}")


def _is_short(key: tuple[Any, ...]) -> bool:
    """Return whether a tuple holds a few plain values, none of them long."""
    plain = (item is None or isinstance(item, int | float | str) for item in key)
    return len(key) <= 8 and all(plain) and all(len(str(item)) <= 100 for item in key)


def entry(value: Any, *keys: str) -> Any:
    """Return the value under nested keys of dictionaries and records, or none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping | Record) else None
    return value


def module_state(record: Record, prefix: str = "") -> dict[str, Tensor]:
    """Return the parameters and buffers of a torch module that was kept whole, by dotted name."""
    state: dict[str, Tensor] = {}
    for kind in ("_parameters", "_buffers"):
        for name, value in (record.get(kind) or {}).items():
            if isinstance(value, Tensor):
                state[f"{prefix}{name}"] = value
    for name, part in (record.get("_modules") or {}).items():
        if isinstance(part, Record):
            state |= module_state(part, f"{prefix}{name}.")
    return state


def variables(record: Record, depth: int = 0) -> dict[str, Tensor]:
    """Return the variables of a TensorFlow network, and those of its parts under their names."""
    state: dict[str, Tensor] = {}
    parts = record.get("components")
    for name, part in parts.items() if isinstance(parts, dict) and depth < LIMITS.parts else ():
        if isinstance(part, Record):
            state |= {f"{name}/{key}": value for key, value in variables(part, depth + 1).items()}
    listed = record.get("variables")
    for item in listed if isinstance(listed, list) else ():
        name, value = item if isinstance(item, tuple) and len(item) == 2 else (None, None)
        if isinstance(name, str) and isinstance(value, np.ndarray | float | int):
            array = np.asarray(value, dtype=np.float32)
            state[name] = torch.from_numpy(array if array.flags.writeable else array.copy())
    return state


def submodule(record: Record, path: str) -> Record | None:
    """Return a part of a module by dotted name, or none."""
    for name in path.split("."):
        part = (record.get("_modules") or {}).get(name)
        if not isinstance(part, Record):
            return None
        record = part
    return record
