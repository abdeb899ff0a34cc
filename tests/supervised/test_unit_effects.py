"""What switching units does, in a generator of which it is known."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import (
    CapabilityError,
    NotFoundError,
    PredictorError,
    ShapeError,
    SteerbenchError,
)
from steerbench.seeds import Codes
from steerbench.supervised.dissection import Dissection
from steerbench.supervised.dissection.artefacts import ArtefactUnits
from steerbench.supervised.dissection.effects import UnitEffects, unit_edit
from steerbench.supervised.dissection.insertion_sites import InsertionSites
from steerbench.supervised.dissection.partial_forward import layer_of
from steerbench.supervised.dissection.search import UnitSearch

LAMP = 3


class Room(nn.Module):
    """Ten units at 8x8. Unit 3 draws lamps, in pictures that have one; 5 draws a blotch in all."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Conv2d(10, 10, 1)
        self.units.weight.data = torch.eye(10)[:, :, None, None]
        self.units.bias.data = torch.zeros(10)

    def forward(self, z: Tensor) -> Tensor:
        maps = 0.2 * z[:, 2:].abs()[:, :, None, None].expand(-1, -1, 8, 8).clone()
        row = (z[:, 0] > 0).long() * 3 + 1
        for i, y in enumerate(row.tolist()):
            maps[i, LAMP] = 0
            if z[i, 1] > 0:
                maps[i, LAMP, y : y + 2, 3:5] = 1 + z[i, 2].sigmoid()
        maps[:, 5] = 0
        maps[:, 5, 7, 7] = 1
        x = self.units(maps)
        lamp = x[:, LAMP].clamp(0, 1) - 0.5
        rest = 0.02 * x[:, [0, 1, 2]].clamp(0, 1).mean(1)
        picture = torch.stack([lamp, lamp + rest, 2 * x[:, 5] - 1], dim=1)
        return nn.functional.interpolate(picture, scale_factor=4)


class Reader:
    """Sees lamps where red is high, with probabilities."""

    names, name = ("wall", "lamp", "unicorn"), "reader"

    def predict(self, images: Tensor) -> Tensor:
        return (images[:, 0] > 0).long()

    def probabilities(self, images: Tensor) -> Tensor:
        lamp = (8 * images[:, 0]).sigmoid()
        return torch.stack([1 - lamp, lamp, 0 * lamp], dim=1)


@pytest.fixture(scope="module")
def room() -> sb.generators.BaseGenerator:
    return sb.wrap(Room(), latent_shape=(12,))


@pytest.fixture(scope="module")
def dissected(room) -> Dissection:
    return Dissection(Reader(), "units", n_samples=80, quantile=0.98).fit(room)


def effects(dissection, **options) -> UnitEffects:
    small = {"units": 1, "n_samples": 20, "n_fresh_samples": 60, "n_random": 3, "strength": 2.0}
    return UnitEffects(dissection, Reader(), ["lamp"], **(small | options))


def test_the_unit_that_draws_lamps_removes_and_inserts_them(room, dissected):
    found = effects(dissected).fit(room)
    assert found.sets_ == {"lamp": (LAMP,)}
    assert found.hosts_ == {"lamp": ["wall"]}
    table = found.effects_.set_index(["edit", "units"])
    removal, insertion = table.loc[("removal", "matched")], table.loc[("insertion", "matched")]
    lamp = 100 * 4 / 64
    assert removal["change"] == pytest.approx(-lamp)
    assert removal["share"] == pytest.approx(-1)
    assert insertion["share"] == pytest.approx(1, abs=0.01)
    assert removal["low"] <= removal["change"] <= removal["high"] < 0 < insertion["low"]
    assert removal["p"] == insertion["p"] == pytest.approx(1 / 4)
    for edit in ("removal", "insertion"):
        assert table.loc[(edit, "random")]["change"] == pytest.approx(0, abs=1e-9)
        assert (
            table.loc[(edit, "matched - random")]["change"]
            == table.loc[(edit, "matched")]["change"]
        )


def test_a_given_set_of_units_is_measured_as_it_is(room, dissected):
    table = effects(dissected, units={"lamp": [0]}).fit(room).effects_
    assert table.query("units == 'matched'")["change"].abs().max() == 0
    with pytest.raises(NotFoundError, match="set of units"):
        effects(dissected, units={"bed": [0]}).fit(room)


