"""Conditional manipulation in the space of styles: leave out the channels that the others need.

In w two attributes can be at an angle, and the projection takes out what they share. In s every
number scales one channel of one layer, and a channel often serves one thing. There, freeing a
direction from a condition can mean to leave a channel alone that moves the condition more than it
moves what is wanted. How much a channel moves an attribute is its mean slope, through generator
and predictor, times the channel's own standard deviation:

    sensitivity[a, c] = mean over codes of dF_a / ds_c * std_c

Scores that saturate have no slope: probabilities near 0 and 1 say nothing. Codes whose score is in
between, or a predictor of log odds, tell more.

References: Wu, Lischinski, Shechtman, "StyleSpace Analysis" (2021, arXiv 2011.12799); Shen, Yang,
Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635) for the conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from steerbench.errors import LatentError, NotFoundError, PredictorError, SpaceError, unknown
from steerbench.types import Direction, Generator, Predictor


def sensitivity(
    generator: Generator,
    reader: Predictor,
    attributes: Sequence[str],
    *,
    space: str = "s",
    n_samples: int = 32,
    seed: int = 0,
    batch_size: int = 8,
    read: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return how much each number of a code moves each attribute.

    Args:
        generator: Differentiable, as all that ship are.
        reader: Differentiable with respect to the picture.
        attributes: Some of its names.
        space: Usually ``"s"``.
        n_samples: How many codes.
        seed: Of the first.
        batch_size: Codes at a time.
        read: What is differentiated instead of ``predictor.predict``, with the same columns
            (``oracle.logits``).

    Returns:
        ``[len(attributes), size]`` float64, the change of the score for one standard deviation.

    Raises:
        SpaceError: The generator has no such space.
        NotFoundError: The predictor has no such attribute.
        PredictorError: No gradient flows through it.
    """
    if space not in generator.spaces:
        raise SpaceError(
            f"{generator.name!r} has no space {space!r}. "
            f"{unknown('space', space, generator.spaces)}"
        )
    names = list(reader.names)
    for attribute in attributes:
        if attribute not in names:
            raise NotFoundError(unknown("attribute", attribute, names))
    columns = [names.index(attribute) for attribute in attributes]
    size = generator.spaces[space].shape
    total = torch.zeros(len(columns), *size, dtype=torch.float64).flatten(1)
    for start in range(0, n_samples, batch_size):
        count = min(batch_size, n_samples - start)
        codes = generator.sample(count, seed=seed + start, space=space).requires_grad_()
        scores = (read or reader.predict)(generator.render(codes))
        if not scores.requires_grad:
            raise PredictorError(
                "No gradient reaches the code through this predictor. Give one whose scores are "
                "computed in torch, or condition by projection in w: direction.condition(on=[...])."
            )
        slopes = [
            torch.autograd.grad(scores[:, column].sum(), codes.data, retain_graph=True)[0]
            for column in columns
        ]
        total += torch.stack(slopes).double().sum(1).flatten(1).cpu()
    std = generator.spaces[space].std
    scale = torch.ones(1) if std is None else std
    return total / n_samples * scale.double().flatten().cpu()


def select_channels(
    direction: Direction, wanted: Tensor, unwanted: Tensor, ratio: float = 1.0
) -> Direction:
    """Return the direction without the channels that move a condition more than what is wanted.

    Args:
        direction: In s, or any other space of single channels.
        wanted: ``[size]``, the sensitivity of the attribute that the direction stands for.
        unwanted: ``[conditions, size]`` or ``[size]``, those of the conditions.
        ratio: A channel stays if ``|wanted| > ratio * |unwanted|`` for every condition.

    Raises:
        LatentError: No channel stays.

    >>> moves = Direction("lamp", "s", [0.6, 0.8, 0.0])
    >>> select_channels(moves, torch.tensor([1.0, 0.1, 0.0]), torch.tensor([0.2, 0.9, 0.0])).vector
    tensor([1., 0., 0.], dtype=torch.float64)
    """
    flat = direction.vector.flatten()
    others = unwanted.double().reshape(-1, len(flat)).abs().amax(0)
    keep = wanted.double().flatten().abs() > ratio * others
    chosen = flat * keep
    if not bool((chosen != 0).any()):
        raise LatentError(
            f"No channel of {direction.name!r} moves it more than {ratio:g} times what moves the "
            "conditions. Lower the ratio, or condition by projection in w."
        )
    name = f"{direction.name} ({int(keep.sum())} channels)"
    return replace(direction, vector=chosen.reshape(direction.vector.shape), name=name)
