"""Predictors that learn recorded scores."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.errors import PredictorError
from steerbench.predictors.distillation import distill


@pytest.fixture(scope="module")
def generator() -> sb.generators.BaseGenerator:
    """Each number of a code brightens a quarter of the picture."""
    quarters = torch.zeros(4, 3, 8, 8)
    for i in range(4):
        quarters[i, :, 4 * (i // 2) : 4 * (i // 2) + 4, 4 * (i % 2) : 4 * (i % 2) + 4] = 0.3
    linear = nn.Linear(4, 192, bias=False)
    linear.weight.data = quarters.flatten(1).T.contiguous()
    return sb.wrap(nn.Sequential(linear, nn.Unflatten(1, (3, 8, 8))), latent_shape=(4,))


def test_it_reads_codes_that_it_has_not_learned_from(generator) -> None:
    z = generator.sample(600, seed=0)
    read = distill(generator, z, {"up": z.data[:, 0] + z.data[:, 1]}, units="years", epochs=8)
    assert read.held_out["up"] > 0.9
    assert read.units == ("years",)
    fresh = generator.sample(50, seed=10_000)
    told = read.predict(generator.render(fresh))[:, 0]
    truth = fresh.data[:, 0] + fresh.data[:, 1]
    assert torch.corrcoef(torch.stack([told, truth]))[0, 1] > 0.9


def test_a_seed_makes_the_same_network_and_leaves_random_numbers_alone(generator) -> None:
    z = generator.sample(40, seed=0)
    images = generator.render(z)
    before = torch.get_rng_state()
    one, two, other = (
        distill(generator, z, {"a": z.data[:, 0]}, epochs=1, seed=seed).predict(images)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({}, "No scores"),
        ({"a": [1.0, 2.0]}, r"expected \[20\]"),
        ({"a": [float("nan")] * 20}, "NaN"),
        ({"a": [1.0] * 20}, "never vary"),
    ],
)
def test_scores_that_do_not_fit_are_refused(generator, scores, said: str) -> None:
    with pytest.raises(PredictorError, match=said):
        distill(generator, generator.sample(20), scores)


def test_too_few_codes_are_refused(generator) -> None:
    z = generator.sample(8)
    with pytest.raises(PredictorError, match="at least 10"):
        distill(generator, z, {"a": z.data[:, 0]})
