"""The embedded encoder, and encoders as files."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import store
from steerbench.inversion import Initialisation, OptimisationConfig, encoder, invert
from steerbench.inversion.encoders import Encoder, EncoderNetwork, encoder_for, save
from steerbench.metrics import mse


@pytest.fixture(scope="module")
def rooms_encoder() -> Encoder:
    return encoder("rooms-encoder")


@pytest.fixture
def small(toy_generator) -> Encoder:
    rows, dim = toy_generator.spaces["w+"].shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EncoderNetwork(rows, dim, (4, 4, 4, 4), 8)
    mean, std = torch.full((dim,), 0.5), torch.full((dim,), 2.0)
    return Encoder(network, mean, std, generator=toy_generator.fingerprint, name="small")


def test_it_knows_the_generator_that_it_belongs_to(rooms, toy_generator, rooms_encoder):
    assert rooms_encoder.generator == rooms.fingerprint
    assert encoder_for(rooms) is not None
    assert encoder_for(toy_generator) is None


@pytest.mark.parametrize("space", ["w", "w+"])
def test_its_guess_is_far_nearer_than_the_mean_code(rooms, rooms_encoder, space):
    renders = sb.world("rooms").sample(16, seed=910_000_000).images
    drawn = rooms.render(rooms.sample(16, seed=700_000))
    mean = rooms.render(rooms.latent(rooms.spaces["w"].mean[None], "w")).expand(16, -1, -1, -1)
    for shown, share in ((drawn, 0.2), (renders, 0.5)):
        guess = rooms.render(rooms_encoder.encode(shown, space))
        assert mse(guess, shown).mean() < share * mse(mean, shown).mean()


def test_the_hybrid_starts_from_it_and_gets_nearer(rooms):
    renders = sb.world("rooms").sample(2, seed=910_000_000).images
    options = {"init": Initialisation("encoder", n_samples=8)}
    options["config"] = OptimisationConfig(precision="fast")
    guess = invert(rooms, renders, n_steps=0, **options)
    refined = invert(rooms, renders, n_steps=20, **options)
    assert "2008.00951" in guess.provenance.reference
    assert "1904.03189" in refined.provenance.reference
    assert (guess.report["start"] == "encoder").all()
    assert (guess.report["steps"] == 0).all()
    assert refined.report["loss"].mean() < 0.9 * guess.report["loss"].mean()


def test_it_takes_grey_pictures_of_any_size_and_no_others(small):
    assert small.encode(torch.zeros(2, 1, 40, 30)).data.shape == (2, 6, 16)
    assert small(torch.zeros(3, 64, 64)).space == "w+"
    with pytest.raises(sb.errors.ShapeError):
        small.encode(torch.zeros(2, 5, 8, 8))
    with pytest.raises(sb.errors.SpaceError, match="'w'"):
        small.encode(torch.zeros(2, 3, 8, 8), "z")


def test_a_file_gives_it_back_at_half_precision(small, toy_generator, tmp_path):
    path = tmp_path / "small.safetensors"
    save(small, path, licence="MIT")
    again = encoder(path)
    images = toy_generator.render(toy_generator.sample(3))
    for space in ("w", "w+"):
        assert torch.allclose(
            again.encode(images, space).data, small.encode(images, space).data, atol=2e-2
        )
    found = invert(
        toy_generator, images, space="s", init=Initialisation("encoder", encoder=again), n_steps=0
    )
    assert found.latent.space == "s"


def test_other_files_are_refused(small, tmp_path):
    with pytest.raises(sb.errors.NotFoundError, match="rooms-encoder"):
        encoder("room-encoder")
    other = tmp_path / "other.safetensors"
    store.save(other, {"a": torch.zeros(1)}, {"kind": "something"})
    with pytest.raises(sb.errors.CheckpointError, match="not an encoder"):
        encoder(other)
    save(small, other)
    tensors, header = store.load(other)
    del tensors["mean"]
    store.save(other, tensors, header)
    with pytest.raises(sb.errors.CheckpointError, match="incomplete"):
        encoder(other)


def test_where_there_is_no_encoder_the_start_is_refused(toy_generator, rooms):
    images = toy_generator.render(toy_generator.sample(1))
    with pytest.raises(sb.errors.CapabilityError, match="no encoder"):
        invert(toy_generator, images, init="encoder", n_steps=1)
    with pytest.raises(sb.errors.CapabilityError, match="no encoder"):
        invert(rooms, rooms.render(rooms.sample(1)), space="z", init="encoder", n_steps=1)
