"""Lists of StyleSpace channels, as people publish them: JSON, Python's notation, or plain lines.

StyleSpace names a control by its layer and its channel. Published lists look like any of:

    {"smiling": [[6, 501]], "bangs": [[3, 259], [6, 285]]}
    'smiling': [(6, 501)],
    smiling: 6_501
    6, 501

where layers are counted from 0 through all that read a style, convolutions and ToRGB alike.

>>> parse_channels("gender: (9, 6)")
{'gender': [(9, 6)]}
>>> parse_channels('{"wheel angle": [8, 420]}')
{'wheel angle': [(8, 420)]}
>>> parse_channels("no numbers here") is None
True

Reference: Wu, Lischinski, Shechtman, "StyleSpace Analysis: Disentangled Controls for StyleGAN
Image Generation" (2021, arXiv 2011.12799).
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

Channel = tuple[int | str, int]
"""A layer, by number or by name, and a channel of it."""

_PAIR = re.compile(r"(?<!\d)(\d{1,3})\s{0,3}[,_;\s]\s{0,3}(\d{1,5})(?![\d.])", re.ASCII)
_BETWEEN = re.compile(r"[\s,;()\[\]{}]*")
_NAME = re.compile(r"[\s{,]*(['\"]?)([^'\":(){}\[\]]{0,100})\1\s*")
_NO_CHANNEL = re.compile(r"[\s,()\[\]{}]*|\s*\w+\s*=\s*[{\[(]\s*|[\w ]+([,;\t][\w ]+)*\s*")


def parse_channels(value: Any) -> dict[str, list[Channel]] | None:
    """Return channels by attribute from text or from plain values; none where it is no such list.

    Channels without an attribute come under the empty name.
    """
    if isinstance(value, str):
        try:
            return parse_channels(json.loads(value))
        except (ValueError, RecursionError):
            return _lines(value)
    if isinstance(value, dict):
        lists = {str(name)[:100]: _channels(item) for name, item in value.items()}
        complete = {name: channels for name, channels in lists.items() if channels}
        return complete if complete and len(complete) == len(value) else None
    channels = _channels(value)
    return {"": channels} if channels else None


def _channels(value: Any) -> list[Channel] | None:
    """Return one channel, or a list of them."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.dtype.kind in "iu" and value.ndim < 3 else None
    one = _channel(value)
    if one is not None:
        return [one]
    found = [_channel(item) for item in value] if isinstance(value, list | tuple) else []
    return [item for item in found if item] if found and None not in found else None


def _channel(value: Any) -> Channel | None:
    if isinstance(value, str) and len(value) <= 100:
        match = _PAIR.fullmatch(value.strip(" ()[]"))
        value = [int(match[1]), int(match[2])] if match else None
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    layer, channel = value
    named = isinstance(layer, str) and len(layer) <= 100
    counted = type(layer) is int and 0 <= layer < 1000
    whole = type(channel) is int and 0 <= channel < 100_000
    return (layer, channel) if (named or counted) and whole else None


def _lines(text: str) -> dict[str, list[Channel]] | None:
    """Return channels from lines with a name, a colon and pairs of numbers, or with pairs alone."""
    if any(text.count(opens) != text.count(closes) for opens, closes in ("()", "[]", "{}")):
        return None
    found: dict[str, list[Channel]] = {}
    for line in text.splitlines():
        line = line.split("#")[0]
        if not re.search(r"\d", line):
            if not _NO_CHANNEL.fullmatch(line):
                return None
            continue
        before, colon, rest = line.rpartition(":")
        name = _NAME.fullmatch(before)
        pairs = _PAIR.findall(rest)
        if name is None or not pairs or not _BETWEEN.fullmatch(_PAIR.sub("", rest)):
            return None
        attribute = name[2].strip() if colon else ""
        channels = found.setdefault(attribute, [])
        channels.extend((int(layer), int(channel)) for layer, channel in pairs)
    return found or None
