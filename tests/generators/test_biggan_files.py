"""Published BigGANs with options that no recorded file has, against their code written out."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators import load

# -- Brock's files ------------------------------------------------------------------------------


def brock_state(
    *,
    classes: int = 5,
    shared: int = 6,
    chunk: int = 3,
    widths: tuple[int, ...] = (8, 8, 6),
    statistics: str = "stored",
    spectral: bool = True,
    seed: int = 0,
) -> dict[str, Tensor]:
    """A state dict of random numbers under the names of BigGAN-PyTorch; ``shared`` 0 for none."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def weight(name: str, *shape: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = torch.randn(*shape, generator=random)
        state[f"{name}.weight"] /= state[f"{name}.weight"][0].numel() ** 0.5
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=random)
        if spectral:
            state[f"{name}.u0"] = torch.randn(1, shape[0], generator=random)
            state[f"{name}.sv0"] = torch.ones(1)

    def kept(name: str, width: int) -> None:
        at = {"stored": "stored", "sums": "bn.stored", "replicas": "bn.running"}[statistics]
        state[f"{name}.{at}_mean"] = torch.randn(width, generator=random)
        state[f"{name}.{at}_var"] = 0.5 + torch.rand(width, generator=random)
        if statistics == "sums":
            state[f"{name}.bn.accumulation_counter"] = torch.full((1,), 4.0)

    def norm(name: str, width: int) -> None:
        for part in ("gain", "bias"):
            if shared:
                weight(f"{name}.{part}", width, shared + chunk, bias=False)
            else:
                state[f"{name}.{part}.weight"] = torch.randn(classes, width, generator=random)
        kept(name, width)

    if shared:
        state["shared.weight"] = torch.randn(classes, shared, generator=random)
    weight("linear", 16 * widths[0], chunk or 7)
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        block = f"blocks.{place}.0"
        weight(f"{block}.conv1", outputs, inputs, 3, 3)
        weight(f"{block}.conv2", outputs, outputs, 3, 3)
        weight(f"{block}.conv_sc", outputs, inputs, 1, 1)
        norm(f"{block}.bn1", inputs)
        norm(f"{block}.bn2", outputs)
    for part in ("gain", "bias"):
        state[f"output_layer.0.{part}"] = torch.randn(widths[-1], generator=random)
    kept("output_layer.0", widths[-1])
    weight("output_layer.2", 3, widths[-1], 3, 3)
    return state


