"""Chapter 15: the code of a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import SteerbenchError
from steerbench.metrics import mse
from steerbench.types import Generator, Latent
from steerbench.worlds import world

SHOWN_SEED = FRESH_SEED + 15


def wanted_picture(resolution: int = 64) -> Tensor:
    """Return the picture of exercise 15.1, ``[1, 3, H, W]``: a room that no generator drew."""
    return world("rooms").sample(1, seed=SHOWN_SEED, resolution=resolution).images


@announce
def inverse_code(answer: Any, generator: Generator, share: float = 0.3) -> Verdict:
    """Check whether a code of w draws the picture of `wanted_picture`, judged by its pixels.

    The mean squared error must be below ``share`` of the mean code's.

    Args:
        answer: A Latent of w, one code.
        generator: What draws the picture.
        share: See above.
    """
    if not isinstance(answer, Latent) or answer.space != "w" or len(answer) != 1:
        given = f"{answer.space} [{len(answer)}]" if isinstance(answer, Latent) else type(answer)
        return Verdict(False, np.nan, f"Give one code of w, a Latent; this is {given}.")
    wanted = wanted_picture(generator.resolution)
    try:
        with torch.no_grad():
            error = float(mse(generator.render(answer.detach()), wanted))
    except SteerbenchError as refused:
        return Verdict(False, np.nan, f"The generator does not draw it: {refused}")
    mean = generator.spaces["w"].mean
    start = 0.0 if mean is None else _of_mean(generator, mean, wanted)
    says = f"mean squared error {error:.4f}; the mean code has {start:.4f}"
    if error > share * start:
        return Verdict(False, error, f"Not yet near enough ({share:.0%} of that is asked): {says}.")
    return Verdict(True, error, f"Found: {says}.")


def _of_mean(generator: Generator, mean: Tensor, wanted: Tensor) -> float:
    with torch.no_grad():
        return float(mse(generator.render(generator.latent(mean[None], "w")), wanted))


@announce
def signal_to_noise(answer: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Check whether a function of two pictures in [-1, 1] is their peak signal-to-noise ratio.

    It is tried on pictures with noise of a known strength, whose ratio follows from it.

    Args:
        answer: Two pictures ``[1, 3, H, W]`` to a number in decibels.
    """
    original = torch.zeros(1, 3, 32, 32)
    signs = torch.ones_like(original)
    signs[..., ::2] = -1
    for strength in (0.02, 0.1, 0.5):
        truth = 20 * np.log10(2 / strength)
        try:
            found = float(answer(original + strength * signs, original))
        except Exception as error:
            return Verdict(False, np.nan, f"It failed: {type(error).__name__}: {error}")
        if abs(found - truth) > 1e-3:
            return Verdict(False, found, f"Noise of {strength}: {found:.2f} dB{_why(found, truth)}")
    return Verdict(True, found, "Right for three strengths of noise.")


def _why(found: float, truth: float) -> str:
    if abs(found - truth + 20 * np.log10(2)) < 1e-3:
        return ". The range of pixels in [-1, 1] is 2, not 1."
    if abs(found + truth) < 1e-3:
        return ". It is turned round: the less noise, the higher the ratio."
    if abs(found - truth * np.log(10)) < 1e-3:
        return ". The logarithm is that of base 10."
    return f", expected {truth:.2f}. Compare with the definition."


__all__ = ["inverse_code", "signal_to_noise", "wanted_picture"]
