"""Chapter 03: units of a generator and the concepts that they match and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import NotFoundError, ShapeError, unknown
from steerbench.types import Generator, Predictor, UnitEdit

SECOND_SEGMENTER = "rooms-segmenter-2"
"""The network that measures: trained like the first segmenter, from another seed."""


@announce
def overlap(
    answer: Any,
    activations: Tensor,
    threshold: float,
    labels: Tensor,
    concept: int,
    tolerance: float = 0.002,
) -> Verdict:
    """Check whether a number is the IoU of a unit's region with a concept, over all pictures.

    Held against the definition: the maps enlarged, compared, and counted pixel by pixel.

    Args:
        answer: The IoU.
        activations: ``[N, h, w]`` of the unit.
        threshold: Its region is where an activation is above.
        labels: ``[N, H, W]``.
        concept: The label.
        tolerance: How far it may be off.
    """
    if activations.ndim != 3 or labels.ndim != 3 or len(activations) != len(labels):
        raise ShapeError("Give activations [N, h, w] of one unit and labels [N, H, W].")
    size = (int(labels.shape[1]), int(labels.shape[2]))
    enlarged = F.interpolate(activations[:, None].float(), size, mode="bilinear")[:, 0]
    region, pixels = enlarged > threshold, labels == concept
    both, either = (region & pixels).sum().item(), (region | pixels).sum().item()
    want, given = both / max(either, 1), _number(answer)
    if not np.isfinite(given):
        return Verdict(False, given, "Give one number between 0 and 1.")
    if abs(given - want) <= tolerance:
        return Verdict(True, given, f"{both} pixels in both, {either} in either: IoU {want:.3f}.")
    each = torch.stack([_iou(r, p) for r, p in zip(region, pixels)]).mean().item()
    low = F.interpolate(pixels[:, None].float(), activations.shape[1:], mode="area")[:, 0] > 0.5
    told = {
        both / max(int(region.sum()), 1): "That is the share of the region that is the concept",
        both / max(int(pixels.sum()), 1): "That is the share of the concept that is in the region",
        each: "That is the mean of each picture's IoU; count over all pictures, then divide",
        _iou(activations > threshold, low).item(): "That is counted at the size of the layer; "
        "enlarge the activations, bilinearly, to the size of the picture",
    }
    near = min(told, key=lambda value: abs(value - given))
    says = told[near] if abs(near - given) <= tolerance else f"Got {given:.3f}; expected another"
    return Verdict(False, given, f"{says}. The IoU is the pixels in both over those in either.")


@announce
def removes(
    edit: Any,
    concept: str,
    generator: Generator,
    judge: Predictor | None = None,
    n_samples: int = 64,
    least: float = 0.3,
) -> Verdict:
    """Check whether an edit of units removes a concept from fresh pictures and leaves the rest.

    Read by the second segmenter. As many random units of the same layer, edited alike, are the
    chance that the answer has to beat, the best of nine; and the pixels that were not the concept
    may not change by more than a tenth of the full range on average.

    Args:
        edit: The answer, an ``sb.UnitEdit``.
        concept: What should be gone.
        generator: Whose units.
        judge: The measuring segmenter; the second one unless given.
        n_samples: How many fresh pictures.
        least: Which share of the concept's pixels has to go.

    Raises:
        NotFoundError: The judge knows no such concept.
    """
    if not isinstance(edit, UnitEdit):
        return Verdict(False, np.nan, f"Got a {type(edit).__name__}; give an sb.UnitEdit.")
    segmenter = judge if judge is not None else _second_segmenter()
    if concept not in segmenter.names:
        raise NotFoundError(unknown("concept", concept, segmenter.names))
    latent = generator.sample(n_samples, seed=FRESH_SEED)
    before = generator.render(latent)
    shown = segmenter.predict(before) == list(segmenter.names).index(concept)

    def share_gone(candidate: UnitEdit) -> tuple[float, float]:
        """Return the share of the concept's pixels that vanished, and the change of all others."""
        after = generator.render(latent, edits=[candidate])
        left = segmenter.predict(after) == list(segmenter.names).index(concept)
        change = (after.clamp(-1, 1) - before.clamp(-1, 1)).abs().mean(1) / 2
        return 1 - float(left.sum()) / max(int(shown.sum()), 1), float(change[~shown].mean())

    share, change = share_gone(edit)
    rivals = [share_gone(other)[0] for other in _alike(edit, generator, 9)]
    chance = max(rivals)
    measured = (
        f"{share:.0%} of the {concept} is gone from {n_samples} fresh rooms (the best of nine "
        f"random sets "
        f"of units: {chance:.0%}); the other pixels changed by {change:.1%}."
    )
    if share < max(least, chance):
        return Verdict(False, share, f"Not yet: {measured} At least {least:.0%} should go.")
    if change > 0.1:
        return Verdict(False, share, f"Too much: {measured} Choose fewer units.")
    return Verdict(True, share, f"Yes: {measured}")


def _alike(edit: UnitEdit, generator: Generator, count: int) -> list[UnitEdit]:
    """The same edit of random units of its layer."""
    layer = next(found for found in generator.layers if edit.layer in (found.name, *found.aliases))
    random = np.random.RandomState(FRESH_SEED)
    others: Sequence[int] = [u for u in range(layer.channels) if u not in edit.units]
    others = others if len(others) >= len(edit.units) else range(layer.channels)
    sets = [random.permutation(others)[: len(edit.units)].tolist() for _ in range(count)]
    return [UnitEdit(edit.layer, tuple(s), edit.op, edit.value, edit.mask) for s in sets]


def _second_segmenter() -> Predictor:
    from steerbench.predictors import predictor

    return predictor(SECOND_SEGMENTER)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    return (a & b).sum().double() / (a | b).sum().clamp(min=1)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return float("nan")
