"""A picture with a hole to paint, which the generator fills while you watch.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> canvas = InpaintCanvas(G, seed=3, n_proposals=2, n_steps=10)
>>> canvas.paint([(20, 20), (40, 20)])
>>> canvas.fill()
>>> canvas.wait(300), canvas.found.proposals.shape, canvas.error
(True, torch.Size([2, 1, 3, 64, 64]), '')

In a notebook the last line of a cell shows it. Take a photograph of your own ("Photograph") or a
sample of the generator ("Seed"), paint over what should go, press "Fill". The search is that of
`steerbench.inversion.restoration`: codes whose pictures agree with yours outside of the paint. It
can be stopped at any moment, and the best so far is kept. Of several proposals take the one you
like. A prompt, where there is a CLIP that reads it, says what should be in the hole. Outside of the
paint no pixel changes, and within, the difference at the rim fades over "Feather" pixels.

Every stroke, every filling and every new picture is one step for undo and redo. What is on the
screen is at any moment ``canvas.picture``, its mask ``canvas.mask`` and its code ``canvas.latent``.

Reference: Zhu, Krähenbühl, Shechtman, Efros, "Generative Visual Manipulation on the Natural Image
Manifold" (2016, arXiv 1609.03552).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import ipycanvas
import ipywidgets
import numpy as np
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.inversion import Degradation, Hole, Restoration
from steerbench.inversion.losses import TextImageEncoder
from steerbench.inversion.photographs import Crop, PhotoFit
from steerbench.inversion.restoration import fit_degraded
from steerbench.renderer import Renderer
from steerbench.types import Latent, Recipe
from steerbench.widgets.canvas import drawing, on_brush
from steerbench.widgets.controls import check_numbers, opening_seed
from steerbench.widgets.history import History
from steerbench.widgets.inpaint_tools import InpaintTools, check_settings
from steerbench.widgets.inpaint_worker import InpaintRequest, InpaintWorker
from steerbench.widgets.masking import Hand, Tool, Work, overlay, resize_mask
from steerbench.widgets.notice import Notice
from steerbench.widgets.painter_tools import brush_cursor
from steerbench.widgets.picture import Picture
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.style import refuse_unknown, style_sheet

KEYWORDS = ("image", "seed", "brush", "n_proposals", "n_steps", "feather", "prompt", "clip", "size")
LARGEST_MASK = 128
"""The longest side of a mask, in pixels; smaller pictures have masks of their own size."""
_NUMBERS = itertools.count(1)


class InpaintCanvas(ipywidgets.VBox):
    """A picture to paint a hole on, and the tools beside it.

    Args:
        generator: What fills the hole.
        image: A picture: ``[1, C, H, W]`` in [-1, 1], or a photograph (a path, the bytes of a
            file, a Pillow image, an array, an upload); a sample if None.
        seed: Of the sample, and of the search; None takes a good one of the generator's bundle,
            or 0.
        brush: The diameter of the brush, in pixels of the picture; a sixth of it if None.
        n_proposals: How many answers to give, up to 4.
        n_steps: Of the search, at most.
        feather: Over how many pixels of the picture the seam fades; a fifth of it if None.
        prompt: What should be in the hole, at first.
        clip: Reads it; that of the generator's bundle if None, loaded when there is something to
            read.
        size: The width of the picture on the screen, in pixels.

    Attributes:
        history: Every `Work` so far, for undo and redo.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword is not known, a number is out of range, or the image is none.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        image: Any = None,
        *,
        seed: int | None = None,
        brush: float | None = None,
        n_proposals: int = 3,
        n_steps: int = 120,
        feather: float | None = None,
        prompt: str = "",
        clip: TextImageEncoder | None = None,
        size: int = 384,
        **unknown: Any,
    ) -> None:
        refuse_unknown("InpaintCanvas", unknown, KEYWORDS)
        check_numbers(1.0, 1.0, size, truncates=False)
        check_settings(n_proposals, n_steps, brush, feather)
        self.generator, self.renderer, self.notice = generator, Renderer(generator), Notice()
        self._filling = InpaintWorker(self.renderer, self.notice, clip)
        seed = opening_seed(generator, seed)
        sample = generator.sample(1, seed=seed)
        picture = self.renderer.render(sample).clamp(-1, 1)
        self._shape = (picture.shape[2], picture.shape[3])
        scale = min(1.0, LARGEST_MASK / max(self._shape))
        height, width = (max(1, round(side * scale)) for side in self._shape)
        first = Work(picture, np.zeros((height, width), np.uint8), sample)
        self.history = History(first if image is None else first.on(self._read(image, "center")))
        self._picture = Picture(size)
        self._canvas = ipycanvas.Canvas(width=width, height=height)
        shortest = min(width, height)
        wanted = shortest / 6 if brush is None else brush * scale
        self._tools = InpaintTools(
            largest=max(2, shortest // 3),
            size=max(1, round(wanted)),
            proposals=n_proposals,
            steps=n_steps,
            feather=max(self._shape) / 5 if feather is None else feather,
            reach=max(self._shape) // 2,
            prompt=prompt,
            seed=seed,
        )
        self._save = SaveRow(generator, lambda: self.recipe, self.notice, lambda: self.picture)
        self._photograph: Any = None
        self._drawn: tuple[object, ...] | None = None
        self._changing = threading.RLock()
        self._cursor = ipywidgets.HTML(layout={"display": "none"})
        stage = ipywidgets.Box([self._picture, self._canvas], layout=self._picture.layout)
        self._name = f"sb-hole-{next(_NUMBERS)}"
        for name in ("sb-stage", self._name):
            stage.add_class(name)
        columns = self._tools.columns(stage, [self._save, self.notice])
        super().__init__([style_sheet(), self._cursor, columns])
        self.add_class("sb-panel")
        self._listen(size / width)
        self._show()

    # What programs ask for.

    @property
    def picture(self) -> Tensor:
        """What is on the screen, ``[1, C, H, W]`` in [-1, 1]."""
        return self.history.present.shown

    @property
    def mask(self) -> np.ndarray:
        """What is painted, ``[H, W]`` bool in the size of the picture."""
        return resize_mask(self.history.present.hole, self._shape)

    @property
    def found(self) -> Restoration | None:
        """What was filled in, with its codes and losses; None while nothing was."""
        return self.history.present.found

    @property
    def latent(self) -> Latent | None:
        """The code of the proposal on the screen, or of the sample; None for a photograph."""
        return self.history.present.code

    @property
    def recipe(self) -> Recipe:
        """The code on the screen as a recipe: what the generator drew, before it was blended.

        Raises:
            ArgumentError: A photograph that nothing was filled in yet has no code.
        """
        if self.latent is None:
            raise ArgumentError("A photograph has no code to keep. Paint on it and fill first.")
        return Recipe.of(self.generator, self.latent)

    @property
    def error(self) -> str:
        """The mistake shown, or the empty text."""
        return self.notice.error

    def load(self, image: Any, crop: Crop = "center") -> None:
        """Take another picture; the paint stays. One step of the history.

        Raises:
            ImageError, ShapeError, NotFoundError, FileError: It is no picture.
        """
        picture = self._read(image, crop)
        self._change(lambda now: now.on(picture))

    def sample(self, seed: int) -> None:
        """Take a sample of the generator; the paint stays. One step of the history."""
        latent = self.generator.sample(1, seed=seed)
        picture = self.renderer.render(latent).clamp(-1, 1)
        self._change(lambda now: now.on(picture, latent))

    def choose(self, tool: str) -> None:
        """Take another tool: ``"brush"``, ``"rectangle"`` or ``"erase"``."""
        self._tools.choose(tool)

    def paint(self, where: Any) -> None:
        """One stroke with the present tool, as one step of the history.

        Args:
            where: The points ``[(x, y), ...]`` that it goes through, in pixels of the picture (a
                rectangle lies between the first and the last); or a mask ``[H, W]`` of the
                picture's size, in [0, 1].

        Raises:
            ShapeError: It is neither.
            ArgumentError: It holds NaN, or lies outside the picture.
        """
        tool = self._tool()
        mask = tool.covers(where)
        self._change(lambda now: now.stroke(tool, mask))

    def invert(self) -> None:
        """Fill the rest instead. One step of the history."""
        self._change(Work.invert)

    def clear(self) -> None:
        """Take all paint away. One step of the history."""
        self._change(Work.clear)

    def undo(self) -> None:
        """One step back."""
        self._step(self.history.undo)

    def redo(self) -> None:
        """One step forward again."""
        self._step(self.history.redo)

    def fill(self) -> None:
        """Begin to fill what is painted, and return at once; a mistake is shown."""
        with self.notice.guard():
            self.stop()
            work, has = self.history.present, self._tools
            hole = Hole(resize_mask(work.hole, self._shape), float(has.feather.value))
            self.notice.clear()
            order = InpaintRequest(
                work,
                hole,
                n_proposals=has.proposals.value,
                n_steps=has.steps.value,
                prompt=has.prompt.value.strip(),
                seed=has.seed.value,
            )
            has.busy(True)
            self._filling.begin(order, self._watch, self._on_fill)

    def stop(self) -> None:
        """End what is under way; the best so far is kept. Returns when it has ended."""
        self._filling.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Until nothing is under way; whether that came about in time."""
        return self._filling.wait(seconds)

    def take(self, number: int) -> None:
        """Show another of the proposals, counted from 0. One step of the history.

        Raises:
            ArgumentError: There is no such proposal.
        """
        count = 0 if self.found is None else len(self.found.proposals)
        if not 0 <= number < count:
            raise ArgumentError(f"There is no proposal {number}; there are {count}. Fill first.")
        self._change(lambda now: now.choosing(number))

    def settle(self) -> None:
        """Go on with the picture on the screen, unpainted. One step of the history."""
        self._change(Work.settle)

    # The tree, built once.

    def _listen(self, scale: float) -> None:
        has = self._tools
        for control, call in (
            (has.invert, self.invert),
            (has.clear, self.clear),
            (has.undo, self.undo),
            (has.redo, self.redo),
            (has.fill, self.fill),
            (has.stop, self.stop),
            (has.keep, self.settle),
        ):
            control.on_click(lambda _, call=call: call())
        has.row.on_choice(self.notice.guard_call(self.take))
        has.seed.observe(lambda change: self.notice.guard_call(self.sample)(change["new"]), "value")
        has.upload.observe(self._on_upload, "value")
        has.crop.observe(lambda _: self._crop(), "value")
        has.shown.observe(lambda _: self._draw_paint(), "value")

        def resize(_: object = None) -> None:
            self._cursor.value = brush_cursor(self._name, has.size.value * scale)

        has.size.observe(resize, "value")
        resize()
        hand = Hand(self._tool, lambda: self.history.present, self._on_stroke)
        on_brush(self._canvas, press=hand.press, drag=hand.drag, release=hand.release)
        self._canvas.on_client_ready(self._draw_paint)

    # From a hand, or a file, to a work.

    def _tool(self) -> Tool:
        has = self._tools
        return Tool(has.action.value, has.size.value, self._shape, self._mask_shape)

    def _on_stroke(self, change: Callable[[], Work], stroke: int) -> None:
        with self.notice.guard():
            self.history.rest()  # a stroke is one step, however long the hand rests
            self._change(lambda _: change(), ("stroke", stroke))

    def _read(self, image: Any, crop: Crop) -> Tensor:
        given = fit_degraded(self.generator, image, Degradation(), PhotoFit(crop))
        return given[:1].clamp(-1, 1)

    def _on_upload(self, change: Any) -> None:
        """A person chose a file; a bad one is told, and everything stays as it was."""
        if change["new"]:
            self._photograph = change["new"][0]
            self._crop()

    def _crop(self) -> None:
        if self._photograph is not None:
            self.notice.guard_call(self.load)(self._photograph, self._tools.crop.value)

    # From a mask to pixels.

    @property
    def _mask_shape(self) -> tuple[int, int]:
        return self._canvas.height, self._canvas.width

    def _change(self, change: Callable[[Work], Work], what: Any = None) -> None:
        self._step(lambda: self.history.push(change(self.history.present), what))

    def _step(self, step: Callable[[], object]) -> None:
        """A new present; what is being filled is for an older one, and ends."""
        with self._changing:
            before = self.history.present
            step()
            changed = self.history.present is not before
        if changed:
            self._filling.cancel()
        self._show(changed)

    def _show(self, anew: bool = True) -> None:
        """Make everything on the screen say what holds now."""
        self.notice.clear()
        with self.notice.guard(), self._changing:
            work, has = self.history.present, self._tools
            has.undo.disabled = not self.history.can_undo
            has.redo.disabled = not self.history.can_redo
            has.keep.disabled = work.found is None
            self._draw_paint()
            if anew:
                self._draw(work)

    def _draw(self, work: Work) -> None:
        """The pictures, as far as others are on the screen."""
        now = (work.picture, work.found, work.chosen)
        if self._drawn is None or any(a is not b for a, b in zip(now, self._drawn)):
            self._tools.row.show(work.found, work.chosen)
            self._picture.show_original(work.picture)
            self._picture.show(work.shown)
            self._drawn = now

    def _draw_paint(self, *_: object) -> None:
        """Lay the paint over the picture; also for a browser that comes later."""
        work = self.history.present
        sheet = overlay(work) if self._tools.shown.value else np.zeros((*work.mask.shape, 4), "u1")
        with drawing():
            self._canvas.clear()
            self._canvas.put_image_data(sheet)

    def _watch(self, order: InpaintRequest, step: int, finished: Tensor) -> None:
        """A picture from the search, while nothing newer was painted."""
        with self._changing:
            if self.history.present is order.work:
                self._tools.bar.value = step / order.n_steps
                self._tools.status.value = f"step {step} of {order.n_steps}"
                self._picture.show(finished)
                self._drawn = None

    def _on_fill(self, order: InpaintRequest, found: Restoration | None) -> None:
        """The search has ended, with what it found, or with a mistake that was shown."""
        with self._changing:
            self._tools.busy(False)
            if self.history.present is not order.work:
                return
            if found is None:
                self._draw(order.work)
                return
            self._tools.bar.value = 1.0
            best = ", ".join(f"{loss:.4f}" for loss in found.loss[:, 0].tolist())
            self._tools.status.value = f"{found.ended} after {found.seconds:.1f} s; losses {best}"
            self.history.push(order.work.fill(found))
        said = self.notice.error
        self._show()
        if said:
            self.notice.fail(said)
