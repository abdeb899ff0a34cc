"""StyleGAN3 of any setting against plain equations, its files, and its turned pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steerbench.errors import CheckpointError, ShapeError, SpaceError
from steerbench.generators import StyleGAN2, StyleGAN3, load, save
from steerbench.generators.fast import convolution, tuning
from steerbench.generators.stylegan2.discriminator import PublishedDiscriminator
from steerbench.generators.stylegan2.network import StyleGAN2Network
from steerbench.generators.stylegan3.filters import LayerPlan, plan_layers
from steerbench.generators.stylegan3.network import FourierInput, StyleGAN3Network, SynthesisLayer
from tests.contracts.test_generators import ROTATING, stylegan3_network
from tests.generators.persistence import Saved, write
from tests.generators.stylegan3_reference import picture

SETTINGS: dict[str, dict[str, Any]] = {
    "t": {},
    "r": ROTATING,
    "grey, conditional": {"channels": 1, "c_dim": 3},
    "r, conditional": {"c_dim": 5, **ROTATING},
    "more critical layers": {"num_critical": 3, "num_layers": 7},
    "no critical layer": {"num_critical": 0},
    "another band": {"first_cutoff": 1.5, "first_stopband": 4.5, "last_stopband_rel": 1.4},
    "short filters": {"filter_size": 4},
    "odd filters": {"filter_size": 3, "lrelu_upsampling": 4},
    "rectified on its own grid": {"lrelu_upsampling": 1},
    "wide kernels": {"conv_kernel": 5, "margin_size": 6},
    "even kernels": {"conv_kernel": 2},
    "often clamped": {"conv_clamp": 0.5},
    "never clamped": {"conv_clamp": None},
}


def attributes(name: str, module: nn.Module) -> dict[str, Any]:
    """What the modules of a published file keep beside their weights."""
    if isinstance(module, FourierInput):
        plan = module.plan
        size = np.array([plan.size, plan.size])
        kept = {"channels": plan.channels, "size": size, "bandwidth": np.float64(plan.bandwidth)}
        return {**kept, "sampling_rate": np.float64(plan.rate)}
    if isinstance(module, SynthesisLayer):
        return layer_attributes(module.plan)
    if name == "synthesis":
        return {"output_scale": module.output_scale, "num_layers": 14}
    if name.startswith("mapping.fc"):
        return {"activation": "lrelu", "bias_gain": 0.01, "weight_gain": module.weight_gain}
    return {"conv_clamp": 256} if name.endswith(("conv", "conv0", "conv1")) else {}


def layer_attributes(plan: LayerPlan) -> dict[str, Any]:
    return {
        "is_torgb": plan.paints,
        "is_critically_sampled": plan.paints,
        "use_fp16": True,
        "in_channels": plan.inputs,
        "out_channels": plan.outputs,
        "in_size": np.array([plan.in_size, plan.in_size]),
        "out_size": np.array([plan.out_size, plan.out_size]),
        "in_sampling_rate": plan.in_rate,
        "out_sampling_rate": plan.out_rate,
        "tmp_sampling_rate": plan.rate,
        "in_cutoff": np.float64(plan.in_cutoff),
        "out_cutoff": np.float64(plan.out_cutoff),
        "in_half_width": np.float64(plan.in_half_width),
        "out_half_width": np.float64(plan.out_half_width),
        "conv_kernel": plan.kernel,
        "conv_clamp": plan.clamp,
        "up_taps": plan.up_taps,
        "down_taps": plan.down_taps,
        "down_radial": plan.radial,
    }


def plain(generator: StyleGAN3, ws: Tensor) -> Tensor:
    network = generator.double().network
    return picture(network, ws.double(), generator.transform.double())


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_file_of_any_setting_is_what_the_equations_say(setting: str, tmp_path: Path) -> None:
    network = stylegan3_network(**SETTINGS[setting])
    network.synthesis.output_scale = 0.5
    network.synthesis.input.transform[0, 2] = 0.1
    path = write(tmp_path / "anything", G_ema=Saved(network, attributes))
    generator = load(path)
    assert isinstance(generator, StyleGAN3)
    assert generator.classes == SETTINGS[setting].get("c_dim", 0)
    rows = generator.sample(2, space="w+")
    expected = plain(generator, rows.data)
    exact = generator.double()
    again = exact.render(exact.latent(rows.data.double(), "w+"))
    assert again.shape == (2, SETTINGS[setting].get("channels", 3), 32, 32)
    assert torch.allclose(again, expected, atol=1e-7)
    assert torch.allclose(generator.render(rows).double(), expected, atol=1e-5)
    save(generator, tmp_path / "ours.safetensors")
    assert load(tmp_path / "ours.safetensors").fingerprint == generator.fingerprint


def test_the_average_is_taken_and_the_discriminator_comes_with_it(tmp_path: Path) -> None:
    average, raw = stylegan3_network(c_dim=4), stylegan3_network(c_dim=4)
    raw.mapping.w_avg.fill_(9)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        judge = PublishedDiscriminator(
            widths={32: 4, 16: 6, 8: 8, 4: 8}, c_dim=4, label_width=8, mapping_layers=2, clamp=256.0
        )
    parts = {"G": raw, "D": judge, "G_ema": average}
    path = write(tmp_path / "network.pkl", **{k: Saved(v, attributes) for k, v in parts.items()})
    generator = load(path)
    assert torch.equal(generator.mean_code, average.mapping.w_avg)
    z = generator.sample(3, label=[0, 1, 2])
    images = generator.render(z)
    weights = generator.label_weights(z.label, images)
    assert torch.allclose(generator.discriminator(images, z.label), judge(images, weights))
    save(generator, tmp_path / "ours.safetensors")
    again = load(tmp_path / "ours.safetensors")
    assert torch.equal(again.discriminator(images, z.label), judge(images, weights))


def test_weights_alone_are_read_with_the_published_settings(tmp_path: Path) -> None:
    first, layers = plan_layers(64, channel_base=128, channel_max=8, **ROTATING)
    network = StyleGAN3Network(z_dim=6, w_dim=8, first=first, layers=layers)
    torch.save({"G_ema": network.state_dict()}, tmp_path / "weights.pt")
    generator = load(tmp_path / "weights.pt")
    assert generator.network.synthesis.plans == tuple(layers)
    rows = generator.sample(1, space="w+")
    with torch.no_grad():
        assert torch.allclose(generator.render(rows), network.synthesis(rows.data), atol=1e-6)


def test_weights_alone_of_other_settings_are_refused(tmp_path: Path) -> None:
    torch.save(stylegan3_network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"Give the \.pkl file"):
        load(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"in_size": np.array([2**20, 2**20])}, "the one before it"),
        ({"out_size": np.array([2**20, 2**20])}, "at most"),
        ({"in_size": np.array([])}, "'in_size' as a number"),
        ({"tmp_sampling_rate": 33}, "whole factors"),
        ({"conv_kernel": 0}, "should count something"),
        ({"in_cutoff": "two"}, "'in_cutoff' as a number"),
        ({"up_taps": 14}, "do not fit together"),
        ({"down_radial": True}, "do not fit together"),
    ],
)
def test_a_layer_that_contradicts_itself_is_refused(
    spoil: dict[str, Any], says: str, tmp_path: Path
) -> None:
    def spoiled(name: str, module: nn.Module) -> dict[str, Any]:
        kept = attributes(name, module)
        return kept | spoil if name.startswith("synthesis.L1") and "in_size" in kept else kept

    path = write(tmp_path / "network.pkl", G_ema=Saved(stylegan3_network(), spoiled))
    with pytest.raises(CheckpointError, match=says):
        load(path)


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_stylegan2_saved_by_the_stylegan3_code(architecture: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2Network(
            z_dim=6,
            w_dim=8,
            c_dim=2,
            widths={4: 8, 8: 6, 16: 4},
            mapping_layers=3,
            embed_dim=8,
            architecture=architecture,
            clamp=0.9,
        )

    def kept(name: str, module: nn.Module) -> dict[str, Any]:
        clamped = name.endswith(("conv0", "conv1", "torgb"))
        block = name.count(".") == 1 and name.startswith("synthesis.b")
        return {
            **({"conv_clamp": 0.9, "use_noise": True, "activation": "lrelu"} if clamped else {}),
            **({"architecture": architecture, "fused_modconv_default": True} if block else {}),
            **({"bias_gain": 0.01} if name.startswith("mapping.fc") else {}),
        }

    for block in (network.synthesis.b4, network.synthesis.b8, network.synthesis.b16):
        block.register_buffer("resample_filter", network.synthesis.resample_filter)
    path = write(tmp_path / "network.pkl", G_ema=Saved(network, kept))
    generator = load(path)
    assert isinstance(generator, StyleGAN2)
    assert generator.format == "stylegan2-ada-pytorch"
    assert generator.network.synthesis.clamp == 0.9
    z = generator.sample(2)
    with torch.no_grad():
        expected = network(z.data, generator.label_weights(z.label, z.data), noise="const")
    assert torch.allclose(generator.render(z), expected, atol=1e-6)


@pytest.mark.parametrize("numbers", [1, 2**12, 2**14])
@pytest.mark.parametrize("setting", ["t", "r", "no critical layer", "odd filters"])
def test_pictures_do_not_depend_on_how_the_work_is_cut(
    setting: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = StyleGAN3(stylegan3_network(**SETTINGS[setting]), name="whole").double()
    rows = generator.sample(3, space="w+")
    whole = generator.render(rows)
    small = replace(tuning.TUNING, part=numbers, strip=numbers)
    monkeypatch.setattr(tuning, "TUNING", small)
    assert torch.allclose(generator.render(rows), whole, atol=1e-12)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_fewer_multiplications_give_the_same_picture(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that wide layers go, taken by narrow ones."""
    generator = StyleGAN3(stylegan3_network(channel_base=512, channel_max=24), name="narrow")
    rows = generator.sample(3, space="w+")
    expected = plain(generator, rows.data)
    monkeypatch.setattr(tuning, "TUNING", replace(tuning.TUNING, quick_channels=1))
    monkeypatch.setattr(convolution, "quick_pays", lambda dtype: True)
    picture = generator.render(rows, precision=precision).double()
    assert any(part.kernel(torch.float32)[0].points is not None for part in generator.parts[1:])
    error = (picture - expected).abs().max() / expected.std()
    assert error < (1e-4 if precision == "exact" else 0.2)
    if precision == "fast":
        assert (picture - expected).abs().mean() < 0.02 * expected.std()


