"""Laws that every inverter obeys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench.generators import BaseGenerator
from steerbench.inversion import (
    INVERTERS,
    Initialisation,
    Inversion,
    OptimisationConfig,
    ProjectorConfig,
    ReconstructionLossConfig,
)
from tests.conftest import make_toy

STEPS = {"encode": 0}
"""How many steps an inverter is given here, where not 12."""


class TrueEncoder:
    """An encoder that knows the codes of a few pictures: the truth, a little off."""

    def __init__(self, generator: BaseGenerator, n: int) -> None:
        self.latent = generator.sample(n, seed=50, space="w")
        self.images = generator.render(self.latent)

    def __call__(self, images: Tensor) -> sb.Latent:
        rows = (images[:, None] - self.images).square().flatten(2).mean(2).argmin(1)
        found = self.latent[rows.tolist()]
        return found.with_data(found.data + 0.02)


def brightness(images: Tensor) -> list[Tensor]:
    return [images.mean((2, 3)), torch.nn.functional.avg_pool2d(images, 4)]


@pytest.fixture(scope="module")
def toy() -> BaseGenerator:
    return make_toy()


@pytest.fixture(scope="module")
def encoder(toy) -> TrueEncoder:
    return TrueEncoder(toy, 3)


@pytest.fixture(params=sorted(INVERTERS))
def inverter(request, encoder) -> Callable[..., Inversion]:
    name = request.param

    def run(generator: BaseGenerator, images: Any, **options: Any) -> Inversion:
        given = {"n_steps": STEPS.get(name, 12)} | options
        if name == "project":
            return INVERTERS[name](generator, images, brightness, **given)
        codes = "encoder" if name in ("encode", "hybrid") else None
        given["init"] = Initialisation(codes, n_samples=8, encoder=encoder)
        given["loss"] = ReconstructionLossConfig(features=brightness)
        return INVERTERS[name](generator, images, space="w", **given)

    run.config = ProjectorConfig if name == "project" else OptimisationConfig
    return run


def test_it_answers_with_a_code_a_picture_and_a_table(inverter, toy, encoder) -> None:
    found = inverter(toy, encoder.images)
    assert len(found) == len(found.latent) == len(found.report) == 3
    assert found.latent.generator == toy.fingerprint
    assert found.latent.data.shape[1:] == toy.spaces[found.latent.space].shape
    assert found.images.shape == found.wanted.shape == encoder.images.shape
    assert torch.equal(found.images, toy.render(found.latent, noise=found.noise))
    assert found.seconds > 0
    assert found.ended == "finished"
    assert found.provenance.fingerprint == toy.fingerprint
    assert found.provenance.reference
    assert (found.report["mse"] >= 0).all()
    assert found.report["loss"].notna().all()


def test_its_best_code_is_no_worse_than_any_on_the_way(inverter, toy, encoder) -> None:
    found = inverter(toy, encoder.images)
    if found.losses.shape[1]:
        lowest = found.losses.nan_to_num(torch.inf).amin(1)
        assert torch.equal(torch.tensor(found.report["loss"], dtype=torch.float32), lowest)
        assert lowest.mean() < found.losses[:, 0].mean()


def test_it_is_deterministic_and_leaves_everything_as_it_was(inverter, toy, encoder) -> None:
    before = toy.render(toy.sample(2))
    torch.manual_seed(11)
    state = torch.get_rng_state()
    one, two = inverter(toy, encoder.images), inverter(toy, encoder.images)
    assert torch.equal(one.latent.data, two.latent.data)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(toy.render(toy.sample(2)), before)
    assert not any(part.requires_grad for part in toy.module.parameters())
    assert not one.latent.data.requires_grad
    assert not one.images.requires_grad


def test_no_picture_depends_on_the_others(inverter, toy, encoder) -> None:
    configs = [inverter.config(patience=None, batch_size=size) for size in (3, 1)]
    together = inverter(toy, encoder.images, config=configs[0])
    alone = inverter(toy, encoder.images[1:2], config=configs[1])
    assert torch.allclose(together.latent.data[1:2], alone.latent.data, atol=1e-4)


def test_one_picture_without_a_batch_is_taken(inverter, toy, encoder) -> None:
    assert len(inverter(toy, encoder.images[0])) == 1


@pytest.mark.parametrize(
    "given", [torch.zeros(2, 5, 16, 16), torch.full((1, 3, 16, 16), torch.nan), b"", [], 7]
)
def test_what_is_no_picture_is_refused(inverter, toy, given) -> None:
    with pytest.raises(sb.errors.SteerbenchError):
        inverter(toy, given)
