"""The sizes at which the kernels of this package work, measured on processors with AVX-512.

They change how soon numbers come, and in their last digits in which order they are added.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Sizes of what is computed at a time, and from which sizes on other ways pay.

    Attributes:
        strip: Numbers that a strip of a convolution has, going in and coming out: 16 MiB.
        quick_channels: From how many channels on, in and out, `Convolution` multiplies less.
        tiles: Numbers of tiles that Winograd's convolution holds at a time: 8 MiB, what stays in a
            processor's cache.
        strip_tiles: Tiles that a strip written in place has at least: products of fewer rows are
            slower.
        tile_channels: From how many channels on, in and out, Winograd's convolution pays in a
            network that is differentiated.
        tile_rows: From how many rows on; below, reading 36 numbers a kernel takes longer than it
            saves.
        part: Numbers that the fine grid of a part of a resampling should have: 8 MiB.
        part_rows: A part has no fewer rows: each begins with a filter's length of rows that
            another has too.
        tries: How often a precision is timed.
    """

    strip: int = 2**22
    quick_channels: int = 64
    tiles: int = 2**21
    strip_tiles: int = 192
    tile_channels: int = 128
    tile_rows: int = 16
    part: int = 2**21
    part_rows: int = 8
    tries: int = 5


TUNING = Tuning()

__all__ = ["TUNING", "Tuning"]
