"""A pickle reader that can only build plain values: nothing in a file is imported or executed.

A pickle is a program for a small stack machine, and Python's own machine will call whatever the
program names. This one knows the same instructions (protocols 0 to 5) but holds its own short
list of names, `CALLS` and `RECORDS`; a name that is not on it ends the reading, and is told to the
person.

>>> import io, pickle
>>> unpickle(io.BytesIO(pickle.dumps({"layers": [1, 2.5, None]})))
{'layers': [1, 2.5, None]}
>>> unpickle(io.BytesIO(pickle.dumps(print)))
Traceback (most recent call last):
steerbench.errors.CheckpointError: The file asks for builtins.print, which is not among ...

What bounds the cost of a hostile file:

- lengths are compared with the bytes that are left before anything is read;
- every value made is charged to a `Budget` that follows the length of the file;
- keys of dictionaries are strings, bytes and small integers, because hashing anything else can
  be made to take for ever;
- the finished value is measured: neither cycles, nor bottomless nesting, nor a value that refers
  to itself so often that a walk through it never ends.

Reference: the protocols are documented in Python's own ``pickletools``.

The names that a checkpoint may use, and the plain things made in their place.

Each entry was met in published files: torch's tensors, storages and sizes, NumPy's arrays, types
and numbers (under both of its module names), sets and ordered dictionaries, the records of
arguments that training scripts keep, and the modules that NVIDIA's files carry together with
their Python source, which is dropped unread.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError, SteerbenchError
from steerbench.generators.checkpoints.safe.limits import LIMITS
from steerbench.generators.checkpoints.safe.records import (
    Budget,
    Global,
    Record,
    Storage,
    StorageType,
    plain_key,
)


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
    """Return what stands for a name in a file.

    Raises:
        CheckpointError: The name is not on the list.
    """
    full = f"{module}.{name}"
    if full in CALLS:
        return Global(full, CALLS[full])
    if full in RECORDS:
        return Global(full, lambda budget, *args: Record(full, args))
    if module == "torch" and _DTYPES.fullmatch(name):
        return Global(full, _record(full))
    if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
        return Global(full, lambda budget: StorageType(name, STORAGES[name]))
    raise CheckpointError(
        f"The file asks for {full[:200]}, which is not among the names that checkpoints need. "
        "Nothing was executed. If you trust the file, load it with its authors' code and save "
        "only the state dict."
    )


def build(budget: Budget, target: Any, state: Any) -> None:
    """Give an object its contents, where it is one whose contents are known.

    Args:
        budget: What reading may cost.
        target: The object.
        state: Its contents.
    """
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
    if not isinstance(values, tuple | list) or len(values) > LIMITS.dimensions:
        raise CheckpointError("A shape in the file is not a short list. The file is broken.")
    if not all(type(value) is int and 0 <= value < 2**48 for value in values):
        raise CheckpointError("A shape in the file is not made of counts. The file is broken.")
    return tuple(values)


def rebuild_tensor(
    budget: Budget, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any
) -> Tensor:
    """Return a window on a storage, if it lies inside and is no larger.

    Args:
        budget: What reading may cost.
        storage: The numbers.
        offset: Of the first one.
        shape: Of the tensor.
        stride: Of the tensor, in numbers.
    """
    if not isinstance(storage, Storage):
        raise CheckpointError("A tensor in the file has no storage. The file is broken.")
    shape, stride, (offset,) = _sizes(shape), _sizes(stride), _sizes((offset,))
    length, count = storage.data.numel(), math.prod(shape)
    span = offset + 1 + sum((size - 1) * step for size, step in zip(shape, stride))
    empty = count == 0 and max(shape) <= LIMITS.empty_side
    # An expanded tensor has more numbers than its storage; the budget counts them as if it had not.
    if len(shape) != len(stride) or not (empty or (count > 0 and span <= length)):
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


# Python's own, and other people's records.


def _ordered_dict(budget: Budget, items: Any = ()) -> OrderedDict[Any, Any]:
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
    """Return a module of NVIDIA's as its class name and contents; its source text is dropped."""
    name, state = (meta.get("class_name"), meta.get("state")) if isinstance(meta, dict) else (0, 0)
    if not isinstance(name, str) or not isinstance(state, dict):
        raise CheckpointError("A module in the file has no contents. The file is broken.")
    return Record(name, (), state)


def _dictionary(budget: Budget, *args: Any) -> dict[Any, Any]:
    """Return a dictionary in place of a counter or one with defaults, whose factory is dropped."""
    items = next((item for item in args if isinstance(item, dict)), {})
    budget.charge(100 * len(items))
    return dict(items)


def _queue(budget: Budget, items: Any = (), *rest: Any) -> list[Any]:
    """Return a list in place of a queue."""
    budget.charge(8 * len(items))
    return list(items)


def _bytes(budget: Budget, *args: Any) -> bytes:
    if args:
        raise ValueError("bytes are made of something")
    return b""


