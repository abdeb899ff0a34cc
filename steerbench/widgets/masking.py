"""A picture, what is to be filled in it, and what was filled in: the states of `InpaintCanvas`.

A `Work` is never changed: every stroke, and every filling, makes a new one, so that undo brings
back whatever there was.

>>> work = Work(torch.zeros(1, 3, 8, 8), np.zeros((8, 8), np.uint8))
>>> once = work.paint(box((8, 8), (2, 2), (5, 4)))
>>> int(once.hole.sum()), int(once.invert().hole.sum()), int(once.clear().hole.sum())
(6, 58, 0)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.inversion import Restoration
from steerbench.types import Latent
from steerbench.widgets.painting import dab

Point = tuple[float, float]

COLOUR = (232, 62, 140)
COVERED = 110
"""How opaque the mask is over the picture, of 255."""


@dataclass(frozen=True)
class Tool:
    """What the next stroke is made with.

    Attributes:
        name: ``"brush"``, ``"rectangle"`` or ``"erase"``.
        size: The diameter of the brush, in pixels of the mask.
        picture: Height and width of the picture.
        mask: Height and width of its mask, which may be smaller.
    """

    name: str
    size: float
    picture: tuple[int, ...]
    mask: tuple[int, int]

    def covers(self, where: Any) -> np.ndarray:
        """What a stroke covers, ``[h, w]`` uint8 of 0 to 255.

        Args:
            where: Points ``[(x, y), ...]`` in pixels of the picture, or a mask of its size.

        Raises:
            ShapeError: It is neither.
            ArgumentError: It holds NaN, or lies outside the picture.
        """
        given = np.asarray(where, dtype=float)
        whole = given.shape == self.picture
        if not whole and not (given.ndim == 2 and given.shape[1] == 2 and len(given) > 0):
            raise ShapeError(
                f"A stroke was given as an array of shape {list(given.shape)}. Give points "
                f"[(x, y), ...] or a mask {list(self.picture)}, the size of the picture."
            )
        if not np.isfinite(given).all():
            raise ArgumentError("A stroke holds NaN or infinity. Give finite numbers.")
        if whole and (given.min() < 0 or given.max() > 1):
            raise ArgumentError(
                f"The mask goes from {given.min():.3g} to {given.max():.3g}; give 0 to 1."
            )
        levels = np.round(255 * given).astype(np.uint8) if whole else None
        mask = self._through(given) if levels is None else resize_mask(levels, self.mask)
        if not mask.any():
            raise ArgumentError(
                f"This stroke lies outside the picture, which is {self.picture[1]} pixels wide and "
                f"{self.picture[0]} high, or it is empty."
            )
        return mask

    def stretch(self, start: Point, end: Point) -> np.ndarray:
        """What it covers between two points of the mask."""
        if self.name == "rectangle":
            return box(self.mask, start, end)
        return dab(self.mask, start, end, self.size)

    def _through(self, points: np.ndarray) -> np.ndarray:
        scale = [there / given for there, given in zip(self.mask[::-1], self.picture[::-1])]
        path = [(float(x), float(y)) for x, y in points * scale]
        if self.name == "rectangle":
            return self.stretch(path[0], path[-1])
        parts = [self.stretch(a, b) for a, b in zip(path, [*path[1:], path[-1]])]
        return np.asarray(np.max(parts, axis=0))


@dataclass(frozen=True, eq=False)
class Work:
    """What is on the canvas.

    Attributes:
        picture: ``[1, C, H, W]`` in [-1, 1].
        mask: What is to be filled, ``[h, w]`` uint8 of 0 to 255; from 128 up counts.
        latent: The code that the picture was drawn from, where it was.
        found: What was filled in, with this mask; None while it was not.
        chosen: Which of its proposals is shown.
    """

    picture: Tensor
    mask: np.ndarray
    latent: Latent | None = None
    found: Restoration | None = None
    chosen: int = 0

    @property
    def hole(self) -> np.ndarray:
        """What is to be filled, in the size of the mask, as bool."""
        return np.asarray(self.mask >= 128)

    @property
    def shown(self) -> Tensor:
        """The picture as it is now, ``[1, C, H, W]``."""
        return self.picture if self.found is None else self.found.proposals[self.chosen]

    @property
    def code(self) -> Latent | None:
        """The code that was found, or that the picture was drawn from."""
        return self.latent if self.found is None else self.found.latents[self.chosen]

    def stroke(self, tool: Tool, mask: np.ndarray) -> Work:
        """With what a tool covers, or without it."""
        return self.erase(mask) if tool.name == "erase" else self.paint(mask)

    def paint(self, mask: np.ndarray) -> Work:
        """With more to fill."""
        return self._with(np.maximum(self.mask, mask))

    def erase(self, mask: np.ndarray) -> Work:
        """With less to fill."""
        return self._with(np.minimum(self.mask, 255 - mask))

    def invert(self) -> Work:
        """With the rest to fill instead."""
        return self._with(255 - self.mask)

    def clear(self) -> Work:
        """With nothing to fill."""
        return self._with(np.zeros_like(self.mask))

    def fill(self, found: Restoration) -> Work:
        """With what was found."""
        return replace(self, found=found, chosen=0)

    def choosing(self, number: int) -> Work:
        """With another of the proposals."""
        return self if self.found is None or number == self.chosen else replace(self, chosen=number)

    def settle(self) -> Work:
        """What is shown as the picture to go on with, and nothing to fill in it."""
        return Work(self.shown, np.zeros_like(self.mask))

    def on(self, picture: Tensor, latent: Latent | None = None) -> Work:
        """The same mask on another picture."""
        return Work(picture, self.mask, latent)

    def _with(self, mask: np.ndarray) -> Work:
        if np.array_equal(mask, self.mask):
            return self
        return replace(self, mask=mask, found=None, chosen=0)


class Hand:
    """Presses, drags and releases as changes of the work.

    Args:
        tool: Gives the tool that is held.
        present: Gives the work as it is.
        change: Called with what gives the work after a bit of a stroke, and the stroke's number.
    """

    def __init__(
        self,
        tool: Callable[[], Tool],
        present: Callable[[], Work],
        change: Callable[[Callable[[], Work], int], None],
    ) -> None:
        self._tool, self._present, self._change = tool, present, change
        self._stroke, self._base = 0, present()
        self._at: Point | None = None

    def press(self, x: float, y: float) -> None:
        """A stroke begins."""
        self._stroke += 1
        self._base, self._at = self._present(), (x, y)
        self.drag(x, y)

    def drag(self, x: float, y: float) -> None:
        """It goes on; a rectangle is stretched anew from where it began."""
        if self._at is not None:
            self._change(lambda: self._after((x, y)), self._stroke)

    def release(self) -> None:
        """It ends."""
        self._at = None

    def _after(self, end: Point) -> Work:
        if self._at is None:
            return self._present()
        if not all(map(math.isfinite, (*self._at, *end))):
            raise ArgumentError(f"The brush is at {end}, which is nowhere.")
        tool = self._tool()
        mask = tool.stretch(self._at, end)
        if tool.name == "rectangle":
            return self._base.stroke(tool, mask)
        self._at = end
        return self._present().stroke(tool, mask)


def box(shape: tuple[int, int], start: Point, end: Point) -> np.ndarray:
    """The mask of a rectangle between two corners ``(x, y)``, in pixels of the mask."""
    mask = np.zeros(shape, np.uint8)
    (left, right), (top, bottom) = (
        sorted(int(np.clip(round(value), 0, size)) for value in pair)
        for pair, size in zip(zip(start, end), reversed(shape))
    )
    mask[top:bottom, left:right] = 255
    return mask


def resize_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask in another size, by its nearest pixels."""
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * given / side).astype(int), given - 1)
        for side, given in zip(shape, mask.shape)
    )
    return np.asarray(mask[np.ix_(rows, columns)])


def overlay(work: Work) -> np.ndarray:
    """What to lay over the picture, ``[h, w, 4]`` uint8: the mask; once filled, its outline."""
    hole = work.hole
    sheet = np.zeros((*hole.shape, 4), np.uint8)
    sheet[..., :3] = COLOUR
    sheet[..., 3] = COVERED * hole if work.found is None else 160 * _outline(hole)
    return sheet


def _outline(hole: np.ndarray) -> np.ndarray:
    """The pixels outside of a hole that touch it."""
    wide = torch.nn.functional.max_pool2d(torch.from_numpy(hole)[None, None].float(), 3, 1, 1)
    return np.asarray((wide[0, 0].numpy() > 0) & ~hole)
