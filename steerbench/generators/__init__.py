"""Generators: one architecture a file, listed here, and the one function that loads them.

`load` opens the embedded generators, files written by `save`, and the published
formats of `steerbench.generators.checkpoints`.

>>> from steerbench.generators import GENERATORS
>>> sorted(GENERATORS)
['biggan', 'dcgan', 'eigengan', 'glow', 'pggan', 'stylegan1', 'stylegan2', 'stylegan3']
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from steerbench import assets, store
from steerbench.errors import (
    CapabilityError,
    CheckpointError,
    KeywordError,
    MissingFileError,
    NotFoundError,
    closest,
)
from steerbench.generators.base import BaseGenerator
from steerbench.generators.biggan import BigGAN
from steerbench.generators.checkpoints import convert
from steerbench.generators.checkpoints.contents import Contents, read
from steerbench.generators.dcgan import DCGAN
from steerbench.generators.eigengan import EigenGAN
from steerbench.generators.glow import Glow
from steerbench.generators.pggan import PGGAN
from steerbench.generators.published import read_published_direction
from steerbench.generators.published.catalogue import entries, fetch
from steerbench.generators.stylegan1 import StyleGAN1
from steerbench.generators.stylegan2 import StyleGAN2
from steerbench.generators.stylegan3 import StyleGAN3
from steerbench.generators.wrapped import WrappedGenerator, wrap

__all__ = [
    "DCGAN",
    "GENERATORS",
    "PGGAN",
    "BaseGenerator",
    "BigGAN",
    "EigenGAN",
    "Glow",
    "StyleGAN1",
    "StyleGAN2",
    "StyleGAN3",
    "WrappedGenerator",
    "load",
    "read_published_direction",
    "save",
    "wrap",
]

KIND = "steerbench generator"

Stored = BigGAN | DCGAN | EigenGAN | Glow | PGGAN | StyleGAN1 | StyleGAN2 | StyleGAN3

GENERATORS: dict[str, type[Stored]] = {
    "biggan": BigGAN,
    "dcgan": DCGAN,
    "eigengan": EigenGAN,
    "glow": Glow,
    "pggan": PGGAN,
    "stylegan1": StyleGAN1,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
}


def load(source: str | os.PathLike[str], *, device: str = "cpu", **settings: Any) -> BaseGenerator:
    """Return a generator by name, or from a file.

    Args:
        source: ``"rooms"``; or the name of a published model in `steerbench.catalogue`, which
            is fetched the first time; or the path of a file, written by `save` or a
            checkpoint of any format in ``checkpoints.FORMATS``, recognised by its content. A file
            that is called as a model is: ``"./rooms"``.
        device: Where to put it: ``"cpu"``, ``"cuda"``, ``"mps"``.
        settings: What a checkpoint does not say of its network, under its authors' names, like
            ``fused_scale=True``; the module of its format lists them as ``OPTIONS``.

    Raises:
        ArgumentError: The format has no such setting.
        NotFoundError: Neither a model nor a file has this name, or it must be fetched by hand.
        FileError: A published model could not be fetched.
        CheckpointError: The file is broken, unsafe, or not a generator.
    """
    path, name = _find(os.fspath(source))
    try:
        contents = read(path)
        generator = _open(contents, name, settings)
    except CheckpointError as error:
        if name not in entries():
            raise
        raise CheckpointError(
            f"{error} If it arrived broken, delete {str(path)!r} and load {name!r} again."
        ) from error
    generator.name = name
    if os.fspath(source) == name and path == assets.path("generators", name):
        assets.check_fingerprint(name, generator.fingerprint)
    return generator if device == "cpu" else generator.on(device)


def _find(source: str) -> tuple[Path, str]:
    """Return the file that is meant, and what to call the generator in it."""
    embedded = assets.path("generators", source)
    if embedded is not None:
        return embedded, source
    entry = entries().get(source)
    if entry is not None:
        return fetch(entry), source
    path = Path(source).expanduser()
    if path.is_file():
        return path, path.stem
    if path.is_dir():
        raise NotFoundError(
            f"{source!r} is a folder, holding {_list_names(path)}. Give the path of a weight file."
        )
    near = closest(source, [*assets.names("generators"), *entries()])
    raise MissingFileError(
        f"There is no generator and no file {source!r}. {near} Give one of the names in "
        "sb.catalogue(), or the path of a weight file."
    )


def _list_names(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") or "nothing"


def _open(contents: Contents, name: str, settings: dict[str, Any]) -> BaseGenerator:
    """Return the generator in what was read from a file, ours or somebody else's."""
    if not contents.header:
        return convert(contents, **settings)
    if settings:
        raise KeywordError(
            f"{contents.path} says all of itself, but {', '.join(settings)} was given. Leave it "
            "out."
        )
    return _build(contents, name)


def _build(contents: Contents, name: str) -> BaseGenerator:
    """Return the generator in a file of ours."""
    path, header = contents.path, contents.header
    if header.get("kind") != KIND:
        raise CheckpointError(
            f"{path} is not a generator: it holds {header.get('kind', 'no kind')!r}. Give a file "
            "written by steerbench.generators.save, or wrap your own module with sb.wrap."
        )
    architecture = header.get("architecture")
    if architecture not in GENERATORS:
        raise CheckpointError(
            f"{path} holds the architecture {architecture!r}, which this version does not know. "
            f"{closest(architecture, GENERATORS)}"
        )
    try:
        generator = GENERATORS[architecture].build(header["config"], contents.value, name=name)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is an incomplete {architecture} file: {type(error).__name__}: {error}. Get "
            "the file again from where it came from."
        ) from error
    generator.format = "steerbench"
    return generator


def save(generator: BaseGenerator, path: str | os.PathLike[str], **header: Any) -> None:
    """Write a generator as one safetensors file; ``header`` adds to what it says of itself."""
    if not isinstance(generator, Stored):
        raise CapabilityError(
            f"{generator.name!r} is of the kind {generator.architecture!r}, which cannot be "
            f"written: its module is somebody else's. Kinds that can: {', '.join(GENERATORS)}."
        )
    document = {
        "kind": KIND,
        "architecture": generator.architecture,
        "name": generator.name,
        "config": generator.config(),
        **header,
    }
    store.save(path, generator.tensors(), document)
