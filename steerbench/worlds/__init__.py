"""Procedural scenes whose truth is known: factors, masks, depth, camera and captions.

Nobody can check an interpretation against photographs of strangers' bedrooms. A world can be
asked: which factor changed, where the lamp is, how far the wall.

>>> rooms = world("rooms")
>>> batch = rooms.sample(2, seed=0, resolution=32)
>>> batch.images.shape, batch.masks.shape
(torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, overload

from steerbench.errors import KeywordError, NotFoundError, closest, unknown
from steerbench.worlds.base import Camera, Factor, World, WorldBatch
from steerbench.worlds.rooms import Rooms

__all__ = ["WORLDS", "Camera", "Factor", "Rooms", "World", "WorldBatch", "world"]

WORLDS: dict[str, Callable[..., World]] = {"rooms": Rooms}
"""Name to what makes a world."""


@overload
def world(name: Literal["rooms"], *, correlation: float = 1.0, watermark: float = 0.0) -> Rooms: ...


@overload
def world(name: str, **options: Any) -> World: ...


def world(name: str, **options: Any) -> World:
    """Return a world by its name.

    Args:
        name: A key of `WORLDS`.
        options: Its own, such as ``correlation`` and ``watermark`` of `Rooms`.

    Raises:
        NotFoundError: No world has this name.
        KeywordError: It has no such option.
        ArgumentError: An option cannot be.
    """
    if name not in WORLDS:
        raise NotFoundError(unknown("world", name, WORLDS))
    known = inspect.signature(WORLDS[name]).parameters
    for option in options:
        if option not in known:
            raise KeywordError(f"The world {name!r} has no {option!r}. {closest(option, known)}")
    return WORLDS[name](**options)
