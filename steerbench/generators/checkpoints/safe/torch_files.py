"""Files of ``torch.save``, old and new: their pickle read with care, their numbers checked first.

A new file is a zip archive: ``NAME/data.pkl`` beside ``NAME/data/0``, ``NAME/data/1``, ... An old
one is five pickles (a magic number, a version, the machine it was made on, the value, the keys of
its storages) followed by each storage's count and numbers. Archives are never extracted, and
compressed members are refused: torch writes none, and a small one can hold terabytes.
"""

from __future__ import annotations

import io
import zipfile
from typing import IO, Any

import torch

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.safe.archives import fill
from steerbench.generators.checkpoints.safe.limits import LIMITS
from steerbench.generators.checkpoints.safe.records import Budget, Global, Storage
from steerbench.generators.checkpoints.safe.unpickler import CALLS, unpickle

MAGIC = 0x1950A86A20F9469CFC6C


def read_legacy(file: IO[bytes], budget: Budget) -> Any:
    """Return the value in an old torch file."""
    magic, version, machine = (unpickle(file, budget) for _ in range(3))
    if magic != MAGIC or version != 1001 or not isinstance(machine, dict):
        raise CheckpointError("The file does not begin as torch files do.")
    if machine.get("little_endian") is False:
        raise CheckpointError("The file was written by a big-endian machine. Convert it there.")
    buffers: dict[str, tuple[bytearray, torch.Tensor]] = {}

    def storage(identifier: Any) -> Storage:
        dtype, key, count, view = _parse(identifier)
        if key not in buffers:
            length = count * dtype.itemsize
            budget.charge_storage(length)
            buffers[key] = _allocate(length, dtype)
        data = buffers[key][1]
        if data.dtype != dtype or data.numel() != count:
            raise CheckpointError(f"Storage {key!r} is declared twice, differently.")
        return Storage(data if view is None else data[view])

    value = unpickle(file, budget, storage)
    keys = unpickle(file, budget)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(buffers):
        raise CheckpointError("The file does not hold the storages that it speaks of.")
    for key in keys:
        _fill(file, *buffers[key])
    return value


def _allocate(length: int, dtype: torch.dtype) -> tuple[bytearray, torch.Tensor]:
    buffer = bytearray(length)
    data = torch.frombuffer(buffer, dtype=dtype) if length else torch.empty(0, dtype=dtype)
    return buffer, data


def _fill(file: IO[bytes], buffer: bytearray, data: torch.Tensor) -> None:
    count = int.from_bytes(file.read(8), "little")
    if count != data.numel():
        raise CheckpointError(f"A storage of {data.numel()} numbers comes with {count}.")
    if file.readinto(buffer) != len(buffer):  # type: ignore[attr-defined]
        raise CheckpointError("The file is cut off. Fetch it again from where it came from.")


def _parse(identifier: Any) -> tuple[torch.dtype, str, int, slice | None]:
    """Return dtype, key, count and window of a storage, from torch's persistent identifier."""
    if not isinstance(identifier, tuple) or not 5 <= len(identifier) <= 6:
        raise CheckpointError("The file refers to data in a way that torch does not.")
    word, kind, key, _, count, *rest = identifier
    if word != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise CheckpointError("The file refers to something that is not a storage.")
    if type(count) is not int or not 0 <= count < 2**48:
        raise CheckpointError("The file declares a storage of no known length.")
    view = rest[0] if rest else None
    window = None
    if view is not None:
        _, start, size = view
        if not 0 <= start <= start + size <= count:
            raise CheckpointError(f"Storage {key!r} has a window outside itself.")
        window = slice(start, start + size)
    return kind.make(None).dtype, key, count, window


def read_zip(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], budget: Budget) -> Any:
    """Return the value in a new torch file.

    Args:
        archive: The file, open.
        members: By name.
        budget: What reading may cost.
    """
    _check_sizes(members, budget.length)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1 or f"{roots[0]}constants.pkl" in members:
        raise CheckpointError(
            "The archive is not a file of torch.save. A TorchScript program is not a checkpoint; "
            "ask for the state dict."
        )
    root = roots[0]
    order = members.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise CheckpointError("The file was written by a big-endian machine. Convert it there.")
    if members[f"{root}data.pkl"].file_size > LIMITS.pickle:
        raise CheckpointError("The archive's pickle is far too long for a checkpoint.")
    kept: dict[str, Storage] = {}

    def storage(identifier: Any) -> Storage:
        dtype, key, count, view = _parse(identifier)
        if key not in kept:
            kept[key] = _load_member(archive, members, f"{root}data/{key}", dtype, count, budget)
        data = kept[key].data
        if data.dtype != dtype or data.numel() != count:
            raise CheckpointError(f"Storage {key!r} is declared twice, differently.")
        return kept[key] if view is None else Storage(data[view])

    pickled = archive.read(members[f"{root}data.pkl"])
    return unpickle(io.BytesIO(pickled), budget, storage)


def _check_sizes(members: dict[str, zipfile.ZipInfo], length: int) -> None:
    for name, info in members.items():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointError(
                f"The archive's member {name[:100]!r} is compressed; torch writes none. It is "
                "refused."
            )
    if sum(info.file_size for info in members.values()) > length:
        raise CheckpointError("The archive declares more bytes than it has. It is refused.")


def _load_member(
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    name: str,
    dtype: torch.dtype,
    count: int,
    budget: Budget,
) -> Storage:
    length = count * dtype.itemsize
    if name not in members or members[name].file_size != length:
        held = members[name].file_size if name in members else "no"
        raise CheckpointError(f"Storage {name!r} should hold {length} bytes; there are {held}.")
    budget.charge_storage(length)
    buffer, data = _allocate(length, dtype)
    with archive.open(members[name]) as stream:
        fill(stream, buffer)
    return Storage(data)


def _nested_storage(budget: Budget, data: Any) -> Storage:
    """Return the storage in an old torch file that a pickle carries as bytes."""
    if not isinstance(data, bytes | bytearray):
        raise CheckpointError("A storage in the file is not made of bytes. The file is broken.")
    budget.charge_tensor(len(data))
    with budget.nest():
        value = read_legacy(io.BytesIO(data), budget)
    if not isinstance(value, Storage):
        raise CheckpointError("A storage in the file holds something else. It is refused.")
    return value


# A torch file is made of pickles, and a pickle may hold torch files: here the two meet.
CALLS["torch.storage._load_from_bytes"] = _nested_storage
