"""Tensors in [-1, 1] and bytes in [0, 255], and what counts as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from steerbench.errors import ImageError, ShapeError
from steerbench.image.decode import MAX_PIXELS

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
    batch = batch_of(images)
    count = int(torch.isnan(batch).sum())
    if count:
        raise ImageError(
            f"{count} of {batch.numel()} values are NaN, expected numbers. "
            "Look for a diverged model or an overflow in half precision."
        )
    pixels = ((batch.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_uint8(pixels: np.ndarray) -> Tensor:
    """Turn bytes [N, H, W, C], [H, W, C] or [H, W] to float32 [N, C, H, W] in [-1, 1].

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
    return batch_of(channels_first.to(torch.float32) / 127.5 - 1)


def from_figure(figure: Any) -> Tensor:
    """Read a matplotlib figure as it is drawn now, ``[1, 3, H, W]``."""
    figure.canvas.draw()
    return from_uint8(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def to_pil(image: Tensor) -> Image.Image:
    """Turn one picture [C, H, W] or [1, C, H, W] to a Pillow image, mode L or RGB.

    Raises:
        ShapeError: it is several pictures, or not a picture.
        ImageError: a pixel is NaN.
    """
    pixels = to_uint8(image)
    if len(pixels) != 1:
        raise ShapeError(f"Got {len(pixels)} pictures, expected one; join them with `grid`.")
    return Image.fromarray(pixels[0, :, :, 0] if pixels.shape[3] == 1 else pixels[0])


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize to ``size`` (a side, or height and width, in pixels), antialiased.

    Bilinear with the filter widened when shrinking: no ringing, values stay in their range.
    Differentiable. [N, C, H, W] gives [N, C, *size]; the dtype is kept.

    >>> resize(torch.zeros(2, 3, 64, 64), (16, 32)).shape
    torch.Size([2, 3, 16, 32])
    """
    batch, target = batch_of(images), size_of(size)
    if batch.shape[2:] == target:
        return batch
    return F.interpolate(batch, target, mode="bilinear", antialias=True).to(images.dtype)


def batch_of(images: Images) -> Tensor:
    """Return [N, C, H, W], at least float32, from what a caller calls pictures.

    Raises:
        ShapeError: these are no pictures, or not of one size.
    """
    if isinstance(images, (list, tuple)) and images:
        parts = [batch_of(image) for image in images]
        if len({part.shape[1:] for part in parts}) != 1:
            sizes = sorted({tuple(part.shape[1:]) for part in parts})
            raise ShapeError(f"Got pictures of sizes {sizes}, expected one size; use `resize`.")
        return torch.cat(parts)
    if not isinstance(images, Tensor):
        raise ShapeError(
            f"Got {type(images).__name__}, expected a tensor [N, C, H, W] or a list of pictures. "
            "Arrays go through `from_uint8` or `read`."
        )
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or 0 in batch.shape:
        raise ShapeError(
            f"Got {list(images.shape)}, expected pictures [N, C, H, W] with C 1 or 3 and at least "
            "one pixel. Put the channels first: pixels.permute(0, 3, 1, 2)."
        )
    if not batch.is_floating_point():
        raise ShapeError(f"Got a tensor of {batch.dtype}, expected floats in [-1, 1].")
    return batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch


def size_of(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) from a side or a pair; ShapeError for what is no size or too large."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ShapeError(f"size={size!r}, expected a side in pixels or (height, width).")
    if pair[0] * pair[1] > MAX_PIXELS:
        raise ShapeError(f"size={size!r} is {pair[0] * pair[1]} pixels, at most {MAX_PIXELS}.")
    return pair[0], pair[1]
