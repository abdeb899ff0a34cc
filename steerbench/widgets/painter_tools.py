"""The tools of `UnitPainter`: concept, action, strength, units, brush, seed and the buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets

from steerbench.errors import ArgumentError
from steerbench.widgets.concept_units import ConceptUnits, find_concept
from steerbench.widgets.controls import random_seed
from steerbench.widgets.painting import Brush, Painting
from steerbench.widgets.style import button, column, row

ERASE = "erase"
STRONGEST = 3.0
LARGEST_CURSOR = 120
"""Browsers draw no cursor of more than 128 pixels."""
WIDE = {"flex": "1 1 0", "width": "auto", "min_width": "0"}


class PainterTools:
    """Every control, laid out elsewhere, and what they say.

    Args:
        known: Units by concept.
        count: How many units of a concept take part at first.
        strength: How strongly the brush acts at first.
        largest: The largest brush, in pixels of the mask.
        size: The brush at first.
    """

    def __init__(
        self,
        known: Mapping[str, ConceptUnits],
        *,
        count: int,
        strength: float,
        largest: int,
        size: int,
    ) -> None:
        self.known = known
        paintable = {name: each for name, each in known.items() if each.units}
        most = max(len(each.units) for each in paintable.values())
        self._count, self._strength, self._writing = min(count, most), strength, False
        self.concept = ipywidgets.Dropdown(
            options=list(paintable), description="Concept", layout=WIDE, style=_NARROW
        )
        self.action = ipywidgets.ToggleButtons(
            options=[("Insert", "insert"), ("Remove", "remove"), ("Erase", ERASE)],
            tooltips=["Paint the concept in", "Paint the concept out", "Take paint away"],
            style={"button_width": "78px"},
        )
        self.strength = ipywidgets.FloatSlider(
            strength,
            min=0,
            max=STRONGEST,
            step=0.05,
            description="Strength",
            **_SLIDER,
            tooltip="1 sets the units to a high value or to 0, more goes beyond",
        )
        self.count = ipywidgets.IntSlider(
            self._count,
            min=1,
            max=most,
            description="Units",
            **_SLIDER,
            tooltip="How many of the concept's units take part, the best ones",
        )
        self.size = ipywidgets.IntSlider(
            size,
            min=1,
            max=largest,
            description="Brush",
            **_SLIDER,
            tooltip="The diameter of the brush, in pixels of the mask",
        )
        self.seed = ipywidgets.BoundedIntText(
            min=0,
            max=2**32 - 1,
            description="Seed",
            layout=WIDE,
            style=_NARROW,
            tooltip="The number that this picture is drawn from; the paint stays",
        )
        self.shown = ipywidgets.ToggleButton(
            True,
            description="Paint",
            icon="paint-brush",
            layout={"width": "auto"},
            tooltip="Show where paint lies; never part of the picture",
        )
        self.units = ipywidgets.HTML()
        self.units.add_class("sb-faint")
        self.random = button("Random", "random", "Another picture")
        self.compare = button("Compare", "eye", "Press and hold to see the original")
        self.compare.add_class("sb-compare")
        self.clear = button("Clear", "trash", "Take all paint away")
        self.undo = button("Undo", "undo", "Take the last change back")
        self.redo = button("Redo", "repeat", "Do it again")
        self.random.on_click(lambda _: setattr(self.seed, "value", random_seed()))

    @property
    def brush(self) -> Brush | None:
        """What the next stroke does; None where it erases."""
        action = self.action.value
        if action == ERASE:
            return None
        return Brush(self.concept.value, action, self.strength.value, self.count.value)

    def choose(self, concept: str | None = None, action: str | None = None) -> None:
        """Pick a concept and an action, as a person would.

        Raises:
            NotFoundError: There is no such concept, or no unit matches it.
            ArgumentError: There is no such action.
        """
        if concept is not None:
            find_concept(self.known, concept)
        if action not in (None, "insert", "remove", ERASE):
            raise ArgumentError(f"action={action!r}; a brush can 'insert', 'remove' or 'erase'.")
        self.concept.value = concept or self.concept.value
        self.action.value = action or self.action.value

    def write(self, painting: Painting) -> None:
        """Make the controls say what a painting says, without a word to those who listen."""
        self._writing = True
        try:
            self.seed.value = painting.seed
            self._write_brush(painting)
        finally:
            self._writing = False

    def on_change(self, call: Callable[[str], None]) -> None:
        """Call with ``"seed"``, ``"strength"`` or ``"count"`` when a person moved one of them."""

        def notify(what: str) -> None:
            if not self._writing:
                self._strength, self._count = self.strength.value, self.count.value
                call(what)

        for what in ("seed", "strength", "count"):
            getattr(self, what).observe(lambda _, what=what: notify(what), "value")

    def on_choice(self, call: Callable[[], None]) -> None:
        """Call when another concept or action was chosen."""
        for control in (self.concept, self.action):
            control.observe(lambda _: call(), "value")

    def layout(self) -> list[ipywidgets.Widget]:
        """The right column, from the concept to the buttons."""
        tools = column(
            [row(self.concept, self.action), self.units, self.strength, self.count, self.size]
        )
        tools.add_class("sb-tools")
        return [tools, row(self.clear, self.undo, self.redo, self.shown)]

    def cursor(self, name: str, scale: float) -> str:
        """A style sheet that gives the brush its size, ``scale`` screen pixels a mask pixel."""
        return brush_cursor(name, self.size.value * scale)

    def _write_brush(self, painting: Painting) -> None:
        """The strength and the units of the paint there is, or else the ones chosen last."""
        concept, action = self.concept.value, self.action.value
        paint = painting.find(concept, action)
        self.strength.value = self._strength if paint is None else paint.brush.strength
        self.count.value = self._count if paint is None else paint.brush.count
        self.strength.disabled = self.count.disabled = action == ERASE
        self.units.value = say_units(self.known[concept], self.count.value)


def brush_cursor(name: str, width: float) -> str:
    """A style sheet that gives the cursor over a canvas the size of a brush, in screen pixels."""
    side = min(LARGEST_CURSOR, max(6, round(width)))
    ring = "".join(
        f"<circle cx='{side / 2}' cy='{side / 2}' r='{side / 2 - 1 - i}' fill='none' "
        f"stroke='{colour}'/>"
        for i, colour in enumerate(("white", "black"))
    )
    picture = f"<svg xmlns='http://www.w3.org/2000/svg' width='{side}' height='{side}'>{ring}"
    url = f"data:image/svg+xml,{picture}</svg>".replace("#", "%23")
    return (
        f'<style>.{name} canvas {{ cursor: url("{url}") {side // 2} {side // 2}, crosshair; }}'
        "</style>"
    )


def say_units(known: ConceptUnits, count: int) -> str:
    """Which units a brush reaches, as a line of text.

    >>> say_units(ConceptUnits("lamp", "b8.conv1", (3, 14), (0.21, 0.1), (1.0, 1.0)), 8)
    '2 units of b8.conv1: 3 (IoU 0.21), 14 (0.10)'
    """
    units = list(zip(known.units[:count], known.iou))
    word = "IoU "
    said = []
    for unit, iou in units[:6]:
        said.append(f"{unit}" if iou is None else f"{unit} ({word}{iou:.2f})")
        word = ""
    more = ", ..." if len(units) > len(said) else ""
    plural = "unit" if len(units) == 1 else "units"
    return f"{len(units)} {plural} of {known.layer}: {', '.join(said)}{more}"


_NARROW = {"description_width": "auto"}
_SLIDER = {
    "style": {"description_width": "62px"},
    "layout": {"width": "auto"},
}
