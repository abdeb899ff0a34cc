"""Somebody's photograph, as the picture that a generator could have drawn.

A photograph comes in any mode, depth, orientation and size (`steerbench.image.decode` reads it); a
generator draws squares of one size, with things where its training pictures had them. What to do
about the difference is the user's to say, in a `PhotoFit`:

- ``crop="center"`` cuts the largest middle part of the right proportions, ``"none"`` keeps
  everything and lets proportions change, ``(left, top, right, bottom)`` cuts a box, in pixels,
  which may reach beyond the picture (its border is then repeated).
- ``align=(points, targets)`` turns, moves and scales the photograph so that two points in it, the
  eyes of a face for instance, come to lie where they should, in shares of width and height:
  ``align=([(412, 380), (590, 371)], [(0.38, 0.48), (0.62, 0.48)])``.

An animation is refused, because nobody knows which of its pictures is meant, and so is a picture
with a side above 16,384 pixels: a strip or a mistake.

>>> import numpy as np
>>> fit_photograph(np.zeros((480, 640, 3), np.uint8), (64, 64)).shape
torch.Size([1, 3, 64, 64])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from steerbench.errors import ImageError
from steerbench.image import decode, from_uint8, resize
from steerbench.image.pixels import batch_of

Crop = str | tuple[float, float, float, float]
Point = tuple[float, float]
Align = tuple[Sequence[Point], Sequence[Point]]


@dataclass(frozen=True)
class PhotoFit:
    """How photographs are fitted into what a generator draws.

    Attributes:
        crop: ``"center"``, ``"none"`` or a box in pixels, see the top of this page.
        align: Two points in the photograph and where they should come to lie, likewise.
    """

    crop: Crop = "center"
    align: Align | None = None


def fit_pictures(
    sources: Any, size: tuple[int, int], *, channels: int = 3, photo: PhotoFit | None = None
) -> Tensor:
    """Return pictures ``[N, channels, *size]`` in [-1, 1] from a tensor of them or photographs.

    Args:
        sources: A tensor ``[N, C, H, W]`` or ``[C, H, W]`` in [-1, 1]; or a photograph, or several:
            anything that `steerbench.image.decode` takes, and uploads of several files.
        size: Height and width of the result.
        channels: 1 for grey pictures, 3 for colours.
        photo: How to fit them; not for tensors of the right size.

    Raises:
        ImageError, ShapeError, NotFoundError, FileError: What was given is no picture.
    """
    photo = PhotoFit() if photo is None else photo
    if isinstance(sources, Tensor):
        images = _fit(batch_of(sources), size, photo.crop, photo.align)
    else:
        listed = list(sources) if isinstance(sources, (list, tuple)) else [sources]
        if not listed:
            raise ImageError("No picture was given. Give a path, a file's bytes, an upload.")
        images = torch.cat([fit_photograph(one, size, photo) for one in listed])
    if not bool(torch.isfinite(images).all()):
        raise ImageError("A picture holds NaN or infinity; expected numbers in [-1, 1].")
    if channels == 1 and images.shape[1] == 3:
        luma = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (images * luma).sum(1, keepdim=True)
    return images.expand(-1, channels, -1, -1).clone()


def fit_photograph(source: Any, size: tuple[int, int], photo: PhotoFit | None = None) -> Tensor:
    """Return one photograph as ``[1, 3, *size]`` in [-1, 1].

    Args:
        source: See `fit_pictures`.
        size: Height and width of the result.
        photo: How to fit it.
    """
    photo = PhotoFit() if photo is None else photo
    if isinstance(source, Tensor):
        return fit_pictures(source, size, photo=photo)
    crop, align = photo.crop, photo.align
    pixels = decode(source, still=True, side=16_384)  # a longer one is a strip or a mistake
    if crop == "center" and align is None:
        pixels = pixels[_middle(pixels.shape[:2], size)]
    if align is None and isinstance(crop, str):
        pixels = _reduce_pixels(pixels, size)
    return _fit(from_uint8(pixels), size, crop if align is None else "none", align)


def _fit(image: Tensor, size: tuple[int, int], crop: Crop, align: Align | None) -> Tensor:
    if align is not None:
        return align_points(image, size, *align)
    if isinstance(crop, str) and crop not in ("center", "none"):
        raise ImageError(
            f"crop={crop!r}; give 'center', 'none' or a box (left, top, right, bottom) in pixels."
        )
    if isinstance(crop, str):
        rows, columns = _middle(image.shape[2:], size) if crop == "center" else (slice(None),) * 2
        return resize(image[:, :, rows, columns], size)
    left, top, right, bottom = _box(crop)
    corners = [(left, top), (right, top)]
    if abs((right - left) / (bottom - top) - size[1] / size[0]) > 0.02 * size[1] / size[0]:
        raise ImageError(
            f"The box {crop} is {right - left:g} x {bottom - top:g} pixels, the picture "
            f"{size[1]} x {size[0]}. Give a box of the same proportions."
        )
    return align_points(image, size, corners, [(0.0, 0.0), (1.0, 0.0)])


def align_points(
    image: Tensor, size: tuple[int, int], points: Sequence[Point], targets: Sequence[Point]
) -> Tensor:
    """Turn, move and scale pictures so that two points come to lie where they should.

    Args:
        image: ``[N, C, H, W]``; its border is repeated where it does not reach.
        size: Height and width of the result.
        points: Two places ``(x, y)`` in pixels of the picture, from its upper left corner.
        targets: Where they should come to lie, in shares of the result's width and height.

    Raises:
        ImageError: There are not two and two, or two are the same.
    """
    given = np.asarray(points, float), np.asarray(targets, float)
    if any(part.shape != (2, 2) or not np.isfinite(part).all() for part in given):
        raise ImageError(
            f"align={(points, targets)!r}; give two points (x, y) in pixels and two targets in "
            "shares of width and height."
        )
    height, width = size
    there = given[1] * [width, height]
    source, target = (complex(*(pair[1] - pair[0])) for pair in (given[0], there))
    if abs(source) < 1 or abs(target) < 1:
        raise ImageError("The two points of align are the same place. Give two that lie apart.")
    # A complex number turns and scales: from a pixel of the result to one of the photograph.
    turn = source / target
    image, factor = _reduce(image, abs(turn))
    x = torch.arange(width, dtype=torch.float64) + 0.5 - there[0, 0]
    y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - there[0, 1]
    columns = (turn.real * x - turn.imag * y + given[0][0, 0]) / factor
    rows = (turn.imag * x + turn.real * y + given[0][0, 1]) / factor
    grid = torch.stack([2 * columns / image.shape[3] - 1, 2 * rows / image.shape[2] - 1], -1)
    grid = grid.to(image)[None].expand(len(image), -1, -1, -1)
    return F.grid_sample(image, grid, "bilinear", "border", align_corners=False)


def _reduce(image: Tensor, scale: float) -> tuple[Tensor, float]:
    """Return a picture so small that sampling skips no pixel, and by what it was divided."""
    if scale <= 1:
        return image, 1.0
    height, width = (max(1, math.ceil(side / scale)) for side in image.shape[2:])
    return resize(image, (height, width)), image.shape[3] / width


def _middle(given: Sequence[int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the largest middle part, rows and columns, of the proportions of ``size``."""
    height, width = given
    high = max(1, min(height, round(width * size[0] / size[1])))
    wide = max(1, min(width, round(height * size[1] / size[0])))
    top, left = (height - high) // 2, (width - wide) // 2
    return slice(top, top + high), slice(left, left + wide)


def _reduce_pixels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average down to about twice the size, as bytes: large ones would fill the memory."""
    factor = min(pixels.shape[0] // (2 * size[0]), pixels.shape[1] // (2 * size[1]))
    return pixels if factor < 2 else np.asarray(Image.fromarray(pixels).reduce(factor))


def _box(crop: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(side) for side in crop)
    except (TypeError, ValueError):
        left = top = right = bottom = 0.0
    if not (right > left and bottom > top and math.isfinite(left + top + right + bottom)):
        raise ImageError(f"crop={crop!r}; give a box (left, top, right, bottom) in pixels.")
    return left, top, right, bottom


__all__ = ["Align", "Crop", "PhotoFit", "align_points", "fit_photograph", "fit_pictures"]
