"""Fetch a file once, whole and unaltered.

What arrives is kept beside its place as ``.NAME.part``, so a download that was cut off goes on
from there the next time. Only a file of the announced length and the right digest appears under
its name; one with a wrong digest is removed, and a file that was changed later is refused.
Proxies are honoured as urllib does (HTTPS_PROXY and its kin), redirects are followed within http
and https, and a file that is there already costs no connection.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tqdm.auto import tqdm

from steerbench.errors import CheckpointError, FileError

CHUNK = 2**20
"""How much is read and written at once, in bytes."""
TIMEOUT = 30.0
"""How long a silent server is waited for, in seconds."""

_BY_HAND = "Or fetch it by other means and give its path: a local file is as good"


def download(
    url: str,
    folder: str | os.PathLike[str],
    sha256: str | None,
    *,
    name: str | None = None,
    opener: Callable[..., Any] = urllib.request.urlopen,
) -> Path:
    """The file at an address, from the folder if it is there, else from the network.

    Args:
        url: an http or https address.
        folder: where the file is kept; made if missing.
        sha256: the digest in hex that the file must have. None where nobody published one: then
            its length is checked, and a web page is refused.
        name: the file's name; None for the last part of the address.
        opener: opens a request, called as ``opener(request, timeout=seconds)``.

    Returns:
        The path of the file.

    Raises:
        FileError: the address does not answer or stopped halfway (the next call goes on from
            there), or the folder cannot be written.
        CheckpointError: the file is not the one expected; what had arrived is removed.
    """
    target = Path(folder) / (name or _name(url))
    if target.exists():
        _verify(target, sha256, f"{str(target)!r} was changed. Delete it to fetch it again")
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, opener)
        _verify(part, sha256, f"{url} holds another file. {_BY_HAND}", remove=True)
        os.replace(part, target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FileError(
            f"Cannot fetch {url} to {str(target)!r}: {error}. Check the network and the folder "
            f"and call again: what has arrived is kept. {_BY_HAND}."
        ) from error
    return target


def _fetch(url: str, part: Path, opener: Callable[..., Any]) -> None:
    """Append to ``part`` until it is complete; OSError if the server stops before that."""
    have = part.stat().st_size if part.exists() else 0
    # Any compression would make lengths and positions those of other bytes.
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = opener(request, timeout=TIMEOUT)
    except urllib.request.HTTPError as error:
        if not have or error.code != 416:
            raise
        # The server has no such rest: the part was complete, or belongs to an older file.
        part.unlink()
        return _fetch(url, part, opener)
    with response:
        if response.headers.get_content_type() == "text/html":
            raise CheckpointError(f"{url} answers with a web page, not a file. {_BY_HAND}.")
        start, total = _extent(response)
        if start not in (0, have):
            raise OSError(f"the server sent bytes from {start}, {have} were asked for")
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            _copy(response, file, start, total, part.name[1:-5])
            file.flush()
            os.fsync(file.fileno())
            arrived = file.tell()
    if total is not None and arrived != total:
        raise OSError(f"{arrived} of {total} bytes arrived")


def _copy(response: Any, file: Any, start: int, total: int | None, name: str) -> None:
    with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, delay=1) as bar:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


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


def _verify(path: Path, sha256: str | None, message: str, remove: bool = False) -> None:
    if sha256 is None:
        return
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"Cannot read {str(path)!r}: {error}.") from error
    if found == sha256.lower():
        return
    if remove:
        path.unlink()
    raise CheckpointError(f"{message}. Its sha256 is {found}, expected {sha256}.")


def _name(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise FileError(f"Got the address {url!r}, expected http or https. {_BY_HAND}.")
    # Nothing that a shell or another system would read as more than a name.
    name = re.sub(r"[^\w.+-]", "_", unquote(parts.path).rsplit("/", 1)[-1]).lstrip(".")
    if not name:
        raise FileError(f"The address {url!r} ends without a file name; give one with name=.")
    return name
