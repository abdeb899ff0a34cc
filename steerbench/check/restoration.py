"""Chapter 17: what a hole hides, and what a generator says could be there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steerbench.check.verdict import Verdict, announce
from steerbench.errors import ShapeError, SteerbenchError
from steerbench.types import Generator, Latent


@announce
def masked_error(
    answer: Any, drawn: Tensor, given: Tensor, mask: Tensor, tolerance: float = 1e-3
) -> Verdict:
    """Check whether a number is the mean squared difference over the known pixels.

    Args:
        answer: The number.
        drawn: ``[N, C, H, W]``.
        given: Of the same shape.
        mask: ``[H, W]``, above 0 where pixels are missing.
        tolerance: How far it may be off, as a share.
    """
    if drawn.shape != given.shape or mask.shape != drawn.shape[-2:]:
        raise ShapeError("Give two pictures [N, C, H, W] of one shape and a mask [H, W].")
    squares = (drawn.double() - given.double()).square()
    hole = (mask > 0).expand_as(squares)
    want = float(squares[~hole].mean())
    try:
        found = float(answer)
    except (TypeError, ValueError, RuntimeError):
        return Verdict(False, float("nan"), "Give one number.")
    if abs(found - want) <= tolerance * want:
        return Verdict(True, found, f"{want:.5f}, over {int((~hole).sum())} known numbers.")
    told = {
        float(squares.mean()): "That is the mean over all pixels: it looks into the hole",
        float(squares[hole].mean()): "That is the mean inside the hole, which nobody knows",
        float(squares[~hole].sum() / squares.numel()): "The sum is right, but it was divided by "
        "all pixels; divide by the known ones",
        float(squares[~hole].sum()): "That is the sum; divide by how many are known",
        want**0.5: "That is the root of it",
    }
    for value, says in told.items():
        if abs(found - value) <= tolerance * abs(value):
            return Verdict(False, found, f"{says}. Got {found:.5f}, expected {want:.5f}.")
    return Verdict(False, found, f"Got {found:.5f}, expected {want:.5f}.")


@announce
def fills(
    answer: Latent, truth: Tensor, mask: Tensor, generator: Generator, share: float = 0.5
) -> Verdict:
    """Check whether a code draws what a mask hides better than the mean colour of the rest.

    The squared error is taken inside the mask alone, against the true picture.

    Args:
        answer: One code of the generator.
        truth: The picture before it was damaged, ``[1, C, H, W]``.
        mask: ``[H, W]``, above 0 where pixels are missing.
        generator: What draws.
        share: How much of the mean colour's error is allowed.
    """
    if truth.ndim != 4 or len(truth) != 1 or mask.shape != truth.shape[-2:]:
        raise ShapeError("Give one picture [1, C, H, W] and a mask [H, W].")
    if not isinstance(answer, Latent):
        kind = type(answer).__name__
        return Verdict(False, 0.0, f"A {kind} was given; give a code, an sb.Latent.")
    try:
        with torch.no_grad():
            drawn = generator.render(answer).clamp(-1, 1)
    except SteerbenchError as error:
        return Verdict(False, 0.0, str(error))
    if drawn.shape != truth.shape:
        return Verdict(False, float(len(drawn)), f"Give one code; {len(drawn)} were given.")
    hole = mask > 0
    mean = truth[..., ~hole].mean(-1)[..., None]
    inside = truth[..., hole]
    plain = float((inside - mean).square().mean())
    found = float((inside - drawn[..., hole]).square().mean())
    says = f"inside the mask its error is {found:.4f}, that of the mean colour {plain:.4f}."
    if found > share * plain:
        return Verdict(False, found / plain, f"Not yet, {share:.0%} of it is allowed: {says}")
    return Verdict(True, found / plain, f"Yes: {says}")
