"""Published models by name: where they are, what they are, and one way to have them.

``sb.load("stylegan3-r-ffhqu-256")`` fetches a model once, whole and unaltered (see
`steerbench.download`), and opens it from the folder ever after, without a network. The list,
``catalogue.json``, holds only addresses that the authors published in their repositories, one
model a line; licences are as those repositories state them. Sizes and digests stand where they
were published; elsewhere the digest of the first download is remembered and must stay.

Models that lie behind a page for people (a form, a folder of a file host) have no address that a
program can fetch. They are listed with that page: fetch the file by hand, then give its path, or
put it where `fetch` says, and the name works.

>>> catalogue().set_index("name").loc["biggan-deep-256", ["architecture", "licence"]].tolist()
['biggan', 'MIT']
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerbench.download import download, verify
from steerbench.errors import FileError, NotFoundError
from steerbench.store import cache_folder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entry:
    """A published model.

    Attributes:
        name: Ours, for `steerbench.load`.
        architecture: One of ``GENERATORS``.
        resolution: The longer side of its pictures, in pixels.
        licence: As the authors' repository states it.
        commercial: Whether the licence allows commercial use; none where no licence is stated.
        page: Where people find it.
        file: What its file is called.
        origin: The address that can be fetched; none where only people can, at the page.
        size: Its published size in MB, rounded as it was published.
        length: Its published length in bytes.
        sha256: Its published digest.
        beside: Further files that belong in the same folder, by name: their addresses.
    """

    name: str
    architecture: str
    resolution: int
    licence: str
    commercial: bool | None
    page: str
    file: str
    origin: str | None = None
    size: int | None = None
    length: int | None = None
    sha256: str | None = None
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The place where its file is kept."""
        return cache_folder("models", self.name, self.file)


@functools.cache
def entries() -> dict[str, Entry]:
    """Return every published model by name, in the order of the list."""
    text = (resources.files("steerbench.generators.published") / "catalogue.json").read_text(
        "utf-8"
    )
    document: dict[str, Any] = json.loads(text)
    found = {}
    for line in document["models"]:
        family = document["families"][line["family"]]
        rest = {key: value for key, value in line.items() if key != "family"}
        found[line["name"]] = Entry(**{**family, **rest})
    return found


def catalogue() -> pd.DataFrame:
    """Return the published models, one a row.

    Columns: ``name``, ``architecture``, ``resolution`` (pixels), ``licence``, ``commercial``,
    ``size`` (MB, where published), ``origin`` (an address, or a page for people), ``by_hand``
    (whether it is a page) and ``cached`` (whether the file is here).
    """
    import pandas as pd

    rows = [
        {
            "name": entry.name,
            "architecture": entry.architecture,
            "resolution": entry.resolution,
            "licence": entry.licence,
            "commercial": entry.commercial,
            "size": entry.size,
            "origin": entry.origin or entry.page,
            "by_hand": entry.origin is None,
            "cached": entry.path.is_file(),
        }
        for entry in entries().values()
    ]
    return pd.DataFrame(rows)


def fetch(entry: Entry) -> Path:
    """Return the file of a published model, from the folder if it is there, else from its address.

    Raises:
        NotFoundError: It must be fetched by hand, and is not there yet.
        FileError: The address does not answer, or the folder cannot be written.
        CheckpointError: The file is not the one expected, or was changed.
    """
    if entry.path.is_file() and entry.origin is None:
        return verify(entry.path, entry.sha256)
    if entry.origin is None:
        raise NotFoundError(
            f"{entry.name!r} can only be fetched by hand, from {entry.page} ({terms(entry)}). "
            f"Give the path of the file to sb.load, or put it at {str(entry.path)!r}."
        )
    if not entry.path.is_file():
        size = f", {entry.size} MB" if entry.size else ""
        print(
            f"Fetching {entry.name} from {entry.origin}{size}; {terms(entry)}.",
            file=sys.stderr,
            flush=True,
        )
    try:
        for name, address in entry.beside.items():
            download(address, entry.path.parent, None, name=name)
        return download(
            entry.origin,
            entry.path.parent,
            entry.sha256,
            name=entry.path.name,
            length=entry.length,
        )
    except FileError as error:
        raise FileError(
            f"{error} The authors' page is {entry.page}; a file from there, put at "
            f"{str(entry.path)!r}, works by this name too. STEERBENCH_CACHE names another folder."
        ) from error


def terms(entry: Entry) -> str:
    """Return the licence in a few words, and whether it forbids commercial use."""
    if entry.commercial is None:
        return "its authors state no licence: ask them before you use it for more than study"
    forbids = "" if entry.commercial else ", which forbids commercial use"
    return f"licence: {entry.licence}{forbids}"


__all__ = ["Entry", "catalogue", "entries", "fetch", "terms"]
