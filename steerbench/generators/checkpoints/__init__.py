"""Other people's checkpoints: read safely, recognised by content, turned into Generators.

A format is one module of this package and one line of `FORMATS`. It has a ``TITLE``, the
``REQUIRED`` names that tell it from others, ``recognise(contents)``, which lists what a file lacks
to be of the format, and ``convert(contents)``, which brings the names, the orientation and the
gains of its weights into one of our architectures. What the weights cannot say is listed in its
``OPTIONS`` (`options`). File names are never looked at.

>>> for name in sorted(FORMATS):
...     print(name)
biggan-ajbrock
biggan-hf
dcgan
eigengan
ganzoo-pgan
genforce-pggan
genforce-stylegan1
genforce-stylegan2
glow
huangzh13-stylegan1
pggan-tensorflow
rosinality-stylegan2
stylegan1-tensorflow
stylegan2-ada-pytorch
stylegan2-tensorflow
stylegan3
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import torch

from steerbench.errors import CheckpointError
from steerbench.generators.base import BaseGenerator
from steerbench.generators.checkpoints import reporting
from steerbench.generators.checkpoints.formats import (
    biggan_ajbrock,
    biggan_hf,
    dcgan,
    eigengan,
    ganzoo,
    genforce_stylegan1,
    genforce_stylegan2,
    glow,
    huangzh13,
    pggan,
    pggan_tensorflow,
    rosinality,
    stylegan1_tensorflow,
    stylegan2_ada,
    stylegan2_tensorflow,
    stylegan3,
)
from steerbench.generators.checkpoints.options import refuse_unknown
from steerbench.generators.checkpoints.reading import Contents, read

FORMATS: dict[str, ModuleType] = {
    "stylegan2-ada-pytorch": stylegan2_ada,
    "stylegan3": stylegan3,
    "stylegan2-tensorflow": stylegan2_tensorflow,
    "stylegan1-tensorflow": stylegan1_tensorflow,
    "pggan-tensorflow": pggan_tensorflow,
    "rosinality-stylegan2": rosinality,
    "genforce-stylegan2": genforce_stylegan2,
    "genforce-stylegan1": genforce_stylegan1,
    "huangzh13-stylegan1": huangzh13,
    "genforce-pggan": pggan,
    "ganzoo-pgan": ganzoo,
    "eigengan": eigengan,
    "glow": glow,
    "biggan-hf": biggan_hf,
    "biggan-ajbrock": biggan_ajbrock,
    "dcgan": dcgan,
}
"""Name to module: what can be loaded besides our own files."""


def load(path: str | os.PathLike[str], **settings: Any) -> BaseGenerator:
    """The generator in a file of any known format; nothing in the file is executed.

    Args:
        path: Of the file.
        settings: What the file does not say of its network; see `options`.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is broken, unsafe, or of no known format; then it says what is in it.
    """
    return convert(read(path), **settings)


def recognise(contents: Contents) -> str | None:
    """The name of the format of a file, or none."""
    return next((name for name, form in FORMATS.items() if not form.recognise(contents)), None)


def convert(contents: Contents, **settings: Any) -> BaseGenerator:
    """The generator in what was read from a file.

    Raises:
        CheckpointError: It is of no known format, or does not hold together.
        ArgumentError: The format has no such setting.
    """
    name = recognise(contents)
    if name is None:
        raise CheckpointError(report(contents))
    form = FORMATS[name]
    refuse_unknown(settings, getattr(form, "OPTIONS", {}), form.TITLE)
    try:
        generator: BaseGenerator = form.convert(contents, **settings)
    except CheckpointError as error:
        raise CheckpointError(f"{str(contents.path)!r} is refused. {error}") from error
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{str(contents.path)!r} looks like {form.TITLE}, but its parts do not fit "
            f"together: {type(error).__name__}: {str(error)[:600]}. Get the file again from where "
            "it came from."
        ) from error
    _check_finite(generator, contents)
    generator.format = name
    return generator


def _check_finite(generator: BaseGenerator, contents: Contents) -> None:
    for name, tensor in generator.module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{str(contents.path)!r} holds NaN or infinity in {name}. Its training failed, or "
                "the file was damaged; fetch it again."
            )


def report(contents: Contents) -> str:
    """What a file of no known format holds, and what the nearest formats would need."""
    return reporting.report(contents, FORMATS)


__all__ = ["FORMATS", "Contents", "convert", "load", "read", "recognise", "report"]
