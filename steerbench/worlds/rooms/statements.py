"""Short things to say of a room, as somebody types them: true ones, and pairs of opposites.

A caption (`steerbench.worlds.rooms.captions`) describes a picture and never says what is not
there. A prompt is shorter, asks for one or two things, and may deny one. `statement` says
such a thing of a picture; a network that learned from both understands both.

>>> import random
>>> import steerbench as sb
>>> room = sb.world("rooms").sample(1, seed=3)
>>> factors = {name: float(values[0]) for name, values in room.factors.items()}
>>> classes = sb.world("rooms").class_names
>>> shares = {name: float((room.masks[0] == i).float().mean()) for i, name in enumerate(classes)}
>>> for k in range(3):
...     print(statement(factors, shares, random.Random(k)))
a room without a watermark
a photo of a living room with a picture and trees outside the window
a living room without a rug
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from steerbench.worlds.rooms.captions import VISIBLE, colour_name, wall_name

OPPOSITES: dict[str, tuple[str, str]] = {
    "bedroom": ("a bedroom", "a room that is not a bedroom"),
    "living_room": ("a living room", "a room that is not a living room"),
    "dining_room": ("a dining room", "a room that is not a dining room"),
    "night": ("a room at night", "a room by day"),
    "lamp": ("a room with a lamp", "a room without a lamp"),
    "lamp_on": ("a room with a lamp that is on", "a room with the lamp off"),
    "window": ("a room with a window", "a room without a window"),
    "curtains": ("a room with curtains", "a room without curtains"),
    "trees": ("a room with trees outside the window", "a room without trees outside the window"),
    "picture": ("a room with a picture on the wall", "a room without a picture on the wall"),
    "plant": ("a room with a plant", "a room without a plant"),
    "rug": ("a room with a rug", "a room without a rug"),
    "wood": ("a room with a wooden floor", "a room with a tiled floor"),
    "side": ("a room with the lamp on the right", "a room with the lamp on the left"),
    "watermark": ("a picture with a watermark", "a picture without a watermark"),
}
"""Binary factor to what is said of a room where it is 1, and where it is 0."""

_WORDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "night": (("at night", "by day"), ("after dark", "in daylight")),
    "lamp_on": (
        ("with the lamp on", "with the lamp off"),
        ("with a lamp that is on", "with a lamp that is off"),
        ("with a lit lamp", "with an unlit lamp"),
        ("with a glowing lamp", "with a switched-off lamp"),
    ),
    "wood": (
        ("with a wooden floor", "with a tiled floor"),
        ("with a floor of planks", "with a floor of tiles"),
        ("with wooden floorboards", "with floor tiles"),
    ),
    "side": (("with the lamp on the right", "with the lamp on the left"),),
}
_NOUNS = {
    "lamp": ("a lamp",),
    "window": ("a window",),
    "curtains": ("curtains", "drapes"),
    "trees": ("trees outside the window",),
    "picture": ("a picture on the wall", "a framed picture", "a picture"),
    "plant": ("a plant", "a potted plant"),
    "rug": ("a rug",),
    "watermark": ("a watermark",),
}
_SUBJECTS = (
    "a room",
    "a room",
    "a bedroom",
    "a living room",
    "a dining room",
    "a room at night",
    "a room by day",
    "a bedroom at night",
    "a picture of a room",
)
_CLASS = {"curtains": "curtain", "trees": "tree"}
_ROOMS = {"bedroom": "bedroom", "living_room": "living room", "dining_room": "dining room"}
_THINGS = {
    "lamp": ("lamp", ("a lamp",)),
    "window": ("window", ("a window",)),
    "curtain": ("curtains", ("curtains", "drapes")),
    "picture": ("picture", ("a picture on the wall", "a picture", "a framed picture")),
    "plant": ("plant", ("a plant", "a potted plant", "a green plant in the corner")),
    "rug": ("rug", ("a rug",)),
    "watermark": ("watermark", ("a watermark",)),
}
"""Class of the mask to what is missing where it is not seen, and what is there where it is."""


def readable_factors(factors: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, bool]:
    """Return what a picture tells of the factors in `OPPOSITES`; left out where it does not.

    A thing is there where it is seen. Whether the lamp is lit, and on which side it stands, tells a
    picture with a lamp in view, and whether there are trees, one with a view of the outside.
    """
    seen = _visible_classes(shares)
    found = {name: bool(factors[name]) for name in (*_ROOMS, "night")}
    if "floor" in seen:
        found["wood"] = bool(factors["wood"])
    if "lamp" in seen:
        found |= {"lamp_on": bool(factors["lamp_on"]), "side": bool(factors["side"])}
    for name in _NOUNS:
        thing = _CLASS.get(name, name)
        if thing in seen or (not shares.get(thing) and (name != "trees" or "sky" in seen)):
            found[name] = thing in seen
    return found


def opposites(name: str, choose: random.Random) -> tuple[str, str]:
    """Return the two sentences of a factor of `OPPOSITES`, in one of many wordings."""
    if name in _ROOMS:
        return OPPOSITES[name]
    if name not in _WORDINGS:
        noun = choose.choice(_NOUNS[name])
        if choose.random() < 0.25:
            bare = noun.removeprefix("a ")
            return (
                (f"there is {noun}", f"there is no {bare}")
                if choose.random() < 0.5
                else (
                    noun,
                    f"no {bare}",
                )
            )
        ends = (f"with {noun}", f"without {noun}")
    else:
        ends = choose.choice(_WORDINGS[name])
    subjects = _SUBJECTS[:5] if name == "night" else _SUBJECTS
    subject = choose.choice(subjects)
    return f"{subject} {ends[0]}", f"{subject} {ends[1]}"


def _visible_classes(shares: Mapping[str, float]) -> set[str]:
    """The classes that cover enough of a picture to be spoken of."""
    seen = {name for name, share in shares.items() if share >= VISIBLE}
    return seen | {"window"} if seen & {"sky", "hill", "tree"} else seen


def statement(
    factors: Mapping[str, float], shares: Mapping[str, float], choose: random.Random
) -> str:
    """Return one short thing that is true of a picture.

    Args:
        factors: The room's factors.
        shares: Class name to its share of the pixels, 0 to 1.
        choose: Decides what is said, and how.

    Returns:
        Such as ``"a bedroom at night with the lamp on"``, ``"no plant"`` or ``"a blue bed"``.
    """
    seen = _visible_classes(shares)
    facts = _facts(factors, seen, choose)
    if choose.random() < 0.15:
        bare = choose.choice(facts).removeprefix("with ").replace("without", "no")
        return f"there is {bare}" if choose.random() < 0.3 else bare
    count = choose.choices((0, 1, 2, 3), (0.2, 0.45, 0.25, 0.1))[0]
    said = choose.sample(facts, min(count, len(facts)))
    if choose.random() < 0.7:  # "with a rug and a plant" rather than "with a rug and with a plant"
        said = [fact.removeprefix("with ") if k else fact for k, fact in enumerate(said)]
    return " ".join([_opening(factors, seen, choose), " and ".join(said)]).strip()


def _opening(f: Mapping[str, float], seen: set[str], choose: random.Random) -> str:
    room = next(label for name, label in _ROOMS.items() if f[name])
    kind = choose.random()
    if kind < 0.12:
        other = choose.choice([label for label in _ROOMS.values() if label != room])
        return f"a room that is not a {other}"
    if kind < 0.5:
        room = "room"
    mood = choose.choice(_moods(f, seen)) if choose.random() < 0.25 else ""
    when = choose.choice(_when(f)) if choose.random() < 0.35 else ""
    prefix = choose.choice(("a picture of ", "a photo of ", "")) if choose.random() < 0.2 else ""
    article = "an" if mood[:1] in tuple("aeiou") else "a"
    return f"{prefix}{article} {mood}{room}{when}"


def _moods(f: Mapping[str, float], seen: set[str]) -> tuple[str, ...]:
    if f["night"]:
        return ("lamplit ", "cosy ") if f["lamp_on"] and "lamp" in seen else ("dark ", "dim ")
    return ("bright ", "light ") if f["daylight"] > 0.6 else ("quiet ", "calm ")


def _when(f: Mapping[str, float]) -> tuple[str, ...]:
    if f["night"]:
        return (" at night", " at night", " in the evening", " after dark")
    return (" by day", " by day", " in daylight", " during the day")


def _facts(f: Mapping[str, float], seen: set[str], choose: random.Random) -> list[str]:
    """Everything worth saying, each as ``with`` or ``without`` something."""
    facts = []
    for thing, (missing, there) in _THINGS.items():
        if thing in seen:
            facts.append(f"with {choose.choice(there)}")
        else:
            plural = missing.endswith("s")
            facts.append(f"without {missing if plural else 'a ' + missing}")
    if "lamp" in seen:
        facts += _lamp(f, choose)
    if "sky" in seen:
        facts += _outside(f, seen)
    return facts + _colours(f, seen, choose)


def _lamp(f: Mapping[str, float], choose: random.Random) -> list[str]:
    side = f"with the lamp on the {'right' if f['side'] else 'left'}"
    if f["lamp_on"]:
        lit = ("the lamp on", "a lamp that is on", "a lit lamp", "a glowing lamp")
        warm = ["with a warm lamp"] if f["lamp_warmth"] > 0.65 else []
        return [f"with {word}" for word in choose.sample(lit, 2)] + [side, *warm]
    off = ("the lamp off", "a lamp that is off", "an unlit lamp", "a switched-off lamp")
    return [f"with {word}" for word in choose.sample(off, 2)] + [side]


def _outside(f: Mapping[str, float], seen: set[str]) -> list[str]:
    trees = "with" if "tree" in seen else "without"
    sky = []
    if f["cloud_cover"] > 0.7:
        sky = ["with a cloudy sky"]
    elif f["cloud_cover"] < 0.3:
        sky = ["with a clear sky"]
    night = "with the night sky in the window" if f["night"] else "with daylight in the window"
    return [f"{trees} trees outside the window", night, *sky]


def _colours(f: Mapping[str, float], seen: set[str], choose: random.Random) -> list[str]:
    cover, accent = colour_name(f["cover_hue"], f["cover_lightness"]), colour_name(f["accent_hue"])
    article = "an" if cover[0] in "aeiou" else "a"
    facts = []
    if "bed" in seen:
        facts.append(f"with {article} {cover} bed")
    if "sofa" in seen:
        facts.append(f"with {article} {cover} {choose.choice(('sofa', 'couch'))}")
    if "chair" in seen:
        facts.append(f"with {cover} chairs")
    if "curtain" in seen:
        facts.append(f"with {accent} {choose.choice(('curtains', 'drapes'))}")
    if "rug" in seen:
        facts.append(f"with {'an' if accent[0] in 'aeiou' else 'a'} {accent} rug")
    if "wall" in seen:
        facts.append(f"with {wall_name(f)} walls")
    if "floor" in seen:
        wood = ("a wooden floor", "a floor of planks", "wooden floorboards")
        tiles = ("a tiled floor", "a floor of tiles", "floor tiles")
        facts.append(f"with {choose.choice(wood if f['wood'] else tiles)}")
        if abs(f["floor_tone"] - 0.5) > 0.2:
            facts.append(f"with a {'light' if f['floor_tone'] > 0.5 else 'dark'} floor")
    if "plant" in seen and abs(f["plant_size"] - 0.5) > 0.2:
        facts.append(f"with a {'big' if f['plant_size'] > 0.5 else 'small'} plant")
    return facts
