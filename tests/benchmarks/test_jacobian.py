"""Singular vectors of a Jacobian a second: by iteration, and from the whole Jacobian's SVD.

A StyleGAN2 of random weights with codes of 512 numbers, as published ones have, and small pictures;
the default generator with its 128. Both ways look at the same code, in turn.
"""

from __future__ import annotations

import torch

from steerbench.generators import BaseGenerator
from steerbench.types import Latent
from steerbench.unsupervised.jacobian import Jacobian, products
from tests.benchmarks.timing import in_turn, processor
from tests.conftest import StyleGAN2, StyleGAN2Network

KEPT = 10


def long_codes() -> BaseGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = {4: 64, 8: 64, 16: 32, 32: 32, 64: 16}
        network = StyleGAN2Network(z_dim=512, w_dim=512, mapping_layers=2, widths=widths)
    return StyleGAN2(network, name="512 numbers")


def whole(generator: BaseGenerator, code: Latent) -> tuple[torch.Tensor, torch.Tensor]:
    """All of J by forward mode, 32 columns at a time, and its decomposition."""

    def pictures(steps: torch.Tensor) -> torch.Tensor:
        return generator.render(code.with_data(code.data + steps)).flatten(1)

    columns = [products(pictures, part) for part in torch.eye(code.data.shape[1]).split(32)]
    matrix = torch.cat(columns).T
    _, values, vectors = torch.linalg.svd(matrix.double(), full_matrices=False)
    return values[:KEPT], vectors[:KEPT]


def compare(generator: BaseGenerator) -> None:
    code = generator.sample(1, seed=0, space="w")
    finder = Jacobian(n_directions=KEPT, method="iterate", n_samples=1, tolerance=1e-3)
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def iterate() -> None:
        finder.fit(generator, codes=code)
        vectors = torch.stack([direction.vector for direction in finder.directions_])
        found["iterate"] = (finder.singular_values_, vectors)

    def make() -> None:
        found["whole"] = whole(generator, code)

    times = in_turn({"iterate": iterate, "whole": make}, seconds=10)
    rates = {name: 1000 * KEPT / timing.milliseconds for name, timing in times.items()}
    angle = torch.linalg.svdvals(found["iterate"][1][:5] @ found["whole"][1].T).min()
    print(
        f"{generator.name}, {processor()}: singular vectors a second {rates['iterate']:.1f} by "
        f"iteration, {rates['whole']:.1f} from the whole Jacobian "
        f"({times['whole'].over(times['iterate']):.1f} times as long); of the first five the least "
        f"cosine with the span of the true ten is {float(angle):.5f}"
    )
    assert torch.allclose(found["iterate"][0][:5], found["whole"][0][:5], rtol=0.02)
    assert angle > 0.99


def test_codes_of_512_numbers() -> None:
    compare(long_codes())


def test_the_default_generator(rooms: BaseGenerator) -> None:
    compare(rooms)
