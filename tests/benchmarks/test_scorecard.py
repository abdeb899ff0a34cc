"""How long a scorecard of ten directions takes, and how much of that is drawing the pictures."""

from __future__ import annotations

import time

import pytest
import torch

import steerbench as sb
from tests.benchmarks.timing import processor, threads


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_ten_directions_of_the_default_generator(precision: str) -> None:
    generator, predictor = sb.load("rooms"), sb.predictor("rooms-attributes")
    directions = sb.SeFa(10).fit(generator).directions_
    with threads(1), torch.no_grad():
        codes = generator.sample(32, seed=0, space="w")
        generator.render(codes, precision=precision)  # prepares kernels
        start = time.process_time()
        generator.render(codes, precision=precision)
        drawing = len(codes) / (time.process_time() - start)
        start = time.process_time()
        card = sb.scorecard(directions, generator, predictor, n_samples=64, precision=precision)
        seconds = time.process_time() - start
    rate = card.settings["pictures"] / seconds
    print(
        f"{precision}, 10 directions, n=64, 99 random ones: {card.settings['pictures']} pictures "
        f"in {seconds:.1f} s of one core, {rate:.0f} a second; drawing alone {drawing:.0f} a "
        f"second; {processor()}"
    )
    assert len(card) == 10
    assert seconds < 60
    assert rate > drawing / 3, "most of the time should go into pictures"
