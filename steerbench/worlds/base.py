"""What every world offers: factors that are known, and pictures that carry their truth.

A world draws **factors** (what is in the picture, and how it is lit and seen) from a seed, and
renders them. Nothing else enters a picture: equal factors give equal pixels, so a counterfactual
is the same factors with one of them changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Factor:
    """One thing that varies in a world.

    Attributes:
        name: Its key in ``batch.factors``.
        kind: ``"binary"`` (0 or 1) or ``"continuous"``.
        low: The least value it takes.
        high: The greatest value it takes.
        unit: The unit of its values; empty for a share or a binary factor.
        meaning: What the picture shows at its ends.
    """

    name: str
    kind: Literal["binary", "continuous"]
    low: float
    high: float
    unit: str
    meaning: str


@dataclass(frozen=True)
class Camera:
    """Where a picture was taken from; every field is float32 with one row a picture.

    Attributes:
        yaw: ``[N]`` degrees, positive to the right.
        pitch: ``[N]`` degrees, positive upwards.
        height: ``[N]`` metres above the floor.
        distance: ``[N]`` metres from the back wall.
        focal: ``[N]`` focal length as a multiple of the picture's width.
        position: ``[N, 3]`` metres: right and up from the foot of the back wall's middle, and
            towards the back wall (so the third is ``-distance``).
    """

    yaw: Tensor
    pitch: Tensor
    height: Tensor
    distance: Tensor
    focal: Tensor
    position: Tensor


@dataclass(frozen=True)
class WorldBatch:
    """Pictures of a world with everything that is known about them.

    Attributes:
        images: ``[N, 3, H, W]`` float32 in [-1, 1].
        factors: Name to ``[N]`` float32.
        masks: ``[N, H, W]`` int64, an index into the world's ``class_names``.
        depth: ``[N, H, W]`` float32, metres along the viewing axis; None in a flat world.
        camera: Where each picture was taken from, or None.
        captions: One English sentence a picture, naming only what is visible in it; empty in a
            world without words.
    """

    images: Tensor
    factors: dict[str, Tensor]
    masks: Tensor
    depth: Tensor | None = None
    camera: Camera | None = None
    captions: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)


@runtime_checkable
class World(Protocol):
    """Scenes whose truth is known: what every world offers.

    Attributes:
        name: Of the world.
        factor_names: What varies.
        class_names: What the values of a mask mean.
    """

    name: str
    factor_names: tuple[str, ...]
    class_names: tuple[str, ...]

    def sample(self, n: int, *, seed: int = 0, resolution: int = 64) -> WorldBatch:
        """Draw and render ``n`` pictures; picture i of seed s is picture 0 of seed s + i."""
        ...

    def counterfactual(
        self, factors: Mapping[str, Tensor], *, resolution: int = 64, **changes: float | Tensor
    ) -> WorldBatch:
        """Render the scenes of some factors with a few of them changed, all else equal.

        Args:
            factors: Name to ``[N]``, such as ``batch.factors``.
            resolution: Height and width in pixels.
            changes: Name of a factor to its value in all scenes, or to one for each, ``[N]``.

        Raises:
            NotFoundError: There is no such factor.
        """
        ...
