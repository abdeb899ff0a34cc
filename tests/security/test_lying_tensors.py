"""Tensors and arrays whose shape, stride, type or length is a lie, in every container."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.security.forging import Lie, Numbers, legacy, npy, npy_head, pickled, zipped
from tests.security.guard import Guard

TEN = np.zeros(10, np.float32)
LIES: dict[str, Any] = {
    "more than the storage": Lie(Numbers("0", 10), 0, (11,), (1,)),
    "far out": Lie(Numbers("0", 10), 9, (2,), (1,)),
    "a stride far out": Lie(Numbers("0", 10), 0, (2,), (2**40,)),
    "an offset below": Lie(Numbers("0", 10), -1, (2,), (1,)),
    "an offset without end": Lie(Numbers("0", 10), 2**60, (1,), (1,)),
    "a negative stride": Lie(Numbers("0", 10), 5, (2,), (-1,)),
    "a negative shape": Lie(Numbers("0", 10), 0, (-2, -2), (1, 1)),
    "expanded": Lie(Numbers("0", 10), 0, (10**6, 10**6), (0, 0)),
    "an empty side": Lie(Numbers("0", 10), 0, (0, 2**40), (1, 1)),
    "endless product": Lie(Numbers("0", 10), 0, (2**40, 2**40), (1, 1)),
    "a product that wraps to ten": Lie(Numbers("0", 10), 0, (2**32, 2**32, 10), (1, 1, 1)),
    "many dimensions": Lie(Numbers("0", 10), 0, (1,) * 70, (1,) * 70),
    "other dimensions": Lie(Numbers("0", 10), 0, (2, 2), (1,)),
    "a shape of text": Lie(Numbers("0", 10), 0, ("2",), (1,)),
    "a shape of floats": Lie(Numbers("0", 10), 0, (2.0,), (1,)),
    "a shape of booleans": Lie(Numbers("0", 10), 0, (True,), (1,)),
    "a shape that is a number": Lie(Numbers("0", 10), 0, 2, (1,)),
    "an offset of text": Lie(Numbers("0", 10), "0", (2,), (1,)),
    "no storage": Lie([], 0, (1,), (1,)),
    "a missing storage": Lie(Numbers("7", 10), 0, (1,), (1,)),
    "a storage by a path": Lie(Numbers("../0", 10), 0, (1,), (1,)),
    "a storage without a word": Lie(Numbers(("0",), 10), 0, (1,), (1,)),  # type: ignore[arg-type]
    "a longer storage": Lie(Numbers("0", 11), 0, (1,), (1,)),
    "a shorter storage": Lie(Numbers("0", 9), 0, (1,), (1,)),
    "an endless storage": Lie(Numbers("0", 2**60), 0, (1,), (1,)),
    "a storage of a terabyte": Lie(Numbers("0", 2**38), 0, (1,), (1,)),
    "a negative storage": Lie(Numbers("0", -1), 0, (1,), (1,)),
    "a storage of text": Lie(Numbers("0", "10"), 0, (1,), (1,)),
    "a storage of no kind": Lie(Numbers("0", 10, "FloatStorage"), 0, (1,), (1,)),
    "a window far out": Lie(Numbers("0", 10, torch.FloatStorage, ("v", 8, 5)), 0, (1,), (1,)),
    "a window below": Lie(Numbers("0", 10, torch.FloatStorage, ("v", -5, 5)), 0, (1,), (1,)),
    "a window of text": Lie(Numbers("0", 10, torch.FloatStorage, "view"), 0, (1,), (1,)),
    "a storage of other numbers": [
        Lie(Numbers("0", 10), 0, (1,), (1,)), Lie(Numbers("0", 10, torch.IntStorage), 0, (1,), (1,))
    ],
    "a storage of wider numbers": Lie(Numbers("0", 10, torch.DoubleStorage), 0, (10,), (1,)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LIES))
def test_lying_tensors_are_refused(name: str, guard: Guard) -> None:
    data = pickled({"a": LIES[name]})
    guard.refuse(zipped(data, {"0": TEN.tobytes()}))
    guard.refuse(legacy(data, {"0": TEN}))
    guard.refuse(zipped(data, {"0": TEN.tobytes()}), how="direction")


def windows(count: int, length: int) -> Any:
    """Many tensors on nearly all of one storage: copied, they would take its memory many times."""
    return [Lie(Numbers("0", length), i, (length - count,), (1,)) for i in range(count)]


def test_many_windows_on_one_storage_are_refused(guard: Guard) -> None:
    data = pickled({"a": windows(99, 10**6)})
    guard.refuse(zipped(data, {"0": bytes(4 * 10**6)}), "more tensors")
    guard.refuse(legacy(data, {"0": np.zeros(10**6, np.float32)}), "more tensors")


def test_an_old_file_whose_counts_differ_is_refused(guard: Guard) -> None:
    data = pickled({"a": Lie(Numbers("0", 10), 0, (10,), (1,))})
    whole = legacy(data, {"0": TEN})
    guard.refuse(whole, "no known format")
    place = len(whole) - TEN.nbytes - 8
    for count in (0, 9, 11, 2**31, 2**63, 2**64 - 1):
        forged = whole[:place] + count.to_bytes(8, "little") + whole[place + 8 :]
        guard.refuse(forged, "comes with")
    guard.refuse(legacy(data, {}))
    guard.refuse(legacy(data, {"0": TEN, "1": TEN}))
    guard.refuse(whole[: -len(TEN.tobytes())], "cut off")


# Arrays inside pickles.

OBJECTS = {
    "objects": np.array([{}, []], dtype=object),
    "structures": np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
    "text": np.array(["a", "b"]),
    "times": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "complex numbers": np.zeros(2, complex),
    "nothing": np.zeros(2, "V8"),
}


@pytest.mark.parametrize("name", sorted(OBJECTS))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_anything_but_numbers_are_refused(name: str, protocol: int, guard: Guard) -> None:
    guard.refuse(pickle.dumps({"a": OBJECTS[name]}, protocol))


def test_an_array_whose_shape_lies_is_refused(guard: Guard) -> None:
    data = pickle.dumps(np.zeros((3, 5), np.float32), 2)
    assert data.count(b"K\x03K\x05") == 1
    guard.refuse(data.replace(b"K\x03K\x05", b"K\x04K\x05"), "bytes")
    guard.refuse(data.replace(b"K\x03K\x05", b"K\x03K\x04"), "bytes")
    guard.refuse(data.replace(b"U\x02f4", b"U\x02f8"))
    huge = b"\x8a\x06" + bytes(5) + b"\x01"
    guard.refuse(data.replace(b"K\x03K\x05", huge * 2))


# NumPy's files.

HEADERS: dict[str, bytes] = {
    "a shape without end": npy("<f4", "(1099511627776, 1099511627776)", bytes(40)),
    "more than there is": npy("<f4", "(11,)", bytes(40)),
    "less than there is": npy("<f4", "(9,)", bytes(40)),
    "a product that wraps": npy("<f4", "(4294967296, 4294967296, 10)", bytes(40)),
    "an empty side": npy("<f4", "(0, 99999999999999999999)", b""),
    "a negative shape": npy("<f4", "(-1, -10)", bytes(40)),
    "a shape of text": npy("<f4", "('a',)", bytes(40)),
    "a shape that is a call": npy("<f4", "(__import__('os').system('x'),)", bytes(40)),
    "a shape that nests": npy("<f4", "(" * 5000 + ")" * 5000, bytes(40)),
    "many dimensions": npy("<f4", "(" + "1, " * 60 + ")", bytes(4)),
    "digits without end": npy("<f4", "(" + "9" * 9000 + ",)", bytes(40)),
    "wider numbers": npy("<f8", "(10,)", bytes(40)),
    "no type": npy("", "(10,)", bytes(40)),
    "half a type": npy("<f", "(10,)", bytes(40)),
    "a type that is a call": npy("__import__", "(10,)", bytes(40)),
    "numbers as objects": npy("|O", "(10,)", bytes(40)),
    "a structure": npy_head("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n"),
    "a hanging header": b"\x93NUMPY\x01\x00\xff\xff{",
    "an endless header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "a long header": npy_head("{" + " " * 10**6 + "}", version=2),
    "an unknown version": b"\x93NUMPY\x09\x00" + npy("<f4", "(10,)", bytes(40))[8:],
    "no order": npy("<f4", "(10,)", bytes(40), fortran="Perhaps"),
    "no header": b"\x93NUMPY\x01\x00\x00\x00" + bytes(40),
    "half a beginning": b"\x93NUMPY\x01",
}


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_lying_headers_of_arrays_are_refused(name: str, guard: Guard) -> None:
    for how in ("load", "read", "direction"):
        guard.refuse(HEADERS[name], how=how)


# safetensors.


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "a header without end": lambda: safetensors({}, length=2**63),
    "a header longer than the file": lambda: safetensors({}, length=1000),
    "a header cut short": lambda: safetensors({"a": entry([1], [0, 4])}, bytes(4), length=10),
    "a hundred megabytes of header": lambda: safetensors(b"{" + b" " * 20 * 2**20 + b"}"),
    "no object": lambda: safetensors(b"[1, 2]        "),
    "no text": lambda: safetensors(b"{\xff\xfe\xfd}    "),
    "nesting": lambda: safetensors(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "a name twice": lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "more than there is": lambda: safetensors({"a": entry([11], [0, 44])}, bytes(40)),
    "less than there is": lambda: safetensors({"a": entry([9], [0, 36])}, bytes(40)),
    "a shape that lies": lambda: safetensors({"a": entry([11], [0, 40])}, bytes(40)),
    "a product that wraps": lambda: safetensors(
        {"a": entry([2**32, 2**32, 10], [0, 40])}, bytes(40)
    ),
    "a negative shape": lambda: safetensors({"a": entry([-1, -10], [0, 40])}, bytes(40)),
    "offsets backwards": lambda: safetensors({"a": entry([10], [40, 0])}, bytes(40)),
    "offsets that overlap": lambda: safetensors(
        {"a": entry([10], [0, 40]), "b": entry([10], [0, 40])}, bytes(40)
    ),
    "a gap": lambda: safetensors({"a": entry([1], [0, 4]), "b": entry([1], [8, 12])}, bytes(12)),
    "offsets without end": lambda: safetensors({"a": entry([2**60], [0, 2**62])}, bytes(40)),
    "an unknown type": lambda: safetensors({"a": entry([10], [0, 40], "X9")}, bytes(40)),
    "a type of objects": lambda: safetensors({"a": entry([10], [0, 40], "O")}, bytes(40)),
    "an entry that is text": lambda: safetensors({"a": "os.system"}, bytes(40)),
    "a header of ours half gone": lambda: safetensors({"__metadata__": {"sha256": "0"}}),
}


@pytest.mark.parametrize("name", sorted(SAFETENSORS))
def test_lying_safetensors_are_refused(name: str, guard: Guard) -> None:
    for how in ("load", "read", "direction"):
        guard.refuse(SAFETENSORS[name](), how=how)
