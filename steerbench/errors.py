"""Every error that steerbench raises on purpose.

Each message says three things: what was given, what was expected, and what to do. All kinds
derive from `SteerbenchError`, so one ``except`` catches a caller's mistake and lets a bug in the
library through; and each is also the built-in that Python people expect, so that code which knows
nothing of steerbench catches it too.

>>> issubclass(ShapeError, ValueError), issubclass(LayerError, LookupError)
(True, True)
>>> issubclass(MissingFileError, FileNotFoundError), issubclass(KeywordError, TypeError)
(True, True)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteerbenchError(Exception):
    """The parent of every error raised on purpose."""


class ArgumentError(SteerbenchError, ValueError):
    """A number or a choice that cannot be used was given."""


class KeywordError(SteerbenchError, TypeError):
    """A keyword was given that nothing takes."""


class NotFittedError(SteerbenchError, ValueError):
    """Results were asked for before ``fit``."""


class SpaceError(SteerbenchError, ValueError):
    """Latents or directions of different spaces or generators were mixed."""


class ShapeError(SteerbenchError, ValueError):
    """An array has another shape than the one expected."""


class LayerError(SteerbenchError, LookupError):
    """A layer or unit was asked for that the generator does not have."""


class LatentError(SteerbenchError, ValueError):
    """The numbers of a latent cannot be used: NaN, infinity, not numeric."""


class NotFoundError(SteerbenchError, LookupError):
    """A name that does not exist was asked for."""


class MissingFileError(NotFoundError, FileNotFoundError):
    """A file that does not exist was asked for."""


class CheckpointError(SteerbenchError, ValueError):
    """A weight file is broken, unsafe, or not of a known format."""


class BundleError(SteerbenchError, ValueError):
    """What is said to belong to a generator contradicts itself, or is not there."""


class RecipeError(SteerbenchError, ValueError):
    """A recipe cannot be read, or belongs to another generator."""


class CapabilityError(SteerbenchError, NotImplementedError):
    """A generator lacks the optional capability that a method needs."""


class ImageError(SteerbenchError, ValueError):
    """A picture cannot be read, written or understood."""


class PredictorError(SteerbenchError, ValueError):
    """A predictor returned something that cannot be used."""


class FileError(SteerbenchError, OSError):
    """A file or folder cannot be read or written."""


def closest(name: object, choices: Iterable[object], n: int = 3) -> str:
    """Return a sentence that offers the names nearest to a mistyped one.

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
    """Return the message for a name that is not in a list.

    >>> unknown("generator", "room", ["rooms", "toy"])
    "No generator is called 'room'. Did you mean 'rooms'?"
    """
    return f"No {kind} is called {str(name)!r}. {closest(name, choices)}"
