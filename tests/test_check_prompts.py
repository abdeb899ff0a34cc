"""The checks of chapter 18 pass for a right answer and fail for each way of being wrong."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import check
from steerbench.errors import NotFoundError


def right(relevance, std, beta):
    kept = torch.where(relevance.abs() >= beta, relevance, 0.0)
    return kept / kept.abs().max() * std


def test_the_definition_passes() -> None:
    assert check.channel_step(right)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda r, s, b: r / r.abs().max() * s, "below beta"),
        (lambda r, s, b: -right(r, s, b), "away from"),
        (lambda r, s, b: right(r, s, b) / 2, "in proportion"),
        (lambda r, s, b: right(r, torch.ones_like(s), b), "in proportion"),
        (lambda r, s, b: right(r, s, b).sign() * s, "in proportion"),
        (lambda r: r, "Give a function"),
        (lambda r, s, b: "step", "Give a function"),
    ],
)
def test_other_steps_do_not(wrong, said, capsys) -> None:
    assert not check.channel_step(wrong)
    assert said in capsys.readouterr().out


def reader(function):
    return sb.predictor(function, names=["night"])


def test_a_reader_is_held_to_the_truth_of_the_world(capsys) -> None:
    def dark(images):
        return (images.mean((1, 2, 3)) < -0.1).float()

    def bright(images):
        return 1 - dark(images)

    assert check.reads(reader(dark), "night")
    assert not check.reads(reader(bright), "night")
    assert "wrong way round" in capsys.readouterr().out
    assert not check.reads(reader(lambda x: torch.zeros(len(x))), "night")
    assert not check.reads(reader(dark), "plant")
    with pytest.raises(NotFoundError):
        check.reads(reader(dark), "nihgt")
