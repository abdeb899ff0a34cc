"""Laws of every published format: any wrapping opens alike, and no weight is dropped in silence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from steerbench.errors import CheckpointError
from steerbench.generators import load
from steerbench.generators.checkpoints import FORMATS, read, recognise, state_dicts
from steerbench.generators.stylegan3.filters import plan_layers
from steerbench.generators.stylegan3.network import StyleGAN3Network
from tests.contracts.test_generators import EXAMPLES, ROTATING, dcgan, glow
from tests.generators import stylegan1_reference, test_pggan
from tests.generators.test_biggan_files import brock_state, port_state
from tests.generators.test_formats import genforce_names, network
from tests.generators.test_glow import published as published_glow
from tests.generators.test_stylegan1 import huangzh13_names
from tests.security.makers import published_eigengan, state, tensorflow

State = dict[str, Tensor]


def rosinality(ch: int = 8, w: int = 16) -> State:
    """StyleGAN2 of three resolutions under rosinality's names."""
    draw = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    def conv(name: str, out: int, size: int) -> State:
        return {
            f"{name}.conv.weight": numbers(1, out, ch, size, size),
            f"{name}.conv.modulation.weight": numbers(ch, w),
            f"{name}.conv.modulation.bias": torch.ones(ch),
        }

    made = {"input.input": numbers(1, ch, 4, 4)}
    for i in (1, 2):
        made |= {f"style.{i}.weight": numbers(w, w), f"style.{i}.bias": numbers(w)}
    for name in ("conv1", *(f"convs.{i}" for i in range(4))):
        made |= conv(name, ch, 3)
        made |= {f"{name}.noise.weight": numbers(1), f"{name}.activate.bias": numbers(ch)}
    for name in ("to_rgb1", "to_rgbs.0", "to_rgbs.1"):
        made |= conv(name, 3, 1) | {f"{name}.bias": numbers(1, 3, 1, 1)}
    for i in range(2):
        made[f"convs.{2 * i}.conv.blur.kernel"] = torch.ones(4, 4) / 4
        made[f"to_rgbs.{i}.upsample.kernel"] = torch.ones(4, 4) / 4
    return made


def ganzoo(width: int = 4) -> State:
    """A progressive GAN of two resolutions under pytorch_GAN_zoo's names."""
    draw = torch.Generator().manual_seed(0)
    shapes = {
        "formatLayer": (16 * width, 6),
        "groupScale0.0": (width, width, 3, 3),
        "scaleLayers.0.0": (width, width, 3, 3),
        "scaleLayers.0.1": (width, width, 3, 3),
        "toRGBLayers.0": (3, width, 1, 1),
        "toRGBLayers.1": (3, width, 1, 1),
    }
    made: State = {}
    for name, shape in shapes.items():
        made[f"{name}.module.weight"] = torch.randn(shape, generator=draw)
        made[f"{name}.module.bias"] = torch.randn(shape[0], generator=draw)
    return made


def stylegan3() -> State:
    first, layers = plan_layers(32, channel_base=128, channel_max=8, **ROTATING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(StyleGAN3Network(z_dim=6, w_dim=8, first=first, layers=layers).state_dict())


BARE: dict[str, Callable[[], State]] = {
    "stylegan3": stylegan3,
    "stylegan2-ada-pytorch": lambda: state(EXAMPLES["stylegan2"]),
    "rosinality-stylegan2": rosinality,
    "genforce-stylegan2": lambda: genforce_names(network("skip", 3, 4)),
    "genforce-stylegan1": stylegan1_reference.make_state,
    "huangzh13-stylegan1": lambda: huangzh13_names(stylegan1_reference.make_state()),
    "genforce-pggan": test_pggan.make_state,
    "ganzoo-pgan": ganzoo,
    "eigengan": lambda: published_eigengan()["g_ema"],
    "glow": lambda: published_glow(glow(), prefix=""),
    "biggan-hf": lambda: port_state([False, True, False, True], attention=2),
    "biggan-ajbrock": brock_state,
    "dcgan": lambda: state(dcgan),
}
"""A state dict of each format that people keep bare."""

MODULES = {"stylegan1-tensorflow", "stylegan2-tensorflow", "pggan-tensorflow"}
"""Formats that come as whole modules of TensorFlow, and are never wrapped."""


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state: State) -> State:
    """A state dict that must not be taken for it: of the same names, with other numbers."""
    return {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }


JUDGE = {"conv.weight": torch.ones(3, 3), "conv.bias": torch.ones(3)}

WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "DataParallel": lambda s: under("module.", s),
    "torch.compile": lambda s: under("_orig_mod.", s),
    "both": lambda s: under("_orig_mod.module.", s),
    "any word before all names": lambda s: under("whatever.", s),
    "{state_dict}": lambda s: {"state_dict": s, "epoch": 3},
    "{model}": lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    "{params_ema, params}": lambda s: {"params": other(s), "params_ema": s},
    "{g, d, g_ema}": lambda s: {"g": other(s), "d": JUDGE, "g_ema": s},
    "{G, D, G_ema}": lambda s: {"G": under("module.", other(s)), "D": JUDGE, "G_ema": s},
    "{netG, netD}": lambda s: {"netG": s, "netD": JUDGE, "args": argparse.Namespace(lr=1)},
    "{models: {generator_smooth}}": lambda s: {
        "models": {"generator": other(s), "discriminator": JUDGE, "generator_smooth": s}
    },
    "Lightning": lambda s: {
        "state_dict": under("generator.", s) | under("discriminator.", JUDGE),
        "pytorch-lightning_version": "2.0",
    },
    "Lightning with an average": lambda s: {
        "state_dict": under("generator.", other(s)) | under("generator_ema.module.", s)
    },
    "flat g_ema.": lambda s: under("g.", other(s)) | under("d.", JUDGE) | under("g_ema.", s),
    "e4e": lambda s: {"state_dict": under("encoder.", JUDGE) | under("decoder.", s)},
    "[G, D]": lambda s: [s, JUDGE],
    "(G, D, Gs)": lambda s: (other(s), JUDGE, s),
}
"""How people wrap a state dict, by name."""


@cache
def bare(name: str) -> State:
    return BARE[name]()


@cache
def fingerprint(name: str, folder: Path) -> str:
    torch.save(bare(name), folder / "bare.pt")
    return load(folder / "bare.pt").fingerprint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bare")


def test_every_format_is_tried() -> None:
    assert BARE.keys() | MODULES == FORMATS.keys()


@pytest.mark.parametrize("name", BARE)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_any_wrapping_opens_as_the_bare_weights(
    name: str, wrapping: str, folder: Path, tmp_path: Path
) -> None:
    value = WRAPPINGS[wrapping](bare(name))
    torch.save(value, tmp_path / "wrapped")
    generator = load(tmp_path / "wrapped")
    assert generator.format == name
    assert generator.fingerprint == fingerprint(name, folder)
    if isinstance(value, dict) and all(isinstance(item, Tensor) for item in value.values()):
        plain = {key: tensor.contiguous().clone() for key, tensor in value.items()}
        safetensors.torch.save_file(plain, tmp_path / "wrapped.safetensors")
        assert load(tmp_path / "wrapped.safetensors").fingerprint == generator.fingerprint


@pytest.mark.parametrize("name", BARE)
@pytest.mark.parametrize("kind", ["beside", "within"])
def test_a_weight_that_no_layer_takes_is_named(name: str, kind: str, tmp_path: Path) -> None:
    place = "" if kind == "beside" else FORMATS[name].required[0].rpartition(".")[0] + "."
    surplus = f"{place}attention.gamma"
    torch.save({"g_ema": bare(name) | {surplus: torch.ones(2)}}, tmp_path / "g.pt")
    with pytest.raises(CheckpointError) as refusal:
        load(tmp_path / "g.pt")
    assert surplus.rpartition(".")[2] in str(refusal.value)
    assert "attention" in str(refusal.value)


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan1", "pggan"])
def test_a_variable_that_no_layer_takes_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "g.pkl").write_bytes(tensorflow(kind))
    contents = read(tmp_path / "g.pkl")
    form, found = recognise(state_dicts(contents.value)) or (None, None)
    assert form is not None
    assert found is not None
    assert found.keys == ("Gs",)
    weights = form.weights(found)
    weights.tensors["attention/gamma"] = torch.ones(2)
    form.convert(weights, {})
    assert weights.leftover(form.harmless) == ["attention/gamma"]


@pytest.mark.parametrize("rows", [1, 6])
def test_a_mean_code_may_be_repeated_once_a_row(rows: int, tmp_path: Path) -> None:
    mean = torch.arange(16.0)
    value = {"state_dict": under("decoder.", rosinality()), "latent_avg": mean.repeat(rows, 1)}
    torch.save(value, tmp_path / "e4e.pt")
    generator: Any = load(tmp_path / "e4e.pt")
    assert torch.equal(generator.mean_code, mean)


def test_a_mapping_that_reads_more_than_a_code_is_refused(tmp_path: Path) -> None:
    state = rosinality() | {"style.1.weight": torch.ones(16, 32)}
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match=r"style\.1\.weight, reads 32 numbers"):
        load(tmp_path / "g.pt")


def test_a_foreign_safetensors_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steerbench import store

    safetensors.torch.save_file(bare("dcgan"), tmp_path / "g.safetensors")
    calls, whole = [], store.load
    monkeypatch.setattr(store, "load", lambda path: calls.append(path) or whole(path))
    assert load(tmp_path / "g.safetensors").format == "dcgan"
    assert len(calls) == 1


def test_names_without_a_wrapping_come_first() -> None:
    module = nn.DataParallel(nn.Linear(2, 2))
    assert [list(found.tensors) for found in state_dicts(dict(module.state_dict()))] == [
        ["weight", "bias"],
        ["module.weight", "module.bias"],
    ]
