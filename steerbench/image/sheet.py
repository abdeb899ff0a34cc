"""Pictures laid out to be looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from steerbench.errors import ShapeError
from steerbench.image.pixels import Images, batch_of, to_pil


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
    batch = batch_of(images)
    count, channels, height, width = batch.shape
    columns = _columns(count, columns)
    rows = math.ceil(count / columns)
    blank = batch.new_full((rows * columns - count, channels, height, width), background)
    tiles = F.pad(torch.cat([batch, blank]), (padding, 0, padding, 0), value=background)
    tiles = tiles.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    sheet = tiles.reshape(channels, rows * (height + padding), columns * (width + padding))
    return F.pad(sheet, (0, padding, 0, padding), value=background)


def show(
    images: Images,
    columns: int | None = None,
    scale: int | None = None,
    captions: Sequence[object] | None = None,
) -> Image.Image:
    """Show a grid to look at; a notebook displays the result by itself.

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
    batch = batch_of(images).detach()
    count, _, height, width = batch.shape
    columns = _columns(count, columns)
    if scale is None:
        scale = max(1, min(128 // max(height, width), 1024 // (columns * width)))
    batch = enlarge(batch, scale)
    if captions is None:
        return to_pil(grid(batch, columns))
    if isinstance(captions, str) or len(captions) != count:
        raise ShapeError(f"Got {len(captions)} captions for {count} pictures; give one each.")
    return _label(batch, columns, captions)


def _label(
    batch: Tensor, columns: int, captions: Sequence[object], strip: int = 18, padding: int = 2
) -> Image.Image:
    """Make a grid with a caption in a strip of so many pixels under each picture."""
    sheet = to_pil(grid(F.pad(batch, (0, 0, 0, strip), value=1.0), columns, padding))
    height, width = batch.shape[2:]
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        left = padding + column * (width + padding)
        top = padding + row * (height + strip + padding) + height
        _write(sheet, (left, top + 2), str(caption), width)
    return sheet


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Repeat every pixel ``factor`` times in both directions: [N, C, H * factor, W * factor].

    >>> enlarge(torch.tensor([[[-1.0, 1.0]]]), 2).shape
    torch.Size([1, 1, 2, 4])
    """
    if not isinstance(factor, int) or factor < 1:
        raise ShapeError(f"factor={factor!r}, expected a whole number of 1 or more; see `resize`.")
    return batch_of(images).repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _columns(count: int, columns: int | None) -> int:
    if columns is None:
        return math.ceil(math.sqrt(count))
    if not isinstance(columns, int) or columns < 1:
        raise ShapeError(f"columns={columns!r}, expected a whole number of 1 or more, or None.")
    return min(columns, count)


def _write(sheet: Image.Image, corner: tuple[int, int], text: str, width: int) -> None:
    """Write one line of text, cut to ``width`` pixels."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    line = " ".join(text.split())
    while line and draw.textlength(line, font) > width:
        line = line[:-2].rstrip() + "…" if len(line) > 2 else ""
    draw.text(corner, line, fill=0 if sheet.mode == "L" else (0, 0, 0), font=font)
