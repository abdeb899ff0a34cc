"""Pixels in and out.

Inside steerbench a picture is a float32 tensor [N, C, H, W], nominally in [-1, 1], with C = 1
(grey) or 3 (RGB). Generators never clamp it; everything that shows or exports does so here, on
the last step: -1 and below become byte 0, +1 and above byte 255.

`read` is the way in, for anything from a path to a phone's photograph in an upload (how modes,
depths and orientations are understood is written in `steerbench.decode`); `show` is the way to
the eye, `save` the way to a file.

>>> photo = np.full((48, 64, 4), 255, dtype=np.uint8)
>>> read(photo, size=32).shape
torch.Size([1, 3, 32, 32])
>>> images = torch.linspace(-1, 1, 6 * 3 * 16 * 16).view(6, 3, 16, 16)
>>> grid(images, columns=3).shape
torch.Size([3, 38, 56])
>>> show(images).size
(392, 262)
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from steerbench.decode import MAX_PIXELS, decode
from steerbench.errors import ImageError, ShapeError
from steerbench.store import write_bytes_atomic

MAX_JPEG_SIDE = 65_500
"""The longest side of a JPEG, in pixels."""

_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
Images = Tensor | Sequence[Tensor]


def to_uint8(images: Images) -> np.ndarray:
    """Clamp to [-1, 1] and round to bytes.

    Args:
        images: [N, C, H, W], or one picture [C, H, W], or a list of either of one size.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        ShapeError: the shape is another one.
        ImageError: a pixel is NaN.

    >>> to_uint8(torch.tensor([-9.0, -1.0, 0.0, 1.0]).view(1, 1, 2, 2)).ravel()
    array([  0,   0, 128, 255], dtype=uint8)
    """
    batch = _batch(images)
    count = int(torch.isnan(batch).sum())
    if count:
        raise ImageError(
            f"{count} of {batch.numel()} values are NaN, expected numbers. "
            "Look for a diverged model or an overflow in half precision."
        )
    pixels = ((batch.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_uint8(pixels: np.ndarray) -> Tensor:
    """Bytes [N, H, W, C], [H, W, C] or [H, W] to float32 [N, C, H, W] in [-1, 1].

    The inverse of `to_uint8`, exactly.

    Raises:
        ShapeError: the dtype is not uint8, or the shape is another one.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise ShapeError(f"Got an array of {pixels.dtype}, expected uint8; `read` takes others.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4:
        raise ShapeError(f"Got bytes {list(pixels.shape)}, expected [N, H, W, C] or one picture.")
    # A copy: torch shares memory only with arrays that may be written.
    channels_first = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return _batch(channels_first.to(torch.float32) / 127.5 - 1)


def to_pil(image: Tensor) -> Image.Image:
    """One picture [C, H, W] or [1, C, H, W] as a Pillow image, mode L or RGB.

    Raises:
        ShapeError: it is several pictures, or not a picture.
        ImageError: a pixel is NaN.
    """
    pixels = to_uint8(image)
    if len(pixels) != 1:
        raise ShapeError(f"Got {len(pixels)} pictures, expected one; join them with `grid`.")
    return Image.fromarray(pixels[0, :, :, 0] if pixels.shape[3] == 1 else pixels[0])


def read(source: Any, size: int | tuple[int, int] | None = None, crop: str = "center") -> Tensor:
    """Read one picture, whatever its mode, depth and orientation.

    Args:
        source: what `steerbench.decode.decode` takes (a path, the bytes of a file, a Pillow
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
        image = _batch(source)
        if len(image) != 1:
            raise ShapeError(f"Got {len(image)} pictures, expected one; read them one by one.")
        image = image.expand(1, 3, *image.shape[2:])
    else:
        image = from_uint8(decode(source))
    if size is None:
        return image
    height, width = _size(size)
    if crop == "center":
        image = _center(image, width / height)
    return resize(image, (height, width))


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize to ``size`` (a side, or height and width, in pixels), antialiased.

    Bilinear with the filter widened when shrinking: no ringing, values stay in their range.
    Differentiable. [N, C, H, W] gives [N, C, *size]; the dtype is kept.

    >>> resize(torch.zeros(2, 3, 64, 64), (16, 32)).shape
    torch.Size([2, 3, 16, 32])
    """
    batch, target = _batch(images), _size(size)
    if batch.shape[2:] == target:
        return batch
    return F.interpolate(batch, target, mode="bilinear", antialias=True).to(images.dtype)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Repeat every pixel ``factor`` times in both directions: [N, C, H * factor, W * factor].

    >>> enlarge(torch.tensor([[[-1.0, 1.0]]]), 2).shape
    torch.Size([1, 1, 2, 4])
    """
    if not isinstance(factor, int) or factor < 1:
        raise ShapeError(f"factor={factor!r}, expected a whole number of 1 or more; see `resize`.")
    return _batch(images).repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def grid(
    images: Images, columns: int | None = None, padding: int = 2, background: float = 1.0
) -> Tensor:
    """Lay pictures out in rows, as one picture.

    Args:
        images: [N, C, H, W], or a list of pictures of one size.
        columns: pictures in a row; None for about as many as there are rows.
        padding: pixels around and between pictures.
        background: the value of padding and of empty places; 1.0 is white.

    Returns:
        [C, rows * (H + padding) + padding, columns * (W + padding) + padding].
    """
    batch = _batch(images)
    count, channels, height, width = batch.shape
    columns = _columns(count, columns)
    rows = math.ceil(count / columns)
    blank = batch.new_full((rows * columns - count, channels, height, width), background)
    tiles = F.pad(torch.cat([batch, blank]), (padding, 0, padding, 0), value=background)
    tiles = tiles.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    sheet = tiles.reshape(channels, rows * (height + padding), columns * (width + padding))
    return F.pad(sheet, (0, padding, 0, padding), value=background)


def encode_jpeg(image: Tensor, quality: int = 90) -> bytes:
    """One picture as a JPEG file; quality from 1 to 95. Fast, for frames on their way to a screen.

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
    """One picture as a PNG file: every byte of `to_uint8` kept, for evidence and export."""
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
    batch = _batch(images)
    image = batch[0] if len(batch) == 1 else grid(batch)
    write_bytes_atomic(path, encode_png(image) if kind == "PNG" else encode_jpeg(image, 95))


def show(
    images: Images,
    columns: int | None = None,
    scale: int | None = None,
    captions: Sequence[object] | None = None,
) -> Image.Image:
    """A grid to look at; a notebook displays the result by itself.

    Args:
        images: [N, C, H, W], one picture, or a list of pictures of one size.
        columns: pictures in a row; None for about as many as there are rows.
        scale: how often each pixel is repeated; None enlarges small pictures to about 128
            pixels as long as the grid stays about 1024 wide, and leaves large ones alone.
        captions: a line under each picture, cut to its width.

    Returns:
        A Pillow image, mode L or RGB.

    Raises:
        ShapeError: the shape is not a picture's, or there are fewer captions than pictures.
        ImageError: a pixel is NaN.
    """
    batch = _batch(images).detach()
    count, _, height, width = batch.shape
    columns = _columns(count, columns)
    if scale is None:
        scale = max(1, min(128 // max(height, width), 1024 // (columns * width)))
    batch = enlarge(batch, scale)
    if captions is None:
        return to_pil(grid(batch, columns))
    if isinstance(captions, str) or len(captions) != count:
        raise ShapeError(f"Got {len(captions)} captions for {count} pictures; give one each.")
    strip = 18
    sheet = to_pil(grid(F.pad(batch, (0, 0, 0, strip), value=1.0), columns))
    height, width = batch.shape[2:]
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        corner = (2 + column * (width + 2), 2 + row * (height + strip + 2) + height + 2)
        _write(sheet, corner, str(caption), width)
    return sheet


# -- shapes -------------------------------------------------------------------------------------


def _batch(images: Images) -> Tensor:
    """[N, C, H, W] floating point, at least float32, from what a caller calls pictures."""
    if not isinstance(images, Tensor):
        parts = [_batch(image) for image in images]
        if len({part.shape[1:] for part in parts}) != 1:
            sizes = sorted({tuple(part.shape[1:]) for part in parts})
            raise ShapeError(f"Got pictures of sizes {sizes}, expected one size; use `resize`.")
        return torch.cat(parts)
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or 0 in batch.shape:
        raise ShapeError(
            f"Got {list(images.shape)}, expected pictures [N, C, H, W] with C 1 or 3 and at least "
            "one pixel. Arrays with channels last go through `from_uint8` or `read`."
        )
    if not batch.is_floating_point():
        raise ShapeError(f"Got a tensor of {batch.dtype}, expected floats in [-1, 1].")
    return batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch


def _columns(count: int, columns: int | None) -> int:
    if columns is None:
        return math.ceil(math.sqrt(count))
    if not isinstance(columns, int) or columns < 1:
        raise ShapeError(f"columns={columns!r}, expected a whole number of 1 or more, or None.")
    return min(columns, count)


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ShapeError(f"size={size!r}, expected a side in pixels or (height, width).")
    if pair[0] * pair[1] > MAX_PIXELS:
        raise ShapeError(f"size={size!r} is {pair[0] * pair[1]} pixels, at most {MAX_PIXELS}.")
    return pair[0], pair[1]


def _center(image: Tensor, proportion: float) -> Tensor:
    """The largest middle part whose width is ``proportion`` times its height."""
    height, width = image.shape[2:]
    new_height = max(1, min(height, round(width / proportion)))
    new_width = max(1, min(width, round(height * proportion)))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    return image[:, :, top : top + new_height, left : left + new_width]


def _write(sheet: Image.Image, corner: tuple[int, int], text: str, width: int) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    line = " ".join(text.split())
    while line and draw.textlength(line, font) > width:
        line = line[:-2].rstrip() + "…" if len(line) > 2 else ""
    draw.text(corner, line, fill=0 if sheet.mode == "L" else (0, 0, 0), font=font)