def test_fresh_pictures_have_to_be_fresh_and_of_the_same_generator(room, dissected):
    of_fresh_pictures = copy.copy(dissected)
    of_fresh_pictures.seed = Codes.EFFECTS + 20
    with pytest.raises(SteerbenchError, match="took part"):
        effects(of_fresh_pictures).fit(room)
    with pytest.raises(SteerbenchError, match=r"dissection\.fit"):
        effects(Dissection(Reader(), "units")).fit(room)
    other = sb.wrap(nn.Sequential(nn.Unflatten(1, (12, 1, 1)), nn.ConvTranspose2d(12, 3, 8)), (12,))
    with pytest.raises(SteerbenchError, match="not one of this generator"):
        effects(dissected).fit(other)


def test_a_concept_that_is_unknown_or_unmatched_is_refused(room, dissected):
    with pytest.raises(NotFoundError, match="lamp"):
        UnitEffects(dissected, Reader(), ["lanp"]).fit(room)
    with pytest.raises(NotFoundError, match="No unit"):
        UnitEffects(dissected, Reader(), ["unicorn"]).fit(room)


def test_cancelled_it_leaves_no_results(room, dissected):
    class Stopping(Reader):
        left = 3

        def predict(self, images):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().predict(images)

    measured = UnitEffects(dissected, Stopping(), ["lamp"], 1, n_fresh_samples=40, n_random=2)
    with pytest.raises(KeyboardInterrupt):
        measured.fit(room)
    assert not [name for name in vars(measured) if name.endswith("_")]


def test_a_mask_outside_the_picture_is_refused(room, dissected):
    for mask, says in (
        (torch.zeros(8, 8), "outside the picture"),
        (torch.zeros(0, 8), "shape"),
        (torch.full((8, 8), 2.0), r"\[0, 1\]"),
        (torch.full((8, 8), torch.nan), r"\[0, 1\]"),
    ):
        with pytest.raises(ShapeError, match=says):
            unit_edit(dissected, [LAMP], insert=True, mask=mask)
    mask = torch.zeros(8, 8)
    mask[4:, 4:] = 1
    edit = effects(dissected).edit("lamp", mask, insert=True)
    latent = room.sample(4)
    changed = (room.render(latent, edits=[edit]) - room.render(latent)).abs().amax((0, 1))
    assert changed[16:, 16:].max() > 0.5
    assert changed[:16].max() == changed[:, :16].max() == 0


def test_places_are_masks_that_lie_on_the_host():
    labels = torch.zeros(3, 16, 16, dtype=torch.int64)
    labels[:2, 4:8, 4:8] = 1
    places = InsertionSites.of(labels, 1)
    assert len(places.masks) == 2
    assert places.hosts == (0,)
    elsewhere = torch.full((2, 16, 16), 2)
    elsewhere[1, 4:8, 4:8] = 0
    masks, fits = places.choose(elsewhere)
    assert fits.tolist() == [False, True]
    assert torch.equal(masks[1] > 0, labels[0] == 1)
    with pytest.raises(SteerbenchError, match="None of 3"):
        InsertionSites.of(labels, 5)


def test_the_search_finds_the_unit_whatever_the_overlap_says(room, dissected):
    search = UnitSearch(dissected, "lamp", n_steps=25, n_samples=60, strength=2.0).fit(room)
    assert search.best(1) == (LAMP,)
    assert search.alpha_[LAMP] == pytest.approx(1, abs=0.05)
    assert search.alpha_.sort().values[-2] < 0.2
    assert search.losses_[-1] < search.losses_[0]
    assert search.units_["iou_rank"].iloc[0] == 1


def test_the_search_needs_probabilities(room):
    plain = sb.predictor(lambda x: (x[:, 0] > 0).long(), ["wall", "lamp"])
    found = Dissection(plain, "units", n_samples=20).fit(room)
    with pytest.raises(PredictorError, match="probabilities"):
        UnitSearch(found, "lamp").fit(room)
    with pytest.raises(SteerbenchError, match="fit"):
        UnitSearch(found, "lamp").best()


