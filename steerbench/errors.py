"""Every error that steerbench raises on purpose.

Each message says three things: what was given, what was expected, and what to do. All kinds
derive from :class:`SteerbenchError`, so one ``except`` catches a caller's mistake and lets a
bug in the library through.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteerbenchError(Exception):
    """The parent of every error raised on purpose."""


class SpaceError(SteerbenchError):
    """Latents or directions of different spaces or generators were mixed."""


class ShapeError(SteerbenchError):
    """An array has another shape than the one expected."""


class LayerError(SteerbenchError):
    """A layer or unit was asked for that the generator does not have."""


class LatentError(SteerbenchError):
    """The numbers of a latent cannot be used: NaN, infinity, not numeric."""


class NotFoundError(SteerbenchError):
    """A name or a file that does not exist was asked for."""


class CheckpointError(SteerbenchError):
    """A weight file is broken, unsafe, or not of a known format."""


class RecipeError(SteerbenchError):
    """A recipe cannot be read, or belongs to another generator."""


class CapabilityError(SteerbenchError):
    """A generator lacks the optional capability that a method needs."""


class ImageError(SteerbenchError):
    """A picture cannot be read, written or understood."""


class PredictorError(SteerbenchError):
    """A predictor returned something that cannot be used."""


class FileError(SteerbenchError):
    """A file or folder cannot be read or written."""


def closest(name: object, choices: Iterable[object], n: int = 3) -> str:
    """A sentence that offers the names nearest to a mistyped one.

    >>> closest("b16.conv2", ["b16.conv0", "b16.conv1", "b4.conv1"], n=2)
    "Did you mean 'b16.conv1' or 'b16.conv0'?"
    >>> closest("q", ["z", "w"])
    "There is: 'z', 'w'."
    """
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(name), names, n=n, cutoff=0.4)
    if near:
        return f"Did you mean {' or '.join(repr(item) for item in near)}?"
    if not names:
        return "There is none."
    shown = ", ".join(repr(item) for item in names[:12])
    return f"There is: {shown}{', ...' if len(names) > 12 else ''}."


def unknown(kind: str, name: object, choices: Iterable[object]) -> str:
    """The message for a name that is not in a list.

    >>> unknown("generator", "room", ["rooms", "toy"])
    "No generator is called 'room'. Did you mean 'rooms'?"
    """
    return f"No {kind} is called {str(name)!r}. {closest(name, choices)}"
