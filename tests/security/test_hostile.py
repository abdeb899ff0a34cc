"""Files made to harm, and files that went wrong: each is refused with a reason, or is right.

Never may reading one execute anything, hang, or take memory out of proportion to the file. The
files are made here; whole ones to damage are recorded checkpoints, or made where there are none.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators import BaseGenerator, load
from steerbench.generators.checkpoints import read
from tests.contracts.test_generators import dcgan

pytestmark = pytest.mark.timeout(240)

ROOM = 40 * 2**20
"""What reading may take besides three times the file: Python's own values, bounded by a budget."""


class Call:
    """Pickles as a call of any function by name."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name, self.arguments = name, arguments

    def pickled(self, protocol: int = 0) -> bytes:
        """The call, written by hand, because the function need not be importable here."""
        module, _, name = self.name.rpartition(".")
        head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
        arguments = pickle.dumps(self.arguments, 2)[2:-1]
        return head + f"c{module}\n{name}\n".encode() + arguments + b"R."


def refused(path: Path, data: bytes, says: str | None = None) -> None:
    """Reading this file raises CheckpointError, and takes no more memory than it may."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=says):
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(data) + ROOM


def zipped(pickled: bytes, storages: dict[str, bytes], **more: bytes) -> bytes:
    """A file as torch.save writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        for key, data in storages.items():
            archive.writestr(f"x/data/{key}", data)
        for name, data in more.items():
            archive.writestr(name, data)
    return file.getvalue()


class Numbers:
    """Stands for a storage of torch while a file is made."""

    def __init__(self, key: str, count: Any, kind: Any = torch.FloatStorage) -> None:
        self.identifier = ("storage", kind, key, "cpu", count)


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


# Names that must not be called.

NAMES = [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "subprocess.check_output",
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.open", "builtins.getattr",
    "builtins.__import__", "__builtin__.eval", "__builtin__.apply", "importlib.import_module",
    "runpy.run_path", "runpy._run_code", "pickle.loads", "_pickle.loads", "marshal.loads",
    "types.FunctionType", "types.CodeType", "functools.partial", "functools.reduce",
    "operator.attrgetter", "operator.methodcaller", "timeit.timeit", "pdb.run", "code.interact",
    "webbrowser.open", "shutil.rmtree", "pip.main", "ctypes.CDLL", "socket.socket",
    "torch.load", "torch.serialization.load", "torch.hub.load", "torch.jit.load",
    "torch.storage._load_from_bytes.__globals__", "torch._utils._import_dotted_name",
    "torch.utils.cpp_extension.load", "numpy.load", "numpy.fromfile", "numpy.memmap",
    "numpy.testing._private.utils.runstring", "numpy.f2py.compile", "collections.namedtuple",
    "training.networks.Generator", "__main__.Generator", "dnnlib.util.open_url",
    "torch_utils.persistence._src_to_module", "copyreg.__newobj__.x", "sys.modules.get",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_name_that_is_not_allowed_is_told(name: str, protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    call = Call(name, f"touch {canary}")
    refused(tmp_path / "x.pkl", call.pickled(protocol), name.rsplit(".", 1)[0])
    assert not canary.exists()


@pytest.mark.parametrize("where", ["list", "zip", "legacy", "storage", "module", "build", "class"])
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.exec"])
def test_a_hidden_call_is_found(name: str, where: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    call = Call(name, f"open({str(canary)!r}, 'w')")
    inner = call.pickled()[:-1]
    storage = b"ctorch.storage\n_load_from_bytes\n("
    module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n("
    files = {
        "list": b"\x80\x02](" + inner + b"e.",
        "zip": zipped(inner + b".", {}),
        "legacy": _legacy_head() + inner + b".",
        "storage": storage + pickle.dumps(_legacy_head() + inner + b".", 4)[2:-1] + b"tR.",
        "module": module + b"}U\x05state" + inner + b"stR.",
        "build": b"cargparse\nNamespace\n)R}U\x01x" + inner + b"sb.",
        "class": f"(S'x'\ni{name.replace('.', chr(10), 1)}\n.".encode(),
    }
    refused(tmp_path / "x.pt", files[where])
    assert not canary.exists()


def _legacy_head() -> bytes:
    machine = {"protocol_version": 1001, "little_endian": True}
    return b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, machine))


# Pickles that would cost without end.


def doubling(levels: int) -> Any:
    value: Any = [0]
    for _ in range(levels):
        value = [value, value]
    return value


def _cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


COSTLY = {
    "doubling lists": lambda: pickle.dumps(doubling(60)),
    "doubling in a state dict": lambda: pickle.dumps({"g_ema": doubling(40)}),
    "a list in itself": lambda: pickle.dumps(_cycle()),
    "nested lists": lambda: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested tuples as a key": lambda: b"\x80\x02}" + b")" + b"\x85" * 50_000 + b"Ns.",
    "doubling tuples as a key": lambda: b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
    "colliding keys": lambda: pickle.dumps({i * (2**61 - 1): 0 for i in range(3000)}),
    "a far place in the memo": lambda: b"\x80\x02]r\xff\xff\xff\xff.",
    "a memo place without end": lambda: b"]p" + b"9" * 4000 + b"\n.",
    "many empty lists": lambda: b"\x80\x02(" + b"]" * 400_000 + b"l.",
    "many memo places": lambda: b"\x80\x04]" + b"\x94" * 400_000 + b".",
    "many duplicates": lambda: b"\x80\x02](" + b"K\x01" + b"2" * 400_000 + b"l.",
    "marks": lambda: b"\x80\x02" + b"(" * 400_000 + b".",
    "bytes without end": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "a buffer without end": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "text without end": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"x.",
    "old text without end": lambda: b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x.",
    "an endless number": lambda: b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
    "an endless line": lambda: b"V" + b"x" * 1_000_000 + b"\n.",
    "a frame without end": lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a digit bomb": lambda: b"L" + b"9" * 60_000 + b"L\n.",
    "a key of digits": lambda: b"\x80\x02}\x8b" + struct.pack("<i", 10**6) + b"x" * 10**6 + b"Ns.",
    "an out-of-band buffer": lambda: b"\x80\x05\x97.",
    "an extension": lambda: b"\x80\x02\x82\x01.",
    "a persistent name": lambda: b"Px\n.",
    "protocol 200": lambda: b"\x80\xc8N.",
    "nothing on the stack": lambda: b"\x80\x02.",
    "no end": lambda: b"\x80\x02]]]",
    "no mark": lambda: b"\x80\x02t.",
    "memo without entry": lambda: b"\x80\x02h\x07.",
    "a call of a list": lambda: b"\x80\x02])R.",
    "a state for a number": lambda: b"\x80\x02K\x01}b.",
}


@pytest.mark.parametrize("name", sorted(COSTLY))
def test_costly_pickles_are_refused(name: str, tmp_path: Path) -> None:
    refused(tmp_path / "x.pkl", COSTLY[name]())


# Numbers that lie.

TEN = {"0": np.zeros(10, np.float32).tobytes()}
LIES = {
    "more than the storage": Lie(Numbers("0", 10), 0, (11,), (1,)),
    "far out": Lie(Numbers("0", 10), 9, (2,), (1,)),
    "an offset below": Lie(Numbers("0", 10), -1, (2,), (1,)),
    "a negative stride": Lie(Numbers("0", 10), 5, (2,), (-1,)),
    "a negative shape": Lie(Numbers("0", 10), 0, (-2, -2), (1, 1)),
    "expanded": Lie(Numbers("0", 10), 0, (10**6, 10**6), (0, 0)),
    "an empty side": Lie(Numbers("0", 10), 0, (0, 2**40), (1, 1)),
    "endless product": Lie(Numbers("0", 10), 0, (2**40, 2**40), (1, 1)),
    "many dimensions": Lie(Numbers("0", 10), 0, (1,) * 70, (1,) * 70),
    "other dimensions": Lie(Numbers("0", 10), 0, (2, 2), (1,)),
    "a shape of text": Lie(Numbers("0", 10), 0, ("2",), (1,)),
    "a shape of floats": Lie(Numbers("0", 10), 0, (2.0,), (1,)),
    "no storage": Lie([], 0, (1,), (1,)),
    "a missing storage": Lie(Numbers("7", 10), 0, (1,), (1,)),
    "a longer storage": Lie(Numbers("0", 11), 0, (1,), (1,)),
    "a shorter storage": Lie(Numbers("0", 9), 0, (1,), (1,)),
    "an endless storage": Lie(Numbers("0", 2**60), 0, (1,), (1,)),
    "a negative storage": Lie(Numbers("0", -1), 0, (1,), (1,)),
    "a storage of text": Lie(Numbers("0", "10"), 0, (1,), (1,)),
    "a storage of other numbers": [
        Lie(Numbers("0", 10), 0, (1,), (1,)), Lie(Numbers("0", 10, torch.IntStorage), 0, (1,), (1,))
    ],
    "a thousand windows": [Lie(Numbers("0", 10**6), i, (10**6 - 1000,), (1,)) for i in range(99)],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LIES))
def test_lying_tensors_are_refused(name: str, tmp_path: Path) -> None:
    storages = {"0": bytes(4 * 10**6)} if "windows" in name else TEN
    refused(tmp_path / "x.pt", zipped(pickled({"a": LIES[name]}), storages))


ARRAYS = {
    "objects": np.array([{}, []], dtype=object),
    "structures": np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
    "text": np.array(["a", "b"]),
    "times": np.array(["2020-01-01"], dtype="datetime64[D]"),
}


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_arrays_of_anything_but_numbers_are_refused(name: str, tmp_path: Path) -> None:
    refused(tmp_path / "x.pkl", pickle.dumps({"a": ARRAYS[name]}, 4))


def test_an_array_whose_shape_lies_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros((3, 5), np.float32), 2)
    assert data.count(b"K\x03K\x05") == 1
    refused(tmp_path / "x.pkl", data.replace(b"K\x03K\x05", b"K\x04K\x05"), "bytes")


# Archives.


def archive(*members: tuple[str, bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as target:
        for name, data in members:
            target.writestr(name, data)
    return file.getvalue()


GOOD = ("x/data.pkl", pickle.dumps({}, 2))
ARCHIVES = {
    "an absolute path": lambda: archive(GOOD, ("/etc/passwd", b"x")),
    "a path upward": lambda: archive(GOOD, ("x/../../y", b"x")),
    "a drive": lambda: archive(GOOD, ("C:/x", b"x")),
    "a path of Windows": lambda: archive(GOOD, ("..\\x", b"x")),
    "a bomb": lambda: archive(
        ("x/data.pkl", b"\x80\x02]" + bytes(10**7)), compress=zipfile.ZIP_DEFLATED
    ),
    "a bomb beside": lambda: archive(
        GOOD, ("x/data/0", bytes(10**8)), compress=zipfile.ZIP_DEFLATED
    ),
    "a program": lambda: archive(GOOD, ("x/constants.pkl", b"."), ("x/code/a.py", b"print()")),
    "two pickles": lambda: archive(GOOD, ("y/data.pkl", b"N.")),
    "none": lambda: archive(("readme.txt", b"hello")),
    "big-endian": lambda: archive(GOOD, ("x/byteorder", b"big")),
    "many members": lambda: archive(GOOD, *((f"x/{i}", b"") for i in range(30_000))),
    "only its end": lambda: b"PK\x05\x06" + bytes(18),
    "only its beginning": lambda: b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_archives_made_to_harm_are_refused(name: str, tmp_path: Path) -> None:
    refused(tmp_path / "x.pt", ARCHIVES[name]())
    assert sorted(os.listdir(tmp_path)) == ["x.pt"]


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    data = archive(GOOD, *((f"x/data/{i}", bytes(5000)) for i in range(3)))
    names = [f"x/data/{i}".encode() for i in range(3)]
    places = [data.index(name) - 30 for name in names]
    directory = data.rindex(b"PK\x01\x02" + data[data.rindex(names[2]) - 42 :][:8])
    shifted = bytearray(data)
    shifted[directory + 42 : directory + 46] = struct.pack("<I", places[0])
    refused(tmp_path / "x.pt", bytes(shifted))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n",
     bytes(1000), b"\xff" * 1000, b"\x89PNG\r\n\x1a\n" + bytes(100), b"\x80", b"\x80\x04", b"{}",
     b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 8 + b"{"],
)  # fmt: skip
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    refused(tmp_path / "x.pkl", data)


# Whole files, damaged.


def whole_files(find: Callable[[str], Path]) -> dict[str, bytes]:
    recorded = {
        "zip": "fixtures/dcgan_64_rgb/netG.pth",
        "legacy": "fixtures/rosinality_sg2_64/model.pt",
        "pickle": "fixtures/sg2ada_cond64/network.pkl",
    }
    return {kind: find(name).read_bytes() for kind, name in recorded.items()}


def made_files() -> dict[str, bytes]:
    state = {k: v.clone() for k, v in dcgan().module.state_dict().items()}
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(state, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    return {"zip": zipped.getvalue(), "legacy": legacy.getvalue()}


def is_a_right_model(generator: BaseGenerator) -> bool:
    state = generator.module.state_dict().values()
    finite = all(bool(torch.isfinite(t).all()) for t in state if t.is_floating_point())
    return finite and generator.render(generator.sample(1)).shape[-1] == generator.resolution


def survives(path: Path, data: bytes) -> bool:
    """Whether damaged data still load; anything but a refusal or a model fails."""
    path.write_bytes(data)
    try:
        generator = load(path)
    except CheckpointError:
        return False
    assert is_a_right_model(generator)
    return True


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_file_cut_anywhere_is_refused(
    kind: str, shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = whole_files(shared_path)[kind]
    for percent in range(100):
        assert not survives(tmp_path / "cut", whole[: len(whole) * percent // 100]), percent


def test_a_member_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    whole = zipped(pickled({}), {}, **{"x/\xe4": b""})
    refused(tmp_path / "name", whole.replace("\xe4".encode(), b"\xff\xff"), "archive is broken")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_flipped_bytes_are_survived(kind: str, flips: list[Any], tmp_path: Path) -> None:
    data = bytearray(made_files()[kind])
    for place, mask in flips:
        data[int(place * (len(data) - 1))] ^= mask
    survives(tmp_path / "flipped", bytes(data))


@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=3))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_flipped_bytes_of_a_persistence_pickle_are_survived(
    flips: list[Any], shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    data = bytearray(whole_files(shared_path)["pickle"])
    for place, mask in flips:
        data[int(place * (len(data) - 1))] ^= mask
    survives(tmp_path / "flipped", bytes(data))


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_whole_files_take_less_than_three_times_their_size(
    kind: str, shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = whole_files(shared_path)[kind]
    (tmp_path / "whole").write_bytes(whole)
    tracemalloc.start()
    try:
        contents = read(tmp_path / "whole")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert contents.value
    assert peak < 3 * len(whole) + ROOM


# What is allowed comes back as it was.


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
