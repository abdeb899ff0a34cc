"""Zip archives of other people: torch keeps its files in them, and NumPy its sets of arrays.

Nothing is ever extracted to a place that an archive names. What its directory declares is
checked before the directory is read into memory and before any member is unpacked.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.safe.limits import LIMITS

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
)
"""What Python's own reader raises where an archive is broken."""


def check_count(file: IO[bytes]) -> None:
    """Refuse an archive of endless members before its directory is read into memory."""
    file.seek(0)
    count, tail = 0, b""
    while chunk := file.read(LIMITS.chunk):
        count += (tail + chunk).count(b"PK\x01\x02")
        tail = chunk[-3:]
    file.seek(0)
    if count > LIMITS.members:
        raise CheckpointError(f"The archive has {count} members; weight files have far fewer.")


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name.

    Raises:
        CheckpointError: A name leads out of the archive's folder, or occurs twice.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        parts = info.filename.replace("\\", "/").split("/")
        if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise CheckpointError(
                f"The archive holds {info.filename[:100]!r}, a path out of its folder. It is "
                "refused."
            )
        if info.filename in members:
            raise CheckpointError(f"The archive holds {info.filename[:100]!r} twice.")
        members[info.filename] = info
    return members


def fill(stream: IO[bytes], buffer: bytearray) -> None:
    """Read a member's bytes, piece by piece, because a compressed one may try to be endless.

    Raises:
        CheckpointError: There are fewer or more.
    """
    view, start = memoryview(buffer), 0
    while start < len(buffer):
        got = stream.readinto(view[start : start + LIMITS.chunk])  # type: ignore[attr-defined]
        if not got:
            break
        start += got
    # Reaching the end is also what makes zipfile compare the checksum.
    if start != len(buffer) or stream.read(1):
        raise CheckpointError("The archive is cut off. Fetch it again from where it came from.")
