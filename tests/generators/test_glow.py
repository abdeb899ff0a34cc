"""Glow: exact in both directions, its density a change of variables, its files in any notation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench.errors import CapabilityError, CheckpointError, ShapeError
from steerbench.generators import Glow, load
from tests.contracts.test_generators import glow
from tests.contracts.test_generators import pggan as without_code

OPTIONS: list[dict[str, Any]] = [
    {},
    {"affine": False},
    {"levels": 1, "channels": 1},
    {"levels": 3, "flows": 1},
    {"channels": 2, "width": 7},
]


def pictures(generator: Glow, side: int, n: int = 2) -> Tensor:
    drawn = torch.rand(n, generator.network.channels, side, side, dtype=torch.float64)
    return 2 * drawn - 1


# Both directions.


@pytest.mark.parametrize("options", OPTIONS)
def test_encoding_and_rendering_undo_each_other(options: dict[str, Any]) -> None:
    exact = glow(**options).double()
    assert isinstance(exact, Glow)
    images = pictures(exact, 16)
    assert (exact.render(exact.encode(images)) - images).abs().max() < 1e-9
    code = exact.latent(exact.sample(2).data.double())
    assert (exact.encode(exact.render(code)).data - code.data).abs().max() < 1e-9


@pytest.mark.parametrize("options", OPTIONS)
def test_the_density_is_a_change_of_variables(options: dict[str, Any]) -> None:
    exact = glow(**options).double()
    assert isinstance(exact, Glow)
    side = 2 ** len(exact.network.levels)
    images = pictures(exact, max(side, 4), n=1)
    jacobian = torch.autograd.functional.jacobian(lambda x: exact.encode(x).data, images)
    matrix = jacobian.reshape(images.numel(), images.numel())
    code = exact.encode(images).data
    normal = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = normal.log_prob(code).sum() + torch.linalg.slogdet(matrix)[1]
    assert exact.log_prob(images).item() == pytest.approx(expected.item(), abs=1e-9)


def test_the_density_sums_to_one() -> None:
    # A picture of 2x2 pixels of one channel: integrated over draws of a wide known density.
    exact = glow(levels=1, channels=1, flows=1, width=3).double()
    assert isinstance(exact, Glow)
    generator = torch.Generator().manual_seed(0)
    centre, spread = exact.render(exact.sample(4000)).mean(dim=0), 3.0
    drawn = torch.randn(200_000, 1, 2, 2, generator=generator, dtype=torch.float64)
    images = centre[..., :2, :2] + spread * drawn
    proposal = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).flatten(1).sum(1)
    weights = (exact.log_prob(images) - proposal + 4 * math.log(spread)).exp()
    assert weights.mean().item() == pytest.approx(1, abs=0.1)


def test_gradients_reach_the_pictures() -> None:
    generator = glow()
    images = pictures(generator, 16).float().requires_grad_()
    generator.log_prob(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_bits_a_dimension_are_the_published_loss() -> None:
    generator = glow()
    grey = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    images = grey / 127.5 - 1
    for bits in (5, 8):
        levels = 2**bits
        noise = torch.from_numpy(np.random.RandomState(3).rand(2, 3, 16, 16))
        x = ((grey // 2 ** (8 - bits)) + noise).float() / levels - 0.5
        _, _, log_p, logdet = generator.network(x)
        size = 3 * 16 * 16
        loss = -(log_p + logdet - math.log(levels) * size) / (math.log(2) * size)
        ours = generator.bits_per_dim(images, bits=bits, seed=3)
        assert torch.allclose(ours, loss, atol=1e-4)


# Codes.


def test_a_temperature_scales_the_code() -> None:
    generator = glow()
    cool = generator.sample(3, seed=4, truncation=0.7)
    assert torch.equal(cool.data, 0.7 * generator.sample(3, seed=4).data)
    assert torch.equal(
        generator.to(generator.sample(3, seed=4), "z", truncation=0.7).data, cool.data
    )
    with pytest.raises(CapabilityError, match="no rows"):
        generator.to(cool, "z", truncation=0.7, truncation_cutoff=1)


def test_slices_say_which_numbers_are_whose() -> None:
    generator = glow(levels=3)
    assert [*generator.slices] == ["b16", "b8", "b4"]
    assert generator.spaces["z"].slices == generator.slices
    parts, _, _, _ = generator.network(pictures(generator, 32).float() / 2)
    code = generator.encode(pictures(generator, 32).float())
    for (name, place), part in zip(generator.slices.items(), parts, strict=True):
        assert code.data[:, place].shape[1] == part[0].numel()
        assert part.shape[-1] == int(name[1:])


def test_other_sides_are_taken_as_they_come() -> None:
    generator = glow()
    assert generator.resolution == 16
    images = pictures(generator, 8).float()
    code = generator.encode(images)
    assert torch.allclose(generator.render(code), images, atol=1e-4)
    small = generator.at_resolution(8)
    assert small.sample(1).data.shape == (1, 3 * 8 * 8)
    assert small.fingerprint == generator.fingerprint
    assert torch.equal(small.render(code), generator.render(code))
    captured = small.capture(code, [layer.name for layer in small.layers])
    for layer in small.layers:
        assert captured[layer.name].shape == (2, layer.channels, layer.height, layer.width)


@pytest.mark.parametrize(
    "shape", [(1, 3, 6, 6), (1, 1, 16, 16), (1, 3, 16, 8), (3, 16, 16), (1, 3, 0, 0)]
)
def test_pictures_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for method in (glow().encode, glow().log_prob):
        with pytest.raises(ShapeError, match="multiple of 4"):
            method(torch.zeros(shape))


def test_a_side_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ShapeError, match="multiple of 4"):
        glow().at_resolution(10)
    with pytest.raises(ShapeError, match="shape"):
        glow().latent(torch.zeros(1, 3 * 10 * 10))


def test_the_renderer_reuses_the_coarse_levels() -> None:
    generator = glow(levels=3)
    renderer = sb.Renderer(generator)
    latent = generator.sample(1)
    before = renderer.render(latent)
    assert torch.equal(before, generator.render(latent))
    fine = latent.data.clone()
    fine[:, generator.slices["b16"]] *= 0.5
    changed = generator.latent(fine)
    assert torch.equal(renderer.render(changed), generator.render(changed))
    assert not torch.equal(renderer.render(changed), before)


def test_other_generators_say_that_they_cannot() -> None:
    generator = without_code()
    with pytest.raises(CapabilityError, match=r"sb\.invert"):
        generator.encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(CapabilityError, match="how likely"):
        generator.log_prob(torch.zeros(1, 3, 16, 16))


# Files.


def published(generator: Glow, *, lu: str = "all", prefix: str = "module.") -> dict[str, Tensor]:
    """The weights under the names of glow-pytorch, 1x1 convolutions in factors or whole."""
    state: dict[str, Tensor] = {}
    count = len(generator.network.levels)
    for name, value in generator.tensors().items():
        name = name.replace("levels.", "blocks.")
        flow, _, part = name.rpartition(".")
        if part in ("loc", "scale") and not flow.endswith(("net.4", "prior")):
            state[f"{flow}.actnorm.{part}"] = value[None]
            state[f"{flow}.actnorm.initialized"] = torch.tensor(1, dtype=torch.uint8)
        elif part == "scale":
            state[name.replace(".net.", ".coupling.net.")] = value[None]
        elif value.ndim == 2:
            factors = lu == "all" or (lu == "last" and f"blocks.{count - 1}." in name)
            state |= (
                in_factors(flow, value)
                if factors
                else {f"{flow}.invconv.weight": value[:, :, None, None]}
            )
        else:
            state[name.replace(".net.", ".coupling.net.")] = value
    return {f"{prefix}{name}": value.clone() for name, value in state.items()}


def in_factors(flow: str, weight: Tensor) -> dict[str, Tensor]:
    p, l, u = torch.linalg.lu(weight)  # noqa: E741
    ones = torch.ones_like(weight)
    diagonal = u.diagonal()
    parts = {
        "w_p": p, "u_mask": ones.triu(1), "l_mask": ones.tril(-1), "l_eye": torch.eye(len(p)),
        # What the masks cover is of no use; training leaves anything there.
        "w_l": l + 3 * ones.triu(), "w_u": u.triu(1) + 3 * ones.tril(),
        "s_sign": diagonal.sign(), "w_s": diagonal.abs().log(),
    }  # fmt: skip
    return {f"{flow}.invconv.{name}": value for name, value in parts.items()}


@pytest.mark.parametrize("lu", ["all", "last", "none"])
@pytest.mark.parametrize("options", OPTIONS)
def test_every_notation_is_read(lu: str, options: dict[str, Any], tmp_path: Path) -> None:
    generator = glow(**options)
    torch.save(published(generator, lu=lu), tmp_path / "model_010001.pt")
    again = load(tmp_path / "model_010001.pt")
    assert isinstance(again, Glow)
    assert again.config() == generator.config()
    latent = generator.sample(2)
    got = again.render(again.latent(latent.data))
    assert torch.allclose(got, generator.render(latent), atol=1e-4)


@pytest.mark.parametrize(("prefix", "key"), [("", None), ("module.", "model"), ("", "state_dict")])
def test_other_wrappings_are_read(prefix: str, key: str | None, tmp_path: Path) -> None:
    state = published(glow(), prefix=prefix)
    torch.save(state if key is None else {key: state, "iter": 3}, tmp_path / "x.pt")
    (tmp_path / "config.json").write_text(json.dumps({"img_size": 32}))
    again = load(tmp_path / "x.pt")
    assert again.architecture == "glow"
    assert again.resolution == 32
    assert load(tmp_path / "x.pt", img_size=8).resolution == 8
    with pytest.raises(CheckpointError, match="multiple of 4"):
        load(tmp_path / "x.pt", img_size=10)


def spoiled(change: Any) -> dict[str, Tensor]:
    state = published(glow())
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["module.blocks.0.flows.1.actnorm.initialized"].zero_(), "before its first"),
        (lambda s: s.pop("module.blocks.1.flows.0.invconv.w_u"), "w_u"),
        (lambda s: s.pop("module.blocks.0.flows.1.coupling.net.2.bias"), "net.2.bias"),
        (lambda s: s.update({"module.blocks.5.prior.scale": torch.zeros(1, 3, 1, 1)}), "gaps"),
        (lambda s: s["module.blocks.0.flows.0.actnorm.loc"].fill_(torch.nan), "NaN"),
        (
            lambda s: s.update({"module.blocks.1.prior.conv.weight": torch.zeros(4, 4, 3, 3)}),
            "do not fit",
        ),
        (
            # A file in factors: the last of the diagonal becomes exp(-inf) = 0.
            lambda s: s["module.blocks.1.flows.0.invconv.w_s"][-1:].fill_(-1e30),
            "blocks.1.flows.0 is singular",
        ),
    ],
)
def test_incomplete_files_say_what_is_wrong(change: Any, says: str, tmp_path: Path) -> None:
    torch.save(spoiled(change), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=says):
        load(tmp_path / "x.pt")
