"""Singular vectors of Jacobians that are known: of linear maps, exactly, and of whole ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.unsupervised.jacobian import Jacobian, products
from steerbench.unsupervised.step_function import StepFunction
from tests.conftest import make_toy
from tests.contracts.test_generators import EXAMPLES


class Linear(nn.Module):
    """Pictures in float64, exactly linear in the code; singular values fall by a tenth each."""

    def __init__(self, size: int = 24) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0)
        draw = torch.randn(3 * 16, 3 * 16, generator=source, dtype=torch.float64)
        left, _, right = torch.linalg.svd(draw)
        self.values = 0.9 ** torch.arange(size, dtype=torch.float64)
        turn = torch.linalg.qr(right[:size, :size])[0]
        self.right = turn
        self.weight = nn.Parameter(left[:, :size] * self.values @ turn)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (z @ self.weight.T).unflatten(1, (3, 4, 4)) + 0.1


class Exact(sb.generators.WrappedGenerator):
    """A wrapped module whose pictures keep their precision."""

    def _to_pixels(self, image: torch.Tensor) -> torch.Tensor:
        return image


def exact(module: nn.Module, size: int) -> Exact:
    return Exact(module, latent_shape=(size,), prior="normal", pixels=(-1, 1), name="exact")


def exactly_linear() -> tuple[Exact, Linear]:
    module = Linear()
    generator = exact(module, 24)
    return generator, module


@pytest.mark.parametrize("method", ["iterate", "full"])
def test_of_a_linear_map_it_finds_the_singular_vectors(method: str) -> None:
    generator, module = exactly_linear()
    codes = generator.latent(torch.randn(2, 24, dtype=torch.float64))
    finder = Jacobian(n_directions=5, method=method, tolerance=1e-13, oversampling=2)
    finder.fit(generator, codes=codes)
    assert torch.allclose(finder.singular_values_, module.values[:5], rtol=1e-12)
    for i, direction in enumerate(finder.directions_):
        assert abs(float(direction.vector @ module.right[i])) == pytest.approx(1, abs=1e-11)
    assert finder.error_ <= 1e-13


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_both_products_are_those_of_the_jacobian(example: str) -> None:
    """Forwards against finite differences, backwards against forwards, in float64."""
    generator = EXAMPLES[example]().double()
    shifts = StepFunction(generator)
    codes = shifts.sample(1, seed=3)
    codes = codes.with_data(codes.data.double())
    vector = torch.randn(1, shifts.size, generator=torch.Generator().manual_seed(0)).double()

    def function(steps: torch.Tensor) -> torch.Tensor:
        return shifts(codes, steps)

    ahead = products(function, vector)
    if ahead.dtype == torch.float64:
        small = 1e-6 * vector
        numeric = (function(small) - function(-small)) / 2e-6
        assert torch.allclose(ahead, numeric, atol=1e-5 * float(ahead.abs().max()), rtol=1e-4)
    steps = torch.zeros_like(vector, requires_grad=True)
    weights = torch.randn(ahead.shape, generator=torch.Generator().manual_seed(1)).to(ahead)
    (back,) = torch.autograd.grad((function(steps) * weights).sum(), steps)
    near = 1e-9 if ahead.dtype == torch.float64 else 1e-3
    assert float((back * vector).sum()) == pytest.approx(float((ahead * weights).sum()), rel=near)


@pytest.mark.parametrize("options", [{}, {"layers": "0-1"}, {"output": "b8.conv0"}, {"space": "z"}])
def test_iteration_and_the_whole_jacobian_agree(options: dict[str, Any]) -> None:
    generator = make_toy()
    ways = [
        Jacobian(n_directions=3, n_samples=3, method=method, tolerance=1e-6, **options).fit(
            generator
        )
        for method in ("iterate", "full")
    ]
    values = [way.singular_values_ for way in ways]
    assert torch.allclose(*values, rtol=1e-4)
    for one, two in zip(*(way.directions_ for way in ways)):
        assert one.cosine(two) == pytest.approx(1, abs=1e-3)
        assert one.layers == ((0, 1) if "layers" in options else None)


def test_the_mean_over_codes_is_not_that_of_one_code() -> None:
    generator = make_toy()
    one, many = (
        Jacobian(n_directions=1, n_samples=n).fit(generator).directions_[0] for n in (1, 8)
    )
    assert abs(one.cosine(many)) < 0.9999
    again = Jacobian(n_directions=1).fit(generator, codes=generator.sample(1, space="w"))
    assert again.directions_[0].cosine(one) == pytest.approx(1, abs=1e-9)


class Rounded(torch.autograd.Function):
    """The identity, with a gradient and no forward mode."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clone()


def test_a_function_without_forward_mode_is_differentiated_twice() -> None:
    vectors = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def plain(steps: torch.Tensor) -> torch.Tensor:
        return torch.sin(steps + 1).cumsum(1)

    want = products(plain, vectors)
    assert torch.allclose(products(lambda s: Rounded.apply(plain(s)), vectors), want)


@pytest.mark.parametrize("method", ["iterate", "full"])
def test_an_interrupted_run_goes_on_to_the_same_result(method: str, tmp_path) -> None:
    whole = Jacobian(n_directions=3, n_samples=4, method=method).fit(make_toy())
    path = tmp_path / "run.safetensors"
    finder = Jacobian(n_directions=3, n_samples=4, method=method)
    generator, calls = make_toy(), []
    render = generator.render

    def interrupted(*given: Any, **more: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(*given, **more)

    generator.render = interrupted
    with pytest.raises(KeyboardInterrupt):
        finder.fit(generator, state=path, save_every=0)
    assert not hasattr(finder, "directions_")
    generator.render = render
    finder.fit(generator, state=path)
    for one, two in zip(finder.directions_, whole.directions_):
        assert torch.equal(one.vector, two.vector)
    with pytest.raises(sb.errors.SteerbenchError, match="differs in codes"):
        finder.fit(generator, state=path, codes=generator.sample(4, seed=9))
    with pytest.raises(sb.errors.SteerbenchError, match="differs in n_directions"):
        Jacobian(n_directions=2, n_samples=4, method=method).fit(generator, state=path)


def test_bad_options_are_refused() -> None:
    generator = make_toy()
    with pytest.raises(sb.errors.SteerbenchError, match="method"):
        Jacobian(method="power").fit(generator)
    with pytest.raises(sb.errors.SteerbenchError, match="at least 1"):
        Jacobian(n_samples=0).fit(generator)
    with pytest.raises(sb.errors.SpaceError, match="'w'"):
        Jacobian(space="x").fit(generator)
    with pytest.raises(sb.errors.LayerError):
        Jacobian(output="b4.conv7").fit(generator)
