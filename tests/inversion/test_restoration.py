"""Restoration on small random networks: what is known stays, what is lost comes from the code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import ImageError, ShapeError, SteerbenchError
from steerbench.generators import wrap
from steerbench.image import to_uint8
from steerbench.inversion.degradations import Degradation, Grey, Hole, Noisy, Smaller, spread
from steerbench.inversion.initial_codes import Initialisation
from steerbench.inversion.losses import DegradationLossConfig
from steerbench.inversion.restoration import Restoration, RestorationConfig, restore
from steerbench.metrics.reconstruction import mse

KINDS = (Grey(), Smaller(4), Smaller(2), Noisy(0.1))
BOX = torch.zeros(16, 16)
BOX[4:10, 5:12] = 1
SAMPLES = 16
QUICK = {"n_steps": 40, "init": Initialisation(n_samples=SAMPLES)}


def pictures(generator, n: int = 2, seed: int = 700) -> Tensor:
    return generator.render(generator.sample(n, seed=seed)).clamp(-1, 1)


@pytest.fixture
def plain_generator():
    """A generator whose pictures are a linear map of a short code: restoring has one answer."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 3 * 16 * 16), nn.Unflatten(1, (3, 16, 16)))
    module[1].weight.data *= 0.5
    module[1].bias.data.zero_()
    return wrap(module, latent_shape=(6,))


