"""The checks of chapter 11 pass for a right answer and fail for each way of being wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench import check
from tests.conftest import make_toy


def right(f, z: Tensor, k: int, eps: float = 0.1, divide: float | None = None) -> Tensor:
    signs = torch.randint(2, (k, *z.shape)).to(z) * 2 - 1
    seconds = [(f(z + eps * v) - 2 * f(z) + f(z - eps * v)) / (divide or eps**2) for v in signs]
    return torch.stack(seconds).var(dim=0)


def test_an_unbiased_estimator_passes() -> None:
    verdict = check.penalty(right)
    assert verdict
    assert verdict.measured < 0.05
    assert sb.check("11.1", lambda f, z, k: right(f, z, k, eps=0.01))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda f, z, k: right(f, z, k) * (k - 1) / k, "Biased: with k = 2"),
        (lambda f, z, k: right(f, z, k, divide=0.1), "square of the step"),
        (lambda f, z, k: right(f, z, k).mean(0).expand(len(z), 3), "Every code"),
        (lambda f, z, k: right(f, z, k).mean(0), "gave"),
        (lambda f, z, k: right(f, z, k) / 0, "infinity"),
        (lambda f, z, k: None, "NoneType"),
        ("estimate", "function"),
    ],
)
def test_other_estimators_do_not(wrong: object, says: str) -> None:
    verdict = check.penalty(wrong)
    assert not verdict
    assert says in verdict.says


def test_counting_the_diagonal_is_biased() -> None:
    """Normal vectors in the place of signs bring the diagonal in."""

    def normal(f, z: Tensor, k: int) -> Tensor:
        draws = torch.randn(k, *z.shape).to(z)
        seconds = [(f(z + 0.1 * v) - 2 * f(z) + f(z - 0.1 * v)) / 0.01 for v in draws]
        return torch.stack(seconds).var(dim=0)

    assert not check.penalty(normal)


def test_the_strongest_step_is_told_from_others() -> None:
    generator = make_toy()
    code = generator.sample(1, seed=5, space="w")
    found = sb.Jacobian(n_directions=4, method="full").fit(generator, codes=code)
    first, second = found.directions_[0], found.directions_[3]
    verdict = check.strongest_step(first, code, generator)
    assert verdict
    assert verdict.measured == pytest.approx(1, abs=0.01)
    assert check.strongest_step(-3 * first.vector, code, generator)
    assert not check.strongest_step(second, code, generator)
    assert not check.strongest_step(torch.ones(16), code, generator)
    for rubbish in (torch.zeros(16), torch.ones(3), torch.full((16,), torch.nan)):
        assert "finite numbers" in check.strongest_step(rubbish, code, generator).says
