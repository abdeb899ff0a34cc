"""Searches that are broken off, taken up again, and led astray."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench.inversion import invert
from steerbench.inversion.engine import Descent, Plan, correlation
from steerbench.inversion.search import search
from tests.conftest import make_toy


@pytest.fixture(scope="module")
def toy():
    return make_toy()


@pytest.fixture(scope="module")
def wanted(toy) -> Tensor:
    return toy.render(toy.sample(3, seed=70))


def options(**more):
    return {"space": "w", "steps": 30, "samples": 8, "batch": 2, "progress": False} | more


@pytest.mark.parametrize("noise", [None, 10.0])
@pytest.mark.parametrize("stop", [2, 20, 40])
def test_a_search_that_goes_on_gives_what_a_whole_one_gives(toy, wanted, tmp_path, stop, noise):
    """Stopped in the race, after it, and in the second batch."""
    whole = invert(toy, wanted, **options(noise=noise))
    calls = []

    def leave(step: int, images: Tensor, losses: Tensor) -> bool:
        calls.append(step)
        return len(calls) < stop

    state = tmp_path / "state.safetensors"
    part = invert(toy, wanted, **options(noise=noise, callback=leave, state=state))
    assert part.ended == "stopped"
    assert len(calls) == stop
    again = invert(toy, wanted, **options(noise=noise, state=state))
    assert again.ended == "finished"
    assert torch.equal(again.latent.data, whole.latent.data)
    assert torch.equal(again.losses.nan_to_num(-1), whole.losses.nan_to_num(-1))
    assert again.report["start"].tolist() == whole.report["start"].tolist()
    assert again.seconds > part.seconds


def test_an_interrupt_gives_back_the_best_so_far(toy, wanted):
    def interrupt(step: int, images: Tensor, losses: Tensor) -> None:
        if step == 12:
            raise KeyboardInterrupt

    found = invert(toy, wanted, **options(callback=interrupt, starts="mean"))
    assert found.ended == "interrupted"
    assert found.report["steps"].tolist() == [13, 13, 0]
    assert (found.losses[:2, :13].amin(1) == torch.tensor(found.report["loss"][:2])).all()
    assert (found.losses[:2, 12] < found.losses[:2, 0]).all()
    untouched = toy.render(toy.latent(toy.spaces["w"].mean[None], "w"))
    assert torch.allclose(found.images[2:], untouched, atol=1e-5)


def test_the_state_of_another_search_is_refused(toy, wanted, tmp_path):
    state = tmp_path / "state.safetensors"
    invert(toy, wanted, **options(steps=2, state=state))
    for other in ({"steps": 3}, {"space": "s"}, {"seed": 1}, {"pixel": 2.0}):
        with pytest.raises(sb.errors.CheckpointError, match="another search"):
            invert(toy, wanted, **(options(steps=2, state=state) | other))
    with pytest.raises(sb.errors.CheckpointError, match="another search"):
        invert(toy, wanted + 0.01, **options(steps=2, state=state))
    state.write_bytes(state.read_bytes()[:-7])
    with pytest.raises(sb.errors.CheckpointError):
        invert(toy, wanted, **options(steps=2, state=state))


def test_the_best_start_wins_the_race(toy, wanted):
    truth = toy.sample(3, seed=70, space="w")
    found = invert(toy, wanted, **options(starts=["mean", truth, "nearest"]))
    assert found.report["start"].tolist() == ["given"] * 3
    assert (found.report["mse"] < 1e-5).all()


def test_it_ends_early_where_nothing_gets_better(toy, wanted):
    truth = toy.sample(3, seed=70, space="w")
    found = invert(toy, wanted, **options(starts=truth, steps=80, patience=5, batch=3))
    assert found.report["steps"].max() <= 30
    assert found.losses[:, 40:].isnan().all()


def test_a_loss_that_breaks_down_for_one_picture_leaves_the_others_alone(toy, wanted):
    starts = [toy.latent(toy.spaces["w"].mean.expand(3, -1), "w")]

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        each = (images - wanted[rows]).square().mean((1, 2, 3))
        return each * torch.where(rows == 1, torch.nan, 1.0)

    found = search(toy, starts, loss, Plan(steps=15), progress=None)
    assert found.latent.data.isfinite().all()
    assert found.loss.isfinite().tolist() == [True, False, True]
    assert found.losses[0, -1] < found.losses[0, 0]


def test_codes_of_a_bounded_prior_stay_inside(toy):
    generator = sb.wrap(
        torch.nn.Sequential(torch.nn.ConvTranspose2d(6, 3, 8), torch.nn.Tanh()),
        latent_shape=(6, 1, 1),
        prior="uniform",
    )
    found = invert(generator, torch.ones(1, 3, 8, 8), steps=60, rate=0.5, samples=8, progress=False)
    assert found.latent.space == "z"
    assert found.latent.data.abs().max() <= 1


def test_noise_helps_and_stays_noise(toy, wanted):
    plain = invert(toy, wanted, **options(steps=60, starts="mean"))
    helped = invert(toy, wanted, **options(steps=60, starts="mean", noise=0.1))
    assert helped.report["mse"].mean() < plain.report["mse"].mean()
    assert plain.noise == "const"
    for part in helped.noise.values():
        assert torch.allclose(part.mean((1, 2, 3)), torch.zeros(3), atol=1e-5)
        assert torch.allclose(part.square().mean((1, 2, 3)), torch.ones(3), atol=1e-4)


def test_correlation_is_that_of_neighbours():
    noise = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    smooth = smooth / smooth.std()
    assert (correlation(smooth) > 10 * correlation(noise)).all()
    assert torch.allclose(correlation(torch.ones(1, 1, 8, 8)), torch.tensor([2.0]))


def test_starts_that_do_not_fit_one_another_are_refused(toy, wanted):
    w, z = toy.sample(3, space="w"), toy.sample(3)
    with pytest.raises(sb.errors.SteerbenchError, match="one space"):
        search(toy, [w, z], lambda x, rows: x.mean((1, 2, 3)), Plan(steps=1))
    with pytest.raises(sb.errors.SteerbenchError, match="at least one"):
        search(toy, [], lambda x, rows: x.mean((1, 2, 3)), Plan(steps=1))
    with pytest.raises(sb.errors.SteerbenchError, match="2 codes was given for 3"):
        invert(toy, wanted, **options(starts=toy.sample(2)))
    with pytest.raises(sb.errors.SpaceError, match="start cannot"):
        invert(toy, wanted, **options(starts=toy.sample(3, space="s")))
    with pytest.raises(sb.errors.SteerbenchError, match="No start"):
        invert(toy, wanted, **options(starts="middle"))
    with pytest.raises(sb.errors.SpaceError, match="no space"):
        invert(toy, wanted, **options(space="q"))


def test_steps_are_of_the_same_size_in_every_space(toy, wanted):
    """One step of rate 1 moves every number by one deviation of its prior."""
    for space in ("z", "w", "w+", "s"):
        start = toy.sample(3, seed=3, space=space)
        loss = lambda images, rows: (images - wanted[rows]).square().mean((1, 2, 3))  # noqa: E731
        plan = Plan(steps=10, rate=1.0, warm_up=0.0, cool_down=0.0)
        descent = Descent(toy, start, torch.arange(3), loss, plan)
        descent.step()
        moved = (descent.codes().detach() - start.data).abs() / toy.spaces[space].std.clamp(
            min=1e-9
        )
        assert float(moved.median()) == pytest.approx(1.0, abs=0.02)
