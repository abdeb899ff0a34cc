"""What a file may hold comes back as it was: plain values, arrays, tensors."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import pickle
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints import read
from tests import direction_files


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_they_are(protocol: int, tmp_path: Path) -> None:
    value = {
        "numbers": [1, -2, 2**40, 1.5, True, None],
        "text": "bedroom \u2603",
        "bytes": b"\x00\xff",
        "nested": ({"a": (1, 2, 3, 4)}, {"s", "t"}),
        "ordered": OrderedDict(a=1, b=2),
        "array": np.arange(6, dtype=">f4").reshape(2, 3),
        "scalar": np.float64(0.25),
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    again = read(tmp_path / "x.pkl").value
    assert np.array_equal(again.pop("array"), value.pop("array"))
    assert again == value


@pytest.mark.parametrize("new", [True, False])
def test_tensors_are_read_as_torch_reads_them(new: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    value: dict[str, Tensor] = {
        "part": base[1:, ::2].T,
        "half": base.half(),
        "brain": base.bfloat16(),
        "long": base.long(),
        "flags": base > 3,
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(base.clone()),
    }
    torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    again = read(tmp_path / "x.pt").value
    assert list(again) == list(value)
    for name in value:
        assert again[name].dtype == value[name].dtype
        assert torch.equal(again[name], value[name].detach()), name


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|u1", "<i8", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1, 2, 3)])
def test_arrays_are_read_as_numpy_reads_them(
    dtype: str, order: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    contents = read(tmp_path / "x.npy")
    assert contents.kind == "NumPy array"
    assert contents.value.dtype == array.dtype
    assert np.array_equal(contents.value, array)
    for name, write in [("stored", np.savez), ("packed", np.savez_compressed)]:
        write(tmp_path / f"{name}.npz", first=array, second=array)
        contents = read(tmp_path / f"{name}.npz")
        assert contents.kind == "NumPy archive"
        assert list(contents.value) == ["first", "second"]
        assert np.array_equal(contents.value["second"], array)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_an_object_in_an_array_is_read_as_it_is(protocol: int, tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None], "nested": {"text": "\u2603"}}
    (tmp_path / "x.npy").write_bytes(direction_files.npy(value, protocol))
    assert read(tmp_path / "x.npy").value == value


def test_a_word_of_python_2_is_read(tmp_path: Path) -> None:
    head = b"\x93NUMPY\x01\x00"
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    data = head + len(text).to_bytes(2, "little") + text + np.ones(6, "<f4").tobytes()
    (tmp_path / "x.npy").write_bytes(data)
    assert read(tmp_path / "x.npy").value.shape == (2, 3)


def test_an_array_inside_a_checkpoint_may_not_hold_objects(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(np.array({}, dtype=object), 4))
    with pytest.raises(CheckpointError, match="'O8'"):
        read(tmp_path / "x.pkl")


named = torch.ones(2)
named.note = "a tensor with an attribute"  # type: ignore[attr-defined]

COMPANY: dict[str, Any] = {
    "a namespace with a path": argparse.Namespace(out=pathlib.Path("runs/1")),
    "paths": [pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")],
    "a dictionary with defaults": collections.defaultdict(list, loss=[1.0]),
    "a counter": collections.Counter("ab"),
    "a queue": collections.deque([1, 2], maxlen=3),
    "times": [datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1), datetime.timedelta(1)],
    "a zone": datetime.UTC,
    "numbers": [decimal.Decimal("0.1"), fractions.Fraction(1, 3), 1 + 2j],
    "an identifier": uuid.UUID(int=7),
    "types": [int, float, str, list, dict],
    "a range": range(3),
    "a slice": slice(1, 2),
    "bytes": [b"", b"x", bytearray(b"x")],
    "types of numbers": [torch.float16, torch.bfloat16, torch.uint16, torch.float8_e4m3fn],
    "a tensor with an attribute": named,
    "a parameter with an attribute": torch.nn.Parameter(torch.ones(2)),
    "complex numbers": [torch.zeros(2, dtype=torch.complex64), torch.ones(2, dtype=torch.cdouble)],
    "unsigned numbers": torch.zeros(2, dtype=torch.uint16),
    "a sparse tensor": torch.eye(2).to_sparse(),
    "an expanded tensor": torch.zeros(1).expand(5),
    "an empty array": np.zeros(0),
    "fractions as keys": {0.5: 1},
    "tuples as keys": {(4, 4): 1, ("a", None): 2},
}
"""What people keep beside their weights, by name."""


@pytest.mark.parametrize("name", COMPANY)
@pytest.mark.parametrize("new", [True, False])
def test_harmless_company_of_the_weights_is_left_out(name: str, new: bool, tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    value = {"weight": weight, "company": COMPANY[name], "last": torch.ones(1)}
    torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    again = read(tmp_path / "x.pt").value
    assert torch.equal(again["weight"], weight)
    assert torch.equal(again["last"], torch.ones(1))


def test_keys_that_are_no_words_become_their_text(tmp_path: Path) -> None:
    torch.save({0.5: 1, (4, "a"): 2, 3: 4}, tmp_path / "x.pt")
    assert read(tmp_path / "x.pt").value == {"0.5": 1, "(4, 'a')": 2, 3: 4}
    torch.save({((1, 2), 3): 1}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="a key of a dictionary is a tuple"):
        read(tmp_path / "x.pt")
