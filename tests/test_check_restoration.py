"""The checks of chapter 17 pass for a right answer and know the usual mistakes."""

from __future__ import annotations

import pytest
import torch

from steerbench import check
from steerbench.errors import ShapeError

MASK = torch.zeros(16, 16)
MASK[4:10, 5:12] = 1


def test_the_masked_error_knows_the_usual_mistakes() -> None:
    torch.manual_seed(0)
    drawn, given = torch.rand(2, 1, 3, 16, 16)
    squares = (drawn - given).square()
    known = (MASK == 0).expand_as(squares)
    assert check.masked_error(squares[known].mean(), drawn, given, MASK)
    wrong = {
        squares.mean(): "looks into the hole",
        squares[~known].mean(): "nobody knows",
        squares[known].sum() / squares.numel(): "divided by all",
        squares[known].sum(): "divide by how many",
        squares[known].mean().sqrt(): "root",
        torch.tensor(9.0): "expected",
        "many": "one number",
        torch.zeros(3): "one number",
        float("nan"): "expected",
    }
    for answer, says in wrong.items():
        verdict = check.masked_error(answer, drawn, given, MASK)
        assert not verdict
        assert says in str(verdict)
    with pytest.raises(ShapeError, match="one shape"):
        check.masked_error(1.0, drawn, given[..., :8], MASK)


def test_a_code_must_fill_the_hole(toy_generator) -> None:
    code = toy_generator.sample(1, seed=5)
    truth = toy_generator.render(code).clamp(-1, 1)
    assert check.fills(code, truth, MASK, toy_generator)
    wrong = {
        "another code": (toy_generator.sample(1, seed=6), "Not yet"),
        "several": (toy_generator.sample(2, seed=5), "Give one code"),
        "a picture": (truth, "give a code"),
        "nothing": (None, "give a code"),
    }
    for answer, says in wrong.values():
        verdict = check.fills(answer, truth, MASK, toy_generator)
        assert not verdict
        assert says in str(verdict)
    with pytest.raises(ShapeError, match="one picture"):
        check.fills(code, truth[0], MASK, toy_generator)


def test_a_code_of_another_generator_is_told(toy_generator, other_toy_generator) -> None:
    code = other_toy_generator.sample(1, seed=5)
    assert not check.fills(code, torch.zeros(1, 3, 16, 16), MASK, toy_generator)
