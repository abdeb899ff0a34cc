"""Formats recognise what is theirs by content, for sizes and options that no recorded file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from steerbench.errors import CheckpointError, LatentError
from steerbench.generators import GENERATORS, StyleGAN2, load, save
from steerbench.generators.checkpoints import FORMATS, read, recognise, state_dicts
from steerbench.generators.stylegan2.network import StyleGAN2Network
from tests.contracts.test_generators import dcgan


def network(architecture: str, channels: int, c_dim: int) -> StyleGAN2Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StyleGAN2Network(
            z_dim=10,
            w_dim=8,
            c_dim=c_dim,
            widths={4: 8, 8: 6, 16: 4, 32: 4},
            channels=channels,
            mapping_layers=3,
            mapping_width=12,
            embed_dim=5,
            architecture=architecture,
        )


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(("channels", "c_dim"), [(3, 0), (1, 4)])
def test_architecture_channels_and_labels_follow_from_the_names_and_shapes(
    architecture: str, channels: int, c_dim: int, tmp_path: Path
) -> None:
    made = network(architecture, channels, c_dim)
    torch.save({"G_ema": made.state_dict()}, tmp_path / "anything.bin")
    generator = load(tmp_path / "anything.bin")
    assert isinstance(generator, StyleGAN2)
    z = generator.sample(2)
    label = generator.label_weights(z.label, z.data)
    with torch.no_grad():
        expected = made(z.data, label, noise="const")
    assert torch.allclose(generator.render(z), expected, atol=1e-6)
    save(generator, tmp_path / "ours.safetensors")
    assert load(tmp_path / "ours.safetensors").fingerprint == generator.fingerprint


def genforce_names(made: StyleGAN2Network) -> dict[str, torch.Tensor]:
    """StyleGAN2-ADA as genforce stores it, from a network of ours without a joint label."""
    ours = made.state_dict()
    theirs = {"truncation.w_avg": ours["mapping.w_avg"]}
    for kind in ("weight", "bias"):
        theirs[f"mapping.LabelEmbed.{kind}"] = ours[f"mapping.embed.{kind}"]
        for i in range(made.mapping.num_layers):
            theirs[f"mapping.dense{i}.{kind}"] = ours[f"mapping.fc{i}.{kind}"]
    theirs["synthesis.early_layer.const"] = ours["synthesis.b4.const"][None]
    sites = list(made.synthesis.sites())
    for number, site in enumerate(site for site in sites if "conv" in site.name):
        source, target = f"synthesis.{site.name}", f"synthesis.layer{number}"
        weight = ours[f"{source}.weight"] * ours[f"{source}.weight"][0].numel() ** 0.5
        theirs[f"{target}.weight"] = weight.flip(2, 3) if number % 2 else weight
        theirs[f"{target}.noise"] = ours[f"{source}.noise_const"][None, None]
        theirs[f"{target}.noise_strength"] = ours[f"{source}.noise_strength"]
        theirs |= genforce_style(ours, source, target)
    for number, site in enumerate(site for site in sites if "torgb" in site.name):
        source, target = f"synthesis.{site.name}", f"synthesis.output{number}"
        theirs[f"{target}.weight"] = ours[f"{source}.weight"]
        theirs |= genforce_style(ours, source, target)
    return theirs


def genforce_style(
    ours: dict[str, torch.Tensor], source: str, target: str
) -> dict[str, torch.Tensor]:
    return {
        f"{target}.bias": ours[f"{source}.bias"],
        f"{target}.style.weight": ours[f"{source}.affine.weight"],
        f"{target}.style.bias": ours[f"{source}.affine.bias"] - 1,
    }


def test_genforces_stylegan2_ada_normalises_code_and_label_apart(tmp_path: Path) -> None:
    made = network("skip", 3, 4)
    torch.nn.init.normal_(made.mapping.embed.bias)
    torch.save({"generator_smooth": genforce_names(made)}, tmp_path / "g.pth")
    generator = load(tmp_path / "g.pth")
    assert isinstance(generator, StyleGAN2)
    z = generator.sample(2)
    label = generator.label_weights(z.label, z.data)
    with torch.no_grad():
        expected = made(z.data, label, noise="const")
    assert torch.allclose(generator.render(z), expected, atol=1e-5)


def test_labels_are_indices_or_weights(tmp_path: Path) -> None:
    torch.save({"G_ema": network("skip", 3, 4).state_dict()}, tmp_path / "g.pt")
    generator = load(tmp_path / "g.pt")
    by_index = generator.sample(2, label=[1, 3])
    weights = torch.nn.functional.one_hot(torch.tensor([1, 3]), 4)
    by_weight = generator.sample(2, label=weights.float())
    assert torch.equal(generator.render(by_index), generator.render(by_weight))
    assert torch.equal(generator.sample(8)[5].data, generator.sample(1, seed=5).data)
    assert torch.equal(generator.sample(8).label[5:6], generator.sample(1, seed=5).label)
    for wrong in (4, [0, 1, 2], torch.ones(2, 3)):
        with pytest.raises(LatentError, match="4 classes"):
            generator.sample(2, label=wrong)


def test_a_mean_code_that_is_missing_is_measured(tmp_path: Path) -> None:
    state = network("skip", 3, 0).state_dict()
    del state["mapping.w_avg"]
    torch.save({"G_ema": state}, tmp_path / "g.pt")
    generator = load(tmp_path / "g.pt")
    assert isinstance(generator, StyleGAN2)
    mean = generator.to(generator.sample(1000, seed=9000), "w").data.mean(dim=0)
    assert torch.allclose(generator.network.mapping.w_avg, mean, atol=0.05)


def test_an_old_dcgan_without_batch_counts_loads(tmp_path: Path) -> None:
    state = {k: v for k, v in dcgan().module.state_dict().items() if "num_batches" not in k}
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "netG.pth")
    z = dcgan().sample(2).data
    again = load(tmp_path / "netG.pth")
    assert torch.equal(again.render(again.latent(z)), dcgan().render(dcgan().sample(2)))


def test_an_unknown_file_is_described_with_its_nearest_format(tmp_path: Path) -> None:
    state = network("skip", 3, 0).state_dict()
    del state["synthesis.b4.const"]
    torch.save(state, tmp_path / "g.pt")
    assert recognise(state_dicts(read(tmp_path / "g.pt").value)) is None
    with pytest.raises(CheckpointError) as refusal:
        load(tmp_path / "g.pt")
    said = str(refusal.value)
    assert "mapping.fc0.weight  [12, 10]" in said
    assert "stylegan2-ada-pytorch: synthesis.b4.const\n" in said


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    state = network("skip", 3, 0).state_dict()
    state["synthesis.b8.conv0.weight"][0, 0, 0, 0] = torch.nan
    torch.save({"G_ema": state}, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match=r"NaN or infinity in synthesis\.b8\.conv0"):
        load(tmp_path / "g.pt")


def test_a_format_has_what_the_others_have() -> None:
    for name, form in FORMATS.items():
        assert form.name == name
        assert form.title
        assert form.required
        assert GENERATORS[form.architecture.architecture] is form.architecture


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("options", "rectifier", "last"),
    [
        ({}, nn.ReLU(), torch.tanh),
        ({"activation": "leaky_relu"}, nn.LeakyReLU(0.2), torch.tanh),
        ({"activation": "leaky_relu", "negative_slope": 0.01}, nn.LeakyReLU(), torch.tanh),
        ({"activation": "elu", "last": "none"}, nn.ELU(), lambda x: x),
        ({"last": "sigmoid"}, nn.ReLU(), lambda x: 2 * x.sigmoid() - 1),
    ],
)
def test_everybodys_own_dcgan(
    bias: bool, options: dict[str, Any], rectifier: nn.Module, last: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = nn.Module()
    net.main = nn.Sequential(
        nn.ConvTranspose2d(16, 8, 4, 1, 0, bias=bias), nn.BatchNorm2d(8), rectifier,
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=bias),
    )  # fmt: skip
    for part in net.parameters():
        nn.init.normal_(part, 0, 0.3)
    torch.save(net.eval().state_dict(), tmp_path / "netG.pth")
    generator = load(tmp_path / "netG.pth", **options)
    z = generator.sample(2)
    with torch.no_grad():
        expected = last(net.main(z.data[:, :, None, None]))
        first = net.main[1](net.main[0](z.data[:, :, None, None]))
    assert torch.allclose(generator.render(z), expected, atol=1e-5)
    features = generator.first_features()
    affine = torch.einsum("chwz,nz->nchw", features.weight, z.data) + features.bias
    assert torch.allclose(affine, first, atol=1e-5)
    save(generator, tmp_path / "ours.safetensors")
    again = load(tmp_path / "ours.safetensors")
    assert torch.equal(again.render(again.latent(z.data)), generator.render(z))


def test_an_activation_that_is_not_known_is_refused(tmp_path: Path) -> None:
    torch.save(dcgan().module.state_dict(), tmp_path / "netG.pth")
    with pytest.raises(CheckpointError, match="one of 'relu', 'leaky_relu'"):
        load(tmp_path / "netG.pth", activation="swish")
