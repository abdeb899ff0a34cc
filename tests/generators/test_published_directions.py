"""Published directions: each format made here from known vectors, and the released files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.errors import (
    CheckpointError,
    LayerError,
    NotFoundError,
    ShapeError,
    SpaceError,
)
from steerbench.generators import StyleGAN2
from tests.direction_files import (
    DIM,
    MADE,
    ROWS,
    components,
    encoder4editing,
    ganspace,
    higan,
    idinvert,
    interfacegan,
    npy,
    pt,
    sefa,
    styleclip,
    stylespace,
    vectors,
)

SharedPath = Callable[[str], Path]


def read(data: bytes, folder: Path, name: str = "some_file", *args: Any, **options: Any) -> Any:
    path = folder / name
    path.write_bytes(data)
    return sb.read_published_direction(path, *args, **options)


# Formats made from known vectors.


@pytest.mark.parametrize(
    ("name", "attribute", "space", "generator"),
    [
        ("stylegan_ffhq_age_boundary.npy", "age", "z", "stylegan_ffhq"),
        ("stylegan_ffhq_age_w_boundary.npy", "age", "w", "stylegan_ffhq"),
        ("pggan_celebahq_age_c_gender_boundary.npy", "age given gender", "z", "pggan_celebahq"),
        ("mine.npy", "mine", "z", ""),
        ("mine_w.npy", "mine", "w", ""),
    ],
)
def test_a_boundary_says_by_its_name_what_it_is(
    name: str, attribute: str, space: str, generator: str, tmp_path: Path
) -> None:
    direction = read(interfacegan(), tmp_path, name)
    assert np.abs(direction.vector.numpy() - vectors(1, DIM)[0]).max() < 1e-15
    assert (direction.name, direction.space) == (attribute, space)
    assert (direction.scale, direction.layers, direction.generator) == (1.0, None, "")
    assert direction.provenance.method == "InterFaceGAN"
    assert direction.provenance.generator == generator
    assert direction.provenance.hyperparameters["file"] == name
    assert "2005.09635" in direction.provenance.reference


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
@pytest.mark.parametrize("shape", [(DIM,), (1, DIM)])
def test_an_array_of_any_precision_is_read(dtype: str, shape: Any, tmp_path: Path) -> None:
    direction = read(npy(3 * vectors(1, DIM).reshape(shape).astype(dtype)), tmp_path, "x.npy", "w")
    assert direction.space == "w"
    assert direction.scale == 1.0
    assert direction.vector.norm() == pytest.approx(1, abs=1e-12)
    assert direction.provenance.hyperparameters["norm"] == pytest.approx(3, rel=1e-3)
    assert np.abs(direction.vector.numpy() - vectors(1, DIM)[0]).max() < 1e-3


def test_an_array_of_several_vectors_is_a_list_or_the_rows_of_one(tmp_path: Path) -> None:
    data = npy(vectors(ROWS, DIM))
    several = read(data, tmp_path, "x.npy")
    assert [direction.name for direction in several] == [f"direction {i}" for i in range(ROWS)]
    one = read(data, tmp_path, "x.npy", "w+")
    assert one.vector.shape == (ROWS, DIM)
    assert one.provenance.hyperparameters["norm"] == pytest.approx(ROWS**0.5)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("layers", "rows"),
    [
        ("6-11", (6, 7, 8, 9, 10, 11)),
        ("0,2-3", (0, 2, 3)),
        ([1, 5], (1, 5)),
        (2, (2,)),
        (np.arange(3), (0, 1, 2)),
        (None, None),
        ("", None),
        ([], None),
    ],
)
def test_a_boundary_with_layers(protocol: int, layers: Any, rows: Any, tmp_path: Path) -> None:
    direction = read(higan(layers, protocol), tmp_path, "wood_boundary.npy")
    assert (direction.name, direction.space, direction.layers) == ("wood", "w", rows)
    assert np.abs(direction.vector.numpy() - vectors(1, DIM)[0]).max() < 1e-15
    assert direction.provenance.method == "HiGAN"
    assert read(higan(layers, protocol, "layers"), tmp_path).layers == rows


def test_a_boundary_of_all_rows(tmp_path: Path) -> None:
    direction = read(idinvert(), tmp_path, "age.npy")
    assert (direction.name, direction.space, direction.layers) == ("age", "w+", (0, 1))
    assert torch.allclose(direction.vector.norm(dim=-1), torch.tensor(ROWS**-0.5).double())
    assert direction.provenance.method == "IDInvert"


def test_tensors_are_directions_of_w(tmp_path: Path) -> None:
    flat, rows = (read(encoder4editing(layered), tmp_path, "age.pt") for layered in (False, True))
    assert (flat.space, flat.vector.shape, flat.name) == ("w", (DIM,), "age")
    assert (rows.space, rows.vector.shape) == ("w+", (ROWS, DIM))
    old = read(pt(torch.from_numpy(vectors(1, DIM)).bfloat16(), new=False), tmp_path)
    assert old.cosine(flat) > 0.999


@pytest.mark.parametrize("data", [components(), ganspace(), ganspace(compressed=False)])
def test_components_carry_their_deviation(data: bytes, tmp_path: Path) -> None:
    found = read(data, tmp_path, "stylegan2-ffhq_style_ipca_c80_n1000000_w.npz")
    assert [d.scale for d in found] == [3, 2.5, 2, 1.5, 1]
    assert [d.name for d in found][:2] == ["component 0", "component 1"]
    assert {d.space for d in found} == {"w"}
    for direction, vector in zip(found, vectors(5, DIM), strict=True):
        assert np.abs(direction.vector.numpy() - vector).max() < 1e-7
    assert found[0].provenance.method == "GANSpace"


def test_components_of_a_gaussian_are_in_z(tmp_path: Path) -> None:
    found = read(ganspace(deviations=1.0), tmp_path, "biggan.npz")
    assert {d.space for d in found} == {"z"}
    assert found[0].provenance.scores == {"var_ratio": 0.5}


def test_eigenvectors_are_columns(tmp_path: Path) -> None:
    found = read(sefa(), tmp_path)
    assert len(found) == DIM
    for direction, vector in zip(found, vectors(DIM, DIM), strict=True):
        assert np.abs(direction.vector.numpy() - vector).max() < 1e-7


def test_styles_of_all_layers_are_joined(tmp_path: Path, toy_generator: StyleGAN2) -> None:
    direction = read(styleclip(), tmp_path)
    assert direction.space == "s"
    assert np.abs(direction.vector.numpy() - vectors(14)).max() < 1e-15
    sizes = tuple(part.stop - part.start for part in toy_generator.slices.values())
    latent = toy_generator.sample(1)
    bound = read(styleclip(sizes), tmp_path, generator=toy_generator)
    edited = toy_generator.render(latent, edits=[5 * bound])
    assert not torch.equal(edited, toy_generator.render(latent))


CHANNELS = {
    "json": stylespace(),
    "python": b"configs = {\n 'smiling' : [(1, 5)],\n 'bangs':[(0, 2), (2,3)],\n 'sky': [3, 1],\n}",
    "lines": b"# found by hand\nsmiling: 1_5\nbangs: (0, 2) (2, 3)\nsky: 3 1\n",
    "pickle": pickle.dumps({"smiling": [(1, 5)], "bangs": [(0, 2), (2, 3)], "sky": [3, 1]}),
    "array": npy({"smiling": [(1, 5)], "bangs": np.array([[0, 2], [2, 3]]), "sky": [3, 1]}, 3),
    "names": b'{"smiling": [["b4.torgb", 5]], "bangs": [["b4.conv1", 2], ["b8.conv0", 3]], '
    b'"sky": [["b8.conv1", 1]]}',
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(CHANNELS))
def test_channels_are_found_in_the_generator(
    kind: str, tmp_path: Path, toy_generator: StyleGAN2
) -> None:
    found = read(CHANNELS[kind], tmp_path, "channels", generator=toy_generator)
    named = {direction.name: direction for direction in found}
    assert list(named) == ["smiling", "bangs (0, 2)", "bangs (2, 3)", "sky"] or kind == "names"
    for direction, (layer, channel) in zip(
        found, [("b4.torgb", 5), ("b4.conv1", 2), ("b8.conv0", 3), ("b8.conv1", 1)], strict=True
    ):
        (place,) = direction.vector.nonzero().flatten().tolist()
        assert place == toy_generator.slices[layer].start + channel
        assert direction.generator == toy_generator.fingerprint
        assert direction.scale == toy_generator.prior_std("s", direction.vector)
        assert direction.provenance.method == "StyleSpace"


ONE = [b"1, 5", b"(1, 5)\n", b"[1, 5]", b"layer,channel\n1,5\n"]
ONE += [npy(np.array([1, 5])), npy(np.array([[1, 5]], np.int32))]


@pytest.mark.parametrize("data", ONE)
def test_one_channel_without_a_name(data: bytes, tmp_path: Path, toy_generator: StyleGAN2) -> None:
    direction = read(data, tmp_path, "channels", generator=toy_generator)
    assert direction.name == "(1, 5)"
    assert direction.vector[toy_generator.slices["b4.torgb"].start + 5] == 1


# Binding.


def test_a_generator_binds_and_scales(tmp_path: Path, toy_generator: StyleGAN2) -> None:
    vector = vectors(1, 16)
    direction = read(npy(vector), tmp_path, "x_w.npy", generator=toy_generator)
    assert direction.generator == toy_generator.fingerprint
    assert direction.scale == toy_generator.prior_std("w", torch.from_numpy(vector[0]))
    own = read(ganspace(), tmp_path, "z.npz")
    assert own[0].scale == 3
    layered = read(npy({"boundary": vector, "meta_data": {"manipulate_layers": "1-2"}}), tmp_path)
    latent = toy_generator.sample(1, space="w")
    moved = latent + 2 * layered
    rows = toy_generator.spaces["w+"].shape[0]
    assert (moved.data[0] - latent.data[0]).abs().sum(1).gt(0).tolist() == [
        row in (1, 2) for row in range(rows)
    ]


@pytest.mark.parametrize(
    ("data", "options", "error", "says"),
    [
        (lambda: npy(vectors(1, 9)), {}, ShapeError, "another generator"),
        (lambda: npy(vectors(1, 16)), {"space": "q"}, SpaceError, "does not have"),
        (lambda: higan("9-12"), {}, ShapeError, "shape"),
        (
            lambda: npy({"boundary": vectors(1, 16), "meta_data": {"layers": "90"}}, 3),
            {},
            LayerError,
            "meant for layers",
        ),
        (lambda: b"99, 1", {}, LayerError, "Layer 99"),
        (lambda: b"1, 9999", {}, LayerError, "Channel 9999"),
        (lambda: b'[["b9.conv1", 1]]', {}, LayerError, "Did you mean"),
    ],
)
def test_what_does_not_fit_the_generator_is_told(
    data: Any, options: dict, error: Any, says: str, tmp_path: Path, toy_generator: StyleGAN2
) -> None:
    with pytest.raises(error, match=says):
        read(data(), tmp_path, "x", generator=toy_generator, **options)


def test_channels_need_a_generator(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="generator=G"):
        read(stylespace(), tmp_path)


# Refusals.


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: npy(np.zeros((1, DIM))), "zero"),
        (lambda: npy(np.full((1, DIM), np.nan)), "NaN"),
        (lambda: npy(np.zeros((2000, DIM))), "perhaps codes"),
        (lambda: npy(np.array([{}, []], dtype=object)), "array of shape"),
        (lambda: npy(np.array(["a", "b"])), "type"),
        (lambda: npy(np.zeros(2, dtype=[("a", "f4")])), "structures"),
        (lambda: npy(np.zeros(2, complex)), "c16"),
        (lambda: npy({"boundary": "far away"}, 3), "boundary: str"),
        (lambda: higan("all of them"), "no known way"),
        (lambda: higan({"a": 1}), "no known way"),
        (lambda: pt({"weight": torch.zeros(3)}), r"weight: \[3\]"),
        (lambda: ganspace(deviations=0.0), "deviations"),
        (lambda: ganspace(deviations=np.inf), "deviations"),
        (lambda: pickle.dumps({"boundary": print}), r"builtins\.print"),
        (lambda: npy({"boundary": print}, 2), r"builtin__?s?\S*\.print"),
        (lambda: interfacegan()[:-1], "cut off"),
        (lambda: b"smiling is a nice thing", "no weight file"),
        (lambda: b"", "empty"),
    ],
)
def test_other_files_are_refused_with_what_they_hold(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=says):
        read(data(), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.npy"):
        sb.read_published_direction(tmp_path / "gone.npy")


@pytest.mark.parametrize("name", sorted(set(MADE) - {"stylespace.json"}))
def test_every_made_file_is_read_and_can_be_kept(name: str, tmp_path: Path) -> None:
    found = read(MADE[name](), tmp_path, name)
    for direction in found if isinstance(found, list) else [found]:
        direction.save(tmp_path / "d.safetensors")
        again = sb.Direction.load(tmp_path / "d.safetensors")
        assert torch.equal(again.vector, direction.vector)
        assert again.provenance == direction.provenance


# The released files.


def test_conditioned_boundaries_are_projections_of_the_primary_ones(
    shared_path: SharedPath,
) -> None:
    folder = shared_path("real/interfacegan-boundaries")
    conditioned = sorted(folder.glob("*_c_*_boundary.npy"))
    assert len(conditioned) >= 4
    for path in conditioned:
        source, _, given = path.stem.removesuffix("_boundary").partition("_c_")
        model = source.rpartition("_")[0]
        primary = sb.read_published_direction(folder / f"{source}_boundary.npy")
        others = [
            sb.read_published_direction(folder / f"{model}_{other}_boundary.npy")
            for other in given.split("_c_")
        ]
        ours, released = primary.condition(on=others), sb.read_published_direction(path)
        assert (ours.vector - released.vector).abs().max() < 1e-10
        assert ours.name == released.name


def test_every_released_boundary_is_read_as_it_is(shared_path: SharedPath) -> None:
    folder = shared_path("real/interfacegan-boundaries")
    for path in sorted(folder.glob("*.npy")):
        direction = sb.read_published_direction(path)
        released = np.load(path)[0]
        assert np.abs(direction.vector.numpy() - released).max() < 1e-12, path.name
        assert direction.space == ("w" if "_w_" in path.name else "z")
        assert direction.scale == 1.0


def test_released_layers_are_kept(shared_path: SharedPath) -> None:
    folder = shared_path("real/higan-boundaries")
    paths = sorted(folder.glob("*/*.npy"))
    assert len(paths) >= 18
    for path in paths:
        direction = sb.read_published_direction(path)
        # The shared files are known; here alone they are opened the way that executes.
        released = np.load(path, allow_pickle=True)
        value = released.item() if released.dtype == object else {"boundary": released}
        boundary = value["boundary"][0] / np.linalg.norm(value["boundary"].astype(np.float64))
        assert np.abs(direction.vector.numpy() - boundary).max() < 1e-12
        written = value.get("meta_data", {}).get("manipulate_layers")
        first, last = map(int, written.split("-")) if written else (0, -1)
        assert direction.layers == (tuple(range(first, last + 1)) or None)
