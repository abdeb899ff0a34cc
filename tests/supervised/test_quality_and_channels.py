"""The quality boundary's predictors, and conditioning by leaving channels out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.supervised.boundaries.channel_selection import select_channels, sensitivity
from steerbench.supervised.boundaries.higan import LatentBoundaries
from steerbench.supervised.boundaries.quality import NeighbourRealism, realness
from tests.conftest import make_toy
from tests.contracts.test_supervised import SMALL, planted, quarters, reading


def test_the_discriminator_is_a_predictor(rooms):
    read = realness(rooms)
    pictures = rooms.render(rooms.sample(2)).clamp(-1, 1)
    assert torch.allclose(read.predict(pictures)[:, 0], rooms.discriminator(pictures), atol=1e-4)
    with pytest.raises(sb.errors.CapabilityError, match="discriminator"):
        realness(make_toy())


def test_closeness_falls_with_the_distance_to_the_reference():
    reference = torch.linspace(-0.1, 0.1, 20)[:, None, None, None].expand(-1, 1, 4, 4)
    close = NeighbourRealism(lambda x: x.flatten(1), reference, k=3)
    near, far = (torch.full((1, 1, 4, 4), value) for value in (0.0, 0.9))
    assert close.predict(near) > close.predict(far)
    with pytest.raises(sb.errors.SteerbenchError, match="k=20"):
        NeighbourRealism(lambda x: x.flatten(1), reference, k=20)


def test_the_quality_boundary_points_towards_good():
    """Good pictures are those whose first quarter is bright."""
    generator, normals = planted()
    bright = generator.render(generator.latent(2 * normals[:1].repeat(30, 1) + 0.1))
    close = NeighbourRealism(lambda x: quarters(x)[:, :1], bright, k=5)
    found = LatentBoundaries(close, space="z", **SMALL | {"n_samples": 600}).fit(generator)
    assert float(found.directions_[0].vector.flatten() @ normals[0].double()) > 0.9


class Channels(nn.Module):
    """Two readings of a picture that share some numbers of z and not others."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4, bias=False)
        weights = torch.tensor([[1.0, 0, 1, 0], [0, 1.0, 1, 0]])
        self.mix.weight.data = torch.cat([weights, torch.zeros(2, 4)]) * 0.1

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.mix(z).view(-1, 1, 2, 2), size=(8, 8))


def test_channels_that_serve_the_condition_are_left_out():
    generator = sb.wrap(Channels(), latent_shape=(4,))
    slopes = sensitivity(generator, reading(), ["a", "b"], space="z", n_samples=8, batch_size=3)
    assert torch.allclose(slopes[0], torch.tensor([0.1, 0, 0.1, 0]).double(), atol=1e-6)
    both = sb.Direction("a", "z", [1.0, 0.1, 1.0, 0.1])
    chosen = select_channels(both, slopes[0], slopes[1])
    assert chosen.vector.flatten().tolist() == [1.0, 0, 0, 0]
    assert "1 channels" in chosen.name
    with pytest.raises(sb.errors.LatentError, match="Lower the ratio"):
        select_channels(both, slopes[1] * 0, slopes[0])


def test_sensitivity_in_the_space_of_styles():
    generator = make_toy()
    slopes = sensitivity(generator, reading(), ["a"], n_samples=4)
    assert slopes.shape == (1, generator.spaces["s"].shape[0])
    codes = generator.sample(64, seed=900, space="s")
    direction = sb.Direction("up", "s", slopes[0], scale=1e-2, generator=generator.fingerprint)
    before, after = (quarters(generator.render(c))[:, 0] for c in (codes, codes + 1.0 * direction))
    assert float((after - before).mean()) > 0


def test_what_cannot_be_differentiated_or_does_not_exist_is_said():
    generator = make_toy()
    opaque = sb.predictor(lambda x: quarters(x).detach().numpy(), names=["a", "b", "c", "d"])
    with pytest.raises(sb.errors.PredictorError, match="No gradient"):
        sensitivity(generator, opaque, ["a"], n_samples=1)
    with pytest.raises(sb.errors.NotFoundError, match="'x'"):
        sensitivity(generator, reading(), ["x"], n_samples=1)
    with pytest.raises(sb.errors.SpaceError, match="no space 'q'"):
        sensitivity(generator, reading(), ["a"], space="q")