@pytest.mark.parametrize("setting", ["t", "r"])
def test_directions_and_batches_of_functions_go_through_it(setting: str) -> None:
    generator = StyleGAN3(stylegan3_network(**SETTINGS[setting]), name="any").double()
    synthesis = generator.network.synthesis
    rows, step = generator.sample(2, space="w+").data[:, None].clone()
    image, slope = torch.func.jvp(synthesis, (rows,), (step,))
    assert torch.allclose(image, synthesis(rows), atol=1e-12)
    near = (synthesis(rows + 1e-6 * step) - synthesis(rows - 1e-6 * step)) / 2e-6
    assert torch.allclose(slope, near, atol=1e-6)
    many = torch.func.vmap(synthesis)(torch.stack([rows, step]))
    assert torch.allclose(many[1], synthesis(step), atol=1e-12)


# Turning and moving.


@pytest.fixture(scope="module")
def translating() -> StyleGAN3:
    first, layers = plan_layers(64, channel_base=256, channel_max=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = StyleGAN3Network(z_dim=6, w_dim=8, first=first, layers=layers)
    return StyleGAN3(network, name="translating")


@pytest.fixture(scope="module")
def rotating() -> StyleGAN3:
    first, layers = plan_layers(64, channel_base=256, channel_max=8, **ROTATING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = StyleGAN3Network(z_dim=6, w_dim=8, first=first, layers=layers)
    return StyleGAN3(network, name="rotating")


def alike(one: Tensor, other: Tensor) -> float:
    """How far two pictures are apart, in standard deviations of the first."""
    return float((one - other).square().mean().sqrt() / one.std())


def test_a_translation_moves_the_picture_to_the_right_and_down(translating: StyleGAN3) -> None:
    z = translating.sample(1, seed=1)
    still = translating.render(z)
    moved = translating.with_transform(translate=(8 / 64, 4 / 64)).render(z)
    assert alike(still[..., 8:52, 8:48], moved[..., 12:56, 16:56]) < 0.05
    assert alike(still[..., 8:52, 8:48], moved[..., 8:52, 8:48]) > 0.3


def test_a_quarter_turn_is_counter_clockwise(rotating: StyleGAN3) -> None:
    z = rotating.sample(1, seed=1)
    still, turned = rotating.render(z), rotating.with_transform(90).render(z)
    inside = slice(10, 54)
    turned_back = turned.rot90(-1, (2, 3))
    assert alike(still[..., inside, inside], turned_back[..., inside, inside]) < 0.05
    assert alike(still[..., inside, inside], turned[..., inside, inside]) > 0.3


def test_turning_comes_before_moving(rotating: StyleGAN3) -> None:
    turned = rotating.with_transform(30, (0.2, 0.1))
    point = torch.tensor([0.3, 0.0, 1.0])
    there = torch.linalg.inv(turned.transform) @ point
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    assert there.tolist() == pytest.approx([0.3 * c + 0.2, -0.3 * s + 0.1, 1.0], abs=1e-6)
    by_matrix = rotating.with_transform(inverse=turned.transform.numpy())
    assert torch.equal(by_matrix.transform, turned.transform)
    assert by_matrix.fingerprint == turned.fingerprint


def test_a_turned_generator_takes_the_same_codes_and_is_another_one(rotating: StyleGAN3) -> None:
    turned = rotating.with_transform(30)
    w = rotating.sample(1, space="w")
    assert turned.fingerprint != rotating.fingerprint
    assert torch.equal(turned.render(w), turned.render(turned.sample(1, space="w")))
    assert torch.equal(turned.to(w, "s").data, rotating.to(w, "s").data)
    back = turned.with_transform()
    assert back.fingerprint == rotating.fingerprint
    assert torch.equal(back.render(w), rotating.render(w))
    stranger = StyleGAN3(stylegan3_network(), name="stranger")
    with pytest.raises(SpaceError, match="belongs to generator"):
        turned.render(stranger.sample(1))


@pytest.mark.parametrize("copied", [lambda G: G.double(), lambda G: G.on("cpu"), lambda G: G])
def test_a_transform_survives_copies_and_files(
    rotating: StyleGAN3, copied: Callable[[Any], Any], tmp_path: Path
) -> None:
    turned = rotating.with_transform(30, (0.1, 0))
    save(turned, tmp_path / "turned.safetensors")
    again = load(tmp_path / "turned.safetensors")
    assert again.fingerprint == turned.fingerprint
    z = rotating.sample(1)
    assert torch.equal(again.render(again.sample(1)), turned.render(z))
    copy = copied(turned)
    assert torch.allclose(copy.render(z).float(), turned.render(z), atol=1e-5)


@pytest.mark.parametrize("matrix", [np.eye(2), np.full((3, 3), np.nan), [1, 2]])
def test_a_transform_that_is_none_is_refused(rotating: StyleGAN3, matrix: Any) -> None:
    with pytest.raises(ShapeError, match="3x3"):
        rotating.with_transform(inverse=matrix)


def test_a_style_turns_the_picture_too(rotating: StyleGAN3) -> None:
    s = rotating.sample(1, space="s")
    place = rotating.slices["input"]
    data = s.data.clone()
    data[:, place] = torch.tensor([0.0, 5.0, 0.0, 0.0])
    turned = rotating.render(s.with_data(data))
    data[:, place] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    upright = rotating.render(s.with_data(data))
    inside = slice(10, 54)
    differences = [
        alike(upright[..., inside, inside], turned.rot90(k, (2, 3))[..., inside, inside])
        for k in (1, -1)
    ]
    assert min(differences) < 0.05


def test_layers_have_short_names_and_rows(rotating: StyleGAN3) -> None:
    names = [layer.name for layer in rotating.layers]
    assert names[0] == "input"
    assert rotating.find_layer("L3").name == names[4]
    assert rotating.find_layer(f"synthesis.{names[4]}").row == 4
    weights = rotating.affine("w+", layers="0,4")
    assert weights.shape == (4 + rotating.layers[3].channels, 8)
