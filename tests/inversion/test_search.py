"""Searches that are broken off, taken up again, and led astray."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench.inversion import (
    Initialisation,
    OptimisationConfig,
    ReconstructionLossConfig,
    invert,
)
from steerbench.inversion.engine import CodeOptimiser, correlation, schedule
from steerbench.inversion.search import search
from tests.conftest import make_toy


@pytest.fixture(scope="module")
def toy():
    return make_toy()


@pytest.fixture(scope="module")
def targets(toy) -> Tensor:
    return toy.render(toy.sample(3, seed=70))


def options(init=None, **more):
    """What `invert` is asked here: the settings by name are those of its configuration."""
    direct = {name: more.pop(name) for name in ("callback", "state") if name in more}
    direct |= {"space": more.pop("space", "w"), "init": Initialisation(init, n_samples=8)}
    return direct | {"config": OptimisationConfig(**({"n_steps": 30, "batch_size": 2} | more))}


@pytest.mark.parametrize("noise", [None, 10.0])
@pytest.mark.parametrize("stop", [2, 20, 40])
def test_a_search_that_goes_on_gives_what_a_whole_one_gives(toy, targets, tmp_path, stop, noise):
    """Stopped in the warm-up, after it, and in the second batch."""
    whole = invert(toy, targets, **options(noise=noise))
    calls = []

    def leave(step: int, images: Tensor, losses: Tensor) -> bool:
        calls.append(step)
        return len(calls) < stop

    state = tmp_path / "state.safetensors"
    part = invert(toy, targets, **options(noise=noise, callback=leave, state=state))
    assert part.ended == "stopped"
    assert len(calls) == stop
    again = invert(toy, targets, **options(noise=noise, state=state))
    assert again.ended == "finished"
    assert torch.equal(again.latent.data, whole.latent.data)
    assert torch.equal(again.losses.nan_to_num(-1), whole.losses.nan_to_num(-1))
    assert again.report["start"].tolist() == whole.report["start"].tolist()
    assert again.seconds > part.seconds


def test_an_interrupt_gives_back_the_best_so_far(toy, targets):
    def interrupt(step: int, images: Tensor, losses: Tensor) -> None:
        if step == 12:
            raise KeyboardInterrupt

    found = invert(toy, targets, **options(init="mean", callback=interrupt))
    assert found.ended == "interrupted"
    assert found.report["steps"].tolist() == [13, 13, 0]
    assert (found.losses[:2, :13].amin(1) == torch.tensor(found.report["loss"][:2])).all()
    assert (found.losses[:2, 12] < found.losses[:2, 0]).all()
    untouched = toy.render(toy.latent(toy.spaces["w"].mean[None], "w"))
    assert torch.allclose(found.images[2:], untouched, atol=1e-5)


def test_the_state_of_another_search_is_refused(toy, targets, tmp_path):
    state = tmp_path / "state.safetensors"
    given = {"n_steps": 2, "state": state}
    invert(toy, targets, **options(**given))
    for name, value in (("n_steps", 3), ("space", "s"), ("seed", 1)):
        with pytest.raises(sb.errors.ArgumentError, match=f"another run: it differs in.*{name}"):
            invert(toy, targets, **options(**(given | {name: value})))
    with pytest.raises(sb.errors.ArgumentError, match="differs in pixel"):
        invert(toy, targets, loss=ReconstructionLossConfig(pixel=2.0), **options(**given))
    with pytest.raises(sb.errors.ArgumentError, match="differs in images"):
        invert(toy, targets + 0.01, **options(**given))
    state.write_bytes(state.read_bytes()[:-7])
    with pytest.raises(sb.errors.CheckpointError):
        invert(toy, targets, **options(**given))


def test_a_state_that_cannot_be_written_is_noticed_before_the_search(toy, targets, tmp_path):
    steps = []
    state = tmp_path / "nowhere" / "state.safetensors"
    with pytest.raises(sb.errors.FileError, match="Cannot write"):
        invert(toy, targets, **options(state=state, callback=lambda *step: steps.append(step)))
    assert not steps


def test_the_best_initial_code_wins_the_warm_up(toy, targets):
    truth = toy.sample(3, seed=70, space="w")
    found = invert(toy, targets, **options(["mean", truth, "nearest"]))
    assert found.report["start"].tolist() == ["given"] * 3
    assert (found.report["mse"] < 1e-5).all()


def test_it_ends_early_where_nothing_gets_better(toy, targets):
    truth = toy.sample(3, seed=70, space="w")
    found = invert(toy, targets, **options(truth, n_steps=80, patience=5, batch_size=3))
    assert found.report["steps"].max() <= 30
    assert found.losses[:, 40:].isnan().all()


def test_a_loss_that_breaks_down_for_one_picture_leaves_the_others_alone(toy, targets):
    starts = [toy.latent(toy.spaces["w"].mean.expand(3, -1), "w")]

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        each = (images - targets[rows]).square().mean((1, 2, 3))
        return each * torch.where(rows == 1, torch.nan, 1.0)

    found = search(toy, starts, loss, OptimisationConfig(n_steps=15))
    assert found.latent.data.isfinite().all()
    assert found.loss.isfinite().tolist() == [True, False, True]
    assert found.losses[0, -1] < found.losses[0, 0]


def test_codes_of_a_bounded_prior_stay_inside(toy):
    generator = sb.wrap(
        torch.nn.Sequential(torch.nn.ConvTranspose2d(6, 3, 8), torch.nn.Tanh()),
        latent_shape=(6, 1, 1),
        prior="uniform",
    )
    white = torch.ones(1, 3, 8, 8)
    found = invert(generator, white, config=OptimisationConfig(n_steps=60, learning_rate=0.5))
    assert found.latent.space == "z"
    assert found.latent.data.abs().max() <= 1


def test_noise_helps_and_stays_noise(toy, targets):
    plain = invert(toy, targets, **options("mean", n_steps=60))
    helped = invert(toy, targets, **options("mean", n_steps=60, noise=0.1))
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


def test_starts_that_do_not_fit_one_another_are_refused(toy, targets):
    w, z = toy.sample(3, space="w"), toy.sample(3)
    with pytest.raises(sb.errors.SteerbenchError, match="one space"):
        search(toy, [w, z], lambda x, rows: x.mean((1, 2, 3)), OptimisationConfig(n_steps=1))
    with pytest.raises(sb.errors.SteerbenchError, match="at least one"):
        search(toy, [], lambda x, rows: x.mean((1, 2, 3)), OptimisationConfig(n_steps=1))
    with pytest.raises(sb.errors.SteerbenchError, match="2 codes was given for 3"):
        invert(toy, targets, **options(toy.sample(2)))
    with pytest.raises(sb.errors.SpaceError, match="start cannot"):
        invert(toy, targets, **options(toy.sample(3, space="s")))
    with pytest.raises(sb.errors.SteerbenchError, match="No start"):
        invert(toy, targets, **options("middle"))
    with pytest.raises(sb.errors.SpaceError, match="no space"):
        invert(toy, targets, **options(space="q"))


def test_steps_are_of_the_same_size_in_every_space(toy, targets):
    """One step of learning rate 1 moves every number by one deviation of its prior."""
    for space in ("z", "w", "w+", "s"):
        start = toy.sample(3, seed=3, space=space)
        loss = lambda images, rows: (images - targets[rows]).square().mean((1, 2, 3))  # noqa: E731
        config = OptimisationConfig(n_steps=10, learning_rate=1.0, rampup=0.0, rampdown=0.0)
        optimiser = CodeOptimiser(toy, start, torch.arange(3), loss, config)
        optimiser.step()
        moved = (optimiser.codes().detach() - start.data).abs()
        moved = moved / toy.spaces[space].std.clamp(min=1e-9)
        assert float(moved.median()) == pytest.approx(1.0, abs=0.02)


def test_proximity_holds_codes_near_their_start_and_counts_in_the_loss(toy, targets):
    start = toy.sample(3, seed=3, space="w")
    loss = lambda images, rows: (images - targets[rows]).square().mean((1, 2, 3))  # noqa: E731
    ways = []
    for weight in (0.0, 1.0):
        config = OptimisationConfig(n_steps=20, proximity=weight, patience=None)
        optimiser = CodeOptimiser(toy, start, torch.arange(3), loss, config)
        while not optimiser.is_done:
            images, losses = optimiser.step()
        rest = losses - loss(images, torch.arange(3))
        assert bool((rest > 0).all()) == bool(weight)
        ways.append((optimiser.best - start.data).square().mean())
    assert ways[1] < 0.5 * ways[0]


def test_the_learning_rate_rises_and_falls():
    assert [schedule(t, 0.0, 0.0) for t in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert schedule(0.02) == pytest.approx(0.4)
    assert schedule(0.875) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("space", "init", "n_steps", "reference"),
    [
        ("w+", "mean", 2, "1904.03189"),
        ("p", "mean", 2, "2012.09036"),
        ("w", ["mean", "nearest"], 2, "1609.03552"),
        ("w", "mean", 0, "1609.03552"),
    ],
)
def test_the_provenance_names_who_proposed_the_method(
    toy, targets, space, init, n_steps, reference
):
    found = invert(toy, targets, **options(init, space=space, n_steps=n_steps))
    assert reference in found.provenance.reference
    assert found.provenance.n_samples == 8
    assert found.provenance.hyperparameters["space"] == space
