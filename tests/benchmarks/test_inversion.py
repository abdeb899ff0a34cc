"""How fast a step of inversion is, beside a plain loop in the same run.

The plain loop is what one writes first: the paper's synthesis in float32 (`plain_stylegan2`), the
same features, Adam on w and the noise, with the correlation of the noise punished. Ours is
`steerbench.inversion.engine.CodeOptimiser` in float32 and in the precision that is fast here. The
network is a StyleGAN2 of 256 pixels, channel base 16384, of random weights; features are a strided
convolution, which costs little. Nothing is asserted about time, but that ``fast`` reaches a loss
that is no worse. Run it alone on the machine::

    OMP_NUM_THREADS=2 pytest tests/benchmarks/test_inversion.py

The aim: ``fast`` takes a third of the plain loop's step where bfloat16 is quick.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators import StyleGAN2
from steerbench.inversion import ReconstructionLoss
from steerbench.inversion.engine import CodeOptimiser, OptimisationConfig, correlation
from tests.benchmarks import plain_stylegan2 as plain
from tests.benchmarks.timing import in_turn, processor, threads

WEIGHT = 10.0


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threads():
        yield


def features(images: Tensor) -> Tensor:
    kernel = torch.linspace(-1, 1, 8 * 3 * 9).view(8, 3, 3, 3)
    return F.leaky_relu(F.conv2d(images, kernel, stride=4), 0.2)


@pytest.fixture(scope="module")
def large() -> StyleGAN2:
    return StyleGAN2(plain.random_network(16384), name="random-16384")


@pytest.fixture(scope="module")
def wanted(large) -> Tensor:
    return large.render(large.sample(1, seed=5))


class PlainLoop:
    """Adam on w and on the noise of every layer, as one writes it first."""

    def __init__(self, generator: StyleGAN2, wanted: Tensor) -> None:
        self.network, self.wanted = generator.network.synthesis, wanted
        mean = generator.spaces["w"].mean
        self.w = mean[None].clone().requires_grad_()
        self.noise = [part.clone().requires_grad_() for part in generator.noise_maps().values()]
        self.layers = [site.module for site in generator.sites if hasattr(site.module, "noise")]
        self.optimiser = torch.optim.Adam([self.w, *self.noise], lr=0.05)

    def step(self) -> None:
        buffers = [layer.noise_const for layer in self.layers]
        try:
            for layer, part in zip(self.layers, self.noise):
                layer.noise_const = part
            rows = self.w[:, None].expand(-1, self.network.num_ws, -1)
            images = plain.synthesis(self.network, rows)
        finally:
            for layer, part in zip(self.layers, buffers):
                layer.noise_const = part
        loss = (images - self.wanted).square().mean()
        loss = loss + 0.1 * (features(images) - features(self.wanted)).square().mean()
        loss = loss + WEIGHT * sum(correlation(part[None, None]).sum() for part in self.noise)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def begin(generator: StyleGAN2, wanted: Tensor, precision: str, n_steps: int) -> CodeOptimiser:
    start = generator.latent(generator.spaces["w"].mean[None], "w")
    config = OptimisationConfig(n_steps, noise=WEIGHT, patience=None, precision=precision)
    loss = ReconstructionLoss(wanted, features)
    return CodeOptimiser(generator, start, torch.tensor([0]), loss, config)


def test_a_step_of_inversion(benchmark, large, wanted) -> None:
    loop = PlainLoop(large, wanted)
    ours = {name: begin(large, wanted, name, 100_000) for name in ("exact", "fast")}
    calls = {"plain": loop.step} | {name: way.step for name, way in ours.items()}
    times = in_turn(calls, seconds=12.0)
    for name, timing in times.items():
        benchmark.extra_info[f"{name}_ms"] = round(timing.milliseconds, 1)
        benchmark.extra_info[f"{name}_steps_per_second"] = round(1000 / timing.milliseconds, 2)
        benchmark.extra_info[f"{name}_to_plain"] = round(timing.over(times["plain"]), 3)
        benchmark.extra_info[f"{name}_disturbed"] = timing.disturbed
    print(processor(), {name: str(timing) for name, timing in times.items()})
    print({name: f"{times[name].over(times['plain']):.2f} of plain" for name in ours})
    benchmark.pedantic(calls["fast"], rounds=1)


def test_fast_gets_as_near_as_exact(benchmark, rooms) -> None:
    """On the default model, whose pictures are small enough to go all the way."""
    shown = rooms.render(rooms.sample(4, seed=77))
    best = {}
    for precision in ("exact", "fast"):
        start = rooms.latent(rooms.spaces["w"].mean.expand(4, -1), "w")
        config = OptimisationConfig(n_steps=60, patience=None, precision=precision)
        way = CodeOptimiser(rooms, start, torch.arange(4), ReconstructionLoss(shown), config)
        while not way.is_done:
            way.step()
        with torch.no_grad():
            again = rooms.render(way.best_latents()[0])
        best[precision] = float((again - shown).square().mean())
    benchmark.extra_info |= {f"{name}_mse": value for name, value in best.items()}
    print(best)
    assert best["fast"] < 1.1 * best["exact"]
    benchmark.pedantic(lambda: None, rounds=1)
