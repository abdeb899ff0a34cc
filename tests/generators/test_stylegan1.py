"""StyleGAN against its equations, for sizes and options that no recorded file has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from steerbench.errors import CheckpointError, SteerbenchError
from steerbench.generators import StyleGAN1, load, save
from steerbench.generators.conversion import convert
from tests.generators import stylegan1_reference as reference
from tests.generators import tensorflow_files as files
from tests.generators.stylegan1_reference import State, make_state


def written(path: Path, state: State, smooth: bool = True) -> Path:
    value = {"generator": {k: v + 1 for k, v in state.items()}, "generator_smooth": state}
    torch.save(value if smooth else state, path)
    return path


def compare(
    generator: StyleGAN1, state: State, label: Tensor | None = None, **options: object
) -> None:
    z = generator.sample(2, label=label)
    w = reference.mapped(state, z.data, label)
    assert torch.allclose(generator.to(z, "w").data.double(), w, atol=1e-5)
    expected = reference.painted(state, w, **options)  # type: ignore[arg-type]
    got = generator.render(z, noise="const" if options.get("noise", True) else "none").double()
    assert (got - expected).abs().max() < 1e-4 * expected.abs().max()


def open_stylegan1(path: Path, **settings: object) -> StyleGAN1:
    generator = load(path, **settings)
    assert isinstance(generator, StyleGAN1)
    return generator


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"widths": (5,)},
        {"widths": (4, 8), "z_dim": 12, "w_dim": 3, "width": 4, "layers": 2, "channels": 1},
        {"layers": 1, "label": 4},
    ],
)
def test_genforce_of_any_size(sizes: dict, tmp_path: Path) -> None:
    state = make_state(**sizes)
    generator = open_stylegan1(written(tmp_path / "any.thing", state))
    label = torch.tensor([[0.2, 0.3, 0, 0.5], [0, 1, 0, 0]]) if "label" in sizes else None
    compare(generator, state, label)
    compare(generator, state, label, noise=False)
    save(generator, tmp_path / "ours.safetensors")
    assert load(tmp_path / "ours.safetensors").fingerprint == generator.fingerprint


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("tanh", [True, False])
def test_what_genforces_weights_cannot_say_is_told(fused: bool, tanh: bool, tmp_path: Path) -> None:
    state = make_state()
    path = written(tmp_path / "g.pth", state, smooth=False)
    told = open_stylegan1(path, fused_scale=fused, final_tanh=tanh)
    compare(told, state, fused_from=0 if fused else 9999, tanh=tanh)
    model = {"fused_scale": fused, "final_tanh": tanh}
    convert(path, tmp_path / "ours.safetensors", **model)
    beside = {"modules": {"generator": {"model": model}}}
    (tmp_path / "config.json").write_text(json.dumps(beside))
    for again in (load(path), load(tmp_path / "ours.safetensors")):
        assert torch.equal(again.render(told.sample(1)), told.render(told.sample(1)))


def test_auto_fuses_from_128_pixels_on(tmp_path: Path) -> None:
    state = make_state((3, 3, 3, 2, 2, 2))
    compare(open_stylegan1(written(tmp_path / "g.pth", state)), state, fused_from=128)


@pytest.mark.parametrize("level", [0.25, 1.0, 1.5, 2.0])
def test_levels_of_detail(level: float, tmp_path: Path) -> None:
    state = make_state()
    whole = open_stylegan1(written(tmp_path / "g.pth", state))
    compare(whole.at_level(level), state, level=level)
    state["synthesis.lod"] = torch.tensor(level)
    compare(open_stylegan1(written(tmp_path / "grown.pth", state)), state, level=level)
    with pytest.raises(SteerbenchError, match="0 to 2"):
        whole.at_level(2.5)


def old_names(state: State, dense: str, const: str, fused: bool) -> State:
    """genforce's names as HiGAN or InterFaceGAN write them; fused kernels lie as in TensorFlow."""
    renamed = {}
    for name, tensor in state.items():
        head, _, last = name.rpartition(".")
        if head.startswith("mapping"):
            name = f"{head}.{dense}.weight" if last == "weight" else f"{head}.wscale.bias"
        elif head.endswith(".style"):
            head = head.replace(".style", ".epilogue.style_mod.dense")
            name = f"{head}.{dense}.weight" if last == "weight" else f"{head}.wscale.bias"
        elif ".apply_noise" in name:
            name = name.replace(".apply_noise", ".epilogue.apply_noise")
        elif name.endswith(".const"):
            name = f"{head}.{const}"
        elif last == "bias" and ".layer" in head:
            name = f"{head}.epilogue.bias"
        elif last == "weight" and not (fused and f"{head}.blur.kernel" in state):
            name = f"{head}.conv.weight"
        elif last == "weight":
            tensor = tensor.permute(2, 3, 1, 0)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize(("dense", "const"), [("fc", "const"), ("linear", "first_layer")])
