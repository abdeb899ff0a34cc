"""Whole files of every kind that is read, made here from small random networks.

A new kind of file is one line of `MAKERS`; every law of this folder then holds it.
"""

from __future__ import annotations

import argparse
import io
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from steerbench.generators import save
from steerbench.generators.checkpoints.formats.eigengan import PARTS
from tests import direction_files
from tests.contracts.test_generators import EXAMPLES, ROTATING, dcgan, eigengan, glow
from tests.contracts.test_generators import stylegan3_network as stylegan3
from tests.generators import stylegan1_reference, tensorflow_files, test_pggan
from tests.generators.persistence import Attributes, Saved, write
from tests.generators.test_biggan_files import brock_state, port_state
from tests.generators.test_glow import published as published_glow
from tests.generators.test_stylegan1 import huangzh13_names
from tests.generators.test_stylegan3 import attributes
from tests.generators.test_tensorflow import make as make_tensorflow


@dataclass(frozen=True)
class Maker:
    """How to make a file, and how it is opened.

    Attributes:
        make: The bytes.
        how: ``"load"``, ``"read"``, ``"direction"``, or ``"channels"`` of a generator.
        gives: What a whole one gives.
        name: Of the file, where it says something.
    """

    make: Callable[[], bytes]
    how: str = "load"
    gives: str = "model"
    name: str = "file"


def written(writer: Callable[[Path], Any]) -> bytes:
    """What a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        writer(path)
        return path.read_bytes()


def torch_file(value: Any, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def state(make: Callable[[], Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in make().module.state_dict().items()}


def persistent(module: nn.Module, kept: Attributes) -> bytes:
    return written(lambda path: write(path, G_ema=Saved(module, kept)))


def training() -> bytes:
    """What a training script keeps: arguments and an optimiser beside the weights."""
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1}]}
    rest = {"args": argparse.Namespace(lr=0.1, path="x"), "g_optim": optimiser}
    return torch_file({"G_ema": state(EXAMPLES["stylegan2"])} | rest)


def published_eigengan() -> dict[str, Any]:
    own, theirs = state(eigengan), {ours: name for name, ours in PARTS.items()}
    named = {}
    for name, value in own.items():
        block, _, part = name.removeprefix("blocks.").partition(".")
        renamed = f"blocks.{block}.{theirs[part]}" if part in theirs else name
        named[renamed.replace("torgb", "to_rgb.0.1")] = value
    return {"g_ema": named, "args": argparse.Namespace(size=16)}


def tensorflow(kind: str) -> bytes:
    if kind == "stylegan2":
        return written(make_tensorflow)
    if kind == "stylegan1":
        variables = tensorflow_files.stylegan1(stylegan1_reference.make_state())
        network = tensorflow_files.network("G_style", variables, version=3)
        return written(lambda path: tensorflow_files.written(path, [network] * 3))
    variables = tensorflow_files.pggan(test_pggan.make_state(), False)
    network = tensorflow_files.network("G_paper", variables, version=2)
    return written(lambda path: tensorflow_files.written(path, [network] * 3, module="tfutil"))


MAKERS: dict[str, Maker] = {
    "torch zip: DCGAN": Maker(lambda: torch_file(state(dcgan))),
    "torch zip: StyleGAN2": Maker(lambda: torch_file({"G_ema": state(EXAMPLES["stylegan2"])})),
    "torch zip: a training": Maker(training),
    "torch zip: Glow": Maker(lambda: torch_file(published_glow(glow()))),
    "torch zip: EigenGAN": Maker(lambda: torch_file(published_eigengan())),
    "torch zip: StyleGAN of genforce": Maker(
        lambda: torch_file({"generator_smooth": stylegan1_reference.make_state()})
    ),
    "torch zip: StyleGAN.pytorch": Maker(
        lambda: torch_file(huangzh13_names(stylegan1_reference.make_state()))
    ),
    "torch zip: PGGAN of genforce": Maker(
        lambda: torch_file({"generator_smooth": test_pggan.make_state()})
    ),
    "torch zip: BigGAN of Brock": Maker(lambda: torch_file(brock_state())),
    "torch zip: BigGAN of Hugging Face": Maker(
        lambda: torch_file(port_state([False, True, False, True], attention=2))
    ),
    "old torch: DCGAN": Maker(lambda: torch_file(state(dcgan), new=False)),
    "old torch: Glow": Maker(lambda: torch_file(published_glow(glow()), new=False)),
    "pickle: NVIDIA, StyleGAN2": Maker(
        lambda: persistent(EXAMPLES["stylegan2"]().module, lambda *_: {})
    ),
    "pickle: NVIDIA, StyleGAN3": Maker(lambda: persistent(stylegan3(**ROTATING), attributes)),
    "pickle: TensorFlow, StyleGAN2": Maker(lambda: tensorflow("stylegan2")),
    "pickle: TensorFlow, StyleGAN": Maker(lambda: tensorflow("stylegan1")),
    "pickle: TensorFlow, PGGAN": Maker(lambda: tensorflow("pggan")),
    "pickle: plain values": Maker(
        lambda: pickle.dumps({"lr": 0.1, "names": ["a", "b"], "shape": (1, 2)}, 4),
        how="read",
        gives="contents",
    ),
    "safetensors: ours": Maker(lambda: written(lambda path: save(dcgan(), path))),
    "safetensors: foreign": Maker(lambda: safetensors.torch.save(state(dcgan))),
    "npy: InterFaceGAN": Maker(direction_files.interfacegan, "direction", "directions"),
    "npy: HiGAN": Maker(direction_files.higan, "direction", "directions"),
    "npy: IDInvert": Maker(direction_files.idinvert, "direction", "directions"),
    "npz: GANSpace": Maker(direction_files.ganspace, "direction", "directions"),
    "npz stored: GANSpace": Maker(
        lambda: direction_files.ganspace(compressed=False), "direction", "directions"
    ),
    "torch zip: encoder4editing": Maker(direction_files.encoder4editing, "direction", "directions"),
    "text: StyleSpace": Maker(direction_files.stylespace, "channels", "directions"),
    "pickle: StyleCLIP": Maker(direction_files.styleclip, "direction", "directions"),
}
"""Kind of file to its maker."""


@cache
def made(kind: str) -> bytes:
    """The whole file of a kind."""
    return MAKERS[kind].make()
