"""Names from phrases, where the meaning of the change is known."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from steerbench.errors import PredictorError, SteerbenchError
from steerbench.generators import wrap
from steerbench.metrics.naming_by_words import WordsNamer
from steerbench.types import Direction
from tests.embedding.planted import colour_clip


class Paint(torch.nn.Module):
    """A picture whose red, green and blue are the three numbers of its code."""

    def forward(self, z):
        return z.tanh()[:, :, None, None].expand(-1, 3, 8, 8)


@pytest.fixture(scope="module")
def namer() -> WordsNamer:
    return WordsNamer(wrap(Paint(), (3,)), colour_clip(), ["red", "green", "blue"])


def evidence(named: bool) -> pd.DataFrame:
    return pd.DataFrame({"effect": [1.0], "named": [named]}, index=["colour"])


@pytest.mark.parametrize(("axis", "name"), [(0, "red"), (1, "green"), (2, "blue")])
def test_a_direction_is_called_what_it_brings(namer, axis, name) -> None:
    direction = Direction("first", "z", torch.eye(3)[axis])
    assert namer(direction, evidence(True)) == name
    assert namer.fits(-direction).index[-1] == name


def test_what_chance_does_too_gets_no_name(namer) -> None:
    assert namer(Direction("first", "z", torch.eye(3)[0]), evidence(False)) is None
    strict = WordsNamer(namer.generator, namer.clip, namer.phrases, least=1.1)
    assert strict(Direction("first", "z", torch.eye(3)[0]), evidence(True)) is None


def test_phrases_must_be_known_and_more_than_one(namer) -> None:
    with pytest.raises(SteerbenchError, match="at least two"):
        WordsNamer(namer.generator, namer.clip, ["red", "red"])
    with pytest.raises(PredictorError):
        WordsNamer(namer.generator, namer.clip, ["red", "dragon"])
