"""What the methods of each kind are to everybody else: four protocols.

A method stores its hyperparameters in ``__init__`` unchanged and does all its work in
``fit(generator)``, which returns the method itself and leaves results under names with a trailing
underscore. What takes longer than some seconds is ``fit(generator, state=None)``: with a file as
``state``, a run that was broken off goes on from there. Why a generator cannot be treated at all,
the class says before anything is built: ``refuses(generator)`` is a class method. What only some
settings make impossible, such as a layer that is not there, ``fit`` raises.

`steerbench.methods` lists the methods; `tests/contracts` holds them to these protocols.

>>> import steerbench as sb
>>> isinstance(sb.SeFa(2).fit(sb.load("rooms")), Finder)
True
"""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

from steerbench.types.latents import Direction, Latent
from steerbench.types.protocols import Generator


@runtime_checkable
class Finder(Protocol):
    """Finds directions; of a predictor's attributes where it is given one.

    Attributes:
        directions_: After ``fit``; what counts most comes first.
    """

    directions_: list[Direction]

    @classmethod
    def refuses(cls, generator: Generator, /) -> str | None:
        """Return why it cannot work on a generator, or None."""

    def fit(self, generator: Any, /) -> Self:
        """Find the directions of a generator."""


@runtime_checkable
class Dissector(Protocol):
    """Finds what units stand for.

    Attributes:
        units_: A table, one row for each unit and concept.
        layer_: The layer of the units.
    """

    units_: Any
    layer_: str

    @classmethod
    def refuses(cls, generator: Any, /) -> str | None:
        """Return why it cannot work on a generator, or None."""

    def fit(self, generator: Any, /) -> Self:
        """Dissect a generator."""

    def best(self, concept: str, n_units: int = ..., /) -> Any:
        """Return the units that match a concept best."""


@runtime_checkable
class TextEditor(Protocol):
    """Edits codes as a text asks for, on the generator that it was fitted to.

    Where one fit serves every text, the prompt is given to ``edit``; else to ``__init__``.
    """

    @classmethod
    def refuses(cls, generator: Any, /) -> str | None:
        """Return why it cannot work on a generator, or None."""

    def fit(self, generator: Any, /) -> Self:
        """Learn or measure what can be known before a picture is given."""

    def edit(self, latent: Latent, /, *given: Any, **options: Any) -> Latent:
        """Return the edited codes."""


@runtime_checkable
class Inverter(Protocol):
    """Finds codes of pictures: a function, for there is nothing to fit."""

    def __call__(self, generator: Any, images: Any, /, **options: Any) -> Any:
        """Return a `steerbench.inversion.Inversion`, one code for each picture."""


__all__ = ["Dissector", "Finder", "Inverter", "TextEditor"]
