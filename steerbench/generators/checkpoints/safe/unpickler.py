"""The names that a checkpoint may use, and the plain things made in their place.

Each entry was met in published files: torch's tensors, storages and sizes, NumPy's arrays, types
and numbers (under both of its module names), sets and ordered dictionaries, the records of
arguments that training scripts keep, and the modules that NVIDIA's files carry together with
their Python source, which is dropped unread.
"""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.safe.records import (
    Budget,
    Global,
    Record,
    Storage,
    StorageType,
    plain_key,
)

MAX_DIMENSIONS = 16
MAX_EMPTY = 2**16
"""The longest side of a tensor without elements."""


class Dtype:
    """A NumPy type while its byte order is still to come."""

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"[<>=|]?(b1|i[1248]|u[1248]|f[248])", code):
            raise CheckpointError(
                f"The file holds NumPy values of type {code!r}; only plain numbers are read. "
                "Ask its authors for a file without objects."
            )
        self.dtype = np.dtype(code)


class Objects:
    """The NumPy type of an array of plain values, which only NumPy's own files may hold."""


def find(module: str, name: str) -> Global:
    """What stands for a name in a file.

    Raises:
        CheckpointError: The name is not on the list.
    """
    full = f"{module}.{name}"
    if full in CALLS:
        return Global(full, CALLS[full])
    if full in RECORDS:
        return Global(full, lambda budget, *args: Record(full, args))
    if module in ("torch", "torch.cuda") and name in STORAGES:
        return Global(full, lambda budget: StorageType(name, STORAGES[name]))
    raise CheckpointError(
        f"The file asks for {full[:200]}, which is not among the names that checkpoints need. "
        "Nothing was executed. If you trust the file, load it with its authors' code and save "
        "only the state dict."
    )


def build(budget: Budget, target: Any, state: Any) -> None:
    """Give an object its contents, where it is one whose contents are known."""
    if isinstance(target, Record):
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                target.state.update(part)
        if not any(isinstance(part, dict) for part in parts):
            target.state["state"] = state
    elif isinstance(target, Dtype):
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(state[2:5]):
            raise CheckpointError("The file holds a structured NumPy type, which is not read.")
        target.dtype = target.dtype.newbyteorder(order)
    elif isinstance(target, np.ndarray):
        _fill(budget, target, *state)
    elif not isinstance(target, dict | Objects):  # what torch notes of a dict is of no use
        raise ValueError(f"a {type(target).__name__} is given a state")


# NumPy.


def _array(budget: Budget, kind: Any, shape: Any = (0,), code: Any = b"b") -> np.ndarray:
    return np.empty(0, np.int8)


def _fill(
    budget: Budget,
    array: np.ndarray,
    version: Any,
    shape: Any,
    dtype: Any,
    fortran: Any,
    data: Any,
) -> None:
    data = data.encode("latin1") if isinstance(data, str) else data
    shape = _sizes(shape)
    if isinstance(dtype, Objects) and isinstance(data, list) and math.prod(shape) == len(data):
        budget.charge(8 * len(data))
        contents: Any = (1, shape, np.dtype(object), bool(fortran), data)
        array.__setstate__(contents)
        return
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes | bytearray):
        raise CheckpointError("The file holds a NumPy array of objects, which is refused.")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise CheckpointError(
            f"A NumPy array of shape {shape} and type {dtype.dtype} comes with {len(data)} bytes. "
            "The file is broken."
        )
    budget.charge_tensor(len(data))
    state: Any = (1, shape, dtype.dtype, bool(fortran), bytes(data))
    array.__setstate__(state)


