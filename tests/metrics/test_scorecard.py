"""The scorecard on a generator whose effects are known, and its p-values where nothing is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.metrics import Scorecard

SCALE = 0.05
"""So small that no pixel is ever white or black."""


class Linear(nn.Module):
    """Pixel i of a 4x4 picture is coordinate i of the code, a little."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (SCALE * z).view(-1, 1, 4, 4)


def linear():
    return sb.wrap(Linear(), latent_shape=(16,))


def pixels(count: int = 4, **options):
    """Reads the first pixels, one attribute each."""
    names = [f"pixel {i}" for i in range(count)]
    return sb.predictor(lambda x: x.flatten(1)[:, :count], names=names, **options)


def direction(name: str, *values: float):
    return sb.Direction(name, "z", torch.tensor([*values, *[0.0] * (16 - len(values))]))


def test_effects_and_shares_are_those_that_were_planted():
    card = sb.scorecard(
        [direction("a", 1.0), direction("b", -3.0, 4.0)], linear(), pixels(), n=32, null=19
    )
    assert isinstance(card, Scorecard)
    assert len(card) == 2
    spread = card.rescoring.spread.double()
    effects = card.effects.to_numpy()
    expected = SCALE * np.array([[1, 0, 0, 0], [-0.6, 0.8, 0, 0]]) / spread.numpy()
    assert effects == pytest.approx(expected, abs=1e-4)
    row = card.table.loc["b"]
    energy = expected[1] ** 2
    assert row["attribute"] == "pixel 1"
    assert row["next"] == "pixel 0"
    assert row["share"] == pytest.approx(energy.max() / energy.sum(), abs=1e-4)
    assert row["leakage"] == pytest.approx(abs(expected[1, 0] / expected[1, 1]), abs=1e-4)
    assert row["rest"] == pytest.approx(0, abs=1e-6)
    assert card.table.loc["a", "share"] == pytest.approx(1)
    assert row["monotonicity"] == pytest.approx(1)


def test_the_plot_draws_every_direction():
    card = sb.scorecard([direction("a", 1.0)], linear(), pixels(), n=8, null=0)
    figure = card.plot()
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["a"]
