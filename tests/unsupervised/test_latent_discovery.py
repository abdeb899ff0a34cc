"""Latent discovery where it is known what can be told apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.unsupervised.latent_discovery.networks import (
    DEFORMATORS,
    RECONSTRUCTORS,
    Deformator,
)
from tests.conftest import make_toy

VISIBLE = 3


class FewSeen(nn.Module):
    """Of twelve numbers of a code three are seen, each as a patch of its own."""

    def __init__(self) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.turn = torch.linalg.qr(torch.randn(12, 12, generator=source))[0]
        patches = torch.zeros(VISIBLE, 3, 8, 8)
        for index in range(VISIBLE):
            patches[index, index, 2 * index : 2 * index + 3] = 1
        self.patches = patches

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nk,kchw->nchw", z @ self.turn[:VISIBLE].T, self.patches)


def options(**more: object) -> dict[str, object]:
    return {"n_directions": VISIBLE, "n_steps": 150, "deformator_learning_rate": 0.02} | more


@pytest.mark.parametrize("deformator", DEFORMATORS)
def test_it_finds_what_can_be_seen(deformator: str) -> None:
    module = FewSeen()
    finder = sb.LatentDiscovery(**options(deformator=deformator)).fit(
        sb.wrap(module, latent_shape=(12,))
    )
    found = torch.stack([direction.vector for direction in finder.directions_]).float()
    seen = (found @ module.turn[:VISIBLE].T).square().sum(1)
    # By chance a quarter. Where lengths are learned too, growing takes the place of turning.
    assert seen.min() > (0.6 if deformator == "linear" else 0.8)
    assert finder.accuracy_ > 0.9
    assert finder.history_.accuracy.tail(20).mean() > finder.history_.accuracy.head(20).mean()
    assert finder.accuracies_.diff().max() <= 0
    assert finder.directions_[0].provenance.scores["accuracy"] == finder.accuracies_[0]


@pytest.mark.parametrize("reconstructor", RECONSTRUCTORS)
def test_what_nobody_can_see_is_told_apart_no_better_than_by_chance(reconstructor: str) -> None:
    class Blank(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return 0 * z[:, :1, None, None] + torch.rand(
                len(z), 1, 8, 8, generator=torch.Generator().manual_seed(len(z))
            )

    finder = sb.LatentDiscovery(
        **options(n_directions=4, n_steps=20, n_samples=256, reconstructor=reconstructor)
    ).fit(sb.wrap(Blank(), latent_shape=(12,)))
    assert finder.accuracy_ < 0.4


@pytest.mark.parametrize("kind", DEFORMATORS)
def test_directions_are_of_the_kind_that_was_asked_for(kind: str) -> None:
    deformator = Deformator(4, 9, kind, seed=1)
    with torch.no_grad():
        first = deformator().clone()
        deformator.weight.add_(0.3 * torch.randn(4, 9, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(first @ first.T, torch.eye(4), atol=1e-6)
    gram = (deformator() @ deformator().T).detach()
    unit, right = (
        torch.allclose(gram.diag(), torch.ones(4), atol=1e-5),
        torch.allclose(gram, gram.diag().diag(), atol=1e-5),
    )
    assert (unit, right) == (kind != "linear", kind == "orthonormal")


def test_reconstructors_take_pictures_of_any_size_and_depth() -> None:
    for network in RECONSTRUCTORS.values():
        for channels, side in [(1, 4), (3, 16), (4, 96)]:
            pair = torch.randn(2, 2, channels, side, side)
            which, far = network(channels, 5)(*pair)
            assert (which.shape, far.shape) == ((2, 5), (2,))


def test_rows_limit_a_direction() -> None:
    finder = sb.LatentDiscovery(
        n_directions=2, layers="0-1", n_steps=2, batch_size=2, n_samples=4
    ).fit(make_toy())
    assert [direction.layers for direction in finder.directions_] == [(0, 1)] * 2


def test_bad_options_are_refused() -> None:
    for wrong in (
        {"deformator": "free"},
        {"reconstructor": "vgg"},
        {"max_alpha": 0.1},
        {"batch_size": 1},
    ):
        with pytest.raises(sb.errors.SteerbenchError, match=str(next(iter(wrong)))):
            sb.LatentDiscovery(**wrong).fit(make_toy())