def test_the_unit_that_draws_blotches_is_found_and_its_removal_measured(room):
    real = room.render(room.sample(160, seed=900))
    real[:, 2] = -1.0
    features = lambda x: torch.stack([x.mean((1, 2, 3)), x[:, 2].mean((1, 2))], dim=1)  # noqa: E731
    found = ArtefactUnits(
        features, "units", n_units=1, n_samples=60, n_fresh_samples=60, n_random=2
    ).fit(room, real)
    assert found.units_["unit"].iloc[0] == 5
    quality = found.quality_.groupby("removed")["frechet"].mean()
    assert quality["chosen"] < 0.2 * quality["none"]
    assert quality["random"] > 0.5 * quality["none"]
    with pytest.raises(ShapeError, match="real pictures"):
        ArtefactUnits(features, "units").fit(room, real[:2])


# -- what all of them have in common --------------------------------------------------------------


class Impatient(Reader):
    """The reader, until it has been asked so many times."""

    def __init__(self, calls: int = 10**6) -> None:
        self.left = self.calls = calls

    def ask(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def predict(self, images: Tensor) -> Tensor:
        self.ask()
        return super().predict(images)

    def probabilities(self, images: Tensor) -> Tensor:
        self.ask()
        return super().probabilities(images)

    def __call__(self, images: Tensor) -> Tensor:
        self.ask()
        return torch.stack([images.mean((1, 2, 3)), images[:, 2].mean((1, 2))], dim=1)


def begin(method: type, room: Any, dissected: Dissection, reader: Impatient) -> tuple[Any, tuple]:
    """A method of units that asks the reader, and what its ``fit`` is given."""
    if method is UnitEffects:
        small = {"units": 1, "n_samples": 6, "n_fresh_samples": 60, "n_random": 2, "batch_size": 3}
        return UnitEffects(dissected, reader, ["lamp", "wall"], **small), (room,)
    if method is UnitSearch:
        dissected = copy.copy(dissected)
        dissected.segmenter = reader
        return UnitSearch(dissected, "lamp", n_steps=6, n_samples=40, batch_size=20), (room,)
    real = room.render(room.sample(20, seed=900))
    small = {"n_units": 1, "n_samples": 12, "n_fresh_samples": 12, "n_random": 1, "batch_size": 4}
    return ArtefactUnits(reader, "units", **small), (room, real)


RESULTS = {UnitEffects: "effects_", UnitSearch: "units_", ArtefactUnits: "quality_"}


@pytest.mark.parametrize("method", RESULTS)
def test_a_run_that_was_broken_off_goes_on_to_the_same_result(
    method, room, dissected, tmp_path
) -> None:
    reader, path = Impatient(), tmp_path / "run.safetensors"
    whole, given = begin(method, room, dissected, reader)
    whole.fit(*given)
    asked = reader.calls - reader.left
    broken, given = begin(method, room, dissected, Impatient(asked - 3))
    with pytest.raises(KeyboardInterrupt):
        broken.fit(*given, state=path, save_every=0.0)
    assert not [name for name in vars(broken) if name.endswith("_")]
    reader = Impatient()
    rest, given = begin(method, room, dissected, reader)
    rest.fit(*given, state=path, save_every=0.0)
    pd.testing.assert_frame_equal(
        getattr(rest, RESULTS[method]), getattr(whole, RESULTS[method]), check_exact=True
    )
    assert reader.calls - reader.left < asked, "the run began anew"
    other, given = begin(method, room, dissected, Impatient())
    other.seed += 1000
    with pytest.raises(SteerbenchError, match=r"another run.*seed"):
        other.fit(*given, state=path)


@pytest.mark.parametrize("method", [Dissection, *RESULTS])
def test_a_generator_without_places_is_refused(method, dissected) -> None:
    flat = sb.wrap(nn.Sequential(nn.Linear(12, 27), nn.Unflatten(1, (3, 3, 3))), (12,))
    assert "units have places" in method.refuses(flat)
    if method is Dissection:
        with pytest.raises(CapabilityError, match="units have places"):
            Dissection(Reader(), n_samples=2).fit(flat)


def test_a_middle_layer_is_dissected_where_none_is_named(room) -> None:
    assert {name: layer_of(sb.load(name)).name for name in ("rooms", "rooms-dcgan")} == {
        "rooms": "b16.conv1",
        "rooms-dcgan": "relu2",
    }
    found = Dissection(Reader(), n_samples=4).fit(room)
    assert found.layer is None
    assert found.layer_ == "units"
    assert found.provenance_.hyperparameters["layer"] == "units"
