"""Lists of StyleSpace channels, as people publish them: JSON, Python's notation, or plain lines.

StyleSpace names a control by its layer and its channel. Published lists look like any of ::

    {"smiling": [[6, 501]], "bangs": [[3, 259], [6, 285]]}
    'smiling': [(6, 501)],
    smiling: 6_501
    6, 501

where layers are counted from 0 through all that read a style, convolutions and ToRGB alike.

>>> named_channels("gender: (9, 6)")
{'gender': [(9, 6)]}
>>> named_channels('{"wheel angle": [8, 420]}')
{'wheel angle': [(8, 420)]}
>>> named_channels("no numbers here") is None
True

Reference: Wu, Lischinski, Shechtman, "StyleSpace Analysis: Disentangled Controls for StyleGAN
Image Generation" (2021, arXiv 2011.12799).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

Channel = tuple[int | str, int]
"""A layer, by number or by name, and a channel of it."""

_PAIR = re.compile(r"(\d{1,4})\s*[,_;\s]\s*(\d{1,5})(?!\d)")
_BETWEEN = re.compile(r"[\s,;()\[\]{}]*")


def named_channels(value: Any) -> dict[str, list[Channel]] | None:
    """Channels by attribute from text or from plain values; none where it is no such list.

    Channels without an attribute come under the empty name.
    """
    if isinstance(value, str):
        try:
            return named_channels(json.loads(value))
        except (ValueError, RecursionError):
            return _lines(value)
    if isinstance(value, dict):
        lists = {str(name): _channels(item) for name, item in value.items()}
        complete = {name: channels for name, channels in lists.items() if channels}
        return complete if complete and len(complete) == len(lists) else None
    channels = _channels(value)
    return {"": channels} if channels else None


def _channels(value: Any) -> list[Channel] | None:
    """One channel, or a list of them."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.dtype.kind in "iu" and value.ndim < 3 else None
    if isinstance(value, str) and (match := _PAIR.fullmatch(value.strip(" ()[]"))):
        return [(int(match[1]), int(match[2]))]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    if len(value) == 2 and isinstance(value[0], int | str) and type(value[1]) is int:
        return [(value[0], value[1])]
    parts = [_channels(item) for item in value]
    if not parts or not all(part is not None and len(part) == 1 for part in parts):
        return None
    return [part[0] for part in parts if part]


def _lines(text: str) -> dict[str, list[Channel]] | None:
    """Channels from lines with a name, a colon and pairs of numbers, or with the pairs alone."""
    found: dict[str, list[Channel]] = {}
    for line in text.splitlines():
        line = line.split("#")[0]
        if not re.search(r"\d", line):
            continue
        name, colon, rest = line.rpartition(":")
        pairs = _PAIR.findall(rest)
        if not pairs or not _BETWEEN.fullmatch(_PAIR.sub("", rest)):
            return None
        name = name.strip(" \t'\"{,") if colon else ""
        found.setdefault(name, []).extend((int(layer), int(channel)) for layer, channel in pairs)
    return found or None
