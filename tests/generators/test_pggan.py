"""Progressive GANs of genforce and HiGAN against the equations, with every option."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators import PGGAN, load
from tests.generators import tensorflow_files as files
from tests.generators.stylegan1_reference import State, doubled, scattered

WIDTHS = (6, 6, 4)
Z_DIM = 5


def make_state(fused: bool = False, label: int = 0, level: float = 0.0) -> State:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    state: State = {"lod": torch.tensor(level), "layer0.weight": draw(6, Z_DIM + label, 4, 4)}
    for number in range(2 * len(WIDTHS)):
        place = number // 2
        outputs, inputs = WIDTHS[place], WIDTHS[max(place - 1 + number % 2, 0)]
        if number:
            turned = fused and number % 2 == 0
            shape = (inputs, outputs) if turned else (outputs, inputs)
            state[f"layer{number}.weight"] = draw(*shape, 3, 3)
        state[f"layer{number}.bias"] = draw(outputs)
        if number % 2:
            state[f"output{place}.weight"] = draw(3, outputs, 1, 1)
            state[f"output{place}.bias"] = draw(3)
    return state


def normalised(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def painted(
    state: State,
    z: Tensor,
    label: Tensor | None,
    fused: bool,
    level: float,
    joint: bool = False,
) -> Tensor:
    own = {name: tensor.double() for name, tensor in state.items()}
    x = z.double() if joint else normalised(z.double())
    x = normalised(x if label is None else torch.cat([x, label.double()], dim=1))
    weight = own["layer0.weight"] * math.sqrt(2 / own["layer0.weight"][0].numel())
    x = torch.einsum("nc,ocij->noij", x, weight.flip(2, 3)) + own["layer0.bias"][:, None, None]
    x, image = F.leaky_relu(x, 0.2), torch.empty(0)
    for number in range(1, 2 * len(WIDTHS)):
        place = number // 2
        lacking = len(WIDTHS) - 1 - place
        if level >= lacking + 1:
            continue
        weight, bias = own[f"layer{number}.weight"], own[f"layer{number}.bias"]
        x, up = normalised(x), number % 2 == 0
        if up and fused:
            weight = weight.transpose(0, 1)
        weight = weight * math.sqrt(2 / weight[0].numel())
        if up and fused:
            x = scattered(x, weight)
        else:
            x = F.conv2d(doubled(x) if up else x, weight, padding=1)
        x = F.leaky_relu(x + bias[:, None, None], 0.2)
        if up:
            continue
        weight = own[f"output{place}.weight"] / math.sqrt(WIDTHS[place])
        rgb = F.conv2d(normalised(x), weight, own[f"output{place}.bias"])
        share = min(1.0, lacking + 1 - level)
        image = rgb if share == 1 else share * rgb + (1 - share) * doubled(image)
    while image.shape[-1] < 4 * 2 ** (len(WIDTHS) - 1):
        image = doubled(image)
    return image


def check(generator: object, expected: Tensor, label: Tensor | None = None) -> None:
    assert isinstance(generator, PGGAN)
    got = generator.render(generator.sample(2, label=label)).double()
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("label", [0, 3])
@pytest.mark.parametrize("level", [0.0, 0.75])
def test_genforce_with_every_option(fused: bool, label: int, level: float, tmp_path: Path) -> None:
    state = make_state(fused, label, level)
    torch.save({"generator_smooth": state}, tmp_path / "g.pth")
    soft = torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5]]) if label else None
    generator = load(tmp_path / "g.pth", label_size=label)
    z = generator.sample(2, label=soft).data
    assert z.shape == (2, Z_DIM)
    expected = painted(state, z, soft, fused, level)
    check(generator, expected, soft)
    told = load(tmp_path / "g.pth", label_size=label, fused_scale=fused, final_tanh=True)
    check(told, torch.tanh(expected), soft)
    assert generator.affine("z").shape == (16 * WIDTHS[0], Z_DIM)


@pytest.mark.parametrize("fused", [True, False])
def test_the_names_of_higan_and_interfacegan(fused: bool, tmp_path: Path) -> None:
    state, old = make_state(fused, level=0.25), {}
    for name, tensor in state.items():
        part, _, kind = name.partition(".")
        if kind == "bias":
            old[f"{part}.wscale.bias"] = tensor
        elif fused and part in ("layer2", "layer4"):
            old[name] = tensor.permute(2, 3, 0, 1)
        else:
            old[f"{part}.conv.weight" if kind else name] = tensor
    torch.save(old, tmp_path / "g.pth")
    generator = load(tmp_path / "g.pth")
    # They have no blending: a level that is not whole leaves out the block.
    check(generator, painted(state, generator.sample(2).data, None, fused, 1.0))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("label", [0, 3])
@pytest.mark.parametrize("level", [0.0, 0.75])
def test_tensorflow(fused: bool, label: int, level: float, tmp_path: Path) -> None:
    state = make_state(fused, label, level)
    other = {name: tensor + 1 for name, tensor in state.items()}
    networks = [
        files.network("G_paper", files.pggan(own, fused), version=2, label_size=label)
        for own in (other, other, state)
    ]
    generator = load(files.written(tmp_path / "g.pkl", networks, module="tfutil"))
    soft = torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5]]) if label else None
    z = generator.sample(2, label=soft).data
    check(generator, painted(state, z, soft, fused, level, joint=True), soft)


def test_a_label_longer_than_what_comes_in_is_refused(tmp_path: Path) -> None:
    torch.save(make_state(), tmp_path / "g.pth")
    with pytest.raises(CheckpointError, match="together have 5"):
        load(tmp_path / "g.pth", label_size=5)
    with pytest.raises(CheckpointError, match="whole number"):
        load(tmp_path / "g.pth", label_size=0.5)
