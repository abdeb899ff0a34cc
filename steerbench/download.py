"""Fetch a file once, whole and unaltered.

What arrives is kept beside its place as ``.NAME.part``, so a download that was cut off goes on
from there the next time; it goes on only where the server says (by ETag or date, in `If-Range`)
that the file is still the same, or where a published digest will tell. Only a file of the
announced length and the right digest appears under its name. Where nobody published a digest, the
one of the first download is remembered in ``NAME.json`` beside the file. A file that was changed
later is refused, and a file that is there already costs no connection.

Proxies are honoured as urllib does (HTTPS_PROXY and its kin), redirects are followed within http
and https, and two programs that want the same file wait for one another.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import filelock
from tqdm.auto import tqdm

from steerbench import __version__
from steerbench.errors import CheckpointError, FileError, SteerbenchError

CHUNK = 2**20
"""How much is read and written at once at most, in bytes."""
TIMEOUT = 30.0
"""How long a silent server is waited for, in seconds."""

_BY_HAND = "Or fetch it by other means and give its path: a local file is as good"


def download(
    url: str,
    folder: str | os.PathLike[str],
    sha256: str | None,
    *,
    name: str | None = None,
    length: int | None = None,
    opener: Callable[..., Any] | None = None,
) -> Path:
    """The file at an address, from the folder if it is there, else from the network.

    Args:
        url: an http or https address.
        folder: where the file is kept; made if missing.
        sha256: the digest in hex that the file must have. None where nobody published one: then
            its length is checked, a web page is refused, and the digest of the first download
            must stay.
        name: the file's name; None for the last part of the address.
        length: how long the file must be, in bytes; None where nobody published it.
        opener: opens a request, called as ``opener(request, timeout=seconds)``; None for urllib.

    Returns:
        The path of the file.

    Raises:
        FileError: the address does not answer or stopped halfway (the next call goes on from
            there), or the folder cannot be written.
        CheckpointError: the file is not the one expected; what had arrived is removed.
    """
    target = Path(folder) / (name or _name(url))
    if target.exists():
        return verify(target, sha256)
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if target.exists():  # another program fetched it meanwhile
                return verify(target, sha256)
            _fetch(url, part, sha256, length, opener or urllib.request.build_opener().open)
            _accept(url, part, sha256, length)
            _remember(target, part, sha256, url)
            os.replace(part, target)
            _note_of(part).unlink(missing_ok=True)
    except SteerbenchError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FileError(
            f"Cannot fetch {url} to {str(target)!r}: {error}. {_advice(error)} {_BY_HAND}."
        ) from error
    return target


def verify(path: Path, sha256: str | None = None) -> Path:
    """The path, if the file has this digest, or the one that was remembered at its first use.

    Raises:
        CheckpointError: it has another one.
        FileError: it cannot be read.
    """
    expected = sha256 or _first_digest(path)
    try:
        found = _digest(path)
        if expected is None:
            # A folder that cannot be written is no reason to refuse a file that can be read.
            with contextlib.suppress(OSError):
                _write(_note_of(path), {"sha256": found})
    except OSError as error:
        raise FileError(f"Cannot read {str(path)!r}: {error}.") from error
    if expected is not None and found != expected.lower():
        raise CheckpointError(
            f"{str(path)!r} was changed. Delete it to fetch it again. Its sha256 is {found}, "
            f"expected {expected}."
        )
    return path


# -- the transfer ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """What a server says of the file that a part belongs to.

    Attributes:
        url: the address.
        validator: a strong ETag, or the date of its last change; empty where it states neither.
        total: its length in bytes, if stated.
    """

    url: str = ""
    validator: str = ""
    total: int | None = None


def _fetch(
    url: str, part: Path, sha256: str | None, length: int | None, opener: Callable[..., Any]
) -> None:
    """Append to ``part`` until it is complete; OSError if the server stops before that."""
    have, before = _progress(url, part, sha256)
    # Any compression would make lengths and positions those of other bytes.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"steerbench/{__version__}"}
    request = urllib.request.Request(url, headers=headers)
    if have:
        request.add_header("Range", f"bytes={have}-")
        if before.validator:
            request.add_header("If-Range", before.validator)
    try:
        response = opener(request, timeout=TIMEOUT)
    except urllib.request.HTTPError as error:
        if not have or error.code != 416:
            raise
        # The server has no such rest: the part was complete, or belongs to an older file.
        part.unlink()
        return _fetch(url, part, sha256, length, opener)
    with response:
        _check_kind(url, response)
        start, total = _extent(response)
        if start not in (0, have):
            raise OSError(f"the server sent bytes from {start}, {have} were asked for")
        if length is not None and total not in (None, length):
            _remove(part)
            raise CheckpointError(_other(url, f"{total} bytes long, expected {length}"))
        now = Version(url, _validator(response), total)
        if start and not _same(before, now):
            part.unlink()
        else:
            return _receive(response, part, start, now)
    return _fetch(url, part, sha256, length, opener)


def _receive(response: Any, part: Path, start: int, now: Version) -> None:
    if not start:
        part.unlink(missing_ok=True)
        _write(_note_of(part), asdict(now))
    with open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        _copy(response, file, start, now.total, part.name[1:-5])
        file.flush()
        os.fsync(file.fileno())
        arrived = file.tell()
    if now.total is not None and arrived != now.total:
        raise OSError(f"{arrived} of {now.total} bytes arrived")


def _copy(response: Any, file: Any, start: int, total: int | None, name: str) -> None:
    with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, delay=1) as bar:
        # read1 gives what is there: a server that falls silent costs nothing that had arrived.
        while chunk := response.read1(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _progress(url: str, part: Path, sha256: str | None) -> tuple[int, Version]:
    """How many bytes of a part can be kept, and what they belong to."""
    said = _read(_note_of(part))
    total = said.get("total")
    before = Version(
        str(said.get("url", "")),
        str(said.get("validator", "")),
        total if isinstance(total, int) else None,
    )
    if not part.exists():
        return 0, Version()
    if sha256 is None and not (before.url == url and before.validator):
        return 0, Version()  # nothing could tell whether its end is that of another file
    return part.stat().st_size, before if before.url == url else Version()


def _same(before: Version, now: Version) -> bool:
    """Whether the rest that a server sends belongs to the part.

    A server that states a tag states it with every part; a date it may leave out of a rest.
    """
    tagged = before.validator.startswith('"')
    if before.validator != now.validator and before.validator and (tagged or now.validator):
        return False
    return None in (before.total, now.total) or before.total == now.total


def _validator(response: Any) -> str:
    tag = response.headers.get("ETag", "").strip()
    weak = not tag or tag.startswith("W/")
    return response.headers.get("Last-Modified", "").strip() if weak else tag


def _extent(response: Any) -> tuple[int, int | None]:
    """The position of the first byte that comes, and the length of the whole file if stated."""
    if response.status == 206:
        stated = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip()
        )
        if stated is None:
            raise OSError("the server sent a part of the file without saying which")
        return int(stated[1]), int(stated[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None else None


def _check_kind(url: str, response: Any) -> None:
    if response.headers.get_content_type() == "text/html":
        raise CheckpointError(_page(url))
    packed = response.headers.get("Content-Encoding", "identity")
    if packed not in ("", "identity"):
        raise OSError(f"the server sent it packed as {packed!r}, which was not asked for")


# -- what arrived ---------------------------------------------------------------------------------


def _accept(url: str, part: Path, sha256: str | None, length: int | None) -> None:
    """Remove what arrived, and say why, if it is not what it should be."""
    with open(part, "rb") as file:
        start = file.read(256).lstrip().lower()
    problem = ""
    if start.startswith((b"<!doctype html", b"<html")):
        problem = _page(url)
    elif length is not None and part.stat().st_size != length:
        problem = _other(url, f"{part.stat().st_size} bytes long, expected {length}")
    elif sha256 is not None and (found := _digest(part)) != sha256.lower():
        problem = f"{_other(url, f'of sha256 {found}')} Expected {sha256}."
    if problem:
        _remove(part)
        raise CheckpointError(problem)


def _page(url: str) -> str:
    return f"{url} answers with a web page, not a file. {_BY_HAND}."


def _other(url: str, found: str) -> str:
    return f"{url} holds another file, {found}. {_BY_HAND}."


def _remember(target: Path, part: Path, sha256: str | None, url: str) -> None:
    if sha256 is None:
        _write(_note_of(target), {"sha256": _digest(part), "url": url})


def _first_digest(path: Path) -> str | None:
    digest = _read(_note_of(path)).get("sha256")
    return digest if isinstance(digest, str) else None


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)


# -- notes, locks, names --------------------------------------------------------------------------


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.tmp")
    draft.write_text(json.dumps(value), encoding="utf-8")
    os.replace(draft, path)


def _read(path: Path) -> dict[str, Any]:
    """What a note says; nothing where there is none, or a damaged one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """While no other program fetches the same file."""
    path = target.with_name(f".{target.name}.lock")
    lock = filelock.FileLock(path)
    with contextlib.suppress(NotImplementedError):  # a file system without locks
        lock.acquire()
    try:
        yield
    finally:
        # Before it is released: whoever waits for it sees that it is gone, and makes another.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _advice(error: Exception) -> str:
    code = error.code if isinstance(error, urllib.request.HTTPError) else None
    if code in (401, 403, 404, 410):
        return "The address is dead, or closed to you."
    if code is not None and code >= 500:
        return "The server is in trouble: call again later."
    return "Check the network and the folder and call again: what has arrived is kept."


def _name(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise FileError(f"Got the address {url!r}, expected http or https. {_BY_HAND}.")
    # Nothing that a shell or another system would read as more than a name.
    name = re.sub(r"[^\w.+-]", "_", unquote(parts.path).rsplit("/", 1)[-1]).lstrip(".")
    if not name:
        raise FileError(f"The address {url!r} ends without a file name; give one with name=.")
    return name
