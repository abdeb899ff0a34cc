"""Chapter 18: directions from words, and readers of pictures made of sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import NotFoundError, unknown
from steerbench.types import Predictor
from steerbench.worlds import world

TOLERANCE = 1e-6
ROOMS = 192
BETTER = 0.15
"""By how much a reader must beat the commoner answer, as a share of what is left to gain."""


@announce
def channel_step(function: Callable[[Tensor, Tensor, float], Any]) -> Verdict:
    """Check whether a function turns relevance into a step in StyleSpace.

    It is held to the definition on relevances of its own: those below the threshold stay, the
    others keep their proportions, and the most relevant one moves by one standard deviation.

    Args:
        function: The answer, from relevance ``[C]``, standard deviations ``[C]`` and beta to a
            step ``[C]``.
    """
    random, worst = np.random.default_rng(FRESH_SEED), 0.0
    for size, beta in ((12, 0.0), (40, 0.3), (200, 0.7)):
        relevance = torch.from_numpy(random.uniform(-0.9, 0.9, size))
        std = torch.from_numpy(random.uniform(0.2, 2.0, size))
        try:
            given = torch.as_tensor(function(relevance.clone(), std.clone(), beta))
            step = given.detach().double().reshape(size)
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            return Verdict(False, float("nan"), "Give a function from (R, std, beta) to a step.")
        stays = relevance.abs() < beta
        if bool((step[stays] != 0).any()):
            count = int((step[stays] != 0).sum())
            return Verdict(False, float(count), f"{count} channels move that are below beta.")
        want = torch.where(stays, 0.0, relevance) / relevance.abs().max() * std
        if float(step @ want) < 0:
            return Verdict(False, float(step @ want), "The step points away from the text.")
        worst = max(worst, float((step - want).abs().max()))
    if worst > TOLERANCE:
        return Verdict(
            False,
            worst,
            f"Off by {worst:.2g}: the most relevant channel should move by its own standard "
            "deviation, and every other one in proportion to its relevance.",
        )
    return Verdict(True, worst, f"The step of the definition: off by {worst:.1e} at most.")


@announce
def reads(reader: Predictor, factor: str) -> Verdict:
    """Check whether a reader made of sentences tells a factor of the world, by the world's own
    truth.

    Fresh rooms are rendered, so nothing that the reader learned from can help it. It must beat
    always giving the commoner answer by a part of what is left to gain.

    Args:
        reader: The answer, ``clip.predictor({factor: (yes, no)})``.
        factor: A binary factor of the world ``rooms``.
    """
    rooms = world("rooms")
    if factor not in rooms.binary_names:
        raise NotFoundError(unknown("factor", factor, rooms.binary_names))
    if factor not in getattr(reader, "names", ()):
        return Verdict(
            False, float("nan"), f"Name the pair {factor!r}: clip.predictor({{{factor!r}: ...}})."
        )
    batch = rooms.sample(ROOMS, seed=FRESH_SEED)
    truth = batch.factors[factor] > 0.5
    column = list(reader.names).index(factor)
    right = float(((reader.predict(batch.images)[:, column] > 0.5) == truth).float().mean())
    share = float(truth.float().mean())
    chance = max(share, 1 - share)
    said = f"right in {right:.0%} of {ROOMS} fresh rooms; the commoner answer in {chance:.0%}."
    if right < 1 - right:
        return Verdict(False, right, f"The two sentences are the wrong way round: {said}")
    if right < chance + BETTER * (1 - chance):
        return Verdict(False, right, f"Not yet: {said}")
    return Verdict(True, right, f"Yes: {said}")
