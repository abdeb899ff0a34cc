"""Pickles made to harm: each is refused with a reason.

Never may reading a file execute anything, hang, or take memory out of proportion to the file. All
files are opened in a process that is watched (`tests.security.worker`). Tensors, archives,
arrays and damaged files have their own modules beside this one.
"""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.security.forging import Call, around, legacy_head, objects, zipped
from tests.security.guard import Guard

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
def test_a_name_that_is_not_allowed_is_told(
    name: str, protocol: int, guard: Guard, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    guard.refuse(Call(name, f"touch {canary}").pickled(protocol), name.rsplit(".", 1)[0])
    assert not canary.exists()


CALLS = ["os.system", "builtins.eval", "builtins.exec"]


def calling(name: str, canary: Path) -> Call:
    """A call that would leave a canary."""
    python = f"open({str(canary)!r}, 'w')"
    return Call(name, f"touch {canary}" if name == "os.system" else python)


@pytest.mark.parametrize("way", sorted(Call("os.system", "").in_all_ways()))
@pytest.mark.parametrize("name", CALLS)
def test_no_instruction_reaches_a_function(
    name: str, way: str, guard: Guard, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    data = calling(name, canary).in_all_ways()[way]
    says = {"EXT1": "EXT1", "PERSID": "PERSID"}.get(way, name)
    guard.refuse(data, says if way != "PERSID" else "")
    guard.refuse(zipped(data, {}), says)
    guard.refuse(objects(data), says, how="direction")
    assert not canary.exists()


def hidden(call: Call) -> dict[str, bytes]:
    """A call in every place where a file has room for one."""
    inner = call.inner()
    storage = b"ctorch.storage\n_load_from_bytes\n("
    module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n("
    nested = legacy_head() + inner + b"."
    return {
        "list": b"\x80\x02](" + inner + b"e.",
        "deep": b"\x80\x02" + b"]" * 40 + inner + b"a" * 40 + b".",
        "value": b"\x80\x02}U\x05g_ema" + inner + b"s.",
        "key": b"\x80\x02}" + inner + b"Ns.",
        "thrown away": b"\x80\x02" + inner + b"0N.",
        "after the end": b"\x80\x02N." + inner + b".",
        "memo": b"\x80\x02" + inner + b"q\x000h\x00.",
        "zip": zipped(inner + b".", {}),
        "legacy": nested,
        "storage": storage + pickle.dumps(nested, 4)[2:-1] + b"tR.",
        "storage in a storage": storage
        + pickle.dumps(legacy_head() + storage + pickle.dumps(nested, 4)[2:-1] + b"tR.", 4)[2:-1]
        + b"tR.",
        "module": module + b"}U\x05state" + inner + b"stR.",
        "source": module + b"}(U\x05state}U\x0amodule_src" + inner + b"utR.",
        "namespace": b"cargparse\nNamespace\n)R}U\x01x" + inner + b"sb.",
        "network": b"cdnnlib.tflib.network\nNetwork\n)\x81}U\x01x" + inner + b"sb.",
        "dictionary": b"ccollections\nOrderedDict\n](" + inner + inner + b"\x86etR.",
        "set": b"cbuiltins\nset\n](" + inner + b"e\x85R.",
        "reconstructor": b"ccopyreg\n_reconstructor\n(" + inner + b"cbuiltins\nobject\nNtR.",
        "array": b"cnumpy.core.multiarray\n_reconstruct\n(" + inner + b"K\x00\x85U\x01btR.",
        "array's type": b"cnumpy\ndtype\n" + inner + b"\x85R.",
        "class": f"(S'x'\ni{call.name.replace('.', chr(10), 1)}\n.".encode(),
        "npy": objects(around(inner)),
        "npy's type": objects(b"cnumpy\ndtype\n" + inner + b"\x85R."),
    }


@pytest.mark.parametrize("where", sorted(hidden(Call("os.system", ""))))
@pytest.mark.parametrize("name", CALLS)
def test_a_hidden_call_is_found(name: str, where: str, guard: Guard, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = hidden(calling(name, canary))[where]
    if where == "after the end":
        assert guard.open(data, how="read").outcome == "contents"
    else:
        says = "files within files" if where == "storage in a storage" else name
        guard.refuse(data, says)
        guard.refuse(data, says, how="direction")
    assert not canary.exists()


# Pickles that would cost without end.


def doubling(levels: int) -> Any:
    value: Any = [0]
    for _ in range(levels):
        value = [value, value]
    return value


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


COSTLY = {
    "doubling lists": lambda: pickle.dumps(doubling(60)),
    "doubling in a state dict": lambda: pickle.dumps({"g_ema": doubling(40)}),
    "a list in itself": lambda: pickle.dumps(cycle()),
    "nested lists": lambda: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested dictionaries": lambda: b"\x80\x02" + b"}N" * 50_000 + b"}" + b"s" * 50_000 + b".",
    "nested tuples as a key": lambda: b"\x80\x02}" + b")" + b"\x85" * 50_000 + b"Ns.",
    "doubling tuples as a key": lambda: b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
    "colliding keys": lambda: pickle.dumps({i * (2**61 - 1): 0 for i in range(3000)}),
    "a far place in the memo": lambda: b"\x80\x02]r\xff\xff\xff\xff.",
    "a memo place without end": lambda: b"]p" + b"9" * 4000 + b"\n.",
    "many empty lists": lambda: b"\x80\x02(" + b"]" * 400_000 + b"l.",
    "many memo places": lambda: b"\x80\x04]" + b"\x94" * 400_000 + b".",
    "the memo again and again": lambda: b"\x80\x02(]q\x00" + b"h\x00" * 400_000 + b"l.",
    "doubling in the memo": lambda: (
        b"\x80\x02]q\x00"
        + b"".join(b"(" + b"h%c" % i * 40 + b"lq%c" % (i + 1) for i in range(60))
        + b"."
    ),
    "many duplicates": lambda: b"\x80\x02](" + b"K\x01" + b"2" * 400_000 + b"l.",
    "marks": lambda: b"\x80\x02" + b"(" * 400_000 + b".",
    "marks and what they hold": lambda: b"\x80\x02" + b"(K\x01" * 200_000 + b"t" * 200_000 + b".",
    "bytes without end": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "a buffer without end": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "text without end": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"x.",
    "old text without end": lambda: b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x.",
    "an endless number": lambda: b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
    "a negative length": lambda: b"\x80\x02T" + struct.pack("<i", -1) + b"x.",
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
    "a state that is no tuple": lambda: b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)RK\x01b.",
    "no arguments": lambda: b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a module in itself": lambda: b"\x80\x02cargparse\nNamespace\n)Rq\x00}U\x01xh\x00sb.",
    "an encoding bomb": lambda: (
        b"\x80\x02c_codecs\nencode\n" + pickle.dumps(("x" * 100, "idna"), 2)[2:-1] + b"R."
    ),
}


@pytest.mark.parametrize("name", sorted(COSTLY))
def test_costly_pickles_are_refused(name: str, guard: Guard) -> None:
    guard.refuse(COSTLY[name]())
    guard.refuse(zipped(COSTLY[name](), {}))
    guard.refuse(objects(COSTLY[name]()), how="direction")


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n",
     bytes(1000), b"\xff" * 1000, b"\x89PNG\r\n\x1a\n" + bytes(100), b"\x80", b"\x80\x04", b"{}",
     b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 8 + b"{", b"PK", b"\x93NUMPY", b"\x1f\x8b\x08",
     b"GIF89a", b"\x7fELF", b"#!/bin/sh\ntouch /tmp/x\n", b"import os\n", b"\xef\xbb\xbf{}"],
)  # fmt: skip
def test_other_files_are_refused(data: bytes, guard: Guard) -> None:
    guard.refuse(data)
    guard.refuse(data, how="direction")
