"""How different two pictures look: their pixels, and what a network sees in them.

Pixels alone prefer a blur between two plausible pictures to either of them. A perceptual distance
compares what the layers l of a network make of both pictures, the channels of each place scaled to
unit length, so that every layer counts alike whatever its range:

    d(x, y) = sum over l of  mean over places of |f_l(x) - f_l(y)|^2        f = a / |a|

A model whose bundle (`steerbench.bundles`) has an oracle for a reader is compared by the layers of
that (`seen_by`). For any other model give a function of one's own that returns a tensor
``[N, ...]`` or several of them; they are compared as they come, by their mean squared difference.

Reference: Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as
a Perceptual Metric" (2018, arXiv 1801.03924).

>>> rooms = seen_by("rooms-attributes")
>>> [tuple(layer.shape) for layer in rooms(torch.rand(2, 3, 64, 64))]
[(2, 32, 32, 32), (2, 64, 16, 16), (2, 96, 8, 8), (2, 128, 4, 4)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.predictors import AttributePredictor, oracle

Features = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""Pictures ``[N, C, H, W]`` in [-1, 1] to one tensor ``[N, ...]`` or several."""


def seen_by(network: str | AttributePredictor) -> Callable[[Tensor], list[Tensor]]:
    """The layers of an oracle, unit length a place times the root of their channels.

    The mean square of such a layer's difference is the mean over places of the squared distance.

    Args:
        network: An oracle, or the name or the path of one.

    Raises:
        NotFoundError, CheckpointError, PredictorError: As `steerbench.predictors.oracle`.
    """
    judge = oracle(network)

    def layers(images: Tensor) -> list[Tensor]:
        x, maps = judge.prepare(images), []
        for index, convolution in enumerate(judge.network.trunk):
            x = convolution(x)
            if index % 2 == 0:  # the last one of its size
                maps.append(F.normalize(x, dim=1) * x.shape[1] ** 0.5)
        return maps

    return layers


def described(features: Features, images: Tensor) -> list[Tensor]:
    """What features make of pictures, as a list."""
    found = features(images)
    return [found] if isinstance(found, Tensor) else list(found)


def difference(given: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The distance ``[N]`` of two descriptions: the mean square of each part, summed."""
    parts = [(a - b).square().flatten(1).mean(1) for a, b in zip(given, wanted, strict=True)]
    return torch.stack(parts).sum(0)
