"""GANSpace where the answer is known, and what runs may be joined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench.errors import LayerError, ShapeError, SteerbenchError
from steerbench.stats.principal import principal_components, scatter_of
from steerbench.unsupervised import ganspace
from tests.conftest import make_toy
from tests.contracts.test_generators import EXAMPLES, dcgan
from tests.linear_generator import LinearGenerator


def data(n: int, d: int, seed: int = 0, mean: float = 0.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    scales = torch.linspace(5, 0.1, d, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(d, d, generator=random, dtype=torch.float64))[0]
    return torch.randn(n, d, generator=random, dtype=torch.float64) * scales @ turn.T + mean


@pytest.mark.parametrize(("n", "d"), [(500, 20), (300, 300), (40, 90), (2, 5), (1000, 1), (9, 700)])
def test_components_are_those_of_a_singular_value_decomposition(n: int, d: int) -> None:
    x = data(n, d, mean=1e4)
    k = min(n - 1, d, 7)
    ours = principal_components(x, k)
    centred = x - x.mean(0)
    _, singular, theirs = torch.linalg.svd(centred, full_matrices=False)
    assert torch.allclose(ours.std, singular[:k] / n**0.5, rtol=1e-7)
    assert torch.allclose(ours.ratio, (singular**2 / (singular**2).sum())[:k], rtol=1e-7)
    assert torch.allclose((ours.components * theirs[:k]).sum(1).abs(), ours.std * 0 + 1, atol=1e-9)
    assert torch.allclose(ours.components @ ours.components.T, torch.eye(k).double(), atol=1e-10)
    assert torch.allclose(ours.project(x).std(0, unbiased=False), ours.std, rtol=1e-7)


def test_single_precision_far_from_zero_loses_no_digits() -> None:
    x = data(20_000, 30, mean=100.0).float()
    mean, scatter = scatter_of(x)
    exact = x.double()
    centred = exact - exact.mean(0)
    truth = centred.T @ centred
    assert torch.allclose(mean, exact.mean(0), atol=1e-5)
    assert (scatter - truth).abs().max() < 1e-6 * truth.abs().max()
    assert torch.equal(scatter, scatter.T)


def test_more_components_than_axes_are_at_right_angles_still() -> None:
    found = principal_components(data(6, 40), 6)
    assert found.std[5] < 1e-6
    assert torch.allclose(found.components @ found.components.T, torch.eye(6).double(), atol=1e-10)


def test_what_has_no_components_is_refused() -> None:
    with pytest.raises(SteerbenchError, match="Ask for 1 to 4"):
        principal_components(data(9, 4), 5)
    with pytest.raises(ShapeError):
        principal_components(torch.zeros(3), 1)
    for n, d in ((9, 4), (4, 9)):
        broken = data(n, d)
        broken[2, 1] = np.nan
        with pytest.raises(SteerbenchError, match="NaN"):
            principal_components(broken, 2)


def test_a_step_is_one_standard_deviation_of_w() -> None:
    generator = make_toy()
    found = sb.GANSpace(4, n_samples=800).fit(generator)
    codes = generator.sample(800, seed=0, space="w").data.double()
    for direction, std in zip(found.directions_, found.principal_.std):
        along = codes @ direction.vector
        assert direction.scale == pytest.approx(float(along.std(unbiased=False)), rel=1e-6)
        assert direction.scale == float(std)
    assert found.principal_.std.diff().max() < 0


def test_layers_limit_what_is_changed() -> None:
    generator = make_toy()
    direction = sb.GANSpace(1, n_samples=200, layers="0-2").fit(generator).directions_[0]
    assert direction.layers == (0, 1, 2)
    with pytest.raises(LayerError, match="0 to 5"):
        sb.GANSpace(1, n_samples=200, layers="0-17").fit(generator)
    with pytest.raises(LayerError, match="no layer-wise form"):
        sb.GANSpace(1, n_samples=200, layers="0").fit(dcgan())


@pytest.mark.parametrize("widest", [ganspace.WIDEST, 10])
def test_activations_lead_back_to_what_was_planted(widest: int, monkeypatch) -> None:
    monkeypatch.setattr(ganspace, "WIDEST", widest)
    generator = LinearGenerator()
    found = sb.GANSpace(1, n_samples=300, layer="draw").fit(generator)
    assert abs(found.directions_[0].vector @ generator.planted("w")) > 1 - 1e-6


def test_summed_up_or_from_pairs_the_axes_are_the_same(monkeypatch) -> None:
    generator = make_toy()
    summed = sb.GANSpace(3, n_samples=300, layer="b4.conv1").fit(generator)
    monkeypatch.setattr(ganspace, "WIDEST", 10)
    pairs = sb.GANSpace(3, n_samples=300, layer="b4.conv1").fit(generator)
    for one, two in zip(pairs.directions_, summed.directions_):
        assert one.cosine(two) == pytest.approx(1, abs=1e-6)


def test_directions_of_a_layer_are_the_least_squares_of_the_authors() -> None:
    generator = make_toy()
    found = sb.GANSpace(3, n_samples=400, layer="b8.conv0").fit(generator)
    latent = generator.sample(400, seed=0, space="w")
    seen = generator.capture(latent, ["b8.conv0"])["b8.conv0"].flatten(1)
    coordinates = found.principal_.project(seen) / found.principal_.std
    expected = ganspace.regress(coordinates, latent.data)
    for direction, row in zip(found.directions_, expected):
        assert abs(direction.vector @ row / row.norm()) > 1 - 1e-9


def test_an_axis_of_a_layer_edits_the_activations_themselves() -> None:
    generator = make_toy()
    found = sb.GANSpace(2, n_samples=200, layer="b8.conv0").fit(generator)
    latent = generator.sample(2)
    before = generator.capture(latent, ["b8.conv0"])["b8.conv0"]
    after = generator.capture(latent, ["b8.conv0"], edits=[found.edit(1, 3.0)])["b8.conv0"]
    moved = found.principal_.project((after - before).flatten(1) + found.principal_.mean)
    expected = torch.tensor([0, 3 * found.principal_.std[1]]).double().expand(2, 2)
    assert torch.allclose(moved, expected, atol=1e-4)
    with pytest.raises(SteerbenchError, match="axes of w"):
        sb.GANSpace(2, n_samples=200).fit(generator).edit(0)


@pytest.mark.parametrize("layer", [None, "b4.conv1"])
@pytest.mark.parametrize("widest", [ganspace.WIDEST, 5])
def test_runs_of_different_seeds_are_joined(layer: str | None, widest: int, monkeypatch) -> None:
    monkeypatch.setattr(ganspace, "WIDEST", widest)
    generator = make_toy()
    whole = sb.GANSpace(3, n_samples=300, layer=layer).fit(generator)
    parts = [sb.GANSpace(3, seed=s, n_samples=100, layer=layer).fit(generator) for s in (0, 100)]
    rest = sb.GANSpace(3, seed=200, n_samples=100, layer=layer).fit(generator)
    merged = rest.merge(generator, *parts)
    assert merged.samples_ == [(0, 100), (100, 100), (200, 100)]
    assert merged.n_samples == 300
    for one, two in zip(merged.directions_, whole.directions_):
        assert one.cosine(two) > 1 - 1e-6
        assert one.scale == pytest.approx(two.scale, rel=1e-6)
    with pytest.raises(SteerbenchError, match="drawn twice"):
        whole.merge(generator, rest)
    with pytest.raises(SteerbenchError, match="generators"):
        whole.merge(make_toy(seed=1), rest)


def test_a_layer_too_wide_for_the_memory_is_refused_before_the_first_sample(monkeypatch) -> None:
    monkeypatch.setattr(ganspace, "WIDEST", 10)
    monkeypatch.setattr(ganspace, "KEPT", 20_000)
    generator = LinearGenerator()
    with pytest.raises(SteerbenchError, match=r"Draw at most 100\b"):
        sb.GANSpace(2, n_samples=101, layer="draw").fit(generator)
    assert generator.calls == 0
    assert sb.GANSpace(2, n_samples=100, layer="draw").fit(generator).directions_


def test_a_class_can_be_kept() -> None:
    generator = EXAMPLES["stylegan2-resnet"]()
    with pytest.raises(SteerbenchError, match="not conditional"):
        sb.GANSpace(2, n_samples=50, label=1).fit(generator)
    conditional = EXAMPLES["stylegan1-conditional"]()
    one, all_ = (sb.GANSpace(2, 200, label=label).fit(conditional) for label in (1, None))
    assert one.directions_[0].cosine(all_.directions_[0]) != 1
    assert one.directions_[0].provenance.hyperparameters["label"] == 1


def test_nonsense_is_refused() -> None:
    for options in ({"n_samples": 3}, {"batch_size": 0}, {"seed": -1}):
        with pytest.raises(SteerbenchError, match="Draw more samples"):
            sb.GANSpace(**{"n_directions": 3, "n_samples": 100} | options).fit(make_toy())
    with pytest.raises(LayerError, match=r"b8\.conv0"):
        sb.GANSpace(2, n_samples=100, layer="b8.conv9").fit(make_toy())
