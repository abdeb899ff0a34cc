"""The checks of chapter 10: right answers pass, each way of being wrong fails."""

from __future__ import annotations

import pytest

import steerbench as sb
from steerbench import check
from steerbench.errors import NotFoundError
from tests.test_check import Painter, Reader, axis


def test_an_unbiased_square_passes() -> None:
    assert sb.check("10.1", lambda x: x.mean() ** 2 - x.var() / len(x))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda x: x.mean() ** 2, "noise counts"),
        (lambda x: (x.mean() ** 2 - x.var() / len(x)).clamp(min=0), "negative at times"),
        (lambda x: x.square().mean(), "on average it gives"),
        (lambda x: x.mean() ** 2 - x.var(), "on average it gives"),
        (lambda x: float("nan"), "NaN"),
        (lambda x: "text", "failed"),
    ],
)
def test_a_biased_square_is_told_apart(wrong, says: str) -> None:
    verdict = check.squared_effect(wrong)
    assert not verdict
    assert says in verdict.says


def test_a_direction_with_one_effect_recovers_it() -> None:
    painter, names = Painter(), ["light", "warmth"]
    assert check.recovers(axis(1), "warmth", painter, Reader(), names)
    wrong = check.recovers(axis(1), "light", painter, Reader(), names)
    assert not wrong
    assert "goes to 'warmth'" in wrong.says
    assert not check.recovers("yaw", "light", painter, Reader(), names)
    with pytest.raises(NotFoundError, match="light"):
        check.recovers(axis(1), "lihgt", painter, Reader(), names)


def test_half_and_half_is_not_enough() -> None:
    both = sb.Direction("both", "z", axis(0).vector + axis(1).vector, generator="painter")
    assert not check.recovers(both, "light", Painter(), Reader(), ["light", "warmth"])
