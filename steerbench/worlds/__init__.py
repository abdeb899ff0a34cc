"""Procedural scenes whose truth is known: factors, masks, depth, camera and captions.

Nobody can check an interpretation against photographs of strangers' bedrooms. A world can be
asked: which factor changed, where the lamp is, how far the wall.

>>> rooms = world("rooms")
>>> batch = rooms.sample(2, seed=0, resolution=32)
>>> batch.images.shape, batch.masks.shape
(torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]))
"""

from __future__ import annotations

from steerbench.errors import NotFoundError, unknown
from steerbench.worlds.base import Camera, Factor, World, WorldBatch
from steerbench.worlds.rooms import Rooms

__all__ = ["WORLDS", "Camera", "Factor", "Rooms", "World", "WorldBatch", "world"]

WORLDS: dict[str, type[Rooms]] = {"rooms": Rooms}


def world(name: str, *, correlation: float = 1.0, watermark: float = 0.0) -> Rooms:
    """A world by its name.

    Args:
        name: A key of `WORLDS`.
        correlation: In [0, 1], how strongly chosen factors go together; 0 makes all independent.
        watermark: In [0, 1], the share of pictures that carry a watermark.

    Raises:
        NotFoundError: No world has this name.
        ArgumentError: ``correlation`` or ``watermark`` lies outside [0, 1].
    """
    if name not in WORLDS:
        raise NotFoundError(unknown("world", name, WORLDS))
    return WORLDS[name](correlation=correlation, watermark=watermark)
