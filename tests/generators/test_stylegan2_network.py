"""The quick network computes what the paper writes, and keeps nothing that is out of date."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from steerbench.generators import StyleGAN2
from steerbench.generators.checkpoints.common.layers import four_taps
from steerbench.generators.stylegan2.discriminator import blur_before_halving
from steerbench.generators.stylegan2.layers import downsample, upsample
from steerbench.generators.stylegan2.network import SynthesisLayer
from tests.benchmarks import plain_stylegan2 as plain
from tests.conftest import make_toy


def layer(**options) -> SynthesisLayer:
    made = SynthesisLayer(6, 5, w_dim=4, resolution=16, **options)
    with torch.no_grad():
        made.bias.normal_()
        made.noise_strength.fill_(0.3)
    return made.double()


@pytest.mark.parametrize("n", [1, 3], ids=["one picture", "a batch"])
@pytest.mark.parametrize("up", [False, True], ids=["same size", "up"])
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize(
    "options", [{}, {"gain": 0.5**0.5}, {"clamp": 0.7}, {"gain": 0.5**0.5, "clamp": 0.7}]
)
def test_a_layer_is_the_papers_with_its_gradients(n, up, frozen, options) -> None:
    torch.manual_seed(0)
    made = layer(up=up, **options).requires_grad_(not frozen)
    size = 8 if up else 16
    x = torch.randn(n, 6, size, size, dtype=torch.float64, requires_grad=True)
    style = torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, style, *(p for p in (made.weight, made.bias, made.noise_strength) if not frozen)]
    ours, papers = made(x, style), plain.synthesis_layer(made, x, style)
    torch.testing.assert_close(ours, papers)
    probe = torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad((ours * probe).sum(), inputs),
        torch.autograd.grad((papers * probe).sum(), inputs),
    )


@pytest.mark.parametrize("n", [1, 2])
def test_the_network_is_the_papers(n) -> None:
    G = make_toy(widths={4: 16, 8: 12, 16: 8, 32: 4}).double()
    ws = G.latent(torch.randn(n, *G.spaces["w+"].shape, dtype=torch.float64), "w+")
    expected = plain.synthesis(G.module.synthesis, ws.data)
    torch.testing.assert_close(G.render(ws).double(), expected, atol=1e-6, rtol=1e-6)


def rendered(G: StyleGAN2) -> torch.Tensor:
    return G.render(G.sample(2))


def test_kept_kernels_follow_the_weights() -> None:
    G = make_toy()
    before = rendered(G)
    weight = G.module.synthesis.b16.conv0.weight
    weight.mul_(torch.linspace(0.5, 2, weight.shape[1])[None, :, None, None])
    changed = rendered(G)
    assert not torch.allclose(changed, before)
    expected = plain.synthesis(G.module.synthesis, G.sample(2, space="w+").data)
    torch.testing.assert_close(changed, expected)
    G.module.load_state_dict(make_toy(seed=1).module.state_dict(), assign=True)
    torch.testing.assert_close(rendered(G), rendered(make_toy(seed=1)))


def test_a_copy_does_not_share_kernels() -> None:
    G = make_toy()
    before = rendered(G)
    other = copy.deepcopy(G)
    assert len(G.module.synthesis.b8.conv1.convolution.cache) == 1
    assert len(other.module.synthesis.b8.conv1.convolution.cache) == 0
    other.module.synthesis.b8.conv1.weight.mul_(-1)
    assert not torch.allclose(rendered(other), before)
    assert torch.equal(rendered(G), before)


def test_a_kernel_made_in_inference_mode_does_not_stop_gradients() -> None:
    G = make_toy()
    with torch.inference_mode():
        rendered(G)
    latent = G.sample(2, space="w").requires_grad_()
    G.render(latent).sum().backward()
    assert latent.grad is not None


def test_a_filter_of_three_taps_lies_where_published_code_puts_it() -> None:
    torch.manual_seed(0)
    line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    short = torch.outer(line, line)
    padded = four_taps(short)
    made, x = layer(up=True), torch.randn(1, 6, 8, 8, dtype=torch.float64)
    made.resample_filter = padded

    def filtered(y: torch.Tensor, before: int) -> torch.Tensor:
        y = F.pad(y, (before, 0, before, 0))
        return F.conv2d(y, short.expand(y.shape[1], 1, 3, 3), groups=y.shape[1])

    large = F.conv_transpose2d(x, made.weight.transpose(0, 1), stride=2)
    torch.testing.assert_close(
        made.convolution.convolve(x, made.weight, padded), 4 * filtered(large, 1)
    )
    apart = torch.zeros(1, 6, 16, 16, dtype=torch.float64)
    apart[:, :, ::2, ::2] = x
    torch.testing.assert_close(upsample(x, padded), 4 * filtered(apart, 2))
    torch.testing.assert_close(downsample(x, padded), filtered(x, 1)[:, :, ::2, ::2])
    for size in (1, 3):
        blurred = blur_before_halving(x, padded, size)
        wanted = filtered(F.pad(x, (size // 2,) * 4), 1)
        torch.testing.assert_close(blurred[:, :, : wanted.shape[2], : wanted.shape[3]], wanted)