@pytest.mark.parametrize("fused", [True, False])
def test_the_names_of_higan_and_interfacegan(
    dense: str, const: str, fused: bool, tmp_path: Path
) -> None:
    state = make_state()
    state["synthesis.lod"] = torch.tensor(0.5)
    old = old_names(state, dense, const, fused)
    generator = open_stylegan1(written(tmp_path / "g.pth", old, smooth=False))
    # They have no blending: a level that is not whole leaves out the block.
    compare(generator, state, level=1.0, fused_from=0 if fused else 9999)


def huangzh13_names(state: State) -> State:
    """genforce's names as StyleGAN.pytorch writes them, without the noise, which it never keeps."""
    renamed = {"truncation.avg_latent": state["truncation.w_avg"]}
    for name, tensor in state.items():
        head, _, last = name.rpartition(".")
        part = name.split(".")[1]
        if head.startswith("mapping"):
            renamed[name.replace("mapping", "g_mapping.map")] = tensor
        elif part.startswith("output"):
            renamed[f"g_synthesis.to_rgb.{part.removeprefix('output')}.{last}"] = tensor
        if not part.startswith("layer"):
            continue
        number = int(part.removeprefix("layer"))
        place, second = number // 2, number % 2
        block = f"g_synthesis.blocks.{place - 1}" if place else "g_synthesis.init_block"
        if head.endswith("style"):
            renamed[f"{block}.epi{second + 1}.style_mod.lin.{last}"] = tensor
        elif head.endswith("apply_noise") and last == "weight":
            renamed[f"{block}.epi{second + 1}.top_epi.noise.weight"] = tensor
        elif head.endswith("blur"):
            renamed[f"{block}.conv0_up.intermediate.kernel"] = tensor[:1]
        elif not head.endswith("apply_noise"):
            convolution = ("conv0_up", "conv1") if place else ("", "conv")
            renamed[".".join(filter(None, (block, convolution[second], last)))] = tensor
    if "mapping.label_weight" in state:
        renamed["class_embedding.weight"] = state["mapping.label_weight"]
        del renamed["g_mapping.map.label_weight"]
    return renamed


@pytest.mark.parametrize(
    "sizes",
    [
        {"widths": (3, 3, 3, 2, 2, 2)},
        {"widths": (5,), "channels": 1},
        {"layers": 1, "label": 4, "z_dim": 5, "w_dim": 3},
    ],
)
def test_huangzh13_of_any_size(sizes: dict, tmp_path: Path) -> None:
    state = make_state(**sizes)
    theirs = huangzh13_names(state)
    generator = open_stylegan1(written(tmp_path / "GAN_GEN.pth", theirs, smooth=False))
    label = torch.eye(4)[[2, 0]] if "label" in sizes else None
    compare(generator, state, label, eps=1e-5, noise=False)
    assert torch.equal(generator.mean_code, state["truncation.w_avg"])
    latent = generator.sample(1)
    assert torch.equal(generator.render(latent), generator.render(latent))
    assert not torch.equal(generator.render(latent), generator.render(latent, noise="none"))
    parallel = {f"module.{name}": tensor for name, tensor in theirs.items()}
    again = load(written(tmp_path / "parallel.pth", parallel, smooth=False))
    assert torch.equal(again.render(latent), generator.render(latent))


def test_huangzh13_without_a_blur(tmp_path: Path) -> None:
    state = make_state()
    theirs = {k: v for k, v in huangzh13_names(state).items() if "intermediate" not in k}
    generator = open_stylegan1(written(tmp_path / "g.pth", theirs, smooth=False))
    for name in [name for name in state if "blur" in name]:
        state[name] = torch.zeros_like(state[name])
        state[name][:, :, 1, 1] = 1
    compare(generator, state, eps=1e-5, noise=False)


