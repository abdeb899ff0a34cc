"""The colours of a room, as sRGB triples in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[float, float, float]

_WALLS: tuple[Colour, ...] = (  # by warmth, from -1 to 1
    (0.42, 0.58, 0.76),
    (0.50, 0.72, 0.72),
    (0.68, 0.77, 0.60),
    (0.88, 0.84, 0.74),
    (0.92, 0.78, 0.54),
    (0.90, 0.66, 0.50),
    (0.84, 0.54, 0.48),
)
_HUES: tuple[Colour, ...] = (  # every 60 degrees from red to violet, muted by hand
    (0.84, 0.22, 0.20),
    (0.93, 0.68, 0.16),
    (0.34, 0.64, 0.28),
    (0.12, 0.62, 0.62),
    (0.18, 0.36, 0.78),
    (0.58, 0.28, 0.66),
)
_WOOD: tuple[Colour, ...] = ((0.36, 0.21, 0.13), (0.60, 0.38, 0.22), (0.80, 0.62, 0.42))
_PLANKS: tuple[Colour, ...] = ((0.46, 0.28, 0.17), (0.66, 0.44, 0.27), (0.80, 0.62, 0.43))
_TILES: tuple[Colour, ...] = ((0.46, 0.47, 0.49), (0.66, 0.66, 0.66), (0.84, 0.83, 0.80))
WHITE: Colour = (0.93, 0.92, 0.89)
LINEN: Colour = (0.92, 0.90, 0.85)
TERRACOTTA: Colour = (0.72, 0.42, 0.30)
BRASS: Colour = (0.66, 0.53, 0.32)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return ``a`` with a share of ``b``."""
    r, g, b_ = (x + (y - x) * share for x, y in zip(a, b))
    return r, g, b_


def along(anchors: Sequence[Colour], position: float) -> Colour:
    """Return the colour at ``position`` in [0, 1] on the line through the anchors."""
    place = position * (len(anchors) - 1)
    index = min(int(place), len(anchors) - 2)
    return mix(anchors[index], anchors[index + 1], place - index)


def wall(warmth: float, lightness: float) -> Colour:
    """Return the colour of muted walls: ``warmth`` in [-1, 1], ``lightness`` in [0, 1]."""
    base = along(_WALLS, (warmth + 1) / 2)
    deep = mix(base, (base[0] * 0.62, base[1] * 0.62, base[2] * 0.62), 0.75 * (1 - lightness))
    return mix(deep, (0.97, 0.96, 0.94), 0.40 * lightness)


def fabric(hue: float, lightness: float) -> Colour:
    """Return the colour of livelier cloth: ``hue`` in [0, 300] degrees, ``lightness`` in [0, 1]."""
    base = along(_HUES, hue / 300)
    deep = mix(base, (base[0] * 0.5, base[1] * 0.5, base[2] * 0.5), 0.6 * (1 - lightness))
    return mix(deep, (0.97, 0.95, 0.92), 0.45 * lightness)


def timber(tone: float) -> Colour:
    """Return the colour of furniture, from walnut (0) to birch (1)."""
    return along(_WOOD, tone)


def floor(wood: float, tone: float) -> Colour:
    """Return the colour of planks or tiles, from dark (0) to light (1)."""
    return along(_PLANKS if wood else _TILES, tone)


def lamp_light(warmth: float) -> Colour:
    """Return linear light of the lamp, from white (0) to amber (1)."""
    return mix((1.0, 0.86, 0.68), (1.0, 0.62, 0.28), warmth)
