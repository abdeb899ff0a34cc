"""The laws of the world rooms: determinism, counterfactuals, and truth that fits the pixels."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d

from steerbench.worlds import WORLDS, WorldBatch, world
from steerbench.worlds.rooms.render import _MARK

N = 128
FROZEN_MEANS = [-0.1205, -0.1393, -0.1622, -0.1294, -0.4935, -0.0710, 0.0099, 0.1226]


@pytest.fixture(scope="module")
def rooms():
    return world("rooms")


@pytest.fixture(scope="module")
def batch(rooms) -> WorldBatch:
    return rooms.sample(N, seed=400)


def share(batch: WorldBatch, *names: str) -> torch.Tensor:
    """The share of each picture's pixels that belong to some classes."""
    ids = torch.tensor([WORLDS["rooms"].class_names.index(name) for name in names])
    return torch.isin(batch.masks, ids).float().mean((1, 2))


def test_a_batch_has_the_documented_shapes_and_ranges(rooms, batch):
    assert batch.images.shape == (N, 3, 64, 64)
    assert batch.images.dtype == torch.float32
    assert batch.images.abs().max() <= 1
    assert batch.masks.shape == (N, 64, 64)
    assert batch.masks.dtype == torch.int64
    assert batch.masks.min() >= 0
    assert batch.masks.max() < len(rooms.class_names)
    assert batch.depth.shape == (N, 64, 64)
    assert batch.depth.dtype == torch.float32
    assert batch.depth.min() > 0.3
    assert batch.depth.isfinite().all()
    assert len(batch) == len(batch.captions) == N
    assert tuple(batch.factors) == rooms.factor_names
    assert len(rooms.class_names) >= 14


def test_factors_lie_in_their_ranges(rooms, batch):
    for name, factor in rooms.factors.items():
        values = batch.factors[name]
        assert values.shape == (N,)
        assert values.dtype == torch.float32
        assert values.min() >= torch.tensor(factor.low) - 1e-6
        assert values.max() <= torch.tensor(factor.high) + 1e-6
        if factor.kind == "binary":
            assert set(values.tolist()) <= {0.0, 1.0}
    kinds = [batch.factors[name] for name in ("bedroom", "living_room", "dining_room")]
    assert torch.equal(sum(kinds), torch.ones(N))
    assert set(rooms.binary_names) | set(rooms.continuous_names) == set(rooms.factor_names)


def test_a_picture_depends_on_its_seed_alone(rooms, batch):
    pieces = [rooms.sample(n, seed=400 + at) for at, n in ((0, 1), (1, 6), (7, 1), (8, 9))]
    for field in ("images", "masks", "depth"):
        joined = torch.cat([getattr(piece, field) for piece in pieces])
        assert torch.equal(joined, getattr(batch, field)[:17])
    assert [text for piece in pieces for text in piece.captions] == batch.captions[:17]
    positions = torch.cat([piece.camera.position for piece in pieces])
    assert torch.equal(positions, batch.camera.position[:17])


def test_threads_do_not_change_a_pixel(rooms, batch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if before > 1 else 2)
        again = rooms.sample(8, seed=400)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(again.images, batch.images[:8])


def test_rendering_a_draw_is_sampling(rooms, batch):
    factors = rooms.draw(N, seed=400)
    assert all(torch.equal(factors[name], batch.factors[name]) for name in rooms.factor_names)
    some = {name: values[20:28] for name, values in factors.items()}
    again = rooms.render(some)
    assert torch.equal(again.images, batch.images[20:28])
    assert again.captions == batch.captions[20:28]


def test_the_global_random_state_is_left_alone(rooms):
    before = torch.random.get_rng_state()
    rooms.sample(2, resolution=32)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("lamp", ("lamp",)),
        ("plant", ("plant",)),
        ("picture", ("picture",)),
        ("window", ("window", "sky")),
        ("curtains", ("curtain",)),
        ("rug", ("rug",)),
        ("bedroom", ("bed",)),
        ("living_room", ("sofa",)),
        ("dining_room", ("chair",)),
        ("watermark", ("watermark",)),
    ],
)
def test_absent_things_have_no_pixels_and_present_ones_do(batch, name, classes):
    seen = share(batch, *classes)
    there = batch.factors[name] > 0
    assert seen[~there].sum() == 0
    if name != "watermark":
        assert (seen[there] > 0.003).float().mean() > 0.9


def test_objects_are_large_enough_to_learn(batch):
    f = batch.factors
    view = share(batch, "window", "sky", "hill", "tree")[f["window"] > 0].mean()
    assert 0.05 <= view <= 0.10
    for name in ("lamp", "plant", "picture"):
        assert share(batch, name)[f[name] > 0].mean() > 0.01


