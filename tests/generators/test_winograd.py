"""Tiles give what a convolution gives, and its gradient; layers that use them stay the paper's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from steerbench.generators.fast import tuning, winograd
from steerbench.generators.stylegan2.network import SynthesisLayer
from tests.benchmarks import plain_stylegan2 as plain


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 8, 12), (3, 2, 15, 9)])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("strip", [1, tuning.TUNING.tiles], ids=["row by row", "at once"])
def test_it_is_a_convolution_with_its_gradient(shape, padding, strip, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "TUNING", replace(tuning.TUNING, tiles=strip))
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, shape[1], 3, 3, dtype=torch.float64)
    ours = winograd.convolve(x, winograd.transform_kernel(weight), padding)
    direct = F.conv2d(x, weight, padding=padding)
    torch.testing.assert_close(ours, direct)
    assert ours.stride(1) == 1, "channels last"
    probe = torch.randn_like(direct)
    torch.testing.assert_close(
        torch.autograd.grad((ours * probe).sum(), x), torch.autograd.grad((direct * probe).sum(), x)
    )


@pytest.mark.parametrize("n", [1, 2])
def test_a_wide_layer_uses_it_once_frozen_and_is_as_exact(n: int) -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(256, 256, w_dim=4, resolution=16)
    x, style = torch.randn(n, 256, 16, 16), torch.randn(n, 256)
    assert not layer.convolution.uses_tiles(layer.weight, x.dtype)
    layer.requires_grad_(False)
    assert layer.convolution.uses_tiles(layer.weight, x.dtype)
    assert not layer.convolution.uses_tiles(layer.weight, torch.bfloat16)
    given = layer(x, style)
    exact = plain.synthesis_layer(layer.double(), x.double(), style.double())
    assert (given - exact).abs().max() < 5e-6 * exact.abs().max()


def test_directions_and_batches_of_functions_go_through_it() -> None:
    torch.manual_seed(0)
    x, step = torch.randn(2, 1, 3, 8, 8, dtype=torch.float64)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    kernel = winograd.transform_kernel(weight)
    _, slope = torch.func.jvp(lambda x: winograd.convolve(x, kernel), (x,), (step,))
    torch.testing.assert_close(slope, F.conv2d(step, weight, padding=1))
    many = torch.func.vmap(lambda x: winograd.convolve(x, kernel))(torch.stack([x, step]))
    torch.testing.assert_close(many[1], F.conv2d(step, weight, padding=1))
