"""Pixels in and out.

Inside steerbench a picture is a float32 tensor [N, C, H, W], nominally in [-1, 1], with C = 1
(grey) or 3 (RGB). Generators never clamp it; everything that shows or exports does so here, on
the last step: -1 and below become byte 0, +1 and above byte 255.

`read` is the way in, for anything from a path to a phone's photograph in an upload (how modes,
depths and orientations are understood stands in `steerbench.image.decode`); `show` is the way
to the eye, `save` the way to a file.

>>> import numpy as np
>>> import torch
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

from steerbench.image.decode import FORMATS, MAX_PIXELS, decode
from steerbench.image.files import encode_jpeg, encode_png, read, save
from steerbench.image.pixels import from_figure, from_uint8, resize, to_pil, to_uint8
from steerbench.image.sheet import enlarge, grid, show

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "decode",
    "encode_jpeg",
    "encode_png",
    "enlarge",
    "from_figure",
    "from_uint8",
    "grid",
    "read",
    "resize",
    "save",
    "show",
    "to_pil",
    "to_uint8",
]
