"""A brush that paints with units: a lamp where there was none, a window walled up.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> painter = UnitPainter(G, {"lamp": ("b16.conv0", [3, 14, 15])}, seed=4)
>>> painter.choose("lamp", "remove")
>>> painter.paint([(20, 30), (26, 30)])
>>> [(edit.layer, edit.units) for edit in painter.recipe.edits]
[('b16.conv0', (3, 14, 15))]
>>> painter.undo()
>>> painter.recipe.edits
()

In a notebook the last line of a cell shows it. Choose a concept, then paint on the picture where
it should appear (its units are set to a high value there) or vanish (they are set to zero); the
picture follows the brush. "Strength" and "Units" act on what was painted already, too. Paint stays
when the seed changes. Holding "Compare" shows the original. What is on the screen is at any moment
``painter.recipe``, which replays anywhere.

While a picture is being made, movements of the mouse are joined: the newest one is drawn next and
nothing queues up. The walk through the generator starts at the layer that is painted in.

References: Bau et al., "GAN Dissection: Visualizing and Understanding Generative Adversarial
Networks" (2019, arXiv 1811.10597); Bau, Strobelt, Peebles, Wulff, Zhou, Zhu, Torralba, "Semantic
Photo Manipulation with a Generative Image Prior" (2019, arXiv 2005.07727).
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipycanvas
import ipywidgets
import numpy as np
import pandas as pd

from steerbench.errors import ArgumentError, ShapeError
from steerbench.generators import BaseGenerator
from steerbench.renderer import Renderer
from steerbench.types import Latent, Recipe
from steerbench.widgets.canvas import drawing, on_brush
from steerbench.widgets.concept_units import read_units
from steerbench.widgets.controls import check_numbers, opening_seed
from steerbench.widgets.history import History
from steerbench.widgets.latest_worker import LatestWorker
from steerbench.widgets.notice import Notice
from steerbench.widgets.painter_tools import STRONGEST, PainterTools
from steerbench.widgets.painting import Painting, dab, tint
from steerbench.widgets.picture import Picture
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.style import column, refuse_unknown, row, style_sheet

KEYWORDS = (
    "layer", "concept", "action", "n_units", "strength", "brush", "seed", "truncation", "size",
)  # fmt: skip
LARGEST_MASK = 128
"""The longest side of a mask, in pixels; smaller pictures have masks of their own size."""
_NUMBERS = itertools.count(1)

Point = tuple[float, float]


class UnitPainter(ipywidgets.VBox):
    """A picture to paint on, and the tools beside it.

    Args:
        generator: Any generator with layers that have height and width.
        units: A fitted dissection, its table (with ``layer``), or ``{concept: (layer, units)}``.
        layer: The layer of a table.
        concept: The concept to begin with; the first one if None.
        action: ``"insert"``, ``"remove"`` or ``"erase"``.
        n_units: How many of a concept's units take part at first, the best ones.
        strength: 1 sets units to a high value (insert) or to 0 (remove); up to 3 goes beyond.
        brush: The diameter of the brush, in pixels of the picture; a sixth of it if None.
        seed: Of the first picture; None takes a good one of the generator's bundle, or 0.
        truncation: How far codes are drawn towards the mean, from 0 (the mean) to 1 (not at all).
        size: The width of the picture on the screen, in pixels.

    Attributes:
        history: Every `Painting` so far, for undo and redo.
        renderer: Makes the pictures.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword, concept or action is not known, a number is out of range, or
            the units do not fit the generator.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        units: Any | pd.DataFrame | Mapping[str, tuple[str, Sequence[int]]],
        *,
        layer: str | None = None,
        concept: str | None = None,
        action: str = "insert",
        n_units: int = 20,
        strength: float = 1.0,
        brush: float | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
        size: int = 384,
        **unknown: Any,
    ) -> None:
        refuse_unknown("UnitPainter", unknown, KEYWORDS)
        check_numbers(truncation, 1.0, size, "w+" in generator.spaces)
        _check_brush(n_units, strength, brush)
        self.generator, self.truncation = generator, float(truncation)
        self.units = read_units(generator, units, layer)
        self.renderer, self.notice = Renderer(generator), Notice()
        seed = opening_seed(generator, seed)
        self.history = History(Painting(seed))
        self._base: tuple[int, Latent] | None = None
        self._picture = Picture(size)
        self._shape = tuple(self.renderer.render(self._start(seed)).shape[-2:])
        self._scale = min(1.0, LARGEST_MASK / max(self._shape))
        height, width = (max(1, round(side * self._scale)) for side in self._shape)
        self._canvas = ipycanvas.Canvas(width=width, height=height)
        self._tools = self._new_tools(n_units, strength, brush)
        self._tools.choose(concept, action)
        self._save = SaveRow(generator, lambda: self.recipe, self.notice)
        self._stroke = 0
        self._at: Point | None = None
        self._changing = threading.RLock()
        self._newest = LatestWorker(self._draw)
        self._cursor = ipywidgets.HTML(layout={"display": "none"})
        super().__init__([style_sheet(), self._cursor, self._columns(size)])
        self.add_class("sb-panel")
        self._listen(size / width)
        self._show()

    # What programs ask for.

    @property
    def recipe(self) -> Recipe:
        """What is on the screen: the starting latent, and a `UnitEdit` for each paint."""
        painting = self.history.present
        start = self.generator.sample(1, seed=painting.seed)
        edits = painting.edits(self.units)
        return Recipe.of(self.generator, start, edits, truncation=self.truncation)

    @property
    def picture(self) -> bytes:
        """The file of the picture on the screen, PNG or JPEG."""
        return self._picture.data

    @property
    def error(self) -> str:
        """The mistake shown, or the empty text."""
        return self.notice.error

    def choose(self, concept: str | None = None, action: str | None = None) -> None:
        """Take another brush: a concept, and ``"insert"``, ``"remove"`` or ``"erase"``.

        Raises:
            NotFoundError: There is no such concept, or no unit matches it.
            ArgumentError: There is no such action.
        """
        self._tools.choose(concept, action)

    def paint(self, where: Any) -> None:
        """One stroke with the present brush, as one step of the history.

        Args:
            where: The points ``[(x, y), ...]`` that the brush goes through, in pixels of the
                picture; or a mask ``[H, W]`` of the picture's size, in [0, 1].

        Raises:
            ShapeError: It is neither.
            ArgumentError: It holds NaN, or lies outside the picture.
        """
        mask = self._mask_of(where)
        self._stroke += 1
        self._change(self._stroke_change(mask), ("stroke", self._stroke))
        self._show()

    def clear(self) -> None:
        """Take all paint away. One step of the history."""
        self._change(lambda now: Painting(now.seed))
        self._show()

    def undo(self) -> None:
        """One step back."""
        with self._changing:
            self.history.undo()
        self._show()

    def redo(self) -> None:
        """One step forward again."""
        with self._changing:
            self.history.redo()
        self._show()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the picture has caught up with the brush; whether it did in time."""
        return self._newest.wait(seconds)

    # The tree, built once.

    def _new_tools(self, n_units: int, strength: float, brush: float | None) -> PainterTools:
        shortest = min(self._canvas.width, self._canvas.height)
        wanted = shortest / 6 if brush is None else brush * self._scale
        largest = max(2, shortest // 3)
        return PainterTools(
            self.units,
            count=n_units,
            strength=strength,
            largest=largest,
            size=min(largest, max(1, round(wanted))),
        )

    def _columns(self, size: int) -> ipywidgets.HBox:
        has = self._tools
        stage = ipywidgets.Box([self._picture, self._canvas], layout=self._picture.layout)
        stage.add_class("sb-stage")
        self._name = f"sb-brush-{next(_NUMBERS)}"
        stage.add_class(self._name)
        left = [stage, row(has.seed, has.random, has.compare)]
        columns = ipywidgets.HBox(
            [
                column(left, width=f"{size}px", max_width="100%"),
                column(
                    [*has.layout(), self._save, self.notice],
                    flex="1 1 380px",
                    max_width="560px",
                    min_width="0",
                ),
            ]
        )
        columns.add_class("sb-columns")
        return columns

    def _listen(self, scale: float) -> None:
        has = self._tools
        has.on_change(self._on_move)
        has.on_choice(lambda: has.write(self.history.present))
        has.clear.on_click(lambda _: self.clear())
        has.undo.on_click(lambda _: self.undo())
        has.redo.on_click(lambda _: self.redo())
        has.shown.observe(lambda _: self._draw_paint(), "value")

        def resize(_: object = None) -> None:
            self._cursor.value = has.cursor(self._name, scale)

        has.size.observe(resize, "value")
        resize()
        on_brush(self._canvas, press=self._press, drag=self._drag, release=self._release)
        self._canvas.on_client_ready(self._draw_paint)

    # From the hand to a painting.

    def _press(self, x: float, y: float) -> None:
        self._stroke += 1
        self._stretch((x, y), (x, y))

    def _drag(self, x: float, y: float) -> None:
        if self._at is not None:
            self._stretch(self._at, (x, y))

    def _stretch(self, start: Point, end: Point) -> None:
        """The brush went on a bit; cheap, for the picture is made elsewhere."""
        with self.notice.guard():
            if not all(map(math.isfinite, end)):
                raise ArgumentError(f"The brush is at {end}, which is nowhere.")
            mask = dab(self._mask_shape, start, end, self._tools.size.value)
            self._at = end
            self.history.rest()  # a stroke is one step, however long the hand rests
            self._change(self._stroke_change(mask), ("stroke", self._stroke))
            self._draw_paint()
            self._newest.wake()

    def _release(self) -> None:
        self._at = None

    def _on_move(self, what: str) -> None:
        """A person moved the seed, the strength or the number of units."""
        has = self._tools
        if what == "seed":
            self._change(lambda now: Painting(has.seed.value, now.paints), what)
        elif (brush := has.brush) is not None:
            self._change(lambda now: now.adjust(brush), (what, brush.concept, brush.action))
        self._show()
        self.history.rest()

    def _stroke_change(self, mask: np.ndarray) -> Callable[[Painting], Painting]:
        brush = self._tools.brush
        if brush is None:
            return lambda now: now.erase(mask)
        return lambda now: now.paint(brush, mask)

    def _change(self, change: Callable[[Painting], Painting], what: Any = None) -> None:
        """A new present. Callbacks may come from several threads, so one at a time."""
        with self._changing:
            self.history.push(change(self.history.present), what)

    def _mask_of(self, where: Any) -> np.ndarray:
        """Points or a mask in the picture as a mask of the canvas's size."""
        given = np.asarray(where, dtype=float)
        points = given.ndim == 2 and given.shape[1] == 2 and len(given) > 0
        if given.shape != self._shape and not points:
            raise ShapeError(
                f"A stroke was given as an array of shape {list(given.shape)}. Give points "
                f"[(x, y), ...] or a mask {list(self._shape)}, the size of the picture."
            )
        if not np.isfinite(given).all():
            raise ArgumentError("A stroke holds NaN or infinity. Give finite numbers.")
        mask = self._resize(given) if given.shape == self._shape else self._through(given)
        if not mask.any():
            raise ArgumentError(
                f"This stroke lies outside the picture, which is {self._shape[1]} pixels wide and "
                f"{self._shape[0]} high, or it is empty."
            )
        return mask

    def _resize(self, given: np.ndarray) -> np.ndarray:
        if given.min() < 0 or given.max() > 1:
            raise ArgumentError(
                f"The mask goes from {given.min():.3g} to {given.max():.3g}; give 0 to 1."
            )
        rows, columns = (
            np.minimum(np.arange(n) * side // n, side - 1)
            for n, side in zip(self._mask_shape, self._shape)
        )
        return np.round(255 * given[np.ix_(rows, columns)]).astype(np.uint8)

    def _through(self, points: np.ndarray) -> np.ndarray:
        path = [tuple(point) for point in (points * self._scale).tolist()]
        size = self._tools.size.value
        pairs = zip(path, [*path[1:], path[-1]])
        return np.max([dab(self._mask_shape, a, b, size) for a, b in pairs], axis=0)

    # From a painting to pixels.

    @property
    def _mask_shape(self) -> tuple[int, int]:
        return self._canvas.height, self._canvas.width

    def _show(self) -> None:
        """Make everything on the screen say what holds now."""
        self.notice.clear()
        self._tools.write(self.history.present)
        self._draw_paint()
        self._draw()

    def _draw(self) -> None:
        """Draw the present painting.

        With the generator's lock held until the picture is on its way, pictures leave in order,
        and the last one to leave is of the newest painting, whichever thread drew it.
        """
        with self.notice.guard(), self.renderer.lock:
            painting = self.history.present  # read once: another thread may paint meanwhile
            start = self._start(painting.seed)
            self._tools.undo.disabled = not self.history.can_undo
            self._tools.redo.disabled = not self.history.can_redo
            self._picture.show(self.renderer.render(start, painting.edits(self.units)))

    def _draw_paint(self, *_: object) -> None:
        """Lay the paint over the picture; also for a browser that comes later."""
        paints = self.history.present.paints if self._tools.shown.value else ()
        sheet = tint(paints, self._mask_shape)
        with drawing():
            self._canvas.clear()
            self._canvas.put_image_data(sheet)

    def _start(self, seed: int) -> Latent:
        """The latent in the space that pictures are made from, kept while the seed stays."""
        if self._base is None or self._base[0] != seed:
            start = self.generator.sample(1, seed=seed)
            recipe = Recipe.of(self.generator, start, truncation=self.truncation)
            latent = self.generator.prepare(recipe.latent(self.generator))[0]
            self._picture.show_original(self.renderer.render(latent))
            self._base = (seed, latent)
        return self._base[1]


def _check_brush(n_units: int, strength: float, brush: float | None) -> None:
    if not isinstance(n_units, int) or n_units < 1:
        raise ArgumentError(f"n_units={n_units!r}, expected a whole number from 1 up.")
    if not 0 <= strength <= STRONGEST:
        raise ArgumentError(f"strength={strength}, expected a number from 0 to {STRONGEST}.")
    if brush is not None and not 0 < brush < math.inf:
        raise ArgumentError(f"brush={brush}, expected a width in pixels above 0.")
