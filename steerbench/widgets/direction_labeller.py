"""A wall of pictures to say yes and no to, and the direction that comes of it.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> labeller = DirectionLabeller(G, columns=4, rows=2, name="bright")
>>> labeller.label({0: True, 1: True, 2: False, 5: False})
>>> labeller.direction.name
'bright'
>>> labeller.evidence.enough
False

In a notebook the last line of a cell shows it. A click says *yes*, a second one *no*, a third one
takes the label back; with the keyboard, the arrows go from picture to picture, Y, N and the space
bar label. The boundary and what it is worth appear at once (see
`steerbench.supervised.boundaries.labelling`). "Ask me" brings the pictures that would teach the
boundary most, "Others" brings unseen ones, "Try it" puts the direction on sliders, "Save" writes
it to a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipycanvas
import ipywidgets
import numpy as np
import torch

from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.image import resize, to_uint8
from steerbench.renderer import lock_of
from steerbench.supervised.boundaries.labelling import CrossValidation, LabelledDirection
from steerbench.types import Direction
from steerbench.widgets.canvas import drawing
from steerbench.widgets.latent_sliders import LatentSliders
from steerbench.widgets.notice import Notice
from steerbench.widgets.save_row import free
from steerbench.widgets.style import button, column, refuse_unknown, row, style_sheet

KEYWORDS = ("space", "name", "columns", "rows", "tile", "seed")
POOL = 1024
"""How many of the coming seeds are searched for pictures to ask about."""
FRAME = 4
COLOURS = {True: "#2e7d32", False: "#d32f2f"}
BATCH = 8
STEPS = {"ArrowLeft": -1, "ArrowRight": 1}


class DirectionLabeller(ipywidgets.VBox):
    """Pictures to click, and the boundary between those that have something and the others.

    Args:
        generator: The generator.
        space: Where the boundary is drawn; ``"w"`` where there is one.
        name: Of the direction.
        columns: Pictures in a row of the wall.
        rows: Rows of the wall.
        tile: The side of a picture on the screen, in pixels.
        seed: Of the first picture on the wall.

    Attributes:
        labels: ``{seed: True or False}``, all labels so far, on the wall or not.
        shown: The seeds on the wall.
        direction: The `Direction`, or None before there are two labels of each kind.
        evidence: What it is worth (`CrossValidation`), or None.
        sliders: The `LatentSliders` that "Try it" opened, or None.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword is not known, or a number is out of range.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        *,
        space: str | None = None,
        name: str = "my direction",
        columns: int = 6,
        rows: int = 4,
        tile: int = 96,
        seed: int = 0,
        **unknown: Any,
    ) -> None:
        refuse_unknown("DirectionLabeller", unknown, KEYWORDS)
        if min(columns, rows) < 1 or columns * rows > 400 or not 16 <= tile <= 512 or seed < 0:
            raise ArgumentError(
                f"A wall of {columns} x {rows} pictures of {tile} pixels from seed {seed} was "
                "asked for. Give up to 400 pictures of 16 to 512 pixels, and seeds from 0 up."
            )
        self.generator, self.space, self.notice = generator, space, Notice()
        self.labels: dict[int, bool] = {}
        self.direction: Direction | None = None
        self.evidence: CrossValidation | None = None
        self.sliders: LatentSliders | None = None
        self._found: LabelledDirection | None = None
        self._columns, self._rows, self._tile = columns, rows, tile
        self._next, self._at = seed, 0
        self._canvas = ipycanvas.Canvas(width=columns * tile, height=rows * tile)
        self._canvas.layout.max_width = "100%"
        self._said = ipywidgets.HTML()
        self._said.add_class("sb-evidence")
        self._name = ipywidgets.Text(value=name, description="Name", layout={"width": "260px"})
        self._ask = button("Ask me", "question", "The pictures that would teach the most")
        self._others = button("Others", "random", "Pictures not seen yet")
        self._try = button("Try it", "sliders", "The direction on sliders")
        self._save = button("Save", "save", "Write the direction to NAME.safetensors")
        self._stage = ipywidgets.VBox()
        buttons = row(self._ask, self._others, self._try, self._save, self._name)
        super().__init__(
            [style_sheet(), column([self._canvas, self._said, buttons, self.notice]), self._stage]
        )
        self.add_class("sb-panel")
        self._listen()
        self._turn(self._unseen())

    def label(self, labels: Mapping[int, bool | None]) -> None:
        """Say yes, no, or nothing (None) about pictures by their seeds."""
        for seed, has in labels.items():
            self._set(int(seed), has)
        self._learn()
        self._draw()

    def ask(self) -> list[int]:
        """Fill the wall with the most informative pictures; their seeds."""
        with self.notice.guard():
            if self._found is None:
                raise ArgumentError(
                    "There is no boundary yet to ask about. Label two pictures of each kind."
                )
            pool = range(self._next, self._next + POOL)
            self._turn(self._found.suggest(self._columns * self._rows, pool))
        return self.shown

    def others(self) -> list[int]:
        """Fill the wall with pictures that were not on it yet; their seeds."""
        with self.notice.guard():
            self._next = max(self._next, *self.shown) + 1
            self._turn(self._unseen())
        return self.shown

    def try_it(self) -> LatentSliders | None:
        """Put the direction on sliders under the wall."""
        with self.notice.guard():
            self.sliders = LatentSliders(self.generator, [self._require_direction()], size=320)
            self._stage.children = (self.sliders,)
        return self.sliders

    def save(self) -> str | None:
        """Write the direction beside the notebook; nothing is overwritten."""
        with self.notice.guard():
            stem = free(self._name.value, (".safetensors",))
            path = stem.with_name(stem.name + ".safetensors")
            self._require_direction().save(path)
            self.notice.tell(f"Saved {path}.")
            return str(path)
        return None

    # From clicks to labels.

    def _listen(self) -> None:
        self._canvas.on_mouse_down(self._click)
        self._canvas.on_key_down(self._key)
        self._canvas.on_client_ready(self._draw)
        self._ask.on_click(lambda _: self.ask())
        self._others.on_click(lambda _: self.others())
        self._try.on_click(lambda _: self.try_it())
        self._save.on_click(lambda _: self.save())
        self._name.observe(lambda _: self._learn(), "value")

    def _click(self, x: float, y: float) -> None:
        place = int(y // self._tile) * self._columns + int(x // self._tile)
        if not 0 <= place < len(self.shown):
            return
        self._at = place
        has = self.labels.get(self.shown[place])
        self.label({self.shown[place]: {None: True, True: False, False: None}[has]})

    def _key(self, key: str, *_: object) -> None:
        steps = STEPS | {"ArrowUp": -self._columns, "ArrowDown": self._columns}
        if key in steps:
            self._at = min(max(self._at + steps[key], 0), len(self.shown) - 1)
            self._draw()
        elif key.lower() in ("y", "n", " "):
            has = {"y": True, "n": False, " ": None}[key.lower()]
            self.label({self.shown[self._at]: has})

    def _set(self, seed: int, has: bool | None) -> None:
        if has is None:
            self.labels.pop(seed, None)
        else:
            self.labels[seed] = bool(has)

    def _learn(self) -> None:
        """Draw the boundary anew and say what it is worth."""
        self.notice.clear()
        yes = sum(self.labels.values())
        no = len(self.labels) - yes
        self._found = self.direction = self.evidence = None
        if min(yes, no) >= 2:
            with self.notice.guard():
                name = self._name.value or "my direction"
                found = LabelledDirection(dict(self.labels), self.space, name=name)
                self._found = found.fit(self.generator)
                self.direction, self.evidence = found.direction_, found.evidence_
        for each in (self._ask, self._try, self._save):
            each.disabled = self.direction is None
        self._said.value = (
            f"{yes} yes, {no} no. Click pictures that have it; click again for those that don't."
            if self.evidence is None
            else f"<b>{self._name.value}</b>: {self.evidence}"
        )

    def _require_direction(self) -> Direction:
        if self.direction is None:
            raise ArgumentError("There is no direction yet. Label two pictures of each kind.")
        return self.direction

    # The wall.

    def _unseen(self) -> list[int]:
        seeds = (each for each in range(self._next, 2**32) if each not in self.labels)
        return [each for each, _ in zip(seeds, range(self._columns * self._rows), strict=False)]

    def _turn(self, seeds: list[int]) -> None:
        self.shown, self._at = seeds, 0
        self._tiles = self._render(seeds)
        self._learn()
        self._draw()

    def _render(self, seeds: list[int]) -> np.ndarray:
        """The pictures of seeds as uint8 ``[n, tile, tile, 3]``."""
        parts = []
        for start in range(0, len(seeds), BATCH):
            codes = [self.generator.sample(1, seed=each) for each in seeds[start : start + BATCH]]
            with lock_of(self.generator), torch.no_grad():
                pictures = torch.cat([self.generator.render(code) for code in codes])
            parts.append(resize(pictures.expand(-1, 3, -1, -1), (self._tile, self._tile)))
        return to_uint8(torch.cat(parts))

    def _draw(self, *_: object) -> None:
        """The whole wall; also for a browser that comes later."""
        tile, columns = self._tile, self._columns
        with drawing():
            self._canvas.clear()
            self._canvas.put_image_data(self._sheet(), 0, 0)
            self._canvas.stroke_style = "#fff"
            self._canvas.line_width = 2
            down, right = divmod(self._at, columns)
            self._canvas.stroke_rect(right * tile + 7, down * tile + 7, tile - 14, tile - 14)

    def _sheet(self) -> np.ndarray:
        """The wall as RGB, with a frame around what is labelled."""
        tile = self._tile
        sheet = np.full((self._rows * tile, self._columns * tile, 3), 255, np.uint8)
        for place, seed in enumerate(self.shown):
            down, right = divmod(place, self._columns)
            spot = sheet[down * tile : (down + 1) * tile, right * tile : (right + 1) * tile]
            spot[2:-2, 2:-2] = self._tiles[place][2:-2, 2:-2]
            if seed in self.labels:
                colour = np.array(_rgb(COLOURS[self.labels[seed]]), np.uint8)
                for edge in (spot[:FRAME], spot[-FRAME:], spot[:, :FRAME], spot[:, -FRAME:]):
                    edge[:] = colour
        return sheet


def _rgb(code: str) -> tuple[int, int, int]:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)
