"""How fast StyleGAN2 is, as a share of the time that the paper's formula takes.

The plain reference, `plain_stylegan2`, is float32 and written from the paper; it and ours take
turns in the same run, on two threads, so that ratios hold whatever the machine is. What was
measured stands in ``extra_info`` and in two tables at the end; a time whose threads were kept from
working is marked, and its ratio is one of processor times. (Rooms are too small a network to keep
two threads busy.) Nothing is asserted about time. Run it alone on the machine:

    OMP_NUM_THREADS=2 pytest tests/benchmarks/test_stylegan2_speed.py

The aims, for one picture of 256 pixels with channel base 16384:

- ``exact`` takes at most 0.7 of the plain time,
- ``fast`` at most 0.25 of it where bfloat16 is quick, as with AMX,
- a late-layer edit through the Renderer at most a third of a full picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from steerbench.generators import BaseGenerator, StyleGAN2
from steerbench.renderer import Precision, Renderer
from steerbench.types import Direction
from tests.benchmarks import plain_stylegan2 as plain
from tests.benchmarks.timing import Timing, in_turn, threads

Calls = dict[str, Callable[[], object]]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threads():
        yield


def generator(channel_base: int) -> StyleGAN2:
    return StyleGAN2(plain.random_network(channel_base), name=f"random-{channel_base}")


def report(benchmark: Any, row: list[tuple[str, ...]], what: str, calls: Calls) -> None:
    """Time plain, exact and fast in turn; note the times and the ratios."""
    times = in_turn(calls)
    ratios = {name: times[name].over(times["plain"]) for name in ("exact", "fast")}
    note(benchmark, times)
    benchmark.extra_info |= {f"{name}_to_plain": round(r, 3) for name, r in ratios.items()}
    row.append((what, *map(str, times.values()), *(f"{ratio:.2f}" for ratio in ratios.values())))
    benchmark.pedantic(calls["fast"], rounds=1)


def note(benchmark: Any, times: Mapping[str, Timing]) -> None:
    for name, timing in times.items():
        benchmark.extra_info[f"{name}_ms"] = round(timing.milliseconds, 2)
        benchmark.extra_info[f"{name}_busy"] = round(timing.busy, 2)
    benchmark.extra_info["disturbed"] = any(timing.disturbed for timing in times.values())


def picture_calls(channel_base: int, n: int) -> Calls:
    """Codes w+ to pictures, without gradients."""
    G = generator(channel_base)
    rows = G.sample(n, space="w+")

    @torch.no_grad()
    def papers() -> torch.Tensor:
        # One picture after the other: groups of a whole batch take twice as long here.
        return torch.cat([plain.synthesis(G.network.synthesis, one) for one in rows.data.split(1)])

    assert (papers() - G.render(rows)).abs().max() < 1e-4
    return {
        "plain": papers,
        "exact": lambda: G.render(rows),
        "fast": lambda: G.render(rows, precision="fast"),
    }


def projection_calls() -> Calls:
    """w+ to a picture and the gradient back, as inversion does it some hundred times."""
    G = generator(16384)
    codes = G.sample(1, space="w+").data

    def ours(precision: str) -> torch.Tensor:
        latent = G.latent(codes, "w+").requires_grad_()
        G.render(latent, precision=precision).square().mean().backward()
        assert latent.grad is not None
        return latent.grad

    def papers() -> torch.Tensor:
        leaf = codes.clone().requires_grad_()
        plain.synthesis(G.network.synthesis, leaf).square().mean().backward()
        assert leaf.grad is not None
        return leaf.grad

    torch.testing.assert_close(ours("exact"), papers(), atol=1e-5, rtol=1e-3)
    return {"plain": papers, "exact": lambda: ours("exact"), "fast": lambda: ours("fast")}


def edit_calls(G: BaseGenerator, late: str, precision: Precision) -> Calls:
    """A slider that moves all layers, and one that moves the last."""
    rows = G.spaces["w+"].shape[0]
    first = rows - 3 if late == "last resolution" else rows - 2
    latent = G.sample(1, space="w")
    slope = Direction("a slope", "w", torch.linspace(-1, 1, *G.spaces["w"].shape))
    alphas = itertools.cycle(np.linspace(-3, 3, 61))

    def moves(direction: Direction) -> Callable[[], object]:
        renderer = Renderer(G, precision=precision)
        renderer.render(latent)
        return lambda: renderer.render(latent, [float(next(alphas)) * direction])

    return {"full": moves(slope), "late": moves(slope.limited(tuple(range(first, rows))))}


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("channel_base", [16384, 32768])
def test_pictures(benchmark, row, channel_base: int, n: int) -> None:
    calls = picture_calls(channel_base, n)
    report(benchmark, row, f"{n} of 256 pixels, channel base {channel_base}", calls)


def test_a_step_of_projection(benchmark, row) -> None:
    report(benchmark, row, "1 of channel base 16384 and its gradient", projection_calls())


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("late", ["last resolution", "last convolution"])
@pytest.mark.parametrize("model", ["256 pixels", "rooms"])
def test_a_late_edit(benchmark, edits, rooms, model: str, late: str, precision: Precision) -> None:
    calls = edit_calls(rooms if model == "rooms" else generator(16384), late, precision)
    times = in_turn(calls)
    faster = times["full"].over(times["late"])
    note(benchmark, times)
    benchmark.extra_info["times_faster"] = round(faster, 2)
    edits.append((model, late, precision, *map(str, times.values()), f"{faster:.1f}"))
    benchmark.pedantic(calls["late"], rounds=1)
