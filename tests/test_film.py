"""Films: the way, the files, and what is refused."""

from __future__ import annotations

import os

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

import steerbench as sb
from steerbench.errors import FileError, SpaceError, SteerbenchError
from steerbench.films import film, tour
from steerbench.image import resize, to_uint8


def frames_of(path) -> list[np.ndarray]:
    with imageio.get_reader(path) as reader:
        return list(reader.iter_data())


def test_a_tour_of_codes_of_any_shape_keeps_their_length() -> None:
    generator = sb.wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 4)), (8, 1, 1))
    stops = generator.sample(2, seed=0)
    lengths = stops.data.flatten(1).norm(dim=1)
    middle = list(tour(generator, stops, frames_per_leg=2))[1]
    assert float(middle.data.norm()) == pytest.approx(float(lengths.mean()), rel=1e-5)


def test_a_tour_visits_every_stop(toy_generator) -> None:
    for space in ("z", "w", "w+"):
        stops = toy_generator.sample(3, seed=0, space=space)
        codes = list(tour(toy_generator, stops, 4))
        assert len(codes) == 9
        for i in range(3):
            torch.testing.assert_close(codes[4 * i].data, stops[i].data)
        assert len(list(tour(toy_generator, stops, 4, loop=True))) == 12


def test_straight_lines_outside_the_prior(toy_generator) -> None:
    stops = toy_generator.sample(2, seed=0, space="w")
    middle = list(tour(toy_generator, stops, 2))[1]
    torch.testing.assert_close(middle.data, stops.data.mean(dim=0, keepdim=True))


def test_mp4(toy_generator, tmp_path) -> None:
    G = toy_generator
    latents = G.sample(2, seed=0)
    path = film(G, latents, tmp_path / "tour.mp4", frames_per_leg=5, frames_per_second=10, size=63)
    frames = frames_of(path)
    assert len(frames) == 6
    assert frames[0].shape == (64, 64, 3)
    expected = to_uint8(resize(G.render(latents), 64)).astype(float)
    assert np.abs(frames[0] - expected[0]).mean() < 12, "H.264 loses a little"
    assert np.abs(frames[-1] - expected[1]).mean() < 12
    assert sorted(os.listdir(tmp_path)) == ["tour.mp4"]


def test_gif_of_a_walk_that_loops(toy_generator, tmp_path) -> None:
    path = film(toy_generator, 5, tmp_path / "walk.gif", n_samples=3, frames_per_leg=2, loop=True)
    with Image.open(path) as gif:
        assert gif.n_frames == 6
        assert gif.size == (256, 256)
        assert gif.info["loop"] == 0


def test_several_latents_and_another_space(toy_generator, tmp_path) -> None:
    latents = [toy_generator.sample(1, seed=3), toy_generator.sample(1, seed=9, space="z")]
    path = film(toy_generator, latents, tmp_path / "a.gif", frames_per_leg=2, space="w", size=16)
    with Image.open(path) as gif:
        assert gif.n_frames == 3


@pytest.mark.parametrize(
    ("latents", "name", "options", "kind", "message"),
    [
        (0, "a.avi", {}, FileError, "ends in .mp4 or .gif"),
        (0, "no/a.gif", {}, FileError, "There is no folder"),
        (0, "a.gif", {"n_samples": 1}, SteerbenchError, "n_samples=1"),
        (0, "a.gif", {"frames_per_leg": 0}, SteerbenchError, "frames_per_leg=0"),
        (0, "a.gif", {"frames_per_second": 0}, SteerbenchError, "frames_per_second=0"),
        (0, "a.gif", {"size": 9000}, SteerbenchError, "size=9000"),
        (0, "a.gif", {"space": "q"}, SpaceError, "no space 'q'"),
        ([torch.zeros(16)], "a.gif", {}, SteerbenchError, "through a Tensor"),
    ],
)
def test_what_is_refused(toy_generator, tmp_path, latents, name, options, kind, message) -> None:
    with pytest.raises(kind, match=message):
        film(toy_generator, latents, tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


def test_one_code_is_no_film(toy_generator, other_toy_generator, tmp_path) -> None:
    with pytest.raises(SteerbenchError, match="through 1 code"):
        film(toy_generator, toy_generator.sample(1), tmp_path / "a.gif")
    with pytest.raises(SpaceError, match="belongs to generator"):
        film(toy_generator, other_toy_generator.sample(2), tmp_path / "a.gif")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_folder_that_cannot_be_written(toy_generator, tmp_path, suffix) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="cannot be written"):
        film(toy_generator, 0, tmp_path / f"a{suffix}", n_samples=2, frames_per_leg=1)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_place_that_is_taken_by_a_folder(toy_generator, tmp_path, suffix) -> None:
    taken = tmp_path / f"a{suffix}"
    taken.mkdir()
    with pytest.raises(FileError, match="cannot be written"):
        film(toy_generator, 0, taken, n_samples=2, frames_per_leg=1)
    assert os.listdir(tmp_path) == [taken.name]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_an_interrupted_film_leaves_the_old_one(
    toy_generator, tmp_path, monkeypatch, suffix
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"the old one")
    render, calls = type(toy_generator).render, []

    def interrupt(self, *given, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render(self, *given, **options)

    monkeypatch.setattr(type(toy_generator), "render", interrupt)
    with pytest.raises(KeyboardInterrupt):
        film(toy_generator, 0, path, n_samples=3, frames_per_leg=8)
    assert path.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == [path.name]
