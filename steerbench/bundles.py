"""What goes with a generator: who reads its pictures, who judges, who understands words about them.

A method that reads pictures needs a network that knows such pictures, and one that judges needs
another. Which these are depends on the generator, so they are kept together and found by the
fingerprint of its weights:

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> sb.bundle(G).reader.name, sb.bundle(G).judge.name, sb.bundle(G).neutral
('rooms-attributes', 'rooms-attributes-2', 'a room')

Every default goes by it. For a generator without a bundle a default that needs one is off, and a
`BundleWarning` says so, or the method refuses with what to give instead. For a model of one's own
say once what goes with it, and every default works:

>>> import torch
>>> toy = sb.wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 8)), latent_shape=(8, 1, 1))
>>> brightness = sb.predictor(lambda x: x.mean((1, 2, 3)), names=["brightness"])
>>> _ = sb.Bundle(toy, name="toy", reader=brightness, neutral="a toy")
>>> sb.bundle(toy).reader.names
('brightness',)

Making a `Bundle` with a generator makes it known until the process ends; a later one for the same
weights takes its place. A part may be stated as a name or a path, and is loaded when it is first
looked at. Those of the embedded models are stated in ``bundle.json`` (`steerbench.assets`).

Words: a *reader* is what a method may use; a *judge* is another network that only measures.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from steerbench import assets, store
from steerbench.errors import BundleError, CapabilityError, closest
from steerbench.predictors import predictor
from steerbench.predictors.clip import Clip, clip
from steerbench.types import Generator, Predictor
from steerbench.worlds import World, world


class BundleWarning(UserWarning):
    """A default is off, because nothing is known of what goes with a generator."""


class _Part:
    """A field that may be stated as a name or a path, and is loaded when it is first looked at."""

    def __init__(self, load: Callable[[str], object]) -> None:
        self._load = load

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, bundle: Bundle | None, owner: type) -> Any:
        if bundle is None:
            return None  # what dataclasses take for the default
        stated = bundle.__dict__[self._name]
        if isinstance(stated, (str, os.PathLike)):
            stated = bundle.__dict__[self._name] = self._load(os.fspath(stated))
        return stated

    def __set__(self, bundle: Bundle, stated: object) -> None:
        bundle.__dict__[self._name] = stated


# One network for all bundles that name it: the generators of a folder share theirs.
_predictor, _clip, _world = cache(predictor), cache(clip), cache(world)


@dataclass(frozen=True, eq=False)
class Bundle:
    """What goes with a generator; every part may be missing.

    Args:
        generator: Whose it is; several generators may share one. None states nothing of whose.
        name: What to call it.
        fingerprints: Of the generators it goes with; those of ``generator`` are added.
        reader: A predictor that a method may use, or the name or file of one.
        judge: Another network, which only measures.
        segmenter, second_segmenter: Predictors of label maps; the second one judges.
        clip, second_clip: CLIPs that know what is in such pictures; the second one judges.
        encoder: From pictures ``[N, C, H, W]`` to codes; or the name or file of one that
            `steerbench.inversion.encoder` loads.
        channels: The file of a measurement of the generator's channels with ``clip``, as
            `GlobalDirections` writes it (``state=``).
        world: The world that the generator learned, or its name.
        layout: The names of the reader's scores that say what stands where; an edit by words is to
            leave them as they are.
        neutral: What any picture of the generator shows, such as ``"a room"``.
        examples: Prompts to begin with.
        seeds: Of pictures that are good to open with.

    Raises:
        BundleError: A part is not what it should be, one network is reader and judge, the reader
            reads none of the layout, or the generator has no weights to be known by.
    """

    generator: InitVar[Generator | tuple[Generator, ...] | None] = None
    _: KW_ONLY
    name: str = ""
    fingerprints: tuple[str, ...] = ()
    reader: Predictor | None = _Part(_predictor)  # type: ignore[assignment]
    judge: Predictor | None = _Part(_predictor)  # type: ignore[assignment]
    segmenter: Predictor | None = _Part(_predictor)  # type: ignore[assignment]
    second_segmenter: Predictor | None = _Part(_predictor)  # type: ignore[assignment]
    clip: Clip | None = _Part(_clip)  # type: ignore[assignment]
    second_clip: Clip | None = _Part(_clip)  # type: ignore[assignment]
    encoder: Callable[[Tensor], Any] | str | None = None
    channels: Path | None = None
    world: World | None = _Part(_world)  # type: ignore[assignment]
    layout: tuple[str, ...] = ()
    neutral: str = ""
    examples: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self, generator: Generator | tuple[Generator, ...] | None) -> None:
        _check(self)
        given = generator if isinstance(generator, tuple) else (generator,)
        prints = [_fingerprint(each) for each in given if each is not None]
        object.__setattr__(self, "fingerprints", (*self.fingerprints, *prints))
        _KNOWN.update(dict.fromkeys(prints, self))

    def __repr__(self) -> str:
        stated = [part for part, value in self.__dict__.items() if value and part != "name"]
        return f"Bundle({self.name!r}: {', '.join(stated) or 'nothing'})"


_KNOWN: dict[str, Bundle] = {}
"""Fingerprint to bundle: those that were made, and the embedded ones that were asked for."""


def bundle(generator: Generator) -> Bundle | None:
    """Return what goes with a generator, found by the fingerprint of its weights.

    Returns:
        The latest `Bundle` that was made with it, else the embedded one; None for a foreign model.

    Raises:
        BundleError: A ``bundle.json`` of the package is damaged.
    """
    if generator.fingerprint not in _KNOWN:
        for folder in assets.folders().values():
            for embedded in folder.generators.values():
                if embedded.fingerprint == generator.fingerprint:
                    _KNOWN[embedded.fingerprint] = _make(folder, embedded)
    return _KNOWN.get(generator.fingerprint)


def _make(folder: assets.Folder, generator: assets.GeneratorEntry) -> Bundle:
    own = generator.parts
    return Bundle(
        name=folder.name,
        fingerprints=(generator.fingerprint,),
        **folder.parts,  # type: ignore[arg-type]
        encoder=own.get("encoder"),
        channels=folder.files["channel_tables"].get(own.get("channels", "")),
        world=folder.world or None,  # type: ignore[arg-type]
        layout=folder.layout,
        neutral=folder.neutral,
        examples=folder.examples,
        seeds=generator.seeds,
    )


# -- defaults -------------------------------------------------------------------------------------


def part(generator: Generator, name: str) -> Any:
    """Return a part of a generator's bundle, or None where there is no bundle or no such part."""
    known = bundle(generator)
    return None if known is None else getattr(known, name) or None