def test_no_picture_is_pitch_black_and_nights_are_darker(batch):
    light = (batch.images.mean((1, 2, 3)) + 1) / 2
    assert light.min() > 0.12
    night, lit = batch.factors["night"] > 0, batch.factors["lamp_on"] > 0
    assert light[night & ~lit].mean() + 0.1 < light[night & lit].mean() < light[~night].mean()


def test_lighting_the_lamp_brightens_its_surroundings_and_moves_nothing(rooms):
    factors = rooms.draw(24, seed=50)
    factors["lamp"] = torch.ones(24)
    dark = rooms.render({**factors, "lamp_on": torch.zeros(24)})
    lit = rooms.render({**factors, "lamp_on": torch.ones(24)})
    assert torch.equal(dark.masks, lit.masks)
    assert torch.equal(dark.depth, lit.depth)
    gain = (lit.images - dark.images).mean(1)
    lamp = dark.masks == rooms.class_names.index("lamp")
    near = torch.nn.functional.max_pool2d(lamp[:, None].float(), 13, 1, 6)[:, 0] > 0
    for i in range(24):
        assert gain[i][near[i]].mean() > gain[i][~near[i]].mean() > 0


def test_one_changed_factor_leaves_the_others(rooms):
    factors = rooms.draw(4, seed=9)
    changed = rooms.render({**factors, "cover_hue": torch.full((4,), 200.0)})
    for name in rooms.factor_names:
        if name != "cover_hue":
            assert torch.equal(changed.factors[name], factors[name])


def test_what_cannot_be_is_made_consistent(rooms):
    factors = {name: values[:1] for name, values in rooms.draw(1, seed=3).items()}
    one, none = torch.ones(1), torch.zeros(1)
    given = {**factors, "lamp": none, "lamp_on": one, "window": none, "curtains": one}
    batch = rooms.render(given, resolution=32)
    assert batch.factors["lamp_on"] == 0
    assert batch.factors["curtains"] == 0
    assert share(batch, "lamp", "curtain", "window") == 0


def test_the_mirrored_picture_is_the_mirrored_room(rooms):
    factors = rooms.draw(24, seed=900)
    batch = rooms.render(factors)
    other = rooms.render({**factors, "yaw": -factors["yaw"], "side": 1 - factors["side"]})
    assert torch.equal(batch.images, other.images.flip(-1))
    assert torch.equal(batch.masks, other.masks.flip(-1))
    assert torch.equal(batch.camera.position[:, 0], -other.camera.position[:, 0])


def test_mirrored_rooms_are_equally_likely(rooms):
    f = rooms.draw(4000, seed=0)
    assert abs(f["side"].mean() - 0.5) < 0.03
    assert abs(f["yaw"].mean()) < 0.8
    for name in ("yaw", *(n for n in rooms.factor_names if n not in ("side", "yaw"))):
        if f[name].std() > 0:
            assert abs(torch.corrcoef(torch.stack([f["side"], f[name]]))[0, 1]) < 0.06
            if name != "yaw":
                assert abs(torch.corrcoef(torch.stack([f["yaw"], f[name]]))[0, 1]) < 0.06


def test_the_pictures_are_those_that_the_shipped_models_learned(batch):
    # models in assets/ were trained on these pixels: a change here means training them again
    means = batch.images[:8].mean((1, 2, 3)).tolist()
    assert means == pytest.approx(FROZEN_MEANS, abs=1e-3)


def test_the_watermark_is_the_same_mirrored():
    assert all(line == line[::-1] for line in _MARK)


def test_resolutions_agree(rooms, batch):
    large = rooms.sample(8, seed=400, resolution=128)
    assert large.images.shape == (8, 3, 128, 128)
    assert (avg_pool2d(large.images, 2) - batch.images[:8]).abs().mean() < 0.02
    same = large.masks[:, ::2, ::2] == batch.masks[:8]
    assert same.float().mean() > 0.93


@pytest.mark.parametrize("resolution", [32, 33, 512])
def test_every_resolution_renders(rooms, resolution):
    batch = rooms.sample(1, seed=5, resolution=resolution)
    assert batch.images.shape == (1, 3, resolution, resolution)
    assert batch.images.isfinite().all()


def test_depth_and_camera_agree_on_the_back_wall(rooms):
    factors = rooms.draw(8, seed=70)
    straight = rooms.render({**factors, "yaw": torch.zeros(8), "pitch": torch.full((8,), -1.0)})
    wall = straight.masks == rooms.class_names.index("wall")
    for i in range(8):
        # with the camera square to it, the back wall is as far as the camera says
        depth = straight.depth[i][wall[i]]
        near = (depth - straight.camera.distance[i]).abs() < 0.06
        assert near.float().mean() > 0.25
