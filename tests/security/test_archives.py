"""Archives made to harm, of torch and of NumPy: bombs, paths, and directories that lie."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests import direction_files
from tests.security.forging import Call, Lie, Numbers, archive, npy, objects, pickled, zipped
from tests.security.guard import Guard
from tests.security.makers import made

GOOD = ("x/data.pkl", pickle.dumps({}, 2))
ROW = npy("<f4", "(10,)", bytes(40))
PARTS = [("lat_comp.npy", npy("<f4", "(1, 10)", bytes(40))), ("lat_stdev.npy", npy("<f4", "(1,)"))]
ZEROS = npy("<f4", "(25000000,)", bytes(10**8))
DEFLATED = zipfile.ZIP_DEFLATED

PATHS = [
    "/etc/passwd", "//etc/passwd", "../x", "x/../../y", "x/..", "C:/x", "C:\\x", "..\\x", "\\x",
    "\\\\server\\x", "x/data/../../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_out_of_the_archive_are_refused(path: str, guard: Guard) -> None:
    before = sorted(os.listdir(guard.path.parent))
    guard.refuse(archive(GOOD, (path, b"x")), "out of its folder")
    guard.refuse(archive(("x/data.pkl", b"N."), (path + "/a.npy", ROW)), "out of its folder")
    guard.refuse(archive((path + "/a.npy", ROW)), "out of its folder", how="direction")
    assert sorted(set(os.listdir(guard.path.parent)) - {"file"}) == sorted(set(before) - {"file"})


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: archive(("x/data.pkl", b"\x80\x02]" + bytes(10**7)), compress=DEFLATED),
    "a bomb beside": lambda: archive(GOOD, ("x/data/0", bytes(10**8)), compress=DEFLATED),
    "a program": lambda: archive(GOOD, ("x/constants.pkl", b"."), ("x/code/a.py", b"print()")),
    "two pickles": lambda: archive(GOOD, ("y/data.pkl", b"N.")),
    "none": lambda: archive(("readme.txt", b"hello")),
    "nothing at all": lambda: archive(),
    "big-endian": lambda: archive(GOOD, ("x/byteorder", b"big")),
    "many members": lambda: archive(GOOD, *((f"x/{i}", b"") for i in range(30_000))),
    "a member twice": lambda: archive(GOOD, ("x/a", b"1"), ("x/b", b"2")).replace(b"x/b", b"x/a"),
    "a name that is no text": lambda: archive(GOOD, ("x/\xe4", b"1")).replace(
        "\xe4".encode(), b"\xff\xff"
    ),
    "an archive in an archive": lambda: archive(("x/data.pkl", archive(GOOD))),
    "only its end": lambda: b"PK\x05\x06" + bytes(18),
    "only its beginning": lambda: b"PK\x03\x04" + bytes(100),
    "an end that lies": lambda: b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + b"\xff" * 18,
    "arrays beside a pickle": lambda: archive(GOOD, ("a.npy", ROW)),
}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_archives_made_to_harm_are_refused(name: str, guard: Guard) -> None:
    guard.refuse(ARCHIVES[name]())
    guard.refuse(ARCHIVES[name](), how="direction")


def overlapping(count: int) -> bytes:
    """A directory in which every member lies at the same place."""
    whole = bytearray(archive(("0.npy", npy("<f4", "(2500000,)", bytes(10**7))), compress=DEFLATED))
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entry, tail = whole[start:end], whole[end:]
    entries = b"".join(entry.replace(b"0.npy", b"%05d" % i + b".npy"[:0]) for i in range(count))
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:20] = struct.pack("<II", len(entries), start)
    return bytes(whole[:start] + entries + tail)


def declaring(size: int) -> bytes:
    """A compressed array of a hundred megabytes that declares another size."""
    whole = archive(("a.npy", ZEROS), compress=DEFLATED)
    return whole.replace(struct.pack("<I", len(ZEROS)), struct.pack("<I", size))


ARRAYS: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: archive(("a.npy", ZEROS), compress=DEFLATED),
    "a little bomb": lambda: archive(
        ("a.npy", npy("<f4", "(1000000,)", bytes(4 * 10**6))), compress=DEFLATED
    ),
    "a bomb of many": lambda: archive(
        *((f"{i}.npy", ZEROS[: 10**6]) for i in range(200)), compress=DEFLATED
    ),
    "a bomb that declares less": lambda: declaring(168),
    "a bomb that declares more": lambda: declaring(2**31),
    "a bomb by another method": lambda: archive(("a.npy", ZEROS), compress=zipfile.ZIP_BZIP2),
    "members at one place": lambda: overlapping(100),
    "a shape that lies": lambda: archive(("a.npy", npy("<f4", "(11,)", bytes(40)))),
    "no array": lambda: archive(("a.npy", b"hello")),
    "nothing": lambda: archive(("a.npy", b"")),
    "objects": lambda: archive(("a.npy", objects(pickle.dumps(np.array({}, object))))),
    "a call": lambda: archive(("a.npy", objects(Call("os.system", "true").pickled(2)))),
    "an archive in an archive": lambda: archive(("a.npy", archive(("b.npy", ROW)))),
    "a wrong checksum": lambda: archive(("a.npy", ROW)).replace(
        struct.pack("<I", zlib.crc32(ROW)), b"\x01\x02\x03\x04"
    ),
    "a locked member": lambda: archive(("a.npy", ROW)).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
    ),
    "an array twice": lambda: archive(("a.npy", ROW), ("b.npy", ROW)).replace(b"b.npy", b"a.npy"),
    "many arrays": lambda: archive(*((f"{i}.npy", b"") for i in range(30_000))),
    "deviations that are none": lambda: direction_files.ganspace(deviations=float("nan")),
    "deviations of another number": lambda: archive(
        PARTS[0], ("lat_stdev.npy", npy("<f4", "(3,)", bytes(12)))
    ),
    "components of zeros": lambda: archive(
        PARTS[0], ("lat_stdev.npy", npy("<f4", "(1,)", struct.pack("<f", 1)))
    ),
}


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_archives_of_arrays_made_to_harm_are_refused(name: str, guard: Guard) -> None:
    data = ARRAYS[name]()
    answer = guard.refuse(data, how="direction")
    assert answer.grown < 3 * len(data) + 8 * 2**20, "a bomb was unpacked before it was refused"
    guard.refuse(data)


def test_members_that_overlap_are_refused(guard: Guard) -> None:
    data = archive(GOOD, *((f"x/data/{i}", bytes(5000)) for i in range(3)))
    names = [f"x/data/{i}".encode() for i in range(3)]
    places = [data.index(name) - 30 for name in names]
    directory = data.rindex(b"PK\x01\x02" + data[data.rindex(names[2]) - 42 :][:8])
    shifted = bytearray(data)
    shifted[directory + 42 : directory + 46] = struct.pack("<I", places[0])
    guard.refuse(bytes(shifted))


def test_a_compressed_file_of_torch_is_refused(guard: Guard) -> None:
    whole = made("torch zip: DCGAN")
    with zipfile.ZipFile(io.BytesIO(whole)) as opened:
        members = [(name, opened.read(name)) for name in opened.namelist()]
    guard.refuse(archive(*members, compress=DEFLATED), "compressed")
    assert guard.open(archive(*members)).outcome == "model"


def test_a_storage_that_is_not_there_is_refused(guard: Guard) -> None:
    data = pickled({"a": Lie(Numbers("0", 10**6), 0, (10**6,), (1,))})
    guard.refuse(zipped(data, {"0": bytes(40)}), "should hold 4000000 bytes")
