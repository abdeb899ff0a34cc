"""The models that come with steerbench, and the one reader of what they are called.

Each folder below this one is a bundle: some generators with all that goes with them, a card beside
each file of weights, and a ``bundle.json`` that says what is what:

- ``generators``: name to ``file`` and ``fingerprint``, and what belongs to this generator alone:
  its ``encoder``, the table of its ``channels``, good ``seeds`` to open with.
- ``predictors``, ``clips``, ``encoders``, ``channel_tables``: name to file.
- ``reader``, ``judge``, ``segmenter``, ``second_segmenter``, ``clip``, ``second_clip``: names of
  such models, for all generators of the folder.
- ``world``, ``neutral``: texts. ``layout``, ``examples``: lists of texts.

A name is what people type, ``sb.load("rooms-dcgan")``. Whoever needs the name or the file of an
embedded model asks here, so that a new folder is a new model everywhere; `steerbench.bundles` makes
nouns of it.

>>> names("generators")[0], path("generators", "rooms").name
('rooms', 'rooms-stylegan2.safetensors')
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from steerbench.errors import BundleError, closest
from steerbench.store import write_text_atomic

ROOT = Path(__file__).parent
DOCUMENT = "bundle.json"
FILES = ("predictors", "clips", "encoders", "channel_tables")
PARTS = {
    "reader": "predictors",
    "judge": "predictors",
    "segmenter": "predictors",
    "second_segmenter": "predictors",
    "clip": "clips",
    "second_clip": "clips",
}
"""What all generators of a folder share, and the kind of model that it is."""
OWN_PARTS = {"encoder": "encoders", "channels": "channel_tables"}
"""What belongs to the codes of one generator, and the kind of model that it is."""
RIVALS = (("reader", "judge"), ("segmenter", "second_segmenter"), ("clip", "second_clip"))
"""What one network chose, another one judges."""


@dataclass(frozen=True)
class GeneratorEntry:
    """One generator of a folder.

    Attributes:
        path: The weights.
        fingerprint: What `steerbench.store.fingerprint` gives of them.
        parts: ``encoder`` and ``channels``, where there are such, to the name of the model.
        seeds: Of pictures that are good to open with.
    """

    path: Path
    fingerprint: str
    parts: Mapping[str, str]
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Folder:
    """What a ``bundle.json`` says.

    Attributes:
        name: Of the folder.
        generators: By name.
        files: Kind, one of `FILES`, to name to path.
        parts: ``reader``, ``judge``, ... to the name of the model.
        world: The name of the world that the generators learned, or empty.
        neutral: What any of their pictures shows, in words, or empty.
        layout: The readings that say what stands where.
        examples: Prompts.
    """

    name: str
    generators: Mapping[str, GeneratorEntry]
    files: Mapping[str, Mapping[str, Path]]
    parts: Mapping[str, str]
    world: str = ""
    neutral: str = ""
    layout: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def models(self, kind: str) -> dict[str, Path]:
        """Return name to path of the models of a kind: ``"generators"``, or one of `FILES`."""
        if kind == "generators":
            return {name: each.path for name, each in self.generators.items()}
        return dict(self.files[kind])


@cache
def folders() -> dict[str, Folder]:
    """Return the embedded folders by name, in alphabetical order.

    Raises:
        BundleError: As `read`; or two folders use the same name for a model.
    """
    found = {place.parent.name: read(place.parent) for place in sorted(ROOT.glob(f"*/{DOCUMENT}"))}
    for kind in ("generators", *FILES):
        every = [name for folder in found.values() for name in folder.models(kind)]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise BundleError(f"Two folders of {ROOT} list {kind} called {twice[0]!r}. Rename one.")
    return found


def names(kind: str) -> tuple[str, ...]:
    """Return what the embedded models of a kind are called: ``"generators"``, or one of `FILES`."""
    return tuple(name for folder in folders().values() for name in folder.models(kind))


def path(kind: str, name: str) -> Path | None:
    """Return the file of an embedded model, or None where none of its kind is called so."""
    found = (folder.models(kind).get(name) for folder in folders().values())
    return next((place for place in found if place is not None), None)


def check_fingerprint(name: str, fingerprint: str) -> None:
    """Compare the weights that were loaded as an embedded generator with what is stated of them.

    Raises:
        BundleError: They are others.
    """
    for folder in folders().values():
        stated = folder.generators.get(name)
        if stated is not None and stated.fingerprint != fingerprint:
            raise BundleError(
                f"The weights in {stated.path} have the fingerprint {fingerprint!r}; "
                f"{stated.path.parent / DOCUMENT} says {stated.fingerprint!r}. If the file was "
                "replaced on purpose, write the new one there: python -m steerbench.training "
                "fingerprints; else fetch the file again."
            )


def read(folder: Path) -> Folder:
    """Read the ``bundle.json`` of a folder and check that it holds together; no model is loaded.

    Args:
        folder: Holds the document, and all files that it names.

    Raises:
        BundleError: There is no such document or it is no JSON, a key is unknown, missing or of
            another kind, a file is not there, or a model is named that is not listed.
    """
    source = folder / DOCUMENT
    texts, lists = ("world", "neutral"), ("layout", "examples")
    document = _object(source, "", _json(source), {"generators", *FILES, *PARTS, *texts, *lists})
    files = {
        kind: {
            name: _file(source, name, file)
            for name, file in _object(source, kind, document.get(kind, {})).items()
        }
        for kind in FILES
    }
    generators = _object(source, "generators", document.get("generators"))
    parts = _parts(source, document, PARTS, files)
    for one, other in RIVALS:
        if one in parts and parts[one] == parts.get(other):
            raise BundleError(
                f"{source} says {parts[one]!r} for {one!r} and for {other!r}. What one network "
                "chose, another one judges: name a second one, or leave one of the keys out."
            )
    return Folder(
        folder.name,
        {name: _generator(source, name, entry, files) for name, entry in generators.items()},
        files,
        parts,
        *(_expect(source, key, document.get(key, ""), str) for key in texts),
        *(_tuple(source, key, document.get(key, []), str) for key in lists),
    )


def state(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """State something else of generators in the ``bundle.json`` of a folder; all other keys stay.

    Args:
        folder: Holds the document.
        entries: The name of a generator to some of its keys, such as ``{"fingerprint": ...}``.
    """
    source = folder / DOCUMENT
    document = _json(source)
    for name, keys in entries.items():
        document["generators"][name].update(keys)
    write_text_atomic(source, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    folders.cache_clear()


__all__ = [
    "Folder",
    "GeneratorEntry",
    "check_fingerprint",
    "folders",
    "names",
    "path",
    "read",
    "state",
]

# -- reading strictly -----------------------------------------------------------------------------


def _json(source: Path) -> Any:
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"There is no {source}. Write one like {ROOT / 'rooms' / DOCUMENT}, or name a folder "
            "that has one."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{source} is no JSON: {error}. Repair it, or fetch it again.") from None


def _object(
    source: Path, key: str, value: object, known: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return an object whose keys are all known."""
    found: dict[str, Any] = _expect(source, key, value, dict)
    for name in found:
        if known is not None and name not in known:
            place = f"{source}, {key!r}," if key else f"{source}"
            raise BundleError(
                f"{place} has the unknown key {name!r}. {closest(name, sorted(known))}"
            )
    return found


