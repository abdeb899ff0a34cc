"""EigenBasis: which axes it takes, in which order, and what it refuses."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench.errors import CapabilityError, SteerbenchError
from steerbench.generators.eigengan import EigenGAN, EigenGANNetwork
from steerbench.unsupervised.eigengan_basis import EigenBasis
from tests.contracts.test_generators import EXAMPLES


@pytest.fixture
def generator() -> EigenGAN:
    torch.manual_seed(0)
    network = EigenGANNetwork(noise=5, basis=3, widths=(6, 5, 4), kernel=3)
    with torch.no_grad():
        network.block(0).length.copy_(torch.tensor([0.1, 20.0, 3.0]))
        network.block(1).length.copy_(torch.tensor([5.0, 0.0, 1.0]))
    return EigenGAN(network, name="small")


def test_every_coordinate_of_the_blocks_and_none_of_the_noise(generator: EigenGAN) -> None:
    finder = EigenBasis().fit(generator)
    assert list(finder.layers_) == ["b8", "b16"]
    assert [int(d.vector.argmax()) for d in finder.layers_["b8"]] == [6, 7, 5]
    assert [int(d.vector.argmax()) for d in finder.layers_["b16"]] == [8, 10, 9]
    assert [d.name for d in finder.directions_[:2]] == ["b8 axis 2", "b8 axis 3"]
    changes = [d.provenance.scores["change"] for d in finder.layers_["b16"]]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] == 0, "of length 0"


def test_the_change_is_the_one_that_is_seen(generator: EigenGAN) -> None:
    finder = EigenBasis(per_layer=1, n_samples=3, seed=7).fit(generator)
    assert len(finder.directions_) == 2
    direction, codes = finder.directions_[0], generator.sample(3, seed=7)
    before = generator.render(codes)
    squares = [
        (generator.render(codes + sign * direction) - before).square().mean((1, 2, 3))
        for sign in (1, -1)
    ]
    expected = torch.stack(squares).sqrt().mean().item()
    assert direction.provenance.scores["change"] == pytest.approx(expected, rel=1e-5)
    assert direction.provenance.scores["layer"] == "b8"


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_it_works_or_says_why_not(example: str) -> None:
    generator = EXAMPLES[example]()
    finder, reason = EigenBasis(per_layer=1, n_samples=2), EigenBasis.refuses(generator)
    if reason is None:
        assert all(d.vector.norm() == 1 for d in finder.fit(generator).directions_)
        return
    with pytest.raises(CapabilityError, match=r"EigenBasis needs|no basis") as caught:
        finder.fit(generator)
    assert str(caught.value) == reason
    assert not hasattr(finder, "directions_")


def test_it_takes_an_eigengan_and_refuses_what_reads_z_as_a_whole() -> None:
    assert EigenBasis.refuses(EXAMPLES["eigengan"]()) is None
    whole = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
    assert "no layer with coordinates of its own" in str(EigenBasis.refuses(whole))


@pytest.mark.parametrize("options", [{"per_layer": 0}, {"n_samples": 0}])
def test_nonsense_is_refused(generator: EigenGAN, options: dict[str, int]) -> None:
    with pytest.raises(SteerbenchError, match="give 1 or more"):
        EigenBasis(**options).fit(generator)
