"""What a search for codes goes by: how unlike the target pictures others are.

Pixels alone prefer a blur between two plausible pictures to either of them. A perceptual distance
compares what the layers l of a network make of both pictures, the channels of each place scaled to
unit length, so that every layer counts alike whatever its range:

    d(x, y) = sum over l of  mean over places of |f_l(x) - f_l(y)|^2        f = a / |a|

A model whose bundle (`steerbench.bundles`) has an oracle for a reader is compared by the layers of
that (`perceptual_features`). For any other model give a function of one's own that returns a tensor
``[N, ...]`` or several of them; they are compared as they come, by their mean squared difference.
The losses:

- `ReconstructionLoss`, of inversion: ``pixel * mean (G(c) - x)^2 + perceptual * d(G(c), x)``.
- `DegradationLoss`, of restoration: how badly pictures explain what is left of the target.
- `ProjectorLoss`, of NVIDIA's projector: the summed squared difference of features.

Reference: Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as
a Perceptual Metric" (2018, arXiv 1801.03924).

>>> features = perceptual_features("rooms-attributes")
>>> [tuple(layer.shape) for layer in features(torch.rand(2, 3, 64, 64))]
[(2, 32, 32, 32), (2, 64, 16, 16), (2, 96, 8, 8), (2, 128, 4, 4)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench import assets
from steerbench.errors import ArgumentError
from steerbench.inversion.degradations import Degradation
from steerbench.predictors import AttributePredictor, oracle

Features = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""Pictures ``[N, C, H, W]`` in [-1, 1] to one tensor ``[N, ...]`` or several."""


class TextImageEncoder(Protocol):
    """Places pictures and texts in one space, as `steerbench.predictors.clip.Clip` does."""

    def encode_image(self, images: Tensor) -> Tensor: ...

    def encode_text(self, texts: Sequence[str]) -> Tensor: ...


# Features and their distances.


def perceptual_features(network: str | AttributePredictor) -> Callable[[Tensor], list[Tensor]]:
    """Return the layers of an oracle, unit length a place times the root of their channels.

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


def extract(features: Features, images: Tensor) -> list[Tensor]:
    """Return the features of pictures as a list, however many there are."""
    parts = features(images)
    return [parts] if isinstance(parts, Tensor) else list(parts)


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the distance ``[N]`` of two lists of features: each one's mean square, summed."""
    parts = [(x - y).square().flatten(1).mean(1) for x, y in zip(a, b, strict=True)]
    return torch.stack(parts).sum(0)


@torch.no_grad()
def perceptual_distance(
    features: Features, images: Tensor, originals: Tensor, batch_size: int = 32
) -> Tensor:
    """Return the perceptual distance ``[N]`` between pictures and their originals.

    Args:
        features: What a network makes of pictures.
        images, originals: ``[N, C, H, W]`` each; clamped to [-1, 1].
        batch_size: Pictures at a time.
    """
    parts = zip(images.clamp(-1, 1).split(batch_size), originals.clamp(-1, 1).split(batch_size))
    distances = [feature_distance(extract(features, a), extract(features, b)) for a, b in parts]
    return torch.cat(distances)


# Inversion.


@dataclass(frozen=True)
class ReconstructionLossConfig:
    """How unlike the targets pictures are.

    Attributes:
        pixel, perceptual: The weights of the two parts.
        features: What a network makes of pictures, or the name of an oracle; None for pixels
            alone; ``"auto"`` is the layers of the reader in the generator's bundle, or else None.
        judge: As ``features``, for the report alone; ``"auto"`` is those of the bundle's judge, or
            else ``features``.
    """

    pixel: float = 1.0
    perceptual: float = 0.1
    features: Features | str | None = "auto"
    judge: Features | str | None = "auto"


class ReconstructionLoss:
    """The loss of inversion: how unlike the target pictures others are.

    Args:
        targets: ``[N, C, H, W]`` in [-1, 1].
        features: What a network makes of pictures; None for pixels alone.
        pixel, perceptual: The weights of the two parts.
    """

    def __init__(
        self,
        targets: Tensor,
        features: Features | None = None,
        *,
        pixel: float = 1.0,
        perceptual: float = 0.1,
    ) -> None:
        self.targets, self.features = targets, features
        self.pixel, self.perceptual = pixel, perceptual if features is not None else 0.0
        with torch.no_grad():
            self.target_features = [] if features is None else extract(features, targets)

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        indices = indices.to(images.device)
        loss = self.pixel * (images - self.targets[indices]).square().flatten(1).mean(1)
        if self.features is None or not self.perceptual:
            return loss
        own = extract(self.features, images)
        targets = [part[indices] for part in self.target_features]
        return loss + self.perceptual * feature_distance(own, targets)


