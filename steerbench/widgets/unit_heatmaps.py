"""All units of a layer at a glance: what each sees in a picture, and the picture without it.

>>> import steerbench as sb
>>> maps = UnitHeatmaps(sb.load("rooms"), "b16.conv1", seed=4)
>>> maps.switch(17)
>>> maps.off, maps.recipe.edits[0].units
((17,), (17,))
>>> maps.say(17)
'Unit 17, off: largest activation ...'

In a notebook the last line of a cell shows it. With the units of a dissection the tiles stand by
concept and IoU, and a tile is as bright as the activation is near the unit's threshold; without,
they stand by number, each as bright as its own largest activation. Moving over a tile says which
unit it is; a click shows its activation over the picture and switches it off, another click on
again. What is on the screen is at any moment ``maps.recipe``.

All tiles are one canvas, however many units there are.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipycanvas
import ipywidgets
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, LayerError
from steerbench.generators import BaseGenerator
from steerbench.renderer import Renderer
from steerbench.types import Edit, Latent, Recipe, UnitEdit
from steerbench.widgets.canvas import drawing
from steerbench.widgets.concept_units import convolutional, table_of
from steerbench.widgets.controls import check_numbers, opening_seed, random_seed
from steerbench.widgets.history import History
from steerbench.widgets.notice import Notice
from steerbench.widgets.picture import Picture
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.style import button, column, refuse_unknown, row, style_sheet
from steerbench.widgets.unit_mosaic import Sheet, by_concept, overlay_heat, relative_activations

KEYWORDS = ("units", "seed", "truncation", "size", "width")


@dataclass(frozen=True)
class Setting:
    """The seed, the units that are off, and the one that is looked at."""

    seed: int
    off: tuple[int, ...] = ()
    chosen: int | None = None


class UnitHeatmaps(ipywidgets.VBox):
    """Every unit of a layer as a tile, beside the picture.

    Args:
        generator: Any generator with layers that have height and width.
        layer: The layer; None for that of the dissection.
        units: A fitted dissection of this layer or its table, to sort by; None for no order.
        seed: Of the first picture; None takes a good one of the generator's bundle, or 0.
        truncation: How far codes are drawn towards the mean, from 0 (the mean) to 1 (not at all).
        size: The width of the pictures on the screen, in pixels.
        width: That of the sheet of tiles.

    Attributes:
        history: Every `Setting` so far, for undo and redo.
        renderer: Makes the pictures.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword is not known, a number is out of range, or the units or the
            layer do not fit the generator.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        layer: str | None = None,
        units: Any = None,
        *,
        seed: int | None = None,
        truncation: float = 1.0,
        size: int = 224,
        width: int = 544,
        **unknown: Any,
    ) -> None:
        refuse_unknown("UnitHeatmaps", unknown, KEYWORDS)
        check_numbers(truncation, 1.0, size, "w+" in generator.spaces)
        check_numbers(1.0, 1.0, width, True)
        self.generator, self.truncation = generator, float(truncation)
        table = None
        if units is not None:
            table, layer = table_of(generator, units, layer)
        if layer is None:
            raise LayerError("Which layer? Pass its name, or a fitted dissection as units.")
        self.layer, self.channels = convolutional(generator, layer)
        groups, self._best = by_concept(table, self.channels)
        self._levels = _levels(table, self.channels)
        self.sheet = Sheet.of(groups, width)
        self.renderer, self.notice = Renderer(generator), Notice()
        self.history = History(Setting(opening_seed(generator, seed)))
        self._seen: tuple[int, Latent, Tensor, Tensor] | None = None
        self._hovered: int | None = None
        self._build(size)
        self._show()
        self._listen()

    # What programs ask for.

    @property
    def recipe(self) -> Recipe:
        """What is on the screen: the starting latent, and the units that are off."""
        start = self.generator.sample(1, seed=self._now.seed)
        return Recipe.of(self.generator, start, self._edits(), truncation=self.truncation)

    @property
    def off(self) -> tuple[int, ...]:
        """The units that are switched off, in the order in which they were."""
        return self._now.off

    @property
    def picture(self) -> bytes:
        """The file of the picture without the units that are off."""
        return self._picture.data

    @property
    def error(self) -> str:
        """The mistake shown, or the empty text."""
        return self.notice.error

    def switch(self, unit: int) -> None:
        """Look at a unit, and switch it off; or on again.

        Raises:
            LayerError: There is no such unit.
        """
        if unit not in self.sheet.place:
            raise LayerError(
                f"Unit {unit} was given, but layer {self.layer!r} has {self.channels} units: 0 to "
                f"{self.channels - 1}."
            )
        now = self._now
        off = tuple(u for u in now.off if u != unit) if unit in now.off else (*now.off, unit)
        self.history.push(replace(now, off=off, chosen=unit))
        self._show()

    def say(self, unit: int) -> str:
        """What is known of a unit, as a line of text."""
        activation = self._look()[2]
        text = f"Unit {unit}{', off' if unit in self.off else ''}: "
        if unit in self._best.index:
            known = self._best.loc[unit]
            text += f"{known['concept']}, IoU {known['iou']:.3f}; "
        return text + f"largest activation {activation[unit].max():.2f}"

    def reset(self) -> None:
        """Switch all units on again. One step of the history."""
        self.history.push(replace(self._now, off=()))
        self._show()

    def undo(self) -> None:
        """One step back."""
        self.history.undo()
        self._show()

    def redo(self) -> None:
        """One step forward again."""
        self.history.redo()
        self._show()

    # The tree, built once.

    def _build(self, size: int) -> None:
        self._picture, self._over = Picture(size), Picture(size)
        sheet = self.sheet
        self._canvas = ipycanvas.MultiCanvas(2, width=sheet.width, height=sheet.height)
        self._canvas.add_class("sb-sheet")
        self._line, self._caption = ipywidgets.HTML(), ipywidgets.HTML()
        for text in (self._line, self._caption):
            text.add_class("sb-faint")
        self._seed = ipywidgets.BoundedIntText(
            min=0,
            max=2**32 - 1,
            description="Seed",
            style={"description_width": "auto"},
            layout={"flex": "1 1 0", "width": "auto", "min_width": "0"},
        )
        self._random = button("Random", "random", "Another picture")
        self._hold = button("Compare", "eye", "Press and hold to see the original")
        self._hold.add_class("sb-compare")
        self._reset = button("All on", "refresh", "Switch all units on again")
        self._undo = button("Undo", "undo", "Take the last change back")
        self._redo = button("Redo", "repeat", "Do it again")
        self._save = SaveRow(self.generator, lambda: self.recipe, self.notice)
        left = [
            self._picture,
            row(self._seed, self._random),
            self._over,
            self._caption,
        ]
        right = [
            self._line,
            self._canvas,
            row(self._hold, self._reset, self._undo, self._redo),
            self._save,
            self.notice,
        ]
        columns = ipywidgets.HBox(
            [
                column(left, width=f"{size}px", max_width="100%"),
                column(right, flex="1 1 380px", max_width=f"{sheet.width}px", min_width="0"),
            ]
        )
        columns.add_class("sb-columns")
        super().__init__([style_sheet(), columns])
        self.add_class("sb-panel")

    def _listen(self) -> None:
        self._seed.observe(self._on_seed, "value")
        self._random.on_click(lambda _: setattr(self._seed, "value", random_seed()))
        self._reset.on_click(lambda _: self.reset())
        self._undo.on_click(lambda _: self.undo())
        self._redo.on_click(lambda _: self.redo())
        self._canvas.on_mouse_move(self._hover)
        self._canvas.on_mouse_out(lambda x, y: self._hover(-1, -1))
        self._canvas.on_mouse_down(self._click)
        self._canvas.on_client_ready(self._draw_sheet)

    # From the hand to pixels.

    @property
    def _now(self) -> Setting:
        return self.history.present

    def _on_seed(self, _: object) -> None:
        if self._seed.value != self._now.seed:
            self.history.push(replace(self._now, seed=self._seed.value), "seed")
            self._show()

    def _click(self, x: float, y: float) -> None:
        unit = self.sheet.unit_at(x, y)
        if unit is not None:
            self.switch(unit)

    def _hover(self, x: float, y: float) -> None:
        """Say which unit lies under the mouse; most movements change nothing."""
        unit = self.sheet.unit_at(x, y)
        if unit == self._hovered:
            return
        self._hovered = unit
        with self.notice.guard():
            self._say()
            self._draw_marks()

    def _show(self) -> None:
        """Make everything on the screen say what holds now."""
        self.notice.clear()
        now = self._now
        self._seed.value = now.seed
        self._undo.disabled = not self.history.can_undo
        self._redo.disabled = not self.history.can_redo
        self._reset.disabled = not now.off
        with self.notice.guard(), self.renderer.lock:
            before = self._seen
            _, latent, activation, original = self._look()
            self._picture.show(self.renderer.render(latent, self._edits()))
            chosen = int(self._best.index[0]) if len(self._best) else 0
            chosen = chosen if now.chosen is None else now.chosen
            heat = relative_activations(activation, self._levels)[chosen]
            self._over.show(overlay_heat(original[0], heat))
            self._caption.value = html.escape(self.say(chosen))
            self._say()
            if before is self._seen:
                self._draw_marks()
            else:
                self._draw_sheet()

    def _look(self) -> tuple[int, Latent, Tensor, Tensor]:
        """The seed, its latent, activations ``[units, h, w]`` and picture, kept while it stays."""
        seed = self._now.seed
        if self._seen is None or self._seen[0] != seed:
            start = self.generator.sample(1, seed=seed)
            recipe = Recipe.of(self.generator, start, truncation=self.truncation)
            latent = self.generator.prepare(recipe.latent(self.generator))[0]
            with self.renderer.lock, torch.no_grad():
                original = self.renderer.render(latent)
                activation = self.generator.capture(latent, [self.layer])[self.layer][0].cpu()
            if not torch.isfinite(activation).all():
                raise ArgumentError(
                    f"Layer {self.layer!r} gives NaN or infinity for seed {seed}. Take another "
                    "seed, or check the weights."
                )
            self._picture.show_original(original)
            self._over.show_original(original)
            self._seen = (seed, latent, activation, original.cpu())
        return self._seen

    def _edits(self) -> list[Edit]:
        return [UnitEdit(self.layer, self.off, "set", 0.0)] if self.off else []

    def _say(self) -> None:
        rest = f"{self.channels} units of {self.layer}, {len(self.off)} off"
        unit = self._hovered
        self._line.value = html.escape(rest if unit is None else self.say(unit))

    def _draw_sheet(self, *_: object) -> None:
        """Draw everything, also for a browser that comes later."""
        if self._seen is None:
            return
        picture = self.sheet.picture(relative_activations(self._seen[2], self._levels))
        tiles = self._canvas[0]
        with drawing():
            tiles.clear()
            tiles.put_image_data(picture)
            tiles.fill_style, tiles.font, tiles.text_baseline = "#888", "12px sans-serif", "middle"
            for text, x, y in self.sheet.headings:
                tiles.fill_text(text, x, y)
        self._draw_marks()

    def _draw_marks(self) -> None:
        """Mark the units that are off, the one that is chosen, and the one under the mouse."""
        marks, side = self._canvas[1], self.sheet.tile
        with drawing():
            marks.clear()
            marks.line_width = 2
            marks.fill_style, marks.stroke_style = "rgba(128, 128, 128, 0.75)", "#eb4034"
            for unit in self.off:
                x, y = self.sheet.place[unit]
                marks.fill_rect(x, y, side)
                marks.stroke_line(x + 2, y + 2, x + side - 2, y + side - 2)
            for framed, colour in ((self._now.chosen, "#2684ff"), (self._hovered, "#fff")):
                if framed is not None:
                    x, y = self.sheet.place[framed]
                    marks.stroke_style = colour
                    marks.stroke_rect(x + 1, y + 1, side - 2)


def _levels(table: Any, channels: int) -> Sequence[float] | None:
    """The threshold of every unit, 0 where a table has none."""
    if table is None or "threshold" not in table.columns:
        return None
    known = table.drop_duplicates("unit").set_index("unit")["threshold"]
    return [float(known.get(unit, 0.0)) for unit in range(channels)]
