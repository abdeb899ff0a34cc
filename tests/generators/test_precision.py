"""Half precision is taken where a machine was measured to be quick in it."""

from __future__ import annotations

import pytest
import torch

from steerbench.generators import base
from steerbench.generators.fast import precision


@pytest.fixture(autouse=True)
def unmeasured():
    precision.fast_dtype.cache_clear()
    yield
    precision.fast_dtype.cache_clear()


@pytest.mark.parametrize(("half", "taken"), [(0.5, torch.bfloat16), (2.0, None)])
def test_the_cpu_is_measured_once(half, taken, monkeypatch) -> None:
    measured: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        measured.append(dtype)
        return half if dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(precision, "_seconds", seconds)
    assert precision.fast_dtype("cpu") is precision.fast_dtype("cpu") is taken
    assert measured == [torch.bfloat16, torch.float32]


def test_a_measurement_is_a_time() -> None:
    assert 0 < precision._seconds(torch.float32) < 10


@pytest.mark.parametrize(("native", "taken"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_without_bfloat16_takes_float16(native, taken, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert precision.fast_dtype("cuda") is taken
    assert precision.fast_dtype("mps") is torch.float16


def test_fast_is_exact_where_float32_is_the_quickest(toy_generator, monkeypatch) -> None:
    latent = toy_generator.sample(2)
    monkeypatch.setattr(base, "fast_dtype", lambda device: None)
    assert torch.equal(toy_generator.render(latent, precision="fast"), toy_generator.render(latent))