def _from_buffer(budget: Budget, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    array = np.empty(0, np.int8)
    _fill(budget, array, 1, shape, dtype, order == "F", data)
    return array


def _dtype(budget: Budget, code: Any, *rest: Any) -> Dtype | Objects:
    code = code.decode("ascii") if isinstance(code, bytes) else code
    if budget.objects and code in ("O", "O4", "O8", "|O"):
        return Objects()
    if not isinstance(code, str):
        raise CheckpointError("The file names a NumPy type without a word. It is broken.")
    return Dtype(code)


def _scalar(budget: Budget, dtype: Any, data: Any = b"") -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(dtype, Dtype) or len(data) != dtype.dtype.itemsize:
        raise CheckpointError("The file holds a NumPy number whose size is wrong. It is broken.")
    return np.frombuffer(data, dtype.dtype)[0].item()


# torch.


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > MAX_DIMENSIONS:
        raise CheckpointError("A shape in the file is not a short list. The file is broken.")
    if not all(type(value) is int and 0 <= value < 2**48 for value in values):
        raise CheckpointError("A shape in the file is not made of counts. The file is broken.")
    return tuple(values)


def rebuild_tensor(
    budget: Budget, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any
) -> Tensor:
    """A window on a storage, if it lies inside and is no larger."""
    if not isinstance(storage, Storage):
        raise CheckpointError("A tensor in the file has no storage. The file is broken.")
    shape, stride, (offset,) = _sizes(shape), _sizes(stride), _sizes((offset,))
    length, count = storage.data.numel(), math.prod(shape)
    span = offset + 1 + sum((size - 1) * step for size, step in zip(shape, stride))
    empty = count == 0 and max(shape) <= MAX_EMPTY
    if len(shape) != len(stride) or not (empty or (0 < count <= length and span <= length)):
        raise CheckpointError(
            f"A tensor of shape {shape}, stride {stride} and offset {offset} does not fit its "
            f"storage of {length} numbers. The file is broken or made to harm."
        )
    budget.charge_tensor(count * storage.data.element_size())
    if empty:
        return storage.data.new_empty(shape)
    return storage.data.as_strided(shape, stride, offset)


def _parameter(budget: Budget, data: Any, *rest: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise CheckpointError("A parameter in the file is not a tensor. The file is broken.")
    return data


def _nested_storage(budget: Budget, data: Any) -> Storage:
    # Here, because a torch file is made of pickles, and a pickle may hold torch files.
    from steerbench.generators.checkpoints.safe.torch_files import read_legacy

    if not isinstance(data, bytes | bytearray):
        raise CheckpointError("A storage in the file is not made of bytes. The file is broken.")
    budget.charge_tensor(len(data))
    with budget.nested():
        value = read_legacy(io.BytesIO(data), budget)
    if not isinstance(value, Storage):
        raise CheckpointError("A storage in the file holds something else. It is refused.")
    return value


# Python's own, and other people's records.


def _ordered(budget: Budget, items: Any = ()) -> OrderedDict[Any, Any]:
    budget.charge(100 * len(items))
    return OrderedDict((plain_key(key), value) for key, value in items)


def _set(budget: Budget, items: Any = ()) -> set[Any]:
    budget.charge(100 * len(items))
    return {plain_key(item) for item in items}


def _encode(budget: Budget, text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise CheckpointError("The file asks for text in an encoding that is not read.")
    budget.charge_tensor(len(text))
    return text.encode(encoding)


def _reconstructor(budget: Budget, cls: Any, base: Any = None, state: Any = None) -> Any:
    if not isinstance(cls, Global) or not isinstance(state, dict | None):
        raise ValueError("an object is rebuilt from no class")
    return cls.make(budget) if state is None else state


def _persistent(budget: Budget, meta: Any) -> Record:
    """A module of NVIDIA's: its class name and contents; the source text beside it is dropped."""
    name, state = (meta.get("class_name"), meta.get("state")) if isinstance(meta, dict) else (0, 0)
    if not isinstance(name, str) or not isinstance(state, dict):
        raise CheckpointError("A module in the file has no contents. The file is broken.")
    return Record(name, (), state)


def _size(budget: Budget, values: Any = ()) -> tuple[int, ...]:
    return _sizes(values)


def _record(name: str) -> Callable[..., Record]:
    return lambda budget, *args: Record(name, args)


STORAGES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

RECORDS = frozenset(
    {
        "argparse.Namespace",
        "models.utils.config.BaseConfig",
        "dnnlib.tflib.network.Network",
        "tfutil.Network",
        "builtins.object",
        "__builtin__.object",
        "numpy.ndarray",
    }
)

CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "dnnlib.util.EasyDict": lambda budget: {},
    "easydict.EasyDict": lambda budget: {},
    "builtins.dict": lambda budget: {},
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage._load_from_bytes": _nested_storage,
    "torch.Size": _size,
    "torch.device": _record("torch.device"),
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "copy_reg._reconstructor": _reconstructor,
    "copyreg._reconstructor": _reconstructor,
}
for _module in ("numpy.core", "numpy._core"):
    CALLS[f"{_module}.multiarray.scalar"] = _scalar
    CALLS[f"{_module}.multiarray._reconstruct"] = _array
    CALLS[f"{_module}.numeric._frombuffer"] = _from_buffer
for _module in ("builtins", "__builtin__"):
    CALLS[f"{_module}.set"] = CALLS[f"{_module}.frozenset"] = _set
