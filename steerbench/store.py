"""Files that hold tensors and say what they are, and can never run anything.

Everything steerbench keeps is a `safetensors` file, with two metadata entries: ``steerbench``, a
JSON object of one's choice, and ``sha256``, the digest of that object and all tensors, so that a
damaged file is noticed. Any safetensors reader opens these files, and `load` opens anybody's.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "direction.safetensors"
>>> save(path, {"vector": torch.ones(3, dtype=torch.float64)}, {"name": "lamp"})
>>> tensors, header = load(path)
>>> tensors["vector"], header
(tensor([1., 1., 1.], dtype=torch.float64), {'name': 'lamp'})

A file is somebody else's, so nothing is believed: the safetensors package compares every size
and byte range with the length of the file before memory is taken, and here the header's length
is bounded and its JSON read strictly (no duplicate names, no NaN, no bottomless nesting).
Files are written beside their place and renamed: a reader meets the old file or the new one,
never half of one, and an interrupted run loses nothing.

Reference: https://huggingface.co/docs/safetensors (the format).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from steerbench.errors import CheckpointError, FileError, MissingFileError, SteerbenchError, closest

MAX_HEADER = 16 * 2**20
"""The longest header accepted, in bytes: enough for a hundred thousand tensors."""
MAX_DEPTH = 64
"""How deep the lists and objects of a header may nest."""

_HEADER, _DIGEST = "steerbench", "sha256"
_PathLike = str | os.PathLike[str]


def save(
    path: _PathLike,
    tensors: Mapping[str, Tensor | np.ndarray],
    header: Mapping[str, Any] | None = None,
) -> None:
    """Write tensors and a header to one safetensors file, atomically; same content, same bytes.

    Args:
        path: where; an existing file is replaced once the new one is complete.
        tensors: tensors or arrays by name, of any shape, device and stride; dtypes are kept.
        header: a JSON object: string keys; strings, booleans, None, finite numbers, lists
            (tuples come back as lists).

    Raises:
        FileError: the folder cannot be written, or something given cannot be stored.
    """
    plain = {name: _plain(name, value) for name, value in tensors.items()}
    text = _to_json(dict(header or {}))
    metadata = {_HEADER: text, _DIGEST: _digest(plain, text)}
    try:
        # Clones, because the format refuses tensors that share memory.
        data = safetensors.torch.save({k: t.clone() for k, t in plain.items()}, metadata)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise FileError(
            f"{str(path)!r} was not written, safetensors cannot hold these tensors ({error}). "
            "Convert them to dense tensors of real numbers or booleans."
        ) from error
    start = 8 + int.from_bytes(data[:8], "little")
    outline = _in_order(data[8:start], metadata)
    if len(outline) > MAX_HEADER:
        raise FileError(
            f"{str(path)!r} was not written, its header is longer than the {MAX_HEADER} bytes "
            "that can be read back. Keep large values as tensors."
        )
    write_bytes_atomic(path, outline + data[start:])


def load(path: _PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the header of a safetensors file.

    Args:
        path: a file written by `save`, or any other safetensors file (its header is then {}).

    Returns:
        Contiguous CPU tensors by name, and the header.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: the file is not safetensors, cut off, contradicts itself or was altered.
        FileError: the file cannot be opened.
    """
    path = Path(path)
    with _open(path) as file:
        metadata = file.metadata() or {}
        header = _our_header(path, metadata)
        # Clones, because the originals are windows on a file that others may change.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if _HEADER in metadata and _digest(tensors, metadata[_HEADER]) != metadata[_DIGEST]:
        raise _damage(path, "does not match its own sha256: it was altered after it was written")
    return tensors, header


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers, ``INDEX.FIELD`` to tensor, for a checkpoint."""
    states = optimiser.state_dict()["state"].items()
    return {
        f"{index}.{field}": torch.as_tensor(value)
        for index, state in states
        for field, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Let an optimiser remember what `optimiser_tensors` gave; its rates stay."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, field = key.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, named without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def read_header(path: _PathLike) -> dict[str, Any]:
    """Read only the header of a file, however large its tensors.

    The digest covers the tensors too, so only `load` checks it.

    Raises:
        NotFoundError, CheckpointError, FileError: as `load`.
    """
    path = Path(path)
    with _open(path) as file:
        return _our_header(path, file.metadata() or {})


def fingerprint(tensors: Mapping[str, Tensor | np.ndarray]) -> str:
    """Sixteen hex digits that name these tensors: their names, dtypes, shapes and bytes.

    The order of the mapping, the device and the strides make no difference.

    >>> a, b = torch.zeros(2, 3), torch.ones(1)
    >>> fingerprint({"a": a, "b": b})
    '...'
    >>> fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": a})
    True
    >>> fingerprint({"a": a}) == fingerprint({"a": a.T})
    False
    """
    return _digest({name: _plain(name, value) for name, value in tensors.items()})[:16]


def write_bytes_atomic(path: _PathLike, data: bytes) -> None:
    """Write a file so that a reader meets the old content or the new, never a part.

    Raises:
        FileError: the folder is missing, read-only or full; what was there before remains.
    """
    target = Path(os.path.realpath(path))  # the file that a link points to, not the link
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise FileError(_cannot("write", Path(path), error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: _PathLike, text: str) -> None:
    """`write_bytes_atomic` for text, in UTF-8."""
    write_bytes_atomic(path, text.encode("utf-8"))


def cache_folder(*parts: str) -> Path:
    """Where things are kept that can be fetched or computed again; nothing is made here.

    ``STEERBENCH_CACHE`` names the folder, else it is ``~/.cache/steerbench``. It may be missing
    or read-only: whoever writes there must be able to go on without.

    Args:
        parts: Folders and a file below it.

    >>> cache_folder("statistics", "w.safetensors").parts[-2:]
    ('statistics', 'w.safetensors')
    """
    given = os.environ.get("STEERBENCH_CACHE") or os.path.join("~", ".cache", "steerbench")
    # Not Path.expanduser, which raises where there is no home.
    return Path(os.path.expanduser(given), *parts)


# -- reading and checking -----------------------------------------------------------------------


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file, its header checked here and its sizes and ranges by the safetensors package."""
    try:
        _check_outline(path)
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except SteerbenchError:
        raise
    except FileNotFoundError as error:
        near = closest(path.name, [item.name for item in path.parent.glob("*")])
        raise MissingFileError(f"There is no file {str(path)!r}. {near}") from error
    except OSError as error:
        raise FileError(_cannot("read", path, error)) from error
    except (SafetensorError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise _damage(path, f"is no proper safetensors ({str(error).splitlines()[0]})") from error


def _check_outline(path: Path) -> None:
    """What the package lets pass: long headers, and JSON that says a thing twice."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MAX_HEADER):
            raise ValueError(f"{length} bytes of header in {size}, at most {MAX_HEADER}")
        _from_json(file.read(length).decode("utf-8"))


def _our_header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if not metadata.keys() & {_HEADER, _DIGEST}:
        return {}
    try:
        # Both or none: a file of ours whose marks are half gone must not pass for a foreign one.
        return _from_json(metadata[_HEADER] if _DIGEST in metadata else "")
    except (KeyError, ValueError) as error:
        raise _damage(path, f"has a damaged steerbench header ({error})") from error


def _from_json(text: str) -> dict[str, Any]:
    """A JSON object; ValueError for duplicate names, NaN, infinity and bottomless nesting."""
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("it nests too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} instead of an object")
    _check_json(value, "header")
    return value


def _to_json(header: dict[str, Any]) -> str:
    try:
        _check_json(header, "header")
        return json.dumps(header, separators=(",", ":"))
    except ValueError as error:
        raise FileError(f"The header cannot be kept as JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(f"a name occurs twice among {[name for name, _ in pairs][:12]}")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _check_json(value: object, where: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} in {where} is not a string")
            _check_json(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_json(item, f"{where}[{index}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, which JSON cannot hold; give None instead")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise ValueError(f"{where} is a {type(value).__name__}; give numbers, strings or lists")


def _in_order(outline: bytes, metadata: Mapping[str, str]) -> bytes:
    """The header with its metadata in this order: the package shuffles it from run to run."""
    entries = {**json.loads(outline), "__metadata__": metadata}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _plain(name: str, value: Tensor | np.ndarray) -> Tensor:
    """The value as a contiguous CPU tensor without history."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        # A copy in native byte order: torch takes neither foreign order nor read-only memory.
        with contextlib.suppress(TypeError):
            value = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        kind = getattr(value, "layout", getattr(value, "dtype", type(value)))
        raise FileError(f"{name!r} is of kind {kind}; give a dense tensor or array of numbers.")
    return value.detach().cpu().contiguous()


def _digest(tensors: Mapping[str, Tensor], header: str = "") -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damage(path: Path, found: str) -> CheckpointError:
    expected = "a complete safetensors file was expected. Fetch or make the file again."
    return CheckpointError(f"{str(path)!r} {found}; {expected}")


def _cannot(verb: str, path: Path, error: OSError) -> str:
    return (
        f"Cannot {verb} {str(path)!r}: {error.strerror or error}. "
        "Check that its folder exists, is not read-only and has room, or give another path."
    )
