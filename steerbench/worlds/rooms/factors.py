"""What varies in a room, and how it is drawn.

Every factor of a picture comes from one uniform number, taken from
``numpy.random.RandomState(seed)`` in the order of `FACTORS`; a factor's number never
depends on another's, so changing ``correlation`` changes only the factors that it couples.

Offsets are stated in the frame of the furniture: positive points from the bed (sofa, table)
towards the lamp. ``side`` says whether that is to the right or to the left in the picture, so
the mirrored picture of a room is the room with ``side`` flipped and ``yaw`` negated, and both
are equally likely.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, NotFoundError, ShapeError, unknown
from steerbench.worlds.base import Factor

_MAX_SEED = 2**32 - 1


def _binary(name: str, meaning: str) -> Factor:
    return Factor(name, "binary", 0.0, 1.0, "", meaning)


def _real(name: str, low: float, high: float, unit: str, meaning: str) -> Factor:
    return Factor(name, "continuous", low, high, unit, meaning)


CATEGORIES = ("bedroom", "living_room", "dining_room")

FACTORS: dict[str, Factor] = {
    factor.name: factor
    for factor in (
        _binary("bedroom", "a bed with a nightstand; exactly one category is 1"),
        _binary("living_room", "a sofa with a coffee table; exactly one category is 1"),
        _binary("dining_room", "a table with chairs and a sideboard; exactly one category is 1"),
        _binary("night", "moon and stars outside instead of daylight"),
        _binary("lamp", "a lamp stands in the room"),
        _binary("lamp_on", "the lamp is lit; 0 where there is no lamp"),
        _binary("window", "the back wall has a window"),
        _binary("curtains", "the window has curtains; 0 where there is no window"),
        _binary("window_side", "the window is on the lamp's half of the back wall (1)"),
        _binary("trees", "trees stand outside; seen only through a window"),
        _binary("picture", "a picture hangs on the back wall"),
        _binary("plant", "a plant stands in the corner"),
        _binary("rug", "a rug lies on the floor"),
        _binary("wood", "the floor is of planks (1) or of tiles (0)"),
        _binary("side", "the lamp stands to the right (1) or to the left (0)"),
        _binary("watermark", "a watermark is stamped on the picture"),
        _real("yaw", -22, 22, "degrees", "the camera looks to the left or to the right"),
        _real("pitch", -9, -1, "degrees", "the camera looks down, or straight ahead"),
        _real("height", 1.25, 1.75, "metres", "the camera's height above the floor"),
        _real("distance", 3.4, 4.4, "metres", "the camera's distance from the back wall"),
        _real("room_width", 3.9, 5.0, "metres", "from the left wall to the right wall"),
        _real("room_height", 2.4, 2.9, "metres", "from the floor to the ceiling"),
        _real("wall_warmth", -1, 1, "", "walls from dusty blue over ivory to terracotta"),
        _real("wall_lightness", 0, 1, "", "walls from deep to pale"),
        _real("ceiling_lightness", 0, 1, "", "the ceiling from tinted like the walls to white"),
        _real("floor_tone", 0, 1, "", "the floor from dark to light"),
        _real("wood_tone", 0, 1, "", "wooden furniture from walnut to birch"),
        _real("cover_hue", 0, 300, "degrees", "hue of bed cover, sofa or chairs, red to violet"),
        _real("cover_lightness", 0, 1, "", "bed cover, sofa or chairs from deep to pastel"),
        _real("accent_hue", 0, 300, "degrees", "hue of curtains, rug and throw, red to violet"),
        _real("furniture_offset", -0.2, 0.2, "metres", "the furniture shifted towards the lamp"),
        _real("window_offset", -0.12, 0.12, "metres", "the window shifted towards the lamp"),
        _real("window_width", 1.2, 1.5, "metres", "width of the window with its frame"),
        _real("cloud_cover", 0, 1, "", "from a clear sky to an overcast one"),
        _real("cloud_shift", -1, 1, "", "the clouds drifted towards the lamp's side"),
        _real("daylight", 0, 1, "", "from a dull day to a bright one; without effect at night"),
        _real("sun_side", -1, 1, "", "sun and moon shine in from the bed's or the lamp's side"),
        _real("tree_offset", -1, 1, "", "the trees shifted towards the lamp's side"),
        _real("lamp_warmth", 0, 1, "", "lamp light from white to amber"),
        _real("plant_size", 0, 1, "", "the plant from knee-high to head-high"),
    )
}

_PRESENCE = {
    "night": 0.4,
    "lamp": 0.8,
    "window": 0.85,
    "curtains": 0.5,
    "window_side": 0.5,
    "trees": 0.6,
    "picture": 0.5,
    "plant": 0.5,
    "rug": 0.5,
    "side": 0.5,
}
_CATEGORY_SHARES = (0.4, 0.35, 0.25)
_LAMP_ON, _LAMP_ON_AT_NIGHT, _LAMP_ON_BY_DAY = 0.43, 0.42, -0.28
_WOOD, _WOOD_WITH_WARMTH = 0.55, 0.35


def draw(n: int, seed: int, correlation: float, watermark: float) -> dict[str, Tensor]:
    """Draw the factors of ``n`` pictures, ``[n]`` float32; row i depends on ``seed + i`` alone."""
    n, seed = _whole("n", n), _whole("seed", seed)
    if n < 1:
        raise ShapeError(f"n is {n}; ask for at least 1 picture.")
    if not 0 <= seed <= seed + n - 1 <= _MAX_SEED:
        raise ArgumentError(
            f"seed={seed} with n={n} leaves the seeds 0 to {_MAX_SEED}; choose a smaller seed >= 0."
        )
    rows = [np.random.RandomState(seed + i).uniform(size=len(FACTORS)) for i in range(n)]
    uniform = dict(zip(FACTORS, np.stack(rows).T))
    return {
        name: torch.from_numpy(values.astype(np.float32))
        for name, values in _from_uniform(uniform, correlation, watermark).items()
    }


def _whole(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(f"{name} is {value!r}; give a whole number.") from None


def _from_uniform(
    uniform: dict[str, np.ndarray], correlation: float, watermark: float
) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {
        name: factor.low + (factor.high - factor.low) * uniform[name]
        for name, factor in FACTORS.items()
    }
    for name, share in _PRESENCE.items():
        values[name] = uniform[name] < share
    bounds = np.cumsum((0.0, *_CATEGORY_SHARES))
    for name, low, high in zip(CATEGORIES, bounds, bounds[1:]):
        values[name] = (uniform["bedroom"] >= low) & (uniform["bedroom"] < high)
    shift = np.where(values["night"], _LAMP_ON_AT_NIGHT, _LAMP_ON_BY_DAY)
    values["lamp_on"] = values["lamp"] & (uniform["lamp_on"] < _LAMP_ON + correlation * shift)
    shift = _WOOD_WITH_WARMTH * values["wall_warmth"]
    values["wood"] = uniform["wood"] < _WOOD + correlation * shift
    values["curtains"] = values["curtains"] & values["window"]
    values["watermark"] = uniform["watermark"] < watermark
    return values


def check(factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the factors as float32 on the CPU, complete and within their ranges, in the usual
    order.

    What cannot be is made consistent: without a lamp none is lit, without a window there are no
    curtains.

    Raises:
        NotFoundError: A factor is unknown or missing.
        ShapeError: The factors are not all ``[N]`` with one N.
        ArgumentError: A value is NaN or out of range, or a room has not exactly one category.
    """
    for name in factors:
        if name not in FACTORS:
            raise NotFoundError(unknown("factor", name, FACTORS))
    missing = [name for name in FACTORS if name not in factors]
    if missing:
        raise NotFoundError(
            f"{len(missing)} of {len(FACTORS)} factors are missing: {', '.join(missing[:6])}"
            f"{', ...' if len(missing) > 6 else ''}. Start from draw() and change what you need."
        )
    known = {name: _column(name, factors[name]) for name in FACTORS}
    sizes = {name: len(values) for name, values in known.items()}
    n = len(known["bedroom"])
    odd = [f"{name} has {size}" for name, size in sizes.items() if size != n]
    if odd or n < 1:
        raise ShapeError(
            f"bedroom has {n} values{''.join(', ' + item for item in odd[:3])}; "
            "give every factor one value a picture."
        )
    total = known["bedroom"] + known["living_room"] + known["dining_room"]
    if bool((total != 1).any()):
        row = int((total != 1).nonzero()[0])
        raise ArgumentError(
            f"Picture {row} is of {int(total[row])} categories; set exactly one of "
            f"{', '.join(CATEGORIES)} to 1."
        )
    known["lamp_on"] = known["lamp_on"] * known["lamp"]
    known["curtains"] = known["curtains"] * known["window"]
    return known


def _column(name: str, given: object) -> Tensor:
    factor = FACTORS[name]
    try:
        values = torch.as_tensor(given).detach().to("cpu", torch.float32).contiguous()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"Factor {name!r} is not numeric: {error}") from None
    if values.ndim != 1:
        raise ShapeError(
            f"Factor {name!r} has shape {tuple(values.shape)}; expected [N], one value a picture."
        )
    allowed = "0 or 1" if factor.kind == "binary" else f"{factor.low:g} to {factor.high:g}"
    bad = ~((values >= factor.low) & (values <= factor.high))
    if factor.kind == "binary":
        bad |= (values != 0) & (values != 1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        unit = f" {factor.unit}" if factor.unit else ""
        raise ArgumentError(
            f"Factor {name!r} of picture {row} is {float(values[row]):g}; expected {allowed}{unit}."
        )
    return values