def brock_picture(
    state: dict[str, Tensor], z: Tensor, y: Tensor, eps: float = 1e-5, statistics: str = "stored"
) -> Tensor:
    """What BigGAN-PyTorch draws in evaluation, written out; ``y`` are class indices."""

    def weight(name: str) -> Tensor:
        given = state[f"{name}.weight"]
        if f"{name}.u0" not in state:
            return given
        matrix = given.flatten(1)
        v = F.normalize(state[f"{name}.u0"] @ matrix)
        u = F.normalize(v @ matrix.T)
        return given / (v @ matrix.T @ u.T)

    def convolve(name: str, x: Tensor) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, state[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def norm(name: str, x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
        if statistics == "none":
            return x * gain + bias
        at = {"stored": "stored", "sums": "bn.stored", "replicas": "bn.running"}[statistics]
        count = 4 if statistics == "sums" else 1
        mean, var = (state[f"{name}.{at}_{part}"] / count for part in ("mean", "var"))
        x = F.batch_norm(x, mean, var, eps=eps)
        return x + gain + bias if statistics == "replicas" else x * gain + bias

    def conditional(name: str, x: Tensor, c: Tensor) -> Tensor:
        if "shared.weight" in state:
            gain, bias = (F.linear(c, weight(f"{name}.{part}")) for part in ("gain", "bias"))
        else:
            gain, bias = (state[f"{name}.{part}.weight"][y] for part in ("gain", "bias"))
        return norm(name, x, 1 + gain[..., None, None], bias[..., None, None], eps)

    blocks = sum(name.endswith("conv1.weight") for name in state)
    codes = [z] + [z[:, :0]] * blocks
    if "shared.weight" in state:
        first = state["linear.weight"].shape[1]
        split = first < z.shape[1]
        codes = list(z.split(first, dim=1)) if split else codes
    x = F.linear(codes[0], weight("linear"), state["linear.bias"]).unflatten(1, (-1, 4, 4))
    for place in range(blocks):
        name = f"blocks.{place}.0"
        c = torch.zeros(len(z), 0)
        if "shared.weight" in state:
            c = torch.cat([state["shared.weight"][y], codes[place + 1]], dim=1)
        kept = F.interpolate(x, scale_factor=2)
        x = F.interpolate(conditional(f"{name}.bn1", x, c).relu(), scale_factor=2)
        x = convolve(f"{name}.conv1", x)
        x = convolve(f"{name}.conv2", conditional(f"{name}.bn2", x, c).relu())
        x = x + convolve(f"{name}.conv_sc", kept)
    gain, bias = (state[f"output_layer.0.{part}"][:, None, None] for part in ("gain", "bias"))
    return convolve("output_layer.2", norm("output_layer.0", x, gain, bias, 1e-5).relu()).tanh()


@pytest.mark.parametrize(
    ("made", "config", "z_dim"),
    [
        ({}, {}, 9),
        ({"shared": 0, "chunk": 0}, {}, 7),
        ({"chunk": 0}, {"BN_eps": 1e-2}, 7),
        ({"chunk": 2, "widths": (8, 8, 6, 4, 4), "classes": 3}, {"BN_eps": 1e-3}, 10),
        ({"statistics": "sums"}, {}, 9),
        ({"statistics": "replicas"}, {}, 9),
        ({"spectral": False}, {"BN_eps": "small", "resolution": None}, 9),
    ],
)
def test_brocks_options_follow_from_the_file(made, config, z_dim: int, tmp_path: Path) -> None:
    state = brock_state(**made)
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "G_ema.pth")
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    generator = load(tmp_path / "G_ema.pth")
    assert generator.spaces["z"].shape == (z_dim,)
    z, y = generator.sample(3, label=[0, 2, 1]).data, torch.tensor([0, 2, 1])
    eps = config.get("BN_eps", 1e-5)
    expected = brock_picture(
        state, z, y, eps if isinstance(eps, float) else 1e-5, made.get("statistics", "stored")
    )
    assert generator.resolution == expected.shape[-1]
    assert torch.allclose(generator.render(generator.latent(z, label=y)), expected, atol=2e-5)


def test_a_normalisation_without_statistics_is_none_or_refused(tmp_path: Path) -> None:
    state = brock_state()
    state = {k: v for k, v in state.items() if "stored" not in k or "output" in k}
    torch.save(state, tmp_path / "g.pth")
    blocks = load(tmp_path / "g.pth")
    z, y = blocks.sample(2, label=1).data, torch.tensor([1, 1])
    for norm in ("blocks.0.0.bn1", "blocks.0.0.bn2", "blocks.1.0.bn1", "blocks.1.0.bn2"):
        width = state[f"{norm}.gain.weight"].shape[0]
        state |= {f"{norm}.stored_mean": torch.zeros(width)}
        state |= {f"{norm}.stored_var": torch.ones(width)}
    expected = brock_picture(state, z, y, eps=0.0)
    assert torch.allclose(blocks.render(blocks.latent(z, label=1)), expected, atol=2e-5)
    (tmp_path / "config.json").write_text(json.dumps({"norm_style": "gn"}))
    with pytest.raises(CheckpointError, match="'gn'"):
        load(tmp_path / "g.pth")


def test_what_is_missing_or_contradicts_itself_is_named(tmp_path: Path) -> None:
    state = brock_state()
    del state["blocks.1.0.conv_sc.bias"]
    torch.save(state, tmp_path / "g.pth")
    with pytest.raises(CheckpointError, match=r"'blocks\.1\.0\.conv_sc\.bias' is missing"):
        load(tmp_path / "g.pth")


# -- the port of Hugging Face -------------------------------------------------------------------


def port_state(ups: list[bool], attention: int, steps: int = 11) -> dict[str, Tensor]:
    """A state dict of random numbers under the names of pytorch-pretrained-BigGAN."""
    random, state = torch.Generator().manual_seed(0), {}

    def weight(name: str, *shape: int, bias: bool = True) -> None:
        state[f"{name}.weight_orig"] = torch.randn(*shape, generator=random)
        u = torch.randn(shape[0], generator=random)
        matrix = state[f"{name}.weight_orig"].flatten(1)
        state[f"{name}.weight_u"] = F.normalize(u, dim=0)
        state[f"{name}.weight_v"] = F.normalize(matrix.T @ u, dim=0)
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=random)

    def norm(name: str, width: int, condition: int = 9) -> None:
        state[f"{name}.running_means"] = torch.randn(steps, width, generator=random)
        state[f"{name}.running_vars"] = 0.5 + torch.rand(steps, width, generator=random)
        for part in ("scale", "offset") if condition else ():
            weight(f"{name}.{part}", width, condition, bias=False)

    state["embeddings.weight"] = torch.randn(5, 3, generator=random)
    weight("generator.gen_z", 16 * 16, 9)
    widths, number = [16] + [8] * len(ups), 0
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        if place == attention:
            state[f"generator.layers.{number}.gamma"] = torch.full((1,), 0.5)
            for part, i, o in [("theta", 0, 8), ("phi", 0, 8), ("g", 0, 2), ("o_conv", 2, 0)]:
                shape = inputs // i if i else inputs, inputs // o if o else inputs
                name = f"generator.layers.{number}.snconv1x1_{part}"
                weight(name, shape[1], shape[0], 1, 1, bias=False)
            number += 1
        name, hidden = f"generator.layers.{number}", inputs // 4
        shapes = [(hidden, inputs, 1), (hidden, hidden, 3), (hidden, hidden, 3)]
        for part, (o, i, size) in enumerate([*shapes, (outputs, hidden, 1)]):
            norm(f"{name}.bn_{part}", i)
            weight(f"{name}.conv_{part}", o, i, size, size)
        number += 1
    norm("generator.bn", 8, 0)
    for part in ("weight", "bias"):
        state[f"generator.bn.{part}"] = torch.randn(8, generator=random)
    weight("generator.conv_to_rgb", 8, 8, 3, 3)
    return state


