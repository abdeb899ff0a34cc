"""Pieces that hostile files are put together from."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import torch


class Call:
    """A pickle that calls any function by name."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name, self.arguments = name, arguments

    def pickled(self, protocol: int = 0) -> bytes:
        """The call, written by hand, because the function need not be importable here."""
        module, _, name = self.name.rpartition(".")
        head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
        arguments = pickle.dumps(self.arguments, 2)[2:-1]
        return head + f"c{module}\n{name}\n".encode() + arguments + b"R."

    def inner(self) -> bytes:
        """The call as a part of a longer pickle."""
        return self.pickled()[:-1]

    def in_all_ways(self) -> dict[str, bytes]:
        """Every instruction by which a pickle can reach a function."""
        module, _, name = self.name.rpartition(".")
        found = f"c{module}\n{name}\n".encode()
        arguments = pickle.dumps(self.arguments, 2)[2:-1]
        spread = b"".join(pickle.dumps(argument, 2)[2:-1] for argument in self.arguments)
        stacked = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
        return {
            "REDUCE": b"\x80\x02" + found + arguments + b"R.",
            "REDUCE after STACK_GLOBAL": b"\x80\x04" + stacked + b"\x93" + arguments + b"R.",
            "INST": b"(" + spread + f"i{module}\n{name}\n.".encode(),
            "OBJ": b"(" + found + spread + b"o.",
            "NEWOBJ": b"\x80\x02" + found + arguments + b"\x81.",
            "NEWOBJ_EX": b"\x80\x04" + found + arguments + b"}\x92.",
            "BUILD": b"\x80\x02" + found + arguments + b"b.",
            "EXT1": b"\x80\x02\x82\x01" + arguments + b"R.",
            "PERSID": b"P" + name.encode() + b"\n.",
        }


def legacy_head() -> bytes:
    """What an old torch file begins with."""
    machine = {"protocol_version": 1001, "little_endian": True}
    return b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, machine))


def archive(*members: tuple[str, bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as target:
        for name, data in members:
            target.writestr(name, data)
    return file.getvalue()


def zipped(pickled: bytes, storages: dict[str, bytes], **more: bytes) -> bytes:
    """A file as torch.save writes it."""
    parts = [("x/data.pkl", pickled)]
    parts += [(f"x/data/{key}", data) for key, data in storages.items()]
    return archive(*parts, *more.items())


def legacy(pickled: bytes, storages: dict[str, np.ndarray]) -> bytes:
    """A file as torch.save wrote it before it wrote archives."""
    data = legacy_head() + pickled + pickle.dumps(list(storages), 2)
    for array in storages.values():
        data += len(array).to_bytes(8, "little") + array.tobytes()
    return data


class Numbers:
    """Stands for a storage of torch while a file is made."""

    def __init__(self, key: str, count: Any, kind: Any = torch.FloatStorage, *view: Any) -> None:
        self.identifier = ("storage", kind, key, "cpu", count, *view)


class Lie:
    """Pickles as a tensor of any shape, stride and offset on a storage."""

    def __init__(self, storage: Any, offset: Any, shape: Any, stride: Any) -> None:
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


class Maker(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.identifier if isinstance(value, Numbers) else None


def pickled(value: Any) -> bytes:
    file = io.BytesIO()
    Maker(file, 2).dump(value)
    return file.getvalue()


def npy_head(text: str, version: int = 1) -> bytes:
    """The beginning of a NumPy file with any header."""
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode("latin1")


def npy(descr: str, shape: str, data: bytes = b"", fortran: str = "False") -> bytes:
    """A NumPy file that declares whatever it likes."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"
    return npy_head(text) + data


def objects(pickled: bytes, shape: str = "()") -> bytes:
    """A NumPy file of objects around any pickle."""
    return npy("|O", shape, pickled)


def around(inner: bytes) -> bytes:
    """A pickled array of one object, the object given as a part of a pickle."""
    array = pickle.dumps(np.array(0, dtype=object), 2)
    assert array.count(b"K\x00a") == 1
    return array.replace(b"K\x00a", inner + b"a")