def _tensor_with_state(budget: Budget, make: Any, kind: Any, args: Any, state: Any) -> Tensor:
    """Return a tensor to which somebody gave attributes, without these."""
    if not isinstance(make, Global) or make.name not in _TENSORS or not isinstance(args, tuple):
        raise CheckpointError("A tensor in the file is made in a way that torch does not know.")
    return make.make(budget, *args)


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
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}

_TYPES = re.findall(
    r"\w+", "bool int float complex str list tuple dict bytearray range xrange slice long unicode"
)
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_DTYPES = re.compile(r"(b?float|complex|u?int|q?u?int|bool)\d*(_e\dm\d(fn)?(uz)?)?")

RECORDS = frozenset(
    {
        "argparse.Namespace",
        "models.utils.config.BaseConfig",
        "dnnlib.tflib.network.Network",
        "tfutil.Network",
        "builtins.object",
        "__builtin__.object",
        "numpy.ndarray",
        # What training scripts keep beside their weights: harmless, and of no use here.
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
        *(f"pathlib.{name}" for name in ("PurePath", "PurePosixPath", "PureWindowsPath")),
        *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _TYPES),
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        "torch.Tensor",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_tensor_v3",
    }
)
"""Classes and functions of which only the name and what they were given is kept."""

CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "dnnlib.util.EasyDict": lambda budget: {},
    "easydict.EasyDict": lambda budget: {},
    "builtins.dict": lambda budget: {},
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_state,
    "collections.defaultdict": _dictionary,
    "collections.Counter": _dictionary,
    "collections.deque": _queue,
    "builtins.bytes": _bytes,
    "__builtin__.bytes": _bytes,
    "torch._utils._rebuild_parameter_with_state": _parameter,
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


_VALUES = frozenset(
    re.findall(
        r"\w+",
        "FLOAT INT BININT BININT1 BININT2 LONG LONG1 LONG4 BINFLOAT STRING BINSTRING "
        "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES "
        "BINBYTES8 BYTEARRAY8",
    )
)
"""Instructions that push what follows them."""
_MARK = object()


class Reader:
    """The bytes of a pickle; refuses to read more than there are."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self.file, self.end = file, end

    def read(self, count: int) -> bytes:
        left = self.end - self.file.tell()
        if count > left:
            raise CheckpointError(
                f"The file is cut off: it speaks of {count} bytes where {left} are left. Fetch it "
                "again from where it came from."
            )
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(LIMITS.line)
        if len(line) >= LIMITS.line:
            raise CheckpointError("The file holds an endless line. It is not a checkpoint.")
        return line

    def tell(self) -> int:
        return self.file.tell()


def length_of(file: IO[bytes]) -> int:
    """Return the length of a file; its position stays."""
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return end


def unpickle(
    file: IO[bytes],
    budget: Budget | None = None,
    storages: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the next pickle of a binary file, as plain values, arrays, tensors and inert records.

    Args:
        file: Read from its position to the end of the pickle.
        budget: What reading may cost; by default what suits the length of the file.
        storages: Gives the storage that a persistent identifier of torch names.

    Raises:
        CheckpointError: The pickle is broken, or asks for something that is not allowed.
    """
    end = length_of(file)
    machine = Machine(budget or Budget(end), storages)
    try:
        value = machine.run(Reader(file, end))
    except SteerbenchError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"The file is not a well-formed pickle ({type(error).__name__}: {str(error)[:200]}). "
            "Fetch it again from where it came from."
        ) from error
    _measure(value)
    return value


