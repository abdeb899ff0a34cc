"""Direction variation where it is known what natural pictures vary in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.metrics import direction_variation


class Scene(nn.Module):
    """The first number is seen in every picture, the second beyond five only, the third never."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        picture = torch.zeros(len(z), 1, 16, 16)
        picture[:, 0, :8] += z[:, 0, None, None]
        picture[:, 0, 8:, :4] += 4 * torch.relu(z[:, 1, None, None] - 5)
        return picture


@pytest.fixture(scope="module")
def scene() -> sb.generators.BaseGenerator:
    return sb.wrap(Scene(), latent_shape=(3,))


def score(generator: sb.generators.BaseGenerator, axis: int, **options: object) -> float:
    direction = sb.Direction(f"axis {axis}", "z", torch.eye(3)[axis])
    return direction_variation(direction, generator, **{"n_samples": 64, "n_steps": 60} | options)


def test_what_natural_pictures_vary_in_scores_high_and_flaws_do_not(scene) -> None:
    natural, flaw, nothing = (
        score(scene, axis, alpha=alpha) for axis, alpha in ((0, 2), (1, 8), (2, 2))
    )
    assert natural > 0.9
    assert flaw < 0.7
    assert 0.3 < nothing < 0.7


def test_pictures_of_ones_own_take_the_place_of_samples(scene) -> None:
    """Where natural pictures are all alike they teach nothing."""
    assert score(scene, 0, images=torch.zeros(64, 1, 24, 24)) < 0.7


def test_it_is_the_same_again_and_changes_nobodys_draws(scene) -> None:
    before = torch.get_rng_state()
    assert score(scene, 0, n_steps=5) == score(scene, 0, n_steps=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_options_are_refused(scene) -> None:
    for wrong in ({"alpha": 0}, {"n_steps": 0}, {"n_samples": 1}):
        direction = sb.Direction("axis", "z", torch.eye(3)[0])
        with pytest.raises(sb.errors.SteerbenchError, match="at least two codes"):
            direction_variation(direction, scene, **wrong)