@pytest.mark.parametrize("fused", [True, False, "auto"])
@pytest.mark.parametrize("label", [0, 4])
def test_tensorflow(fused: bool | str, label: int, tmp_path: Path) -> None:
    state = make_state((3, 3, 2, 2, 2, 2) if fused == "auto" else (5, 4, 3), label=label)
    state["synthesis.lod"] = torch.tensor(0.25)
    other = {name: tensor + 1 for name, tensor in state.items()}
    networks = [
        files.network("G_style", files.stylegan1(own), version=3, fused_scale=fused)
        for own in (other, other, state)
    ]
    generator = open_stylegan1(files.written(tmp_path / "g.pkl", networks))
    soft = torch.tensor([[0.2, 0.3, 0, 0.5], [0, 1, 0, 0]]) if label else None
    start = {True: 0, False: 9999, "auto": 128}[fused]
    compare(generator, state, soft, fused_from=start, level=0.25)
    assert torch.equal(generator.mean_code, state["truncation.w_avg"])


def test_tensorflows_settings(tmp_path: Path) -> None:
    state = make_state()
    variables = {k: v for k, v in files.stylegan1(state).items() if "oise" not in k}
    settings = {"use_noise": False, "blur_filter": None, "truncation_psi": 0.7}
    network = files.network("G_style", variables, **settings)
    generator = open_stylegan1(files.written(tmp_path / "g.pkl", [network]))
    for name in [name for name in state if "blur" in name]:
        state[name] = torch.zeros_like(state[name])
        state[name][:, :, 1, 1] = 1
    latent = generator.sample(1)
    assert torch.equal(generator.render(latent), generator.render(latent, noise="none"))
    compare(generator, state, noise=False)
    for name, value, says in (
        ("use_pixel_norm", True, "use_pixel_norm"),
        ("fused_scale", "often", "fused_scale"),
        ("mapping_lrmul", None, "not a number"),
    ):
        network = files.network("G_style", variables, **{name: value})
        with pytest.raises(CheckpointError, match=says):
            load(files.written(tmp_path / "g.pkl", [network]))
    del variables["synthesis/ToRGB_lod1/weight"]
    with pytest.raises(CheckpointError, match="fixed"):
        load(files.written(tmp_path / "g.pkl", [files.network("G_style", variables)]))


def test_a_mean_code_that_is_missing_is_measured(tmp_path: Path) -> None:
    state = make_state()
    del state["truncation.w_avg"]
    generator = open_stylegan1(written(tmp_path / "g.pth", state))
    drawn = generator.to(generator.sample(1000, seed=9000), "w").data
    assert ((generator.mean_code - drawn.mean(dim=0)).abs() < 0.15 * drawn.std(dim=0)).all()


def test_settings_that_do_not_exist_are_explained(tmp_path: Path) -> None:
    path = written(tmp_path / "g.pth", make_state())
    with pytest.raises(SteerbenchError, match="Did you mean 'fused_scale'"):
        load(path, fused_scales=True)
    with pytest.raises(CheckpointError, match="True, False or 'auto'"):
        load(path, fused_scale="yes")
    with pytest.raises(SteerbenchError, match="says all of itself"):
        load("rooms", fused_scale=True)


def test_a_mapping_of_one_code_a_layer_is_refused_with_the_reason(tmp_path: Path) -> None:
    state = make_state(w_dim=7)
    for kind in ("weight", "bias"):
        part = f"mapping.dense2.{kind}"
        state[part] = torch.cat([state[part]] * 6)
    with pytest.raises(CheckpointError, match="repeat_w"):
        load(written(tmp_path / "g.pth", state))


def test_a_layer_that_repeats_pixels_does_as_it_says() -> None:
    from steerbench.generators.stylegan1.network import merge_repeats

    weight, x = torch.randn(3, 2, 3, 3), torch.randn(1, 2, 5, 5)
    fast = torch.nn.functional.conv_transpose2d(x, merge_repeats(weight), stride=2, padding=1)
    slow = torch.nn.functional.conv2d(reference.doubled(x), weight, padding=1)
    assert torch.allclose(fast, slow, atol=1e-5)
    assert torch.allclose(reference.scattered(x, weight.flip(2, 3)), slow, atol=1e-5)


def test_frozen_kernels_are_kept_and_renewed() -> None:
    from tests.contracts.test_generators import stylegan1

    generator = stylegan1()
    assert isinstance(generator, StyleGAN1)
    latent = generator.sample(1)
    before = generator.render(latent)
    generator.network.get_parameter("b16.conv0.weight").mul_(-1)
    assert not torch.equal(generator.render(latent), before)
