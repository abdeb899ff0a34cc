"""A GAN of dungeon rooms, dissected and edited: the channel arg-max is an exact segmentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench.supervised.dissection.effects import unit_edit
from tests.real.dungeons import COLUMNS, ROWS, TILES, DungeonGAN, Tiles, dungeon_gan

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
LAYER = "main.pyramid:128-64:convt"
COLOURS = torch.tensor(
    [[0.8, 0.6, 0.3], [-0.5, -0.6, -0.6], [1, -0.6, -0.6], [0.9, 0.9, 0.9], [1, 1, -1], [-1, 0, 1]]
)


def coloured(images: Tensor) -> Tensor:
    """The tiles of the rooms themselves in colours, ``[N, 3, 88, 128]``."""
    tiles = images[:, :, :ROWS, :COLUMNS].argmax(1)
    return sb.image.enlarge(COLOURS[tiles].movedim(-1, 1), 8)


@pytest.fixture(scope="module")
def folder(shared_path: Callable[[str], Path]) -> Path:
    return shared_path("real/zelda-gan")


@pytest.fixture(scope="module")
def dungeons(folder) -> sb.generators.BaseGenerator:
    return sb.wrap(dungeon_gan(folder), latent_shape=(10, 1, 1), name="dungeons")


@pytest.fixture(scope="module")
def dissected(dungeons) -> sb.Dissection:
    return sb.Dissection(Tiles(), LAYER, n_samples=400).fit(dungeons)


def test_folding_the_normalisation_changes_nothing(folder, dungeons):
    plain = DungeonGAN()
    (path,) = folder.glob("*.pth")
    plain.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    latent = dungeons.sample(8)
    with torch.no_grad():
        want = plain.eval()(latent.data.float()[:, :, None, None])
    assert torch.allclose(dungeons.render(latent), want, atol=1e-5)


def test_its_rooms_have_as_many_tiles_of_each_kind_as_the_levels_have(folder, dungeons):
    levels = torch.tensor(json.loads((folder / "ZeldaDungeonsFixedAll.json").read_text()))
    rooms = dungeons.render(dungeons.sample(256))[:, :, :ROWS, :COLUMNS].argmax(1)
    for tile, name in enumerate(TILES):
        real, drawn = ((x == tile).float().mean().item() for x in (levels, rooms))
        assert drawn == pytest.approx(real, abs=0.03), name


def test_units_draw_water_and_doors(dungeons, dissected):
    effects = sb.UnitEffects(
        dissected, Tiles(), ["door", "water"], n_samples=48, n_fresh_samples=160, n_random=4
    )
    table = effects.fit(dungeons).effects_
    print(dissected.best("water", 3), dissected.best("door", 3), table, sep="\n")
    share = table.set_index(["concept", "edit", "units"])["share"]
    assert share["water", "removal", "matched"] < -0.7
    assert share["water", "insertion", "matched"] > 0.2
    assert share["door", "removal", "matched"] < -0.15
    differences = table.query("units == 'matched - random' and edit == 'removal'")
    assert (differences["high"] < 0).all()

    latent = dungeons.sample(24, seed=500)
    rooms = [dungeons.render(latent)]
    rooms += [dungeons.render(latent, edits=[effects.edit(tile)]) for tile in ("door", "water")]
    sb.image.save(sb.image.grid(coloured(torch.cat(rooms)), columns=24)[None], _kept("removed"))


def test_walls_are_painted_where_the_mask_is_and_nowhere_else(dungeons, dissected):
    search = sb.UnitSearch(dissected, "wall", n_steps=30, n_samples=128)
    with pytest.raises(sb.errors.SteerbenchError, match="0 lack it"):
        search.fit(dungeons)  # every room has walls
    units = dissected.best("wall", 16)["unit"].tolist()
    latent = dungeons.sample(24, seed=500)
    mask = torch.zeros(32, 32)
    mask[4:7, 5:11] = 1
    before = dungeons.render(latent)
    after = dungeons.render(latent, edits=[unit_edit(dissected, units, True, mask, strength=3.0)])
    walls = [
        (x.argmax(1) == TILES.index("wall"))[:, 4:7, 5:11].float().mean() for x in (before, after)
    ]
    print(f"walls under the mask: {walls[0]:.0%} before, {walls[1]:.0%} after")
    sb.image.save(
        sb.image.grid(coloured(torch.cat([before, after])), columns=24)[None], _kept("walls")
    )
    assert walls[1] > walls[0] + 0.3
    # The layer is at half the size, and one convolution of four by four follows.
    assert torch.equal(before[:, :, :1], after[:, :, :1])
    assert torch.equal(before[:, :, 10:], after[:, :, 10:])
    assert torch.equal(before[:, :, :, 14:], after[:, :, :, 14:])


def _kept(what: str) -> Path:
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS / f"dungeons-{what}.png"
