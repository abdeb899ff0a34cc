"""Perceptual path length: how much a picture changes along a short step between two codes.

Between two random codes a point t is drawn, and the picture there is compared with the picture a
little further on:

    PPL = E [ d(G(path(t)), G(path(t + epsilon)))^2 / epsilon^2 ]

The path is a great circle in a normal z and a straight line in every other space; d is the
distance between the features of the two pictures. A space in which pictures change evenly has
short paths; where a straight line crosses what cannot be (half a lamp), much changes at once and
the path is long. The largest and the smallest hundredth of the distances are left out, as is
usual.

The published figures use the layers of a VGG network trained on photographs (LPIPS). With other
features the unit is another one: compare spaces and generators under one extractor only.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948), section 4.1.

>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
>>> found = path_length(G, lambda images: images.flatten(1), space="z", n_samples=40)
>>> found.low < found.value < found.high
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, PredictorError
from steerbench.stats import bootstrap, slerp
from steerbench.types import Generator, Latent


@dataclass(frozen=True, eq=False)
class PathLength:
    """A perceptual path length.

    Attributes:
        value: The mean of the distances that were kept.
        low, high: Its interval (95%, bootstrap over pairs).
        distances: All of them, ``[n]`` float64, squared and over epsilon squared.
    """

    value: float
    low: float
    high: float
    distances: Tensor


def path_length(
    generator: Generator,
    features: Callable[[Tensor], Tensor],
    *,
    space: str = "w",
    n_samples: int = 500,
    seed: int = 0,
    epsilon: float = 1e-4,
    sampling: str = "full",
) -> PathLength:
    """Compute the perceptual path length of a space.

    Args:
        generator: Draws the pictures; those of a pair share their label and noise.
        features: Pictures ``[N, C, H, W]`` to ``[N, D]``, such as ``predictor.features``.
        space: Where paths are laid.
        n_samples: How many pairs of codes.
        seed: Of the first code; pair i joins the codes of seeds ``seed + i`` and
            ``seed + n_samples + i``.
        epsilon: The step, as in published figures.
        sampling: ``"full"`` along the whole path, ``"end"`` at its beginning, so that only codes
            of the prior are judged.

    Raises:
        ArgumentError: ``sampling``, ``n_samples`` or ``epsilon`` makes no sense.
        SpaceError: The generator has no such space, or its samples do not lead there.
        PredictorError: The features are not ``[N, D]``, or hold NaN or infinity.
    """
    if sampling not in ("full", "end") or n_samples < 2 or not epsilon > 0:
        raise ArgumentError(
            f"Got sampling={sampling!r}, n_samples={n_samples}, epsilon={epsilon}; expected "
            "'full' or 'end', at least 2 pairs and a step above 0."
        )
    random = np.random.RandomState(seed)
    places = torch.from_numpy(random.rand(n_samples, 1)) * (1.0 if sampling == "full" else 0.0)
    pairs = 32  # at a time
    distances = [
        _distances(generator, features, space, seed + i, n_samples, places[i : i + pairs], epsilon)
        for i in range(0, n_samples, pairs)
    ]
    return _summary(torch.cat(distances))


def _distances(
    generator: Generator,
    features: Callable[[Tensor], Tensor],
    space: str,
    seed: int,
    apart: int,
    places: Tensor,
    epsilon: float,
) -> Tensor:
    start = generator.sample(len(places), seed=seed)
    end = generator.sample(len(places), seed=seed + apart, label=start.label)
    both = [_between(generator, start, end, space, places + step) for step in (0.0, epsilon)]
    with torch.no_grad():
        here, there = (torch.as_tensor(features(generator.render(codes))) for codes in both)
    if here.ndim != 2 or len(here) != len(places) or not bool(torch.isfinite(here).all()):
        raise PredictorError(
            f"The features of {len(places)} pictures have the shape {list(here.shape)} or hold NaN "
            "or infinity; expected finite [N, D], one row a picture."
        )
    return (here.double() - there.double()).square().sum(1).cpu() / epsilon**2


def _between(generator: Generator, start: Latent, end: Latent, space: str, t: Tensor) -> Latent:
    if space == start.space and getattr(generator, "prior", "normal") == "normal":
        a, b = (codes.data.double().flatten(1) for codes in (start, end))
        return start.with_data(slerp(a, b, t).view_as(start.data).to(start.data))
    start, end = generator.to(start, space), generator.to(end, space)
    t = t.to(start.data.device).reshape(-1, *[1] * (start.data.ndim - 1))
    data = torch.lerp(start.data.double(), end.data.double(), t)
    return start.with_data(data.to(start.data))


def _summary(distances: Tensor) -> PathLength:
    # Ends of the kept range are measured distances, never values between two of them.
    low = torch.quantile(distances, 0.01, interpolation="lower")
    high = torch.quantile(distances, 0.99, interpolation="higher")
    kept = distances[(distances >= low) & (distances <= high)]
    lower, upper = bootstrap(kept[:, None])
    return PathLength(float(kept.mean()), float(lower), float(upper), distances)
