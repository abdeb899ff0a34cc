"""The checks of chapter 06 pass for a right answer and fail for each way of being wrong."""

from __future__ import annotations

import math

from steerbench import check
from steerbench.stats import wilson
from steerbench.supervised.boundaries.labelling import LabelledDirection
from steerbench.types import Direction


class Mean:
    """An oracle of brightness."""

    names = ("light",)

    def predict(self, images):
        return images.clamp(-1, 1).mean(dim=(1, 2, 3))[:, None]


def made_of(generator, n: int, right: bool = True) -> Direction:
    scores = Mean().predict(generator.render(generator.sample(n)))[:, 0]
    has = scores > scores.median()
    labels = {i: bool(each) if right else i % 2 == 0 for i, each in enumerate(has)}
    return LabelledDirection(labels).fit(generator).direction_


def test_a_direction_of_few_true_labels_passes(toy_generator) -> None:
    assert check.few_labels(made_of(toy_generator, 40), "light", toy_generator, Mean())


def test_labels_without_meaning_or_too_many_do_not(toy_generator) -> None:
    assert not check.few_labels(made_of(toy_generator, 6, False), "light", toy_generator, Mean())
    assert not check.few_labels(made_of(toy_generator, 60), "light", toy_generator, Mean())
    other = Direction("mine", "w", made_of(toy_generator, 40).vector)
    assert not check.few_labels(other, "light", toy_generator, Mean())


def wald(share: float, n: int) -> tuple[float, float]:
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return share - half, share + half


def test_an_interval_must_be_neither_too_sure_nor_too_careful() -> None:
    assert check.interval(lambda share, n: wilson(round(share * n), n))
    assert not check.interval(wald)
    assert not check.interval(lambda share, n: (share, share))
    assert not check.interval(lambda share, n: (0, 1))
    assert not check.interval(lambda share, n: 0.5)
