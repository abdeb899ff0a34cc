"""Files of the TensorFlow years against the formulas that their networks computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from steerbench.errors import CheckpointError
from steerbench.generators import StyleGAN2, load
from tests.generators import tensorflow_files as files
from tests.generators import tensorflow_reference as reference
from tests.parity.recorded import network

FUNCTIONS = {"LabelConcat": "D_stylegan2", "LabelEmbed": "D_main", "": "D_stylegan2"}


def make(path: Path, label: str = "", judge: str = "resnet", **options: Any) -> Path:
    """A file ``(G, D, Gs)`` whose G and Gs differ."""
    settings = {"resolution": 16, "label_size": 3 if label else 0}
    shape = {k: v for k, v in options.items() if k in ("channels", "grown")}
    d = files.discriminator(label=label, architecture=judge, **shape)
    return files.written(
        path,
        [
            files.network("G_main", files.stylegan2(0, label=label, **options), **settings),
            files.network(FUNCTIONS[label], d, mbstd_group_size=4, **settings),
            files.network("G_main", files.stylegan2(1, label=label, **options), **settings),
        ],
    )


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig", "grown"])
@pytest.mark.parametrize("label", ["", "LabelConcat", "LabelEmbed"])
def test_stylegan2(architecture: str, label: str, tmp_path: Path) -> None:
    options = {"architecture": architecture, "label": label, "grown": architecture == "grown"}
    generator = load(make(tmp_path / "any.thing", channels=2, **options))
    assert isinstance(generator, StyleGAN2)
    net = reference.Formulas(files.stylegan2(1, channels=2, **options))
    z = generator.sample(3)
    classes = generator.label_weights(z.label, z.data) if label else None
    w = reference.mapped(net, z.data, classes)
    assert torch.allclose(generator.to(z, "w").data.double(), w, atol=1e-5)
    assert torch.allclose(generator.mean_code.double(), net.own["dlatent_avg"])
    expected = reference.painted(net, w, architecture, 3)
    got = generator.render(z).double()
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    raw = network(tmp_path / "any.thing", "G")
    assert not torch.allclose(raw.render(raw.sample(1)), got[:1].float(), atol=0.1)


@pytest.mark.parametrize("judge", ["skip", "resnet", "orig", "grown"])
@pytest.mark.parametrize("label", ["", "LabelConcat", "LabelEmbed"])
def test_its_discriminator(judge: str, label: str, tmp_path: Path) -> None:
    grown = judge == "grown"
    generator = load(make(tmp_path / "g.pkl", label, judge, grown=grown))
    net = reference.Formulas(files.discriminator(label=label, architecture=judge, grown=grown))
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([2, 0, 1]) if label else None
    weights = generator.label_weights(classes, images) if label else None
    expected = reference.judged(net, images, weights, judge, 3)
    got = generator.discriminator(images, classes).double()
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


def test_what_belongs_to_no_generator_does_not_lose_it(tmp_path: Path) -> None:
    g = files.network("G_main", files.stylegan2(0))
    for variables in ({}, files.discriminator() | {"4x4/Dense0/weight": np.zeros((9, 9))}):
        path = files.written(tmp_path / "g.pkl", [g, files.network("D_main", variables), g])
        with pytest.raises(Exception, match="without a discriminator"):
            load(path).discriminator(torch.zeros(1, 3, 16, 16))
    assert load(files.written(tmp_path / "alone.pkl", [g])).resolution == 16


@pytest.mark.parametrize(
    ("settings", "variables", "says"),
    [
        ({"nonlinearity": "relu"}, {}, "nonlinearity"),
        ({"normalize_latents": False}, {}, "normalize_latents"),
        ({"mapping_lrmul": "fast"}, {}, "not a number"),
        ({}, {"lod": np.float32(1.5)}, "not grown up"),
        ({}, {"mapping/Dense0/weight": None}, "Dense0"),
    ],
)
def test_what_is_not_read_is_refused_with_the_reason(
    settings: dict, variables: dict, says: str, tmp_path: Path
) -> None:
    state = files.network("G_main", files.stylegan2(0) | variables, **settings)
    with pytest.raises(CheckpointError, match=says):
        load(files.written(tmp_path / "g.pkl", [state]))


def test_options_that_leave_no_trace_in_the_variables(tmp_path: Path) -> None:
    """Another rate of the mapping, another filter, no noise."""
    variables = files.stylegan2(0)
    plain = load(files.written(tmp_path / "plain.pkl", [files.network("G_main", variables)]))
    faster = {
        k: v / 2 if k.startswith("mapping/Dense") else v
        for k, v in variables.items()
        if "noise" not in k
    }
    state = files.network("G_main", faster, mapping_lrmul=0.02, resample_kernel=[1, 3, 3, 1])
    silent = load(files.written(tmp_path / "silent.pkl", [state]))
    latent = plain.sample(2)
    expected = plain.render(latent, noise="none")
    assert torch.allclose(silent.render(silent.latent(latent.data)), expected, atol=1e-5)
    state = files.network("G_main", variables, resample_kernel=None)
    box = load(files.written(tmp_path / "box.pkl", [state]))
    assert isinstance(box, StyleGAN2)
    taps = box.network.synthesis.b8.conv0.resample_filter
    assert torch.equal(taps, torch.nn.functional.pad(torch.full((2, 2), 0.25), (1, 1, 1, 1)))


def test_another_network_is_described_by_its_variables(tmp_path: Path) -> None:
    variables = {"4x4/Dense/kernel": np.zeros((2, 3), np.float32)}
    state = files.network("G_new", variables)
    with pytest.raises(CheckpointError, match=r"4x4/Dense/kernel  \[2, 3\]"):
        load(files.written(tmp_path / "g.pkl", [state, state, state]))
