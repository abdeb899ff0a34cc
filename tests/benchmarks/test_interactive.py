"""How long a person waits: one event of a slider or a brush to picture bytes, world pictures, SeFa.

Run on demand, alone on the machine: ``pytest tests/benchmarks --benchmark-only``. The median is
the p50; the p95 stands in ``extra_info``. Nothing is asserted about time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from steerbench import world
from steerbench.renderer import Renderer
from steerbench.types import Direction
from steerbench.unsupervised.sefa import SeFa
from steerbench.widgets import LatentSliders, UnitPainter

EVENTS = 100
WORLD_PICTURES = 16


def measure(benchmark: Any, event: Callable[[], object]) -> None:
    """Run an event many times; keep the p50 and the p95 in milliseconds."""
    benchmark.pedantic(event, rounds=EVENTS, warmup_rounds=5)
    times = np.asarray(benchmark.stats.stats.data) * 1000
    benchmark.extra_info["p50_ms"] = round(float(np.percentile(times, 50)), 2)
    benchmark.extra_info["p95_ms"] = round(float(np.percentile(times, 95)), 2)


@pytest.fixture
def direction(rooms) -> Direction:
    return SeFa(1).fit(rooms).directions_[0]


@pytest.mark.parametrize("reuse", [True, False], ids=["reused prefix", "from the start"])
@pytest.mark.parametrize("layers", [(7, 8, 9), (9,), None], ids=["late", "last", "full"])
def test_a_picture(benchmark, rooms, direction, layers, reuse) -> None:
    """One move of a slider to JPEG bytes, without the widget."""
    renderer = Renderer(rooms)
    latent = rooms.sample(1, seed=0, space="w")
    alphas = itertools.cycle(np.linspace(-3, 3, 61))

    def event() -> bytes:
        if not reuse:
            renderer.forget()
        return renderer.jpeg(latent, [float(next(alphas)) * direction.limited(layers)])

    event()
    measure(benchmark, event)


@pytest.mark.parametrize("layers", ["7-9", "all"], ids=["late", "full"])
def test_a_slider(benchmark, rooms, direction, layers) -> None:
    """One change of a slider's value to the bytes in the picture widget."""
    sliders = LatentSliders(rooms, [direction])
    row = sliders._controls.rows[0]
    row.layers.value = layers
    alphas = itertools.cycle(np.linspace(-3, 3, 61))
    measure(benchmark, lambda: setattr(row.slider, "value", float(next(alphas))))


@pytest.mark.parametrize("layer", ["b8.conv1", "b16.conv0", "b32.conv1"])
def test_a_brush(benchmark, rooms, layer) -> None:
    """One movement of the mouse, as the browser sends it, to the bytes in the picture widget."""
    painter = UnitPainter(rooms, {"lamp": (layer, range(20))}, action="remove", strength=2.0)
    angles = itertools.cycle(np.linspace(0, 2 * np.pi, EVENTS + 5, endpoint=False))
    canvas, seen = painter._canvas, [painter.picture]

    def event(kind: str = "mouse_move") -> None:
        angle = next(angles)
        x, y = (canvas.width * (0.5 + 0.4 * turn(angle)) for turn in (np.cos, np.sin))
        canvas._handle_frontend_event(canvas, {"event": kind, "x": x, "y": y}, [])
        painter.wait()

    def movement() -> None:
        event()
        seen.append(painter.picture)

    event("mouse_down")
    measure(benchmark, movement)
    assert len(set(seen)) > EVENTS / 2, "a new picture at most movements"


def test_the_world(benchmark) -> None:
    """A batch of rendered rooms, 64x64."""
    rooms = world("rooms")
    seeds = itertools.count(0, WORLD_PICTURES)
    benchmark.pedantic(
        lambda: rooms.sample(WORLD_PICTURES, seed=next(seeds), resolution=64),
        rounds=10,
        warmup_rounds=1,
    )
    rate = WORLD_PICTURES / benchmark.stats.stats.median
    benchmark.extra_info["pictures_per_second"] = round(rate, 1)


def test_sefa(benchmark, rooms) -> None:
    """All directions of the default generator."""
    benchmark(lambda: SeFa(8).fit(rooms))