@pytest.mark.parametrize("kind", [Hole(BOX), *KINDS], ids=lambda kind: kind.name)
def test_a_degradation_is_linear_and_has_gradients(kind: Degradation) -> None:
    torch.manual_seed(1)
    a, b = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(kind(2 * a - b), 2 * kind(a) - kind(b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [Hole(BOX), Grey(), Smaller(4), Smaller(2)], ids=lambda k: k.name)
def test_what_is_known_is_put_back_exactly(kind: Degradation) -> None:
    torch.manual_seed(2)
    truth, drawn = torch.rand(2, 2, 3, 16, 16, dtype=torch.float64)
    given = truth if kind.name == "hole" else kind(truth)
    finished = kind.finish(drawn, given)
    torch.testing.assert_close(kind(finished), kind.observation(given), rtol=0, atol=1e-12)


def test_finishing_the_truth_leaves_it_alone() -> None:
    truth = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    for kind in (Hole(BOX), *KINDS):
        given = truth if kind.name == "hole" else kind(truth)
        torch.testing.assert_close(kind.finish(truth, given), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("feather", [0.0, 1.0, 2.5, 1e6])
def test_nothing_from_inside_the_hole_is_looked_at(feather: float) -> None:
    torch.manual_seed(3)
    drawn, given = torch.rand(2, 1, 3, 16, 16)
    other = torch.where(BOX > 0, torch.rand(1, 3, 16, 16), given)
    hole = Hole(BOX, feather)
    torch.testing.assert_close(hole.finish(drawn, given), hole.finish(drawn, other), rtol=0, atol=0)
    torch.testing.assert_close(hole.baseline(given), hole.baseline(other), rtol=0, atol=0)
    torch.testing.assert_close(hole.observation(given), hole.observation(other), rtol=0, atol=0)


def test_a_feather_closes_the_seam() -> None:
    """The generator drew the same picture in another brightness."""
    given = torch.linspace(-0.5, 0.5, 16).expand(1, 3, 16, 16)
    seams = []
    for feather in (0.0, 4.0, 64.0):
        finished = Hole(BOX, feather).finish(given + 0.4, given)
        seams.append(float((finished - given).abs()[..., 4, 5:12].mean()))
    assert seams[0] == pytest.approx(0.4, abs=1e-6)
    assert seams[2] < 0.01 < seams[1] + 0.01
    assert sorted(seams, reverse=True) == seams


def test_a_constant_is_spread_everywhere_and_known_places_stay() -> None:
    for shape in ((16, 16), (13, 7), (1, 9)):
        known = torch.zeros(1, 1, *shape)
        known[..., 0, 0] = 1
        values = torch.where(known > 0, torch.full((1, 3, *shape), 0.7), torch.full((), 9.0))
        torch.testing.assert_close(spread(values, known), torch.full((1, 3, *shape), 0.7))


@pytest.mark.parametrize("kind", [Hole(BOX), Smaller(4), Noisy(0.05)], ids=lambda k: k.name)
def test_a_code_is_found_where_there_is_one_answer(plain_generator, kind: Degradation) -> None:
    truth = plain_generator.render(plain_generator.sample(3, seed=5)) / 4
    truth = truth.clamp(-1, 1)
    torch.manual_seed(4)
    seen = kind(truth) + (kind.floor**0.5) * torch.randn(kind(truth).shape)
    given = torch.where(BOX > 0, torch.rand(3, 3, 16, 16), truth) if kind.name == "hole" else seen
    config = RestorationConfig(n_steps=200, prior=0.0, patience=None)
    found = restore(plain_generator, given, kind, config=config)
    assert found.drawn.shape == truth.shape
    assert (mse(found.images, truth) < 0.2 * mse(found.baseline.clamp(-1, 1), truth)).all()
    assert (mse(found.images, truth) < 2e-3).all()


@pytest.mark.parametrize("kind", [Hole(BOX), *KINDS], ids=lambda kind: kind.name)
def test_results_fit_and_are_the_same_again(toy_generator, kind: Degradation) -> None:
    truth = pictures(toy_generator)
    given = truth if kind.name == "hole" else kind(truth)
    found, again = (
        restore(toy_generator, given, kind, config=RestorationConfig(seed=3), **QUICK)
        for _ in range(2)
    )
    assert found.images.shape == found.baseline.shape == found.drawn.shape == truth.shape
    assert found.images.min() >= -1
    assert found.images.max() <= 1
    assert (found.ended, len(found)) == ("finished", 2)
    torch.testing.assert_close(found.images, again.images, rtol=0, atol=0)
    torch.testing.assert_close(found.latent.data, again.latent.data, rtol=0, atol=0)
    torch.testing.assert_close(toy_generator.render(found.latent), found.drawn)
    assert found.provenance.hyperparameters["degradation"] == kind.name


def test_outside_of_the_mask_every_byte_stays(toy_generator) -> None:
    truth = pictures(toy_generator, 1)
    found = restore(toy_generator, truth, Hole(BOX), **QUICK)
    before, after = to_uint8(truth)[0].astype(int), to_uint8(found.images)[0].astype(int)
    outside = BOX.numpy() == 0
    assert np.abs(before - after)[outside].max() == 0
    assert np.abs(before - after)[~outside].max() > 1


def test_proposals_differ_and_the_best_comes_first(toy_generator) -> None:
    truth = pictures(toy_generator)
    found = restore(toy_generator, truth, Hole(BOX), n_proposals=3, **QUICK)
    assert found.proposals.shape == (3, 2, 3, 16, 16)
    assert (found.loss.diff(dim=0) >= 0).all()
    torch.testing.assert_close(found.proposals[0], found.images, rtol=0, atol=0)
    assert (found.proposals[0] - found.proposals[1]).abs().flatten(1).amax(1).min() > 1e-3
    for codes, shown in zip(found.latents, found.proposals):
        finished = Hole(BOX).finish(toy_generator.render(codes), truth).clamp(-1, 1)
        torch.testing.assert_close(finished, shown)


def test_a_mask_for_each_picture(toy_generator) -> None:
    truth, other = pictures(toy_generator), BOX.roll(3, 1)
    masks = torch.stack([BOX, other])[:, None]
    both = restore(toy_generator, truth, Hole(masks), n_proposals=2, **QUICK)
    for row, mask in enumerate((BOX, other)):
        outside = mask == 0
        shown = both.proposals[:, row][..., outside]
        torch.testing.assert_close(shown, truth[row][:, outside].expand_as(shown), rtol=0, atol=0)


class Words:
    """Sees the brightness of a picture, and reads one word for it."""

    def encode_image(self, images: Tensor) -> Tensor:
        level = images.mean((1, 2, 3))
        return F.normalize(torch.stack([level, torch.full_like(level, 0.3)], 1), dim=1)

    def encode_text(self, texts) -> Tensor:
        return torch.tensor([[1.0 if text == "bright" else -1.0, 0.0] for text in texts])


def test_a_prompt_draws_the_hole_towards_what_it_says(toy_generator) -> None:
    truth = pictures(toy_generator, 1)
    inside = {}
    for prompt in ("dark", "bright"):
        loss = DegradationLossConfig(clip=Words(), prompt=prompt, text_weight=5.0)
        options = {"loss": loss, "config": RestorationConfig(prior=0.0)}
        found = restore(toy_generator, truth, Hole(BOX), **QUICK, **options)
        inside[prompt] = float(found.images[..., BOX > 0].mean())
        torch.testing.assert_close(
            found.images[..., BOX == 0], truth[..., BOX == 0], rtol=0, atol=0
        )
    assert inside["bright"] > inside["dark"] + 0.1


def test_stopping_keeps_the_best_so_far(toy_generator) -> None:
    truth = pictures(toy_generator)
    steps = []

    def stop(step: int, images: Tensor, losses: Tensor) -> bool:
        steps.append((step, tuple(images.shape[1:]), len(losses)))
        return step < 3

    found = restore(toy_generator, truth, Hole(BOX), callback=stop, **QUICK)
    assert found.ended == "stopped"
    assert [step for step, _, _ in steps] == [0, 1, 2, 3]
    assert found.loss.isfinite().all()
    torch.testing.assert_close(found.images[..., BOX == 0], truth[..., BOX == 0], rtol=0, atol=0)


def test_an_interrupt_keeps_the_best_so_far(toy_generator) -> None:
    def interrupt(step: int, images: Tensor, losses: Tensor) -> None:
        if step == 2:
            raise KeyboardInterrupt

    found = restore(toy_generator, pictures(toy_generator), Grey(), callback=interrupt, **QUICK)
    assert isinstance(found, Restoration)
    assert found.ended == "interrupted"


def test_photographs_of_any_kind(toy_generator) -> None:
    photo = np.full((48, 64, 4), 200, np.uint8)
    assert len(restore(toy_generator, photo, Hole(BOX), **QUICK)) == 1
    grey = restore(toy_generator, photo, Grey(), **QUICK)
    assert grey.given.shape == (1, 1, 16, 16)
    assert restore(toy_generator, photo, Smaller(4), **QUICK).given.shape == (1, 3, 4, 4)


def test_no_steps_give_the_best_start(toy_generator) -> None:
    found = restore(toy_generator, pictures(toy_generator), Grey(), n_steps=0)
    assert found.images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.zeros((16, 16)), SteerbenchError, "covers nothing"),
        (np.ones((16, 16), bool), SteerbenchError, "covers everything"),
        (np.full((16, 16), np.nan), SteerbenchError, "NaN"),
        (np.eye(16) * 255, SteerbenchError, "0 to 1"),
        (-np.eye(16), SteerbenchError, "0 to 1"),
        (np.ones(16), ShapeError, r"\[16\]"),
        (np.ones((2, 3, 16, 16)), ShapeError, "a mask for each"),
        (np.ones((0, 4)), ShapeError, "give"),
        ("lamp", ShapeError, "str"),
        (None, ShapeError, "NoneType"),
    ],
)
def test_masks_that_make_no_sense(mask, error, message) -> None:
    with pytest.raises(error, match=message):
        Hole(mask)


