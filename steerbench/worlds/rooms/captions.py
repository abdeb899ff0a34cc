"""Plain English about a picture: what is there and can be seen, and nothing else.

The wording varies by a choice that comes from the factors, so equal rooms have equal captions.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence

VISIBLE = 0.004  # of the pixels: about sixteen at 64 x 64
_HUES = ("red", "orange", "yellow", "olive", "green", "sea-green", "teal", "azure", "blue",
         "indigo", "violet")  # fmt: skip
_HUE_STEP = 30  # degrees
_ROOMS = {"bedroom": "bedroom", "living_room": "living room", "dining_room": "dining room"}


def caption(factors: Mapping[str, float], shares: Mapping[str, float]) -> str:
    """Return one sentence about a room.

    Args:
        factors: The room's factors.
        shares: Class name to its share of the pixels, 0 to 1.

    Returns:
        A sentence without a full stop, such as ``"a dim bedroom at night, a warm lamp glowing
        beside a blue bed, wooden floor"``.
    """
    choose = random.Random(struct.pack(f"{len(factors)}d", *factors.values()))
    seen = {name for name, share in shares.items() if share >= VISIBLE}
    opening = _opening(factors, seen, choose)
    main = _main(factors, seen, choose)
    details = [phrase for phrase in _details(factors, seen, choose) if phrase]
    choose.shuffle(details)
    kept = details[: choose.randint(2, 4)]
    parts = [opening, *([main] if main else []), *kept]
    if len(parts) > 2 and choose.random() < 0.5:
        return f"{', '.join(parts[:-1])} and {parts[-1]}"
    return ", ".join(parts)


def colour_name(hue: float, lightness: float = 0.5) -> str:
    """Return the name of a cloth's colour: ``hue`` in [0, 300] degrees, ``lightness`` in [0, 1].

    >>> colour_name(0), colour_name(120, 0.9), colour_name(240, 0.1)
    ('red', 'pale green', 'dark blue')
    """
    name = _HUES[min(round(hue / _HUE_STEP), len(_HUES) - 1)]
    if lightness > 0.8:
        return f"pale {name}"
    return f"dark {name}" if lightness < 0.2 else name


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _opening(f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    room = next(label for name, label in _ROOMS.items() if f[name])
    lit = f["lamp_on"] and "lamp" in seen
    if f["night"]:
        moods: Sequence[str] = ("cosy ", "lamplit ", "") if lit else ("dark ", "dim ", "")
        if f["lamp_on"] and not lit:
            moods = ("",)
        when: Sequence[str] = ("at night", "in the evening", "after dark")
    else:
        bright = f["daylight"] > 0.6 and f["cloud_cover"] < 0.5
        sun = ("sunny ",) if "sky" in seen else ()
        moods = ("bright ", "airy ", *sun) if bright else ("quiet ", "calm ", "")
        when = ("by day", "in daylight", "during the day")
    mood = choose.choice(moods)
    if choose.random() < 0.25:
        return f"a picture of {_article(mood + room)} {choose.choice(when)}"
    return f"{_article(mood + room)} {choose.choice(when)}"


def _main(f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    colour = colour_name(f["cover_hue"], f["cover_lightness"])
    if "bed" in seen:
        thing = choose.choice((f"{colour} bed", f"bed with {_article(colour)} cover"))
    elif "sofa" in seen:
        thing = choose.choice((f"{colour} sofa", f"{colour} couch"))
    elif "chair" in seen:
        with_table = "table" in seen and choose.random() < 0.6
        thing = f"table with {colour} chairs" if with_table else ""
        if not thing:
            return _with_lamp(f"{colour} chairs", f, seen, choose)
    else:
        return _with_lamp("", f, seen, choose)
    return _with_lamp(_article(thing), f, seen, choose)


def _with_lamp(thing: str, f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    if "lamp" not in seen:
        return thing
    if f["lamp_on"]:
        warm = "warm " if f["lamp_warmth"] > 0.5 else ""
        lamp = choose.choice((f"a {warm}lamp glowing", f"a lit {warm}lamp", f"a {warm}lamp alight"))
    else:
        lamp = choose.choice(("an unlit lamp", "a lamp that is off", "a switched-off lamp"))
    if not thing:
        return lamp
    if "sideboard" in seen:
        return f"{thing}, {lamp} on the sideboard"
    return f"{lamp} beside {thing}" if choose.random() < 0.6 else f"{thing} and {lamp}"


def _details(f: Mapping[str, float], seen: set[str], choose: random.Random) -> list[str]:
    accent = colour_name(f["accent_hue"])
    return [
        _floor(f, seen, choose),
        _outside(f, seen, choose),
        choose.choice((f"{accent} curtains", f"{accent} drapes")) if "curtain" in seen else "",
        choose.choice(("a picture on the wall", "a framed picture")) if "picture" in seen else "",
        choose.choice(("a potted plant", "a green plant in the corner")) if "plant" in seen else "",
        f"{_article(accent)} rug" if "rug" in seen else "",
        f"{wall_name(f)} walls" if "wall" in seen else "",
        "a watermark" if "watermark" in seen else "",
    ]


def _floor(f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    if "floor" not in seen:
        return ""
    if f["wood"]:
        return choose.choice(("wooden floor", "a floor of planks", "wooden floorboards"))
    return choose.choice(("tiled floor", "a floor of tiles", "floor tiles"))


def _outside(f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    if "sky" not in seen:
        return "a window" if "window" in seen else ""
    views = ["a window"]
    if "tree" in seen:
        views += ["trees outside the window", "a window with a view of trees"]
    if f["night"]:
        views.append("the night sky in the window")
    elif f["cloud_cover"] > 0.7:
        views.append("a cloudy sky outside the window")
    elif f["cloud_cover"] < 0.3:
        views.append("blue sky in the window")
    return choose.choice(views)


def wall_name(f: Mapping[str, float]) -> str:
    names = ("blue", "blue-green", "sage", "ivory", "sandy", "peach", "terracotta")
    name = names[round((f["wall_warmth"] + 1) * 3)]
    if f["wall_lightness"] > 0.75:
        return f"pale {name}"
    return f"deep {name}" if f["wall_lightness"] < 0.2 else name
