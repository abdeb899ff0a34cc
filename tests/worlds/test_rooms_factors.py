"""How factors are drawn, what captions say, and what callers' mistakes are answered with."""

from __future__ import annotations

import functools
import re

import pytest
import torch

from steerbench.errors import NotFoundError, ShapeError, SteerbenchError
from steerbench.worlds import WorldBatch, world

N = 5000


@functools.cache
def drawn(correlation: float) -> dict[str, torch.Tensor]:
    return world("rooms", correlation=correlation).draw(N)


def test_row_i_of_seed_s_is_row_0_of_seed_s_plus_i():
    rooms = world("rooms")
    many, one = rooms.draw(6, seed=10), rooms.draw(1, seed=14)
    assert all(torch.equal(many[name][4:5], one[name]) for name in rooms.factor_names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("night", 0.4), ("lamp", 0.8), ("window", 0.85), ("picture", 0.5), ("plant", 0.5),
     ("wood", 0.55), ("bedroom", 0.4), ("living_room", 0.35), ("dining_room", 0.25)],
)  # fmt: skip
@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_marginals_are_as_documented_whatever_the_correlation(name, expected, correlation):
    assert abs(drawn(correlation)[name].mean() - expected) < 0.025


def _lit(factors: dict[str, torch.Tensor], night: int) -> float:
    rows = (factors["lamp"] > 0) & (factors["night"] == night)
    return float(factors["lamp_on"][rows].mean())


