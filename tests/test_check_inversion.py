"""The checks of chapter 15: right answers pass, each way of being wrong fails."""

from __future__ import annotations

import math

import pytest

import steerbench as sb
from steerbench import check
from steerbench.check.inversion import wanted_picture


def ratio(images, originals):
    return 10 * math.log10(4 / float((images - originals).square().mean()))


def test_the_ratio_is_its_definition():
    assert sb.check("15.2", ratio)
    assert sb.check("15.2", lambda a, b: sb.metrics.psnr(a, b))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, b: ratio(a, b) - 20 * math.log10(2), "not 1"),
        (lambda a, b: -ratio(a, b), "turned round"),
        (lambda a, b: ratio(a, b) * math.log(10), "base 10"),
        (lambda a, b: float((a - b).square().mean()), "definition"),
        (lambda a, b: None, "failed"),
    ],
)
def test_another_ratio_is_told_apart(wrong, says):
    verdict = check.signal_to_noise(wrong)
    assert not verdict
    assert says in verdict.says


def test_a_code_of_w_that_draws_the_picture_is_right(rooms):
    found = sb.inversion.encoder("rooms-encoder").encode(wanted_picture(), "w")
    init = sb.inversion.Initialisation(found, n_samples=8)
    fast = sb.inversion.OptimisationConfig(n_steps=40, precision="fast")
    answer = sb.invert(rooms, wanted_picture(), space="w", init=init, config=fast).latent
    assert sb.check("15.1", answer, rooms)


def test_other_answers_to_the_first_are_refused(rooms, toy_generator):
    for wrong in (
        rooms.sample(1, seed=3, space="w"),
        rooms.latent(rooms.spaces["w"].mean[None], "w"),
        rooms.sample(1, space="w+"),
        rooms.sample(2, space="w"),
        toy_generator.sample(1, space="w"),
        wanted_picture(),
    ):
        assert not check.inverse_code(wrong, rooms)