def test_one_empty_mask_of_several() -> None:
    with pytest.raises(SteerbenchError, match="covers nothing"):
        Hole(torch.stack([BOX, torch.zeros(16, 16)]))


@pytest.mark.parametrize(
    ("degradation", "images", "options", "error", "message"),
    [
        (Hole(torch.eye(8)), torch.zeros(1, 3, 16, 16), {}, ShapeError, r"8, 8.*16, 16"),
        (Hole(torch.eye(16).expand(3, 16, 16)), torch.zeros(2, 3, 16, 16), {}, ShapeError, "2 pic"),
        (Smaller(5), torch.zeros(1, 3, 4, 4), {}, ShapeError, "divides both"),
        (Grey(), torch.full((1, 1, 16, 16), torch.nan), {}, ImageError, "NaN"),
        (Grey(), b"", {}, ImageError, "empty"),
        (Grey(), torch.zeros(3, 7), {}, ShapeError, "7"),
        (Grey(), torch.zeros(1, 1, 16, 16), {"n_proposals": 0}, SteerbenchError, "n_proposals=0"),
        (Grey(), torch.zeros(1, 1, 16, 16), {"space": "v"}, SteerbenchError, "v"),
        (Grey(), torch.zeros(1, 1, 16, 16), {"init": "men"}, SteerbenchError, "'mean'"),
    ],
)
def test_what_does_not_fit(toy_generator, degradation, images, options, error, message) -> None:
    with pytest.raises(error, match=message):
        restore(toy_generator, images, degradation, **(QUICK | options))


def test_a_prompt_needs_a_clip() -> None:
    with pytest.raises(SteerbenchError, match="needs a CLIP"):
        DegradationLossConfig(prompt="a lamp")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Smaller(1), "from 2 up"),
        (lambda: Smaller(2.5), "from 2 up"),
        (lambda: Noisy(0), "above 0"),
        (lambda: Noisy(float("nan")), "above 0"),
        (lambda: Hole(BOX, feather=-1), "from 0 up"),
        (lambda: Hole(BOX, feather=float("inf")), "from 0 up"),
    ],
)
def test_degradations_that_make_no_sense(make, message) -> None:
    with pytest.raises(SteerbenchError, match=message):
        make()
