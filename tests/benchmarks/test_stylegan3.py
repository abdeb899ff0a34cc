"""How long a StyleGAN3 picture of 256x256 takes, beside the same layers as they are written.

Run on demand, alone on the machine: ``pytest tests/benchmarks/test_stylegan3.py``. The weights are
random and the settings the published ones. The plain way (zeros between the samples, filters over
all of them, weights for each sample) runs in the same process, and ``extra_info`` has its time and
the ratio. Where processor time over wall time is well below the number of threads, another process
was in the way. Nothing is asserted about time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from steerbench.generators import StyleGAN3
from steerbench.generators.stylegan3.filters import plan_layers
from steerbench.generators.stylegan3.network import StyleGAN3Network
from tests.generators.stylegan3_reference import picture

ROUNDS = 5
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "T": {},
    "R": {
        "channel_base": 65536,
        "channel_max": 1024,
        "conv_kernel": 1,
        "use_radial_filters": True,
    },
}


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    """Two threads, as most people have at least."""
    before, wanted = torch.get_num_threads(), min(2, os.cpu_count() or 1)
    torch.set_num_threads(wanted)
    yield wanted
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def generator(request: pytest.FixtureRequest) -> StyleGAN3:
    first, layers = plan_layers(256, **CONFIGURATIONS[request.param])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN3Network(first=first, layers=layers)
    return StyleGAN3(network, name=f"random-{request.param}")


def timed(event: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds, and processor time over wall time."""
    began, used = time.perf_counter(), time.process_time()
    event()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return 1000 * seconds, used / seconds


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_picture(benchmark, generator: StyleGAN3, precision: str, threads: int) -> None:
    w = generator.sample(1, space="w+")
    used: list[float] = []

    def event() -> None:
        used.append(timed(lambda: generator.render(w, precision=precision))[1])

    benchmark.pedantic(event, rounds=ROUNDS, warmup_rounds=2)
    with torch.no_grad():
        plain, plain_used = min(timed(lambda: picture(generator.network, w.data)) for _ in range(2))
    ours = 1000 * benchmark.stats.stats.min
    benchmark.extra_info |= {
        "threads": threads,
        "best_ms": round(ours, 1),
        "plain_ms": round(plain, 1),
        "ratio": round(plain / ours, 2),
        "processor_over_wall": [round(share, 2) for share in used[-ROUNDS:]],
        "plain_processor_over_wall": round(plain_used, 2),
    }
