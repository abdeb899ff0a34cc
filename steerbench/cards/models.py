"""The embedded models as files: what kind each is of, its fingerprint and its card.

What they are called and where they are says `steerbench.assets`. A fingerprint is the model's own
where it has one (`Generator.fingerprint`, `Clip.fingerprint`), and that of the file's tensors
otherwise.

>>> rooms = list_assets()["rooms"]
>>> rooms.kind, rooms.card.name
('generator', 'rooms-stylegan2.md')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from steerbench import assets, store
from steerbench.errors import NotFoundError, unknown

_KINDS = {
    "steerbench generator": "generator",
    "steerbench clip": "clip",
    "steerbench encoder": "encoder",
    "steerbench channel features": "channels",
}
_FINGERPRINT = re.compile(r"^- \*\*fingerprint\*\*: `([0-9a-f]{16})`", re.MULTILINE)


@dataclass(frozen=True)
class Asset:
    """A weight file.

    Attributes:
        path: Where it is.
        name: What the functions that load it call it; without one, what the file is called.
    """

    path: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.path.stem)

    @cached_property
    def header(self) -> dict[str, Any]:
        """What the file says of itself."""
        return store.read_header(self.path)

    @property
    def kind(self) -> str:
        """One of ``generator``, ``watermarked``, ``attributes``, ``segmentation``, ``clip``, ...

        A generator that was taught by another one to stamp its pictures is ``watermarked``; of a
        predictor the kind is its architecture; of what is not known it is what the file says.
        """
        kind, header = str(self.header.get("kind", "no kind")), self.header
        if kind == "steerbench generator" and "start" in header.get("training", {}):
            return "watermarked"
        if kind == "steerbench predictor":
            return str(header.get("architecture"))
        return _KINDS.get(kind, kind)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the model."""
        return _fingerprint(self.path, self.kind, self.path.stat().st_mtime_ns)

    @property
    def megabytes(self) -> float:
        """The size of the file, in 10^6 bytes, to a tenth."""
        return round(self.path.stat().st_size / 1e6, 1)

    @property
    def card(self) -> Path:
        """Where its card is, or has to be."""
        return self.path.with_suffix(".md")

    def staleness(self) -> str:
        """Say why the card is not this file's; nothing where it is."""
        if not self.card.is_file():
            return "it has no card"
        found = _FINGERPRINT.search(self.card.read_text(encoding="utf-8"))
        if found is None:
            return "its card names no fingerprint"
        if found[1] != self.fingerprint:
            return f"its card describes {found[1]}, the file is now {self.fingerprint}"
        return ""


@lru_cache(maxsize=64)
def _fingerprint(path: Path, kind: str, changed: int) -> str:
    if kind in ("generator", "watermarked"):
        from steerbench.generators import load

        return load(path).fingerprint
    if kind == "clip":
        from steerbench.predictors.clip import clip

        return clip(str(path)).fingerprint
    return store.fingerprint(store.load(path)[0])


def list_assets(folder: Path | None = None) -> dict[str, Asset]:
    """Find models by name: those that come with steerbench, or the weight files of a folder."""
    if folder is not None:
        return {path.stem: Asset(path) for path in sorted(folder.glob("*.safetensors"))}
    kinds = ("generators", *assets.FILES)
    return {
        name: Asset(path, name)
        for bundle in assets.folders().values()
        for kind in kinds
        for name, path in bundle.models(kind).items()
    }


def find(name: str) -> Asset:
    """Find a model by its name, or by the path of its file.

    Raises:
        NotFoundError: There is neither; the closest names are offered.
    """
    known = list_assets()
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix == ".safetensors" and path.is_file():
        return next((each for each in known.values() if each.path.samefile(path)), Asset(path))
    raise NotFoundError(unknown("model", name, known))