def test_correlation_couples_lamp_with_night_and_wood_with_warmth():
    free, default = drawn(0.0), drawn(1.0)
    assert abs(_lit(free, 1) - _lit(free, 0)) < 0.04
    assert abs(_lit(default, 1) - 0.85) < 0.03
    assert abs(_lit(default, 0) - 0.15) < 0.03
    assert abs(free["lamp_on"].mean() - default["lamp_on"].mean()) < 0.02

    def together(f: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.corrcoef(torch.stack([f["wood"], f["wall_warmth"]]))[0, 1]

    assert abs(together(free)) < 0.04
    assert together(default) > 0.3


def test_correlation_changes_only_what_it_couples():
    free, default = (world("rooms", correlation=c).draw(200) for c in (0.0, 1.0))
    changed = {name for name in free if not torch.equal(free[name], default[name])}
    assert changed == {"lamp_on", "wood"}


def test_half_strength_lies_between():
    half = drawn(0.5)
    assert 0.57 < _lit(half, 1) < 0.71


@pytest.mark.parametrize("expected", [0.0, 0.3, 1.0])
def test_the_watermark_has_its_share(expected):
    rooms = world("rooms", watermark=expected)
    assert abs(rooms.draw(2000)["watermark"].mean() - expected) < 0.04
    batch = rooms.sample(24)
    mark = rooms.class_names.index("watermark")
    stamped = (batch.masks == mark).flatten(1).any(1)
    assert torch.equal(stamped, batch.factors["watermark"] > 0)


_NAMES = {
    "window": ("window",),
    "curtain|drapes": ("curtain",),
    "plant": ("plant",),
    "picture on|framed picture": ("picture",),
    r"\blamp\b": ("lamp",),
    r"\brug\b": ("rug",),
    r"\bbed\b": ("bed",),
    "sofa|couch": ("sofa",),
    "chairs": ("chair",),
    "sideboard": ("sideboard",),
    "trees": ("tree",),
    "sky": ("sky",),
    "watermark": ("watermark",),
    "wood|planks": ("floor",),
    "tile": ("floor",),
}


@pytest.fixture(scope="module")
def marked() -> WorldBatch:
    return world("rooms", watermark=0.5).sample(128, seed=3000)


def test_captions_name_only_what_is_visible_and_true(marked):
    rooms, batch = world("rooms"), marked
    f = {name: values.tolist() for name, values in batch.factors.items()}
    for i, text in enumerate(batch.captions):
        for pattern, classes in _NAMES.items():
            if re.search(pattern, text):
                ids = [rooms.class_names.index(name) for name in classes]
                assert torch.isin(batch.masks[i], torch.tensor(ids)).sum() >= 10, text
        night = bool(re.search("night|evening|dark ?,|after dark", text))
        assert not night or f["night"][i], text
        assert not re.search("by day|in daylight|during the day", text) or not f["night"][i]
        assert not re.search("glowing|a lit |alight|lamplit", text) or f["lamp_on"][i], text
        assert not re.search("unlit|is off|switched-off", text) or not f["lamp_on"][i], text
        assert not re.search("wood|planks", text) or f["wood"][i], text
        assert not re.search("tile", text) or not f["wood"][i], text
        for name in ("bedroom", "living room", "dining room"):
            assert (name in text) == bool(f[name.replace(" ", "_")][i]), text
    assert len(set(batch.captions)) > 120


def test_captions_mention_every_kind_of_thing_somewhere(marked):
    text = "\n".join(marked.captions)
    assert all(re.search(pattern, text) for pattern in _NAMES)


def test_an_unknown_world_offers_the_closest():
    with pytest.raises(NotFoundError, match="Did you mean 'rooms'"):
        world("room")


@pytest.mark.parametrize("name", ["correlation", "watermark"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "high"])
def test_shares_outside_0_to_1_are_refused(name, value):
    with pytest.raises(SteerbenchError, match=name):
        world("rooms", **{name: value})


@pytest.mark.parametrize("resolution", [31, 513, 0, -64, 64.5, "64", None])
def test_resolutions_outside_the_range_are_refused(resolution):
    with pytest.raises(ShapeError, match="32 to 512"):
        world("rooms").sample(1, resolution=resolution)


@pytest.mark.parametrize("n", [0, -3])
def test_fewer_than_one_picture_is_refused(n):
    with pytest.raises(ShapeError, match="at least 1"):
        world("rooms").sample(n)


@pytest.mark.parametrize("seed", [-1, 2**32, 2.5, "zero"])
def test_impossible_seeds_are_refused(seed):
    with pytest.raises(SteerbenchError, match="seed"):
        world("rooms").draw(1, seed=seed)


def _with(**changes: object) -> dict[str, object]:
    return {**world("rooms").draw(2), **changes}


@pytest.mark.parametrize(
    ("factors", "error", "message"),
    [
        (_with(lamp_onn=torch.ones(2)), NotFoundError, "Did you mean 'lamp_on'"),
        ({"night": torch.ones(2)}, NotFoundError, "missing"),
        ({}, NotFoundError, "missing"),
        (_with(yaw=torch.tensor([0.0, float("nan")])), SteerbenchError, "picture 1 is nan"),
        (_with(yaw=torch.tensor([40.0, 0.0])), SteerbenchError, "-22 to 22 degrees"),
        (_with(night=torch.tensor([0.5, 0.0])), SteerbenchError, "0 or 1"),
        (_with(night=torch.ones(3)), ShapeError, "night has 3"),
        (_with(night=torch.ones(2, 1)), ShapeError, r"\[N\]"),
        (_with(night=torch.tensor(1.0)), ShapeError, r"\[N\]"),
        (_with(night="yes"), SteerbenchError, "not numeric"),
        (
            _with(bedroom=torch.ones(2), living_room=torch.ones(2), dining_room=torch.zeros(2)),
            SteerbenchError,
            "of 2 categories",
        ),
    ],
)
def test_factors_that_cannot_be_rendered_are_refused(factors, error, message):
    with pytest.raises(error, match=message):
        world("rooms").render(factors, resolution=32)


def test_factors_may_come_from_numpy_or_lists():
    rooms = world("rooms")
    drawn = rooms.draw(2, seed=1)
    lists = {name: values.tolist() for name, values in drawn.items()}
    arrays = {name: values.double().numpy() for name, values in drawn.items()}
    expected = rooms.render(drawn, resolution=32).images
    assert torch.equal(rooms.render(lists, resolution=32).images, expected)
    assert torch.equal(rooms.render(arrays, resolution=32).images, expected)
