"""Convolutions in strips and blocks, multiplied in full or at points, against torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.fast import convolution, tuning
from steerbench.generators.fast.convolution import Convolution


def drawn(size: int, shape: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, *shape, generator=random, dtype=torch.float64)
    style = torch.rand(2, 5, generator=random, dtype=torch.float64) + 0.5
    weight = torch.randn(32, 5, size, size, generator=random, dtype=torch.float64)
    precision = torch.float64 if dtype == torch.float64 else torch.float32
    return x.to(dtype), style.to(precision), weight.to(precision)


def expected(x: Tensor, style: Tensor, weight: Tensor) -> Tensor:
    x = x.double() * style.double()[:, :, None, None]
    return F.conv2d(x, weight.double(), padding=weight.shape[-1] - 1)


@pytest.mark.parametrize("shape", [(4, 4), (13, 22), (1, 1), (9, 2)])
@pytest.mark.parametrize(("size", "quick"), [(1, False), (2, False), (3, False), (3, True)])
@pytest.mark.parametrize("numbers", [1, 2**10, 2**22])
def test_it_is_the_convolution(
    size: int,
    quick: bool,
    shape: tuple[int, int],
    numbers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = replace(tuning.TUNING, strip=numbers, tiles=numbers, strip_tiles=2)
    monkeypatch.setattr(tuning, "TUNING", small)
    x, style, weight = drawn(size, shape, torch.float64)
    y = Convolution(weight, x.dtype, quick)(x, style)
    assert y.shape[:3] == (2, 2, 16)
    assert torch.allclose(y.flatten(1, 2), expected(x, style, weight), atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "relative"),
    [(torch.float32, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)],
)
def test_fewer_multiplications_round_a_little_more(dtype: torch.dtype, relative: float) -> None:
    x, style, weight = drawn(3, (24, 24), dtype)
    right = expected(x, style, weight)
    y = Convolution(weight, dtype, quick=True)(x, style).flatten(1, 2)
    assert y.dtype == dtype
    assert (y.double() - right).square().mean().sqrt() < relative * right.std()


def test_gradients_flow_through_the_plain_way() -> None:
    x, style, weight = drawn(3, (6, 7), torch.float64)
    layer = Convolution(weight, x.dtype, quick=True)
    x.requires_grad_()
    style.requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, style))
    with torch.no_grad():
        quick = layer(x, style)
    assert torch.allclose(layer(x, style), quick, atol=1e-10)


def test_narrow_layers_and_other_kernels_take_the_plain_way() -> None:
    assert Convolution(torch.zeros(64, 64, 3, 3), torch.float32).points is not None
    assert Convolution(torch.zeros(64, 48, 3, 3), torch.float32).points is None
    assert Convolution(torch.zeros(64, 64, 1, 1), torch.float32).points is None
    assert Convolution(torch.zeros(64, 64, 3, 3), torch.float64).points is None
    assert Convolution(torch.zeros(64, 64, 3, 3), torch.float16).points is None
    assert convolution.quick_pays(torch.bfloat16) in (True, False)
