"""A weight file of any kind as plain values, told apart by its content and never by its name.

>>> import tempfile
>>> import torch
>>> path = Path(tempfile.mkdtemp()) / "netG.pth"
>>> torch.save({"weight": torch.ones(2, 3)}, path)
>>> contents = read(path)
>>> contents.kind, contents.value["weight"].shape
('torch zip file', torch.Size([2, 3]))
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from steerbench import store
from steerbench.errors import CheckpointError, FileError, MissingFileError, SteerbenchError
from steerbench.generators.checkpoints.safe import numpy_files, torch_files, unpickler
from steerbench.generators.checkpoints.safe.archives import BROKEN, check_count, members_of
from steerbench.generators.checkpoints.safe.limits import LIMITS
from steerbench.generators.checkpoints.safe.records import Budget

_LEGACY = torch_files.MAGIC.to_bytes(10, "little")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    Attributes:
        path: Where it lies.
        kind: Of the container: ``"torch zip file"``, ``"old torch file"``, ``"pickle"``,
            ``"safetensors"``, ``"NumPy array"``, ``"NumPy archive"``.
        value: What is in it: plain values, tensors and inert records.
        config: The ``config.json`` beside the file, where there is one.
        header: What a file of ours says of itself; empty for every other.
    """

    path: Path
    kind: str
    value: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)


def read(path: str | os.PathLike[str]) -> Contents:
    """Read a weight file of any kind; nothing in it is executed.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is broken, asks for something that is not allowed, or is no weight
            file at all.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            kind, value = _read(file)
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {str(path)!r}.") from error
    except OSError as error:
        raise FileError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except CheckpointError as error:
        raise CheckpointError(f"{str(path)!r} is refused. {str(error)[:1000]}") from error
    header: dict[str, Any] = {}
    if kind == "safetensors":
        value, header = store.load(path)
    return Contents(path, kind, value, _config_beside(path), header)


def _read(file: IO[bytes]) -> tuple[str, Any]:
    length = unpickler.length_of(file)
    start = file.read(32)
    file.seek(0)
    if not start:
        raise CheckpointError("It is empty: no bytes arrived. Fetch it again.")
    budget = Budget(length)
    if start.startswith(b"PK"):
        return _guard("archive", _read_archive, file, budget)
    if start.startswith(numpy_files.MAGIC):
        return "NumPy array", _guard("array", numpy_files.read_npy, file, budget)
    if _LEGACY in start:
        return "old torch file", _guard("file", torch_files.read_legacy, file, budget)
    if start[8:9] == b"{":
        return "safetensors", None
    if start[:1] in (b"\x80", b"(", b"}", b"]", b"c"):
        return "pickle", unpickler.unpickle(file, budget)
    raise CheckpointError(
        f"It begins with {start[:8]!r}, as no weight file does{_guess(start)}. Give a .pkl, .pt, "
        ".pth, .bin, .npy, .npz or .safetensors file."
    )


def _read_archive(file: IO[bytes], budget: Budget) -> tuple[str, Any]:
    """Return torch's archives and NumPy's begin alike; the names in them differ."""
    check_count(file)
    with zipfile.ZipFile(file) as archive:
        members = members_of(archive)
        if members and all(name.endswith(".npy") for name in members):
            return "NumPy archive", numpy_files.read_npz(archive, members, budget)
        return "torch zip file", torch_files.read_zip(archive, members, budget)


def _guard(what: str, reader: Any, file: IO[bytes], budget: Budget) -> Any:
    try:
        return reader(file, budget)
    except SteerbenchError:
        raise
    except (*BROKEN, TypeError, KeyError, IndexError, OverflowError) as error:
        raise CheckpointError(
            f"The {what} is broken ({type(error).__name__}: {error}). Fetch it again from where "
            "it came from."
        ) from error


def _guess(start: bytes) -> str:
    if start[:1] == b"<":
        return "; it looks like a web page, so the download went wrong"
    if start.startswith(b"version https://git-lfs"):
        return "; it is a Git LFS pointer, so fetch the file itself with 'git lfs pull'"
    return ""


def _config_beside(path: Path) -> dict[str, Any]:
    """Read the ``config.json`` beside a file, where some projects keep what weights do not say."""
    beside = path.with_name("config.json")
    try:
        if beside.stat().st_size > LIMITS.config:
            return {}
        config = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


__all__ = ["Contents", "read"]