def require(generator: Generator, name: str, use: str, instead: str) -> Any:
    """Return a part of a generator's bundle, for a default that cannot do without.

    Args:
        generator: Whose bundle.
        name: Of the part, such as ``"clip"``.
        use: What it is for, as in "one {use}": ``"reads prompts"``.
        instead: What the caller may give: ``"clip="``.

    Raises:
        CapabilityError: There is none.
    """
    found = part(generator, name)
    if found is None:
        raise CapabilityError(missing(generator, name, use, instead))
    return found


def missing(generator: Generator, name: str, use: str, instead: str) -> str:
    """Return the sentences that say which part a generator lacks, and what to do.

    Args:
        generator, name, use, instead: As for `require`.

    >>> import torch
    >>> import steerbench as sb
    >>> toy = sb.wrap(torch.nn.ConvTranspose2d(8, 3, 8), latent_shape=(8, 1, 1), name="toy")
    >>> missing(toy, "judge", "measures", "judge=")
    "No judge is known for 'toy', and one measures. Give judge=, or say once what goes with the
    generator: sb.Bundle(G, judge=...)."
    """
    called = {"clip": "CLIP", "neutral": "neutral text"}.get(name, name.replace("_", " "))
    how = " (sb.clip(NAME) has it from its own files or open_clip's)" if name == "clip" else ""
    return (
        f"No {called} is known for {generator.name!r}, and one {use}. Give {instead}{how}, or say "
        f"once what goes with the generator: sb.Bundle(G, {name}=...)."
    )


_WARNED: set[tuple[str, str]] = set()


def warn(generator: Generator, message: str) -> None:
    """Say, once for a generator, that a default is off for want of a part.

    Args:
        generator: Whose bundle was asked.
        message: Such as `missing` gives.
    """
    if (generator.fingerprint, message) in _WARNED:
        return
    _WARNED.add((generator.fingerprint, message))
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "steerbench":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, BundleWarning, stacklevel=level)


# -- what a part has to be -------------------------------------------------------------------------


def _check(bundle: Bundle) -> None:
    stated = bundle.__dict__
    for name in ("reader", "judge", "segmenter", "second_segmenter"):
        _expect(name, stated[name], ("names", "predict"), "a predictor, as sb.predictor gives it")
    for name in ("clip", "second_clip"):
        _expect(name, stated[name], ("encode_image", "encode_text"), "a CLIP, as sb.clip gives it")
    offers = ("sample", "counterfactual", "factor_names", "class_names")
    _expect("world", stated["world"], offers, "a world, as sb.world gives it")
    _expect("encoder", stated["encoder"], ("__call__",), "a function from pictures to codes")
    for one, other in assets.RIVALS:
        if stated[one] is not None and _network(stated[one]) == _network(stated[other]):
            raise BundleError(
                f"The same network was given as {one} and as {other}. What one chose, another one "
                f"judges: give a second network, or leave {other}= out."
            )
    for name in ("layout", "examples", "seeds"):
        if isinstance(stated[name], str):
            raise BundleError(f"{name}={stated[name]!r} is one text; give a list.")
        object.__setattr__(bundle, name, tuple(stated[name]))
    _check_layout(bundle.layout, stated["reader"])


def _check_layout(layout: tuple[str, ...], reader: object) -> None:
    if layout and reader is None:
        raise BundleError("A layout names scores of the reader. Give reader= too.")
    names = getattr(reader, "names", layout)  # those of a file are known once it is loaded
    for name in layout:
        if name not in names:
            raise BundleError(f"The reader reads no {name!r} of the layout. {closest(name, names)}")


def _expect(name: str, given: object, methods: tuple[str, ...], words: str) -> None:
    if given is None or isinstance(given, (str, os.PathLike)):
        return
    if not all(hasattr(given, method) for method in methods):
        raise BundleError(
            f"{name}= is a {type(given).__name__}; give {words}, or the name or the file of one."
        )


def _network(stated: object) -> object:
    """Return what tells two networks apart: the name of one, or the object that computes."""
    return stated if isinstance(stated, str) else id(getattr(stated, "model", stated))


def _fingerprint(generator: Generator) -> str:
    if not hasattr(generator, "fingerprint"):
        raise BundleError(
            f"A {type(generator).__name__} was given to be known by its weights; give a generator, "
            "as sb.load or sb.wrap gives it, and everything else by keyword."
        )
    if generator.fingerprint == store.fingerprint({}):
        raise BundleError(
            f"{generator.name!r} has no weights, so nothing tells it from other such generators. "
            "Register what it computes with as buffers, or parameters, of its module."
        )
    return generator.fingerprint


__all__ = ["Bundle", "BundleWarning", "bundle", "missing", "part", "require", "warn"]