def _expect(source: Path, key: str, value: object, kind: type) -> Any:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    words = {dict: "an object", str: "a text", list: "a list", int: "a whole number"}
    raise BundleError(
        f"{source} has {str(value)[:60]!r} for {key or 'all of it'!r}; give {words[kind]}."
    )


def _tuple(source: Path, key: str, value: object, kind: type) -> tuple[Any, ...]:
    return tuple(_expect(source, key, item, kind) for item in _expect(source, key, value, list))


def _file(source: Path, name: str, file: object) -> Path:
    place = source.parent / _expect(source, name, file, str)
    if not place.is_file():
        near = closest(place.name, [item.name for item in sorted(source.parent.glob("*.safe*"))])
        raise BundleError(
            f"{source} names {place.name!r} for {name!r}, and there is no such file. {near} "
            "CONTRIBUTING says how each is made; make or fetch it, or take the entry out."
        )
    return place


def _parts(
    source: Path,
    document: Mapping[str, Any],
    kinds: Mapping[str, str],
    files: Mapping[str, Mapping[str, Path]],
) -> dict[str, str]:
    """Return the models that a document names for its parts, all of them listed."""
    found = {part: _expect(source, part, document[part], str) for part in kinds if part in document}
    for part, name in found.items():
        listed = files[kinds[part]]
        if name not in listed:
            raise BundleError(
                f"{source} says {name!r} for {part!r}, which is none of its {kinds[part]}. "
                f"{closest(name, listed)}"
            )
    return found


def _generator(
    source: Path, name: str, entry: object, files: Mapping[str, Mapping[str, Path]]
) -> GeneratorEntry:
    known = ("file", "fingerprint", "seeds", *OWN_PARTS)
    has = _object(source, name, entry, known)
    for key in ("file", "fingerprint"):
        if key not in has:
            raise BundleError(
                f"{source}, {name!r}, lacks the key {key!r}. State the file of the weights, and "
                "their fingerprint as G.fingerprint gives it."
            )
    return GeneratorEntry(
        _file(source, name, has["file"]),
        _expect(source, "fingerprint", has["fingerprint"], str),
        _parts(source, has, OWN_PARTS, files),
        _tuple(source, "seeds", has.get("seeds", []), int),
    )
