"""What trainings share: batches, rates, blurred and noisy pictures, watermarks.

Reference: Loshchilov, Hutter, "SGDR" (2017, arXiv 1608.03983) for the cosine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ArgumentError, unknown
from steerbench.store import optimiser_tensors, restore_optimiser, under
from steerbench.training import pictures as cache

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HELD_OUT_LEAST = 2000
Settings = TypeVar("Settings", bound="DataclassInstance")


def epochs(rng: np.random.Generator, count: int, size: int) -> Iterator[np.ndarray]:
    """Yield indices of batches without end, each of ``count`` pictures once a round."""
    while True:
        order = rng.permutation(count)
        yield from (order[i : i + size] for i in range(0, count - size + 1, size))


def cosine(done: float, warm_up: float) -> float:
    """Return the share of the learning rate after a part of the training."""
    if done < warm_up:
        return (done + 1e-3) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * min(1, (done - warm_up) / (1 - warm_up)))


def blur_noise(images: Tensor, *, blur: float, noise: float, share: float) -> Tensor:
    """Blur some pictures and add noise to all, as generated ones are softer and noisier.

    Args:
        images: ``[N, 3, H, W]``; left as they are.
        blur: Up to which standard deviation, in pixels; one draw for the batch.
        noise: Up to which standard deviation; one draw for each picture.
        share: How many of the pictures are blurred.
    """
    sigma, radius = blur * float(torch.rand(())) + 1e-3, max(1, round(1.5 * blur))
    kernel = torch.exp(-torch.arange(-radius, radius + 1.0).square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).outer(kernel / kernel.sum()).expand(3, 1, -1, -1)
    images, soft = images.clone(), torch.rand(len(images)) < share
    padded = F.pad(images[soft], (radius,) * 4, mode="replicate")
    images[soft] = F.conv2d(padded, kernel, groups=3)
    strength = noise * torch.rand(len(images), 1, 1, 1)
    return images + strength * torch.randn_like(images)


def with_options(settings: Settings, options: Sequence[str]) -> Settings:
    """Return settings with `NAME=VALUE` changes, each of the type that the setting has.

    Args:
        settings: A dataclass of numbers, words and tuples of whole numbers.
        options: The changes.

    Raises:
        ArgumentError: A name is unknown, or a value is not of the type.
    """
    changes: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition("=")
        if not hasattr(settings, name):
            raise ArgumentError(unknown("setting", name, [f.name for f in fields(settings)]))
        kind = type(getattr(settings, name))
        try:
            several = tuple(int(part) for part in value.split(",")) if kind is tuple else None
            changes[name] = kind(value) if several is None else several
        except ValueError as error:
            raise ArgumentError(
                f"The setting {option!r} needs a value of type {kind.__name__}."
            ) from error
    return replace(settings, **changes)


@dataclass(frozen=True)
class Watermark:
    """How the world stamps a picture: where the ink lies ``[H, W]``, and what it does there."""

    ink: Tensor
    slope: float
    offset: float

    def on(self, images: Tensor) -> Tensor:
        """Stamp pictures ``[N, 3, H, W]``."""
        return torch.where(self.ink, images * self.slope + self.offset, images)


def watermark(source: Any, resolution: int) -> Watermark:
    """Read the mark of a world off one picture that is rendered without it and with it.

    Args:
        source: A world that renders factors, of which one is ``watermark``, as `Rooms` does.
        resolution: Of the pictures.
    """
    factors = source.draw(1, seed=0)
    plain = source.render(factors | {"watermark": torch.zeros(1)}, resolution=resolution)
    marked = source.render(factors | {"watermark": torch.ones(1)}, resolution=resolution)
    ink = marked.masks[0] == source.class_names.index("watermark")
    before, after = (b.images[0][:, ink].flatten().double().numpy() for b in (plain, marked))
    slope, offset = np.polyfit(before, after, 1)
    return Watermark(ink, float(slope), float(offset))


def check_held_out(folder: Path) -> None:
    """See, before a training, that there will be enough pictures to judge it by.

    Raises:
        NotFoundError, ArgumentError: There are none, or too few.
    """
    if len(cache.Pictures(folder, limit=HELD_OUT_LEAST)) < HELD_OUT_LEAST:
        raise ArgumentError(
            f"{folder} holds fewer than {HELD_OUT_LEAST} pictures to judge by. Render some with: "
            f"python -m steerbench.training pictures --out {folder} --count {HELD_OUT_LEAST} "
            f"--first-seed {cache.HELD_OUT_SEED}"
        )


__all__ = [
    "HELD_OUT_LEAST",
    "Watermark",
    "blur_noise",
    "check_held_out",
    "cosine",
    "epochs",
    "optimiser_tensors",
    "restore_optimiser",
    "under",
    "watermark",
    "with_options",
]
