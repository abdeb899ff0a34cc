"""Tiles give what a convolution gives, and its gradient; layers that use them stay the paper's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from steerbench.generators import winograd
from steerbench.generators.stylegan2_network import SynthesisLayer
from tests.benchmarks import plain_stylegan2 as plain


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 8, 12), (3, 2, 16, 8)])
@pytest.mark.parametrize("strip", [1, winograd.STRIP], ids=["row by row", "at once"])
def test_it_is_a_convolution_with_its_gradient(shape, strip, monkeypatch) -> None:
    monkeypatch.setattr(winograd, "STRIP", strip)
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, shape[1], 3, 3, dtype=torch.float64)
    ours = winograd.convolve(x, winograd.numbers(weight))
    direct = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(ours, direct)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    probe = torch.randn_like(direct)
    torch.testing.assert_close(
        torch.autograd.grad((ours * probe).sum(), x), torch.autograd.grad((direct * probe).sum(), x)
    )


@pytest.mark.parametrize("n", [1, 2])
def test_a_wide_layer_uses_it_once_frozen_and_is_as_exact(n: int) -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(256, 256, w_dim=4, resolution=16)
    x, style = torch.randn(n, 256, 16, 16), torch.randn(n, 256)
    assert not layer.tiled(x.dtype)
    layer.requires_grad_(False)
    assert layer.tiled(x.dtype)
    assert not layer.tiled(torch.bfloat16)
    given = layer(x, style)
    exact = plain.synthesis_layer(layer.double(), x.double(), style.double())
    assert (given - exact).abs().max() < 2e-5 * exact.abs().max()
