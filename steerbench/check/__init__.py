"""Independent checks for the exercises of the chapters.

    sb.check("08.1", vectors, A)          # by the number that stands in the chapter
    sb.check.eigenvectors(vectors, A)     # the same, by name

A check never asks the student's model about itself. It holds the answer against something else:
the pixels of pictures that the answer has not seen, a definition (the eigenvalue equation), the
world's truth, or the second oracle, a network with another seed that took no part in the chapter.
The verdict is printed with the number that was measured, and returned; it is true when the
exercise is solved:

>>> import torch
>>> verdict = orthonormal(torch.eye(4)[:, :2])
✓ 2 vectors of unit length, at right angles to each other: off by 0.0e+00 at most.
>>> bool(verdict)
True

A chapter adds a file here and its lines to `EXERCISES`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from steerbench.check.boundaries import brings, counterfactual
from steerbench.check.checkpoint import mystery, read_from_shapes, wrapping
from steerbench.check.discovery import penalty, strongest_step
from steerbench.check.dissection import overlap, removes
from steerbench.check.eigengan import one_layer, orthogonality_penalty
from steerbench.check.entanglement import projection, without
from steerbench.check.ganspace import principal_axes
from steerbench.check.inversion import inverse_code, signal_to_noise
from steerbench.check.labelling import few_labels, interval
from steerbench.check.latent_spaces import disentanglement, whitening
from steerbench.check.leaderboard import recovers, squared_effect
from steerbench.check.progress import covers, frechet, optimal_discriminator
from steerbench.check.prompts import channel_step, reads
from steerbench.check.quickstart import brighter, brightness, warmer, warmth
from steerbench.check.restoration import fills, masked_error
from steerbench.check.sefa import eigenvectors, orthonormal, steers
from steerbench.check.verdict import Verdict
from steerbench.errors import NotFoundError, unknown

__all__ = [
    "EXERCISES",
    "Verdict",
    "brighter",
    "brightness",
    "brings",
    "channel_step",
    "counterfactual",
    "covers",
    "disentanglement",
    "eigenvectors",
    "exercise",
    "few_labels",
    "fills",
    "frechet",
    "interval",
    "inverse_code",
    "masked_error",
    "mystery",
    "one_layer",
    "optimal_discriminator",
    "orthogonality_penalty",
    "orthonormal",
    "overlap",
    "penalty",
    "principal_axes",
    "projection",
    "read_from_shapes",
    "reads",
    "recovers",
    "removes",
    "signal_to_noise",
    "squared_effect",
    "steers",
    "strongest_step",
    "warmer",
    "warmth",
    "whitening",
    "without",
    "wrapping",
]

EXERCISES: dict[str, Callable[..., Verdict]] = {
    "00.1": warmer,
    "01.1": optimal_discriminator,
    "01.2": covers,
    "01.3": frechet,
    "02.1": read_from_shapes,
    "02.2": wrapping,
    "03.1": overlap,
    "03.2": removes,
    "04.1": counterfactual,
    "04.2": brings,
    "05.1": projection,
    "05.2": without,
    "06.1": few_labels,
    "06.2": interval,
    "08.1": eigenvectors,
    "08.2": steers,
    "09.1": principal_axes,
    "09.2": steers,
    "10.1": squared_effect,
    "10.2": recovers,
    "11.1": penalty,
    "11.2": strongest_step,
    "12.1": orthogonality_penalty,
    "12.2": one_layer,
    "14.1": whitening,
    "14.2": disentanglement,
    "15.1": inverse_code,
    "15.2": signal_to_noise,
    "18.1": channel_step,
    "18.2": reads,
    "17.1": masked_error,
    "17.2": fills,
}


def exercise(number: str, *answer: Any, **more: Any) -> Verdict:
    """Check an answer by the exercise's number.

    Args:
        number: As it stands in the chapter, ``"08.1"``.
        answer: What the exercise asks for, in its order.
        more: Passed on to the check.

    Raises:
        NotFoundError: There is no such exercise.
    """
    if number not in EXERCISES:
        raise NotFoundError(unknown("exercise", number, EXERCISES))
    return EXERCISES[number](*answer, **more)


class _Callable(ModuleType):
    """``sb.check("08.1", answer)`` and ``sb.check.eigenvectors(answer)`` are the same module."""

    def __call__(self, number: str, *answer: Any, **more: Any) -> Verdict:
        return exercise(number, *answer, **more)


sys.modules[__name__].__class__ = _Callable
