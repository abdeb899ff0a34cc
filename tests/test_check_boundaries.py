"""The checks of chapters 04 and 05: right answers pass, each way of being wrong fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench import check
from steerbench.errors import NotFoundError, SteerbenchError
from tests.test_check import SIZE, Painter, Reader, axis


@pytest.fixture
def painter() -> Painter:
    return Painter()


def test_the_counterfactual_effect_is_its_definition():
    assert check.counterfactual(lambda before, after: (after - before).clamp(min=0).mean())
    assert sb.check("04.1", lambda b, a: sum(max(float(y - x), 0) for x, y in zip(b, a)) / len(b))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda b, a: (a - b).mean(), "mean change"),
        (lambda b, a: (a - b).clamp(min=0).sum(), "definition"),
        (lambda b, a: (a - b)[a > b].mean(), "Every picture counts"),
        (lambda b, a: (b - a).clamp(min=0).mean(), "definition"),
        (lambda b, a: "text", "failed"),
        (lambda b: b, "failed"),
    ],
)
def test_another_effect_is_told_apart(wrong, says):
    verdict = check.counterfactual(wrong)
    assert not verdict
    assert says in verdict.says


def test_a_direction_must_bring_its_attribute_the_right_way_round(painter):
    assert check.brings(axis(0), "light", painter, Reader())
    assert not check.brings(axis(4), "light", painter, Reader())
    turned = check.brings(-axis(0), "light", painter, Reader())
    assert not turned
    assert "-direction" in turned.says
    assert "give an sb.Direction" in check.brings(np.ones(6), "light", painter, Reader()).says
    with pytest.raises(NotFoundError, match="'light'"):
        check.brings(axis(0), "lihgt", painter, Reader())


@pytest.fixture
def normals() -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(np.random.RandomState(0).randn(4, 9))
    return values[0], values[1:]


def right(normal: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    return normal - conditions.T @ torch.linalg.lstsq(conditions.T, normal[:, None]).solution[:, 0]


def test_a_projection_is_accepted_at_any_length(normals):
    assert check.projection(right(*normals), *normals)
    assert check.projection(7 * right(*normals).numpy(), *normals)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda n, c: n, "still has a cosine"),
        (lambda n, c: n - (n @ c[0]) / (c[0] @ c[0]) * c[0], "still has a cosine"),
        (lambda n, c: -right(n, c), "turned round"),
        (lambda n, c: right(n + torch.eye(9)[3].double(), c), "was added"),
        (lambda n, c: n * torch.nan, "finite"),
        (lambda n, c: n[:4], r"shape [9]"),
        (lambda n, c: n * 0, "not all zero"),
        (lambda n, c: "vector", "finite"),
    ],
)
def test_what_is_no_projection_is_told(normals, wrong, says):
    verdict = check.projection(wrong(*normals), *normals)
    assert not verdict
    assert says in verdict.says


def test_a_projection_needs_a_problem(normals):
    with pytest.raises(SteerbenchError, match="conditions"):
        check.projection(normals[0], normals[0], torch.ones(2, 5))


def mixed(share: float) -> sb.Direction:
    vector = torch.zeros(SIZE)
    vector[0], vector[1] = 1.0, share
    return sb.Direction("mixed", "z", vector, generator="painter")


def test_one_attribute_without_another(painter):
    def judged(direction):
        return check.without(direction, "light", "warmth", painter, Reader())

    assert judged(axis(0))
    assert judged(mixed(0.2))
    assert "may leak" in judged(mixed(0.8)).says
    assert "may leak" in judged(mixed(-0.8)).says
    assert "no more than chance" in judged(axis(3)).says
    assert "no more than chance" in judged(-axis(0)).says
    assert "give an sb.Direction" in judged("lamp").says
    with pytest.raises(NotFoundError, match="'warmth'"):
        check.without(axis(0), "light", "warm", painter, Reader())