# Restoration.


@dataclass(frozen=True)
class DegradationLossConfig:
    """How badly pictures explain what is left of the targets, and what they should show.

    Attributes:
        features: What a network makes of what is left, or the name of an oracle; ``"auto"`` is
            the layers of the reader in the generator's bundle, or else None.
        perceptual: The weight of that; None for 0.1, and for nothing where there is noise.
        clip, prompt, text_weight: A CLIP, what the restored pictures should show, and the weight
            of that.

    Raises:
        ArgumentError: A prompt was given without a CLIP.
    """

    features: Features | str | None = "auto"
    perceptual: float | None = None
    clip: TextImageEncoder | None = None
    prompt: str = ""
    text_weight: float = 0.1

    def __post_init__(self) -> None:
        if self.prompt and self.clip is None:
            raise ArgumentError(
                f"The prompt {self.prompt!r} needs a CLIP that reads it: clip=sb.clip(NAME), with "
                f"NAME one of {', '.join(map(repr, assets.names('clips')))} or a model of "
                "open_clip."
            )

    def perceptual_weight(self, degradation: Degradation) -> float:
        """Return the weight of the features for a degradation."""
        if self.perceptual is not None:
            return self.perceptual
        return 0.0 if degradation.floor else 0.1


class DegradationLoss:
    """The loss of restoration: how badly pictures explain what is left of the given ones.

    Args:
        degradation: What the given pictures went through.
        given: What is left of them, ``[N, c, h, w]``.
        features: What a network makes of pictures; None for pixels alone.
        config: The weights, and the prompt with its CLIP.
    """

    def __init__(
        self,
        degradation: Degradation,
        given: Tensor,
        features: Features | None = None,
        config: DegradationLossConfig | None = None,
    ) -> None:
        config = DegradationLossConfig() if config is None else config
        self.degradation, self.given, self.text_weight = degradation, given, config.text_weight
        self.perceptual = config.perceptual_weight(degradation)
        self.features = features if self.perceptual else None
        with torch.no_grad():
            self.observation = degradation.observation(given)
            own = self.features
            self.target_features = [] if own is None else extract(own, self.observation)
        self.clip = config.clip if config.prompt else None
        self.text = None if self.clip is None else self.clip.encode_text([config.prompt]).detach()

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        indices = (indices % len(self.given)).to(images.device)
        degraded = self.degradation(images, indices)
        error = (degraded - self.observation[indices]).square().flatten(1).mean(1)
        loss = (error - self.degradation.floor).clamp(min=0)
        if self.features is not None:
            targets = [part[indices] for part in self.target_features]
            distance = feature_distance(extract(self.features, degraded), targets)
            loss = loss + self.perceptual * distance
        if self.clip is None or self.text is None:
            return loss
        finished = self.degradation.finish(images, self.given[indices], indices)
        cosine = (self.clip.encode_image(finished) @ self.text.T)[:, 0]
        return loss + self.text_weight * (1 - cosine)


# NVIDIA's projector.


class ProjectorLoss:
    """The summed squared difference of features of pictures in [0, 255].

    Args:
        targets: ``[N, C, H, W]`` in [-1, 1].
        features: What a network makes of pictures **in [0, 255]**.
        largest: The side, in pixels, above which pictures are reduced first.
    """

    def __init__(self, targets: Tensor, features: Features, largest: int = 256) -> None:
        self.features, self.largest = features, largest
        with torch.no_grad():
            self.target_features = self.extract(targets)

    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the features of pictures in [-1, 1]."""
        pixels = (images + 1) * 127.5
        if pixels.shape[2] > self.largest:
            pixels = F.interpolate(pixels, size=(self.largest, self.largest), mode="area")
        return extract(self.features, pixels)

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        parts = zip(self.extract(images), self.target_features)
        return torch.stack([(a - b[indices]).square().flatten(1).sum(1) for a, b in parts]).sum(0)


__all__ = [
    "DegradationLoss",
    "DegradationLossConfig",
    "Features",
    "ProjectorLoss",
    "ReconstructionLoss",
    "ReconstructionLossConfig",
    "TextImageEncoder",
    "extract",
    "feature_distance",
    "perceptual_distance",
    "perceptual_features",
]
