"""Noise of one's own, layer by layer."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from tests.contracts.test_generators import EXAMPLES

WITH_NOISE = ("stylegan1", "stylegan2")


@pytest.fixture(params=[name for name in sorted(EXAMPLES) if name.startswith(WITH_NOISE)])
def generator(request):
    return EXAMPLES[request.param]()


def test_the_constant_noise_given_as_maps_draws_the_same_picture(generator):
    latent, maps = generator.sample(3), generator.noise_maps()
    assert maps
    assert set(maps) <= {layer.name for layer in generator.layers}
    wanted = generator.render(latent)
    assert torch.allclose(generator.render(latent, noise=maps), wanted, atol=1e-5)
    each = {name: part[None, None].repeat(3, 1, 1, 1) for name, part in maps.items()}
    assert torch.allclose(generator.render(latent, noise=each), wanted, atol=1e-5)


def test_maps_of_some_layers_leave_the_others_as_they_are(generator):
    latent, maps = generator.sample(2), generator.noise_maps()
    name = next(iter(maps))
    first = generator.render(latent, noise={name: maps[name].flip(0)})
    assert not torch.allclose(first, generator.render(latent), atol=1e-4)
    assert torch.allclose(
        generator.render(latent, noise={name: maps[name]}), generator.render(latent), atol=1e-5
    )


def test_a_gradient_flows_to_them_without_one_of_the_latent(generator):
    maps = {k: part.clone().requires_grad_() for k, part in generator.noise_maps().items()}
    generator.render(generator.sample(2), noise=maps).square().mean().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in maps.values())


def test_unknown_layers_and_other_sizes_are_refused(generator):
    latent, (name, part) = generator.sample(2), next(iter(generator.noise_maps().items()))
    with pytest.raises(sb.errors.LayerError, match="layer with noise"):
        generator.render(latent, noise={"b1024.conv7": part})
    for wrong in (part[:-1], part[None], part.expand(5, 1, *part.shape)):
        with pytest.raises(sb.errors.ShapeError, match="Noise"):
            generator.render(latent, noise={name: wrong})
    assert sb.load("rooms-dcgan").noise_maps() == {}
