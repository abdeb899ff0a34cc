"""The affine map from a code to the first features, against the features themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import CapabilityError
from steerbench.generators import BaseGenerator
from steerbench.generators.pggan import pixel_norm
from tests.contracts.test_generators import EXAMPLES

WHERE: dict[str, tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "dcgan": ("norm0", lambda z: z, lambda y: y),
    "pggan": ("b4.dense", pixel_norm, lambda y: F.leaky_relu(y, 0.2)),
    "eigengan": ("b4.dense", lambda z: z, lambda y: y),
    "biggan-chunks": ("b4.dense", lambda z: z, lambda y: y),
    "biggan-unshared": ("b4.dense", lambda z: z, lambda y: y),
}
"""The layer, what it does to a code before, and to the features after."""


def features(generator: BaseGenerator, z: Tensor) -> Tensor:
    first = generator.first_features()
    assert first.space == "z"
    return torch.einsum("chwd,nd->nchw", first.weight, z) + first.bias


def settled(make: Callable[[], BaseGenerator]) -> BaseGenerator:
    """A generator whose statistics and offsets are none of zero and one."""
    generator = make()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, tensor in generator.module.state_dict().items():
            if name.endswith(("running_mean", "running_var", "bias")):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return generator


@pytest.mark.parametrize("example", WHERE)
def test_it_is_what_the_layer_gives(example: str) -> None:
    layer, before, after = WHERE[example]
    generator = settled(EXAMPLES[example])
    codes = generator.sample(3, seed=0)
    want = generator.capture(codes, [layer])[layer]
    assert torch.allclose(after(features(generator, before(codes.data))), want, atol=1e-5)


@pytest.mark.parametrize("example", ["biggan", "pggan-conditional"])
def test_a_class_counts_as_none_in_particular(example: str) -> None:
    generator = settled(EXAMPLES[example])
    classes = generator.classes
    codes = generator.sample(3, label=torch.full((3, classes), 1 / classes))
    if example == "biggan":
        want = generator.capture(codes, ["b4.dense"])["b4.dense"]
        assert torch.allclose(features(generator, codes.data), want, atol=1e-5)
        return
    z = pixel_norm(codes.data)
    want = generator.capture(codes, ["b4.dense"])["b4.dense"]
    assert torch.allclose(F.leaky_relu(features(generator, z), 0.2), want, atol=1e-4)


class Viewed(nn.Module):
    """A dense layer whose numbers are laid out without a part that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.conv = nn.Linear(12, 8 * 16), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        return self.conv(self.dense(z).view(-1, 8, 4, 4))


def test_modules_of_ones_own() -> None:
    def observed(generator: BaseGenerator, part: nn.Module, z: Tensor, shape: tuple) -> Tensor:
        kept = []
        handle = part.register_forward_hook(lambda *given: kept.append(given[2].clone()))
        generator.render(generator.latent(z))
        handle.remove()
        return kept[0].view(shape)

    z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    convolved = settled(EXAMPLES["wrapped"])
    want = observed(convolved, convolved.module[1], z, (2, 8, 4, 4))
    assert torch.allclose(features(convolved, z), want, atol=1e-5)
    viewed = settled(lambda: sb.wrap(Viewed(), latent_shape=(12,)))
    want = observed(viewed, viewed.module.dense, z, (2, 8, 4, 4))
    assert torch.allclose(features(viewed, z), want, atol=1e-5)


def test_where_there_is_none_the_reason_is_given() -> None:
    padded = nn.Sequential(nn.ConvTranspose2d(12, 3, 4, 2, 1), nn.Tanh())
    cases = {
        "the same for every code": EXAMPLES["stylegan2"](),
        "first affine layer": sb.wrap(padded, latent_shape=(12, 1, 1)),
        "every batch by itself": EXAMPLES["dcgan"]().with_batch_statistics(),
    }
    for reason, generator in cases.items():
        with pytest.raises(CapabilityError, match=reason):
            generator.first_features()
    with pytest.raises(CapabilityError, match="spread a code over places"):
        EXAMPLES["glow"]().first_features()