def test_a_port_without_config_doubles_in_every_second_block(tmp_path: Path) -> None:
    ups = [False, True, False, True]
    torch.save(port_state(ups, attention=2), tmp_path / "pytorch_model.bin")
    alone = load(tmp_path / "pytorch_model.bin")
    config = {"layers": [[up, 2, 1] for up in ups], "eps": 1e-4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    described = load(tmp_path / "pytorch_model.bin")
    assert described.resolution == 16
    assert described.fingerprint == alone.fingerprint
    latent = alone.sample(2)
    assert torch.equal(described.render(latent), alone.render(latent))
    (tmp_path / "config.json").write_text(json.dumps({"layers": config["layers"][:3]}))
    with pytest.raises(CheckpointError, match="3 blocks, the file holds 4"):
        load(tmp_path / "pytorch_model.bin")


def test_a_port_can_look_around_before_its_first_block(tmp_path: Path) -> None:
    torch.save(port_state([True, False], attention=0), tmp_path / "g.bin")
    (tmp_path / "config.json").write_text(json.dumps({"layers": [[True, 2, 1], [False, 1, 1]]}))
    generator = load(tmp_path / "g.bin")
    assert [layer.name for layer in generator.layers] == [
        "b4.dense",
        "b4.attention",
        "b8.block0",
        "b8.block1",
        "b8.torgb",
    ]
    assert generator.find_layer("layers.2").name == "b8.block1"
    assert generator.find_layer("blocks.1").name == "b8.block1"


def test_an_early_port_holds_the_divided_weights(tmp_path: Path) -> None:
    state = port_state([False, True], attention=1)
    torch.save(state, tmp_path / "late.bin")
    for name in [name for name in state if name.endswith("weight_orig")]:
        matrix, root = state[name].flatten(1), name.removesuffix("_orig")
        sigma = state[f"{root}_u"] @ matrix @ state.pop(f"{root}_v")
        state[root] = state[name] / sigma
    torch.save(state, tmp_path / "early.bin")
    early, late = load(tmp_path / "early.bin"), load(tmp_path / "late.bin")
    z = late.sample(2)
    again = early.render(early.latent(z.data, label=z.label))
    assert torch.allclose(again, late.render(z), atol=1e-5)
