"""NumPy's own files, ``.npy`` and ``.npz``: headers read by pattern, sizes checked first.

An array of numbers is a header (``{'descr': '<f8', 'fortran_order': False, 'shape': (1, 512), }``)
and its bytes. An array of objects is a header and a pickle; published ones hold a dictionary, and
go through the allow-list reader like any pickle. An ``.npz`` is a zip archive of arrays, perhaps
compressed: what its members declare is counted before any of them is unpacked, and no member is
unpacked beyond what it declared.

Reference: ``numpy.lib.format`` (the format).
"""

from __future__ import annotations

import math
import re
import zipfile
from typing import IO, Any

import numpy as np

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.safe.archives import fill
from steerbench.generators.checkpoints.safe.limits import LIMITS
from steerbench.generators.checkpoints.safe.records import Budget
from steerbench.generators.checkpoints.safe.unpickler import (
    Dtype,
    length_of,
    unpickle,
)

MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': '(?P<descr>[<>=|]?\w{1,8})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[\d, L]{0,200})\),? ?\}\s*"
)


def read_npy(file: IO[bytes], budget: Budget) -> Any:
    """Return the array in a ``.npy`` file; for one object, the object.

    Raises:
        CheckpointError: It is broken, or holds something that is not read.
    """
    descr, fortran, shape = _header(file)
    if re.fullmatch(r"\|?O[48]?", descr):
        return _objects(file, shape)
    left = length_of(file) - file.tell()
    budget.charge_storage(left)
    return _numbers(file, left, descr, fortran, shape)


def read_npz(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], budget: Budget
) -> dict[str, np.ndarray]:
    """Return the arrays in an ``.npz`` file by name; arrays of objects are refused.

    Args:
        archive: The file, open.
        members: Its arrays, by name.
        budget: What reading may cost.

    Raises:
        CheckpointError: It is broken, or unpacks to far more than its own length.
    """
    whole = sum(info.file_size for info in members.values())
    if whole > 3 * budget.length + LIMITS.unpacked:
        raise CheckpointError(
            f"The archive of {budget.length} bytes declares arrays of {whole}. Numbers that say "
            "something do not shrink like that; it is refused."
        )
    for info in members.values():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError("The archive is compressed in a way that NumPy does not know.")
    arrays: dict[str, np.ndarray] = {}
    for name, info in members.items():
        with archive.open(info) as stream:
            descr, fortran, shape = _header(stream)
            left = info.file_size - stream.tell()
            arrays[name.removesuffix(".npy")] = _numbers(stream, left, descr, fortran, shape)
    return arrays


def _numbers(
    file: IO[bytes], left: int, descr: str, fortran: bool, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the array whose header was read, from the bytes that are left."""
    dtype = Dtype(descr).dtype
    length = math.prod(shape) * dtype.itemsize
    if length != left or max(shape, default=0) > LIMITS.array_side:
        raise CheckpointError(
            f"An array of shape {shape} and type {dtype} takes {length} bytes; {left} follow its "
            "header. The file is cut off or broken; fetch it again from where it came from."
        )
    buffer = bytearray(length)
    fill(file, buffer)
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[str, bool, tuple[int, ...]]:
    """Return the type, whether the first index runs fastest, and the shape."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise CheckpointError("It does not begin as NumPy's arrays do.")
    size = file.read(2 if start[6] == 1 else 4)
    length = int.from_bytes(size, "little")
    if length > LIMITS.array_header:
        raise CheckpointError(f"Its header has {length} bytes, as no array of numbers needs.")
    text = file.read(length).decode("latin1")
    match = _HEADER.fullmatch(text)
    if match is None or len(text) < length:
        raise CheckpointError(
            f"Its header reads {text[:80]!r}; a type of plain numbers and a shape were expected. "
            "The file is broken, or holds structures, which are not read."
        )
    shape = tuple(int(size.strip(" L")) for size in match["shape"].split(",") if size.strip(" L"))
    if len(shape) > LIMITS.dimensions:
        raise CheckpointError(f"Its header declares {len(shape)} dimensions. The file is broken.")
    return match["descr"], match["fortran"] == "True", shape


def _objects(file: IO[bytes], shape: tuple[int, ...]) -> Any:
    """Return the one object of an array of objects, or the array."""
    value = unpickle(file, Budget(length_of(file), objects=True))
    if not isinstance(value, np.ndarray) or value.dtype != object or value.shape != shape:
        raise CheckpointError("An array of objects holds something else. The file is broken.")
    return value.item() if value.size == 1 else value