class Machine:
    """The stack machine, one method an instruction; instructions without a method are refused."""

    def __init__(self, budget: Budget, storages: Callable[[Any], Any] | None) -> None:
        self.budget, self.storages = budget, storages
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, reader: Reader) -> Any:
        for opcode, argument, _ in pickletools.genops(reader):  # type: ignore[arg-type]
            if opcode.name in _VALUES:
                self.push(argument)
                continue
            step = getattr(self, f"do_{opcode.name.lower()}", None)
            if step is None:
                raise CheckpointError(
                    f"The file uses the pickle instruction {opcode.name}, which no published "
                    "checkpoint needs. It is refused; ask its authors for a state dict."
                )
            step(argument)
        value = self.pop()
        if self.stack:
            raise ValueError("values are left over at its end")
        return value

    def push(self, value: Any) -> None:
        self.budget.charge_value(value)
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark stands where a value should")
        return value

    def top(self) -> Any:
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise ValueError("a mark is missing")

    # Constants, the stack and the memo.

    def do_proto(self, version: int) -> None:
        if version > 5:
            raise CheckpointError(f"The file uses pickle protocol {version}; 0 to 5 are known.")

    def do_frame(self, _: int) -> None:
        """Return frames help files that are read piecewise; lengths are checked at each value."""

    def do_stop(self, _: None) -> None:
        """Return the last instruction; `run` ends by itself."""

    def do_mark(self, _: None) -> None:
        self.push(_MARK)

    def do_pop(self, _: None) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: None) -> None:
        self.pop_to_mark()

    def do_dup(self, _: None) -> None:
        self.push(self.top())

    def do_none(self, _: None) -> None:
        self.push(None)

    def do_newtrue(self, _: None) -> None:
        self.push(True)

    def do_newfalse(self, _: None) -> None:
        self.push(False)

    def do_put(self, index: int) -> None:
        if not 0 <= index < 2**32:
            raise ValueError(f"the memo has no place {index}")
        self.budget.charge(100)
        self.memo[index] = self.top()

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: None) -> None:
        self.do_put(len(self.memo))

    def do_get(self, index: int) -> None:
        self.push(self.memo[index])

    do_binget = do_long_binget = do_get

    def do_readonly_buffer(self, _: None) -> None:
        """Return whether a buffer may be written makes no difference here."""

    # Containers.

    def do_empty_tuple(self, _: None) -> None:
        self.push(())

    def do_tuple(self, _: None) -> None:
        self.push(tuple(self.pop_to_mark()))

    def do_tuple1(self, _: None) -> None:
        self.push((self.pop(),))

    def do_tuple2(self, _: None) -> None:
        second, first = self.pop(), self.pop()
        self.push((first, second))

    def do_tuple3(self, _: None) -> None:
        third, second, first = self.pop(), self.pop(), self.pop()
        self.push((first, second, third))

    def do_empty_list(self, _: None) -> None:
        self.push([])

    def do_list(self, _: None) -> None:
        self.push(self.pop_to_mark())

    def do_append(self, _: None) -> None:
        self.append([self.pop()])

    def do_appends(self, _: None) -> None:
        self.append(self.pop_to_mark())

    def append(self, items: list[Any]) -> None:
        if type(self.top()) is not list:
            raise ValueError(f"items are added to a {type(self.top()).__name__}")
        self.top().extend(items)

    def do_empty_dict(self, _: None) -> None:
        self.push({})

    def do_dict(self, _: None) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    def do_setitem(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def do_setitems(self, _: None) -> None:
        self.set_items(self.pop_to_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"entries are set in a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value
        self.budget.charge(50 * len(items))

    def do_empty_set(self, _: None) -> None:
        self.push(set())

    def do_frozenset(self, _: None) -> None:
        self.push(frozenset(plain_key(item) for item in self.pop_to_mark()))

    def do_additems(self, _: None) -> None:
        items = self.pop_to_mark()
        if not isinstance(self.top(), set):
            raise ValueError(f"items are added to a {type(self.top()).__name__}")
        self.top().update(plain_key(item) for item in items)
        self.budget.charge(50 * len(items))

    # Names, calls and objects.

    def do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push(find(module, name))

    def do_stack_global(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name is not a string")
        self.push(find(module, name))

    def do_reduce(self, _: None) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    do_newobj = do_reduce

    def do_newobj_ex(self, _: None) -> None:
        keywords, arguments, function = self.pop(), self.pop(), self.pop()
        if keywords:
            raise ValueError("an object is made with keywords")
        self.call(function, arguments)

    def do_obj(self, _: None) -> None:
        function, *arguments = self.pop_to_mark()
        self.call(function, tuple(arguments))

    def do_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.call(find(module, name), tuple(self.pop_to_mark()))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError(f"a {type(function).__name__} is called")
        self.push(function.make(self.budget, *arguments))

    def do_build(self, _: None) -> None:
        state = self.pop()
        build(self.budget, self.top(), state)

    def do_binpersid(self, _: None) -> None:
        identifier = self.pop()
        if self.storages is None:
            raise ValueError("it refers to data outside itself")
        self.push(self.storages(identifier))


def _measure(value: Any) -> None:
    """Refuse what a walk through the value would not survive: depth, cycles, endless sharing."""
    sizes: dict[int, tuple[int, int]] = {}

    def measure(item: Any, depth: int) -> tuple[int, int]:
        children = _children(item)
        if not children:
            return 1, 0
        size, height = sizes.get(id(item), (0, 0))
        if depth + height > LIMITS.nesting:
            raise CheckpointError(
                f"The file nests values deeper than {LIMITS.nesting} levels, or holds one that "
                "contains itself. No checkpoint needs that; it is refused."
            )
        if not size:
            inner = [measure(child, depth + 1) for child in children]
            size = 1 + sum(each[0] for each in inner)
            height = 1 + max(each[1] for each in inner)
            sizes[id(item)] = size, height
        if size > LIMITS.values:
            raise CheckpointError(
                f"The file repeats itself to more than {LIMITS.values} values. No checkpoint needs "
                "that; it is refused."
            )
        return size, height

    measure(value, 0)


def _children(item: Any) -> Any:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, np.ndarray) and item.dtype == object:
        return item.ravel().tolist()
    return [item.args, item.state] if isinstance(item, Record) else ()
