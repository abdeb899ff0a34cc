"""The controls of `LatentSliders`, read and written as one `Setting`, and what it accepts."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import ipywidgets

from steerbench.bundles import part
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.seeds import Codes
from steerbench.types import ActivationState, Direction, Generator, Latent, Traversal, Walk
from steerbench.widgets.direction_row import DirectionRow, Step, layer_count
from steerbench.widgets.style import button

SEEDS = Codes.FREE.stop
"""The button "Random" draws a seed below this one: short enough to be told to a neighbour."""


@dataclass(frozen=True)
class Setting:
    """Where all controls stand."""

    seed: int
    truncation: float
    steps: tuple[Step, ...]


class Controls:
    """A row for each direction, the seed, the truncation and the buttons; laid out elsewhere.

    Args:
        generator: The generator.
        directions: One row is made for each.
        alpha_range: How far a slider goes to either side, in standard deviations.
    """

    def __init__(
        self, generator: Generator, directions: Sequence[Traversal], alpha_range: float
    ) -> None:
        self.rows = [
            DirectionRow(each, layer_count(generator, each.space), alpha_range)
            for each in directions
        ]
        self.seed = ipywidgets.BoundedIntText(
            min=0,
            max=2**32 - 1,
            description="Seed",
            tooltip="The number that this picture is drawn from",
            style={"description_width": "auto"},
            layout={"flex": "1 1 0", "width": "auto", "min_width": "0"},
        )
        self.truncation = ipywidgets.FloatSlider(
            min=0,
            max=1,
            step=0.05,
            description="Truncation",
            disabled=not can_truncate(generator, directions),
            tooltip="1 leaves the picture as it is, 0 is the average picture",
            style={"description_width": "auto"},
            layout={"width": "auto"},
        )
        self.random = button("Random", "random", "Another picture")
        self.compare = button("Compare", "eye", "Press and hold to see the original")
        self.compare.add_class("sb-compare")
        self.reset = button("Reset", "refresh", "Back to the first picture")
        self.undo = button("Undo", "undo", "Take the last change back")
        self.redo = button("Redo", "repeat", "Do it again")
        self._writing = False

    @property
    def problem(self) -> str:
        """What is wrong with one of the layer boxes, or the empty text."""
        return next((row.problem for row in self.rows if row.problem), "")

    def read(self) -> Setting:
        """What the controls say; where a text makes no sense, its last good one."""
        steps = tuple(row.read() for row in self.rows)
        return Setting(self.seed.value, self.truncation.value, steps)

    def write(self, setting: Setting) -> None:
        """Make the controls say this, without a word to those who listen."""
        self._writing = True
        try:
            self.seed.value = setting.seed
            self.truncation.value = setting.truncation
            for row, step in zip(self.rows, setting.steps, strict=True):
                row.write(step)
        finally:
            self._writing = False

    def on_change(self, call: Callable[[Hashable], None]) -> None:
        """Call, with a name for what was moved, whenever a person moves something."""

        def notify(what: Hashable) -> None:
            if not self._writing:
                call(what)

        for i, row in enumerate(self.rows):
            row.on_change(lambda part, i=i: notify((part, i)))  # type: ignore[misc]
        self.seed.observe(lambda _: notify("seed"), "value")
        self.truncation.observe(lambda _: notify("truncation"), "value")
        self.random.on_click(lambda _: setattr(self.seed, "value", random_seed()))


def opening_seed(generator: Generator, seed: int | None) -> int:
    """Return the seed of the first picture: the one given, a good one of the bundle, or 0."""
    if seed is not None:
        return seed
    return (part(generator, "seeds") or (0,))[0]


def random_seed() -> int:
    """Any seed that is short enough."""
    return random.randrange(SEEDS)


def can_truncate(generator: Generator, directions: Sequence[Traversal]) -> bool:
    """Whether codes can be drawn towards a mean before they are moved.

    That happens in w, so no direction may live in the space that w is computed from.
    """
    first = next(iter(generator.spaces))
    return "w+" in generator.spaces and all(each.space != first for each in directions)


def check_traversals(
    generator: BaseGenerator, directions: Sequence[Traversal], start: Latent | ActivationState
) -> tuple[Traversal, ...]:
    """The directions or walks, each tried on a code of the generator.

    Raises:
        ArgumentError: There is none, or something else was given; SpaceError and the like where
            one does not fit.
    """
    found = tuple(directions)
    wrong = [each for each in found if not isinstance(each, Direction | Walk)]
    if not found or wrong:
        given = f"a {type(wrong[0]).__name__}" if wrong else "none"
        raise ArgumentError(
            f"LatentSliders needs a list of Directions, {given} was given. Pass the directions_ "
            "of a fitted finder, for instance sb.SeFa(8).fit(G).directions_."
        )
    if len(start) != 1:
        raise ArgumentError(f"A latent of {len(start)} codes was given. Give one: latent[0].")
    for each in found:
        generator.prepare(start, [0.0 * each])
    return found


def check_numbers(truncation: float, alpha_range: float, size: int, truncates: bool) -> None:
    """Raise SteerbenchError for numbers that no slider or picture can have."""
    if not 0 <= truncation <= 1:
        raise ArgumentError(f"truncation={truncation}, expected a number from 0 to 1.")
    if truncation != 1 and not truncates:
        raise ArgumentError(
            f"truncation={truncation} was given, but these codes cannot be drawn towards a mean "
            "before the directions move them. Leave truncation at 1."
        )
    if not alpha_range > 0:
        raise ArgumentError(f"alpha_range={alpha_range}, expected a number above 0.")
    if not isinstance(size, int) or not 32 <= size <= 2048:
        raise ArgumentError(f"size={size!r}, expected a width from 32 to 2048 pixels.")
