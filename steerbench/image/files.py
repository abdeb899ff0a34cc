"""Pictures read from wherever they are, and written as PNG or JPEG."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from steerbench.errors import ImageError, ShapeError
from steerbench.image.decode import decode
from steerbench.image.pixels import Images, batch_of, from_uint8, resize, size_of, to_pil
from steerbench.image.sheet import grid
from steerbench.store import write_bytes_atomic

MAX_JPEG_SIDE = 65_500
"""The longest side of a JPEG, in pixels."""

_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def read(source: Any, size: int | tuple[int, int] | None = None, crop: str = "center") -> Tensor:
    """Read one picture, whatever its mode, depth and orientation.

    Args:
        source: what `steerbench.image.decode` takes (a path, the bytes of a file, a Pillow
            image, an array [H, W, C], an upload), or a picture tensor [C, H, W] in [-1, 1].
        size: side of the result, or (height, width), in pixels; None keeps the picture's own.
        crop: "center" cuts the middle of the wanted proportions before resizing; "none" keeps
            everything and lets the proportions change. Without a size both keep everything.

    Returns:
        float32 [1, 3, H, W] in [-1, 1].

    Raises:
        NotFoundError, FileError, ImageError, ShapeError: there is no such file; it cannot be
            opened; it is no picture, damaged or too large; the size makes no sense.
    """
    if crop not in ("center", "none"):
        raise ImageError(f"crop={crop!r}, expected 'center' or 'none'.")
    if isinstance(source, Tensor):
        image = batch_of(source)
        if len(image) != 1:
            raise ShapeError(f"Got {len(image)} pictures, expected one; read them one by one.")
        image = image.expand(1, 3, *image.shape[2:])
    else:
        image = from_uint8(decode(source))
    if size is None:
        return image
    height, width = size_of(size)
    if crop == "center":
        image = _center(image, width / height)
    return resize(image, (height, width))


def encode_jpeg(image: Tensor, quality: int = 90) -> bytes:
    """Encode one picture as JPEG; quality from 1 to 95. Fast, for frames on their way to a screen.

    Raises:
        ShapeError: it is several pictures, or longer than `MAX_JPEG_SIDE`.
        ImageError: a pixel is NaN.
    """
    picture = to_pil(image)
    if max(picture.size) > MAX_JPEG_SIDE:
        raise ShapeError(f"{picture.size} is too large for JPEG ({MAX_JPEG_SIDE}); use PNG.")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_png(image: Tensor) -> bytes:
    """Encode one picture as PNG: every byte of `to_uint8` kept, for evidence and export."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG")
    return buffer.getvalue()


def save(images: Images, path: str | os.PathLike[str]) -> None:
    """Write a picture, or the grid of several, atomically; PNG or JPEG by the suffix.

    Raises:
        FileError: the folder is missing or read-only; what was there before remains.
        ImageError: another suffix, or a pixel is NaN.
    """
    kind = _SUFFIXES.get(Path(path).suffix.lower())
    if kind is None:
        raise ImageError(
            f"{str(path)!r} ends in {Path(path).suffix!r}, expected one of {', '.join(_SUFFIXES)}."
        )
    batch = batch_of(images)
    image = batch[0] if len(batch) == 1 else grid(batch)
    write_bytes_atomic(path, encode_png(image) if kind == "PNG" else encode_jpeg(image, 95))


def _center(image: Tensor, proportion: float) -> Tensor:
    """Cut out the largest middle part whose width is ``proportion`` times its height."""
    height, width = image.shape[2:]
    new_height = max(1, min(height, round(width / proportion)))
    new_width = max(1, min(width, round(height * proportion)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return image[:, :, top : top + new_height, left : left + new_width]
