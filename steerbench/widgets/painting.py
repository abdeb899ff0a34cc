"""What was painted: for each concept a mask where it should appear, and one where it should vanish.

Where a concept u is painted in, its units are drawn towards their level t, and where it is painted
out, towards zero, as far as the mask m and the strength s say:

    a' = (1 - k) a + k v,   k = m min(s, 1),   v = t max(s, 1)    (insert)
                                               v = t min(1 - s, 0)  (remove)

At strength 1 that is Bau et al.'s insertion and ablation; beyond, units are driven higher, or below
zero. A `Painting` is never changed: every stroke makes a new one, which shares the masks that it
left alone.

>>> painting = Painting(seed=0)
>>> brush = Brush("lamp", "insert", strength=1.0, count=5)
>>> once = painting.paint(brush, dab((64, 64), (32, 20), (40, 20), size=9))
>>> [(paint.concept, paint.action, int(paint.mask.max())) for paint in once.paints]
[('lamp', 'insert', 255)]
>>> once.erase(dab((64, 64), (36, 20), (36, 20), size=40)).paints
()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from steerbench.types import Edit, UnitEdit
from steerbench.widgets.concept_units import ConceptUnits

ACTIONS = ("insert", "remove")
OTHER = {"insert": "remove", "remove": "insert"}


@dataclass(frozen=True)
class Brush:
    """What the next stroke does.

    Attributes:
        concept: The concept that is painted.
        action: ``"insert"`` or ``"remove"``.
        strength: 0 does nothing; 1 sets the units to their levels, or to zero.
        count: How many of the concept's units take part, the best ones.
    """

    concept: str
    action: str
    strength: float
    count: int


@dataclass(frozen=True, eq=False)
class Paint:
    """A brush and where it has been, ``[H, W]`` uint8 of 0 to 255."""

    brush: Brush
    mask: np.ndarray

    @property
    def concept(self) -> str:
        return self.brush.concept

    @property
    def action(self) -> str:
        return self.brush.action

    def edit(self, known: ConceptUnits) -> UnitEdit:
        """The change of units that this paint is."""
        strength, count = self.brush.strength, self.brush.count
        factor = max(strength, 1.0) if self.action == "insert" else min(1.0 - strength, 0.0)
        value = tuple(factor * level for level in known.levels[:count])
        mask = torch.from_numpy(self.mask.astype(np.float32) / 255 * min(strength, 1.0))
        return UnitEdit(known.layer, known.units[:count], "set", value, mask)


@dataclass(frozen=True)
class Painting:
    """A seed, and the paint on its picture, in the order in which it is applied."""

    seed: int
    paints: tuple[Paint, ...] = ()

    def find(self, concept: str, action: str) -> Paint | None:
        """The paint of a concept, if there is any."""
        same = (p for p in self.paints if (p.concept, p.action) == (concept, action))
        return next(same, None)

    def paint(self, brush: Brush, mask: np.ndarray) -> Painting:
        """With a stroke; it takes away what would do the opposite for the same concept."""
        cleaned = self._without(mask, brush.concept, OTHER[brush.action])
        old = cleaned.find(brush.concept, brush.action)
        if old is None:
            return cleaned._with(None, Paint(brush, mask)) if mask.any() else cleaned
        joined = np.maximum(old.mask, mask)
        if old.brush == brush and np.array_equal(joined, old.mask):
            return cleaned
        return cleaned._with(old, Paint(brush, joined))

    def erase(self, mask: np.ndarray) -> Painting:
        """Without any paint under a mask."""
        return self._without(mask)

    def adjust(self, brush: Brush) -> Painting:
        """With another strength or another number of units for what was painted already."""
        old = self.find(brush.concept, brush.action)
        if old is None or old.brush == brush:
            return self
        return self._with(old, Paint(brush, old.mask))

    def edits(self, known: Mapping[str, ConceptUnits]) -> list[Edit]:
        """The changes of units, in order."""
        return [paint.edit(known[paint.concept]) for paint in self.paints]

    def _with(self, old: Paint | None, new: Paint) -> Painting:
        if old is None:
            return replace(self, paints=(*self.paints, new))
        return replace(self, paints=tuple(new if p is old else p for p in self.paints))

    def _without(
        self, mask: np.ndarray, concept: str | None = None, action: str | None = None
    ) -> Painting:
        kept: list[Paint] = []
        for paint in self.paints:
            if concept is not None and (paint.concept, paint.action) != (concept, action):
                kept.append(paint)
                continue
            left = np.minimum(paint.mask, 255 - mask)
            if np.array_equal(left, paint.mask):
                kept.append(paint)
            elif left.any():
                kept.append(Paint(paint.brush, left))
        return self if kept == list(self.paints) else replace(self, paints=tuple(kept))


def dab(
    shape: tuple[int, int], start: tuple[float, float], end: tuple[float, float], size: float
) -> np.ndarray:
    """The mask of a round brush that went from one point to another.

    Args:
        shape: Height and width of the mask.
        start: x and y, in pixels of the mask; 0, 0 is the upper left corner of the picture.
        end: The same; the start for a single dab.
        size: The brush's diameter, in pixels of the mask.

    Returns:
        uint8 of 0 to 255, softened over the pixel at its rim; all 0 where the brush missed.
    """
    mask = np.zeros(shape, np.uint8)
    (xa, ya), (xb, yb), radius = start, end, size / 2
    top, bottom = _reach(ya, yb, radius, shape[0])
    left, right = _reach(xa, xb, radius, shape[1])
    if top >= bottom or left >= right:
        return mask
    x, y = np.arange(left, right) + 0.5 - xa, np.arange(top, bottom)[:, None] + 0.5 - ya
    dx, dy = xb - xa, yb - ya
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
    distance = np.hypot(x - along * dx, y - along * dy)
    mask[top:bottom, left:right] = np.round(255 * np.clip(radius + 0.5 - distance, 0, 1))
    return mask


def tint(paints: Iterable[Paint], shape: tuple[int, int]) -> np.ndarray:
    """What to lay over the picture to show the paint: ``[H, W, 4]`` uint8, mostly clear."""
    colours = {"insert": (38, 132, 255), "remove": (235, 64, 52)}
    sheet = np.zeros((*shape, 4), np.uint8)
    for paint in paints:
        alpha = paint.mask // 5
        over = alpha >= sheet[..., 3]
        sheet[over, :3] = colours[paint.action]
        sheet[over, 3] = alpha[over]
    return sheet


def _reach(a: float, b: float, radius: float, size: int) -> tuple[int, int]:
    """The pixels from and to which a brush reaches along one axis."""
    first, last = min(a, b) - radius - 1, max(a, b) + radius + 1
    return max(0, int(np.floor(min(first, size)))), min(size, int(np.ceil(max(last, 0))))
