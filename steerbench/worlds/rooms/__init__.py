"""rooms: small ray-cast bedrooms, living rooms and dining rooms whose truth is known.

A picture is a pure function of its factors; a seed fixes the factors. So there are two ways in:

    rooms = world("rooms")
    batch = rooms.sample(64, seed=0)             # pictures of 64 seeds
    factors = rooms.draw(64, seed=0)             # the same rooms, not yet rendered
    lit = rooms.counterfactual(factors, lamp_on=1)   # the same rooms with the lamp lit

Each file is one step: ``factors`` (what varies, how it is drawn), ``palette`` and ``scene``
(furniture, colours, lights), ``trace`` (what a ray meets), ``surfaces`` (what it looks like
there), ``light``, ``render`` (pixels), ``captions``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.worlds.base import Camera, Factor, WorldBatch
from steerbench.worlds.rooms import factors as _factors
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.render import render
from steerbench.worlds.rooms.scene import CLASSES, Scene, build
from steerbench.worlds.rooms.trace import FOCAL

__all__ = ["Rooms"]

_RESOLUTIONS = (32, 512)


class Rooms:
    """The world ``rooms``.

    ``factors`` maps each factor's name to its `Factor` (kind,
    range, unit, meaning); ``class_names[m]`` is the class of mask value m.

    Args:
        correlation: In [0, 1]. 0: all factors are independent. 1: the lamp is lit mostly at
            night (0.85 of the lamps at night, 0.15 by day) and wooden floors go with warm walls.
            How often each occurs stays the same.
        watermark: In [0, 1], the share of pictures that carry a watermark.

    Raises:
        ArgumentError: An argument lies outside [0, 1].

    Example:
        >>> rooms = Rooms()
        >>> rooms.factors["height"].unit
        'metres'
        >>> batch = rooms.sample(2, seed=7, resolution=32)
        >>> batch.images.shape, batch.depth.shape, len(batch.captions)
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]), 2)
        >>> bool((batch.images[1] == rooms.sample(1, seed=8, resolution=32).images[0]).all())
        True
    """

    name = "rooms"
    factors: Mapping[str, Factor] = MappingProxyType(_factors.FACTORS)
    factor_names: tuple[str, ...] = tuple(_factors.FACTORS)
    binary_names: tuple[str, ...] = tuple(
        name for name, factor in _factors.FACTORS.items() if factor.kind == "binary"
    )
    continuous_names: tuple[str, ...] = tuple(
        name for name, factor in _factors.FACTORS.items() if factor.kind == "continuous"
    )
    class_names: tuple[str, ...] = CLASSES

    def __init__(self, *, correlation: float = 1.0, watermark: float = 0.0) -> None:
        self.correlation = _share("correlation", correlation)
        self.watermark = _share("watermark", watermark)

    def __repr__(self) -> str:
        return f"Rooms(correlation={self.correlation:g}, watermark={self.watermark:g})"

    def draw(self, n: int, *, seed: int = 0) -> dict[str, Tensor]:
        """Draw the factors of ``n`` rooms without rendering them.

        Args:
            n: How many, at least 1.
            seed: Room i is the one of seed ``seed + i``.

        Returns:
            Name to ``[n]`` float32, in the units and ranges of `factors`.

        Raises:
            ShapeError: ``n`` is less than 1.
            ArgumentError: A seed is negative or above 2**32 - 1, or not a whole number.
        """
        return _factors.draw(n, seed, self.correlation, self.watermark)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        resolution: int = 64,
        device: str | torch.device = "cpu",
    ) -> WorldBatch:
        """Draw and render ``n`` rooms; picture i of seed s is picture 0 of seed s + i, exactly.

        Args:
            n: How many, at least 1.
            seed: The seed of the first picture.
            resolution: Height and width in pixels, 32 to 512.
            device: Where to render; the batch's tensors, apart from the factors and the camera,
                live there.

        Returns:
            Images in [-1, 1] with factors, masks, depth, camera and captions.

        Raises:
            ShapeError: ``n`` or ``resolution`` cannot be.
            ArgumentError: A seed cannot be.
        """
        _check_resolution(resolution)
        return self.render(self.draw(n, seed=seed), resolution=resolution, device=device)

    def render(
        self,
        factors: Mapping[str, Tensor],
        *,
        resolution: int = 64,
        device: str | torch.device = "cpu",
    ) -> WorldBatch:
        """Render rooms whose factors the caller chose, such as counterfactuals of a draw.

        Args:
            factors: All factors, ``[N]`` each. What cannot be is made consistent in the
                batch's own factors: without a lamp none is lit, without a window there are no
                curtains.
            resolution: Height and width in pixels, 32 to 512.
            device: Where to render.

        Returns:
            The same as `sample`; ``render(draw(n, seed=s))`` equals ``sample(n, seed=s)``.

        Raises:
            NotFoundError: A factor is unknown (with the closest names) or missing.
            ShapeError: Shapes do not agree, or ``resolution`` is outside 32 to 512.
            ArgumentError: A value is NaN or out of range, or a room has not one category.
        """
        size = _check_resolution(resolution)
        known = _factors.check(factors)
        columns = {name: column.tolist() for name, column in known.items()}
        rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
        scenes = [build(row) for row in rows]
        pixels = render(scenes, size, torch.device(device))
        counts = _counts(pixels.masks)
        return WorldBatch(
            images=pixels.images,
            factors=known,
            masks=pixels.masks,
            depth=pixels.depth,
            camera=_camera(known, scenes),
            captions=[caption(row, count) for row, count in zip(rows, counts)],
        )

    def counterfactual(
        self, factors: Mapping[str, Tensor], *, resolution: int = 64, **changes: float | Tensor
    ) -> WorldBatch:
        """Render the same rooms with some factors changed, all else equal.

        Args:
            factors: All factors, ``[N]`` each, such as ``batch.factors``.
            resolution: Height and width in pixels, 32 to 512.
            changes: Name of a factor to its value in all rooms, or to one for each, ``[N]``.

        Raises:
            NotFoundError, ShapeError, ArgumentError: As `render`.

        Example:
            >>> rooms = Rooms()
            >>> dark = rooms.counterfactual(rooms.draw(2, seed=7), night=1, resolution=32)
            >>> dark.factors["night"]
            tensor([1., 1.])
        """
        given = dict(factors)
        shape = next(iter(given.values()), torch.zeros(1)).shape
        for name, value in changes.items():
            column = torch.as_tensor(value, dtype=torch.float32)
            given[name] = column if column.ndim else column.expand(shape)
        return self.render(given, resolution=resolution)


def _share(name: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name} is {value!r}; give a number from 0 to 1.")
    return float(value)


def _check_resolution(resolution: int) -> int:
    low, high = _RESOLUTIONS
    try:
        size = operator.index(resolution)
    except TypeError:
        size = -1
    if not low <= size <= high:
        raise ShapeError(
            f"resolution is {resolution!r}; give a whole number of pixels from {low} to {high}."
        )
    return size


def _counts(masks: Tensor) -> list[dict[str, float]]:
    """Class name to its share of the pixels, one dictionary a picture."""
    shares = [
        (torch.bincount(mask, minlength=len(CLASSES)) / len(mask)).tolist()
        for mask in masks.flatten(1).cpu()
    ]
    return [dict(zip(CLASSES, row)) for row in shares]


def _camera(factors: dict[str, Tensor], scenes: list[Scene]) -> Camera:
    x = torch.tensor([scene.values["eye_x"] * scene.values["sign"] for scene in scenes])
    return Camera(
        yaw=factors["yaw"],
        pitch=factors["pitch"],
        height=factors["height"],
        distance=factors["distance"],
        focal=torch.full_like(x, FOCAL),
        position=torch.stack([x, factors["height"], -factors["distance"]], dim=1),
    )
