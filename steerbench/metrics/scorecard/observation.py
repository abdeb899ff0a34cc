"""Render once, read everything: scores, features and small pictures of a batch of codes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from steerbench.errors import CapabilityError, PredictorError
from steerbench.image import resize
from steerbench.metrics.reading import Reader
from steerbench.types import Generator, Latent


@dataclass(frozen=True, eq=False)
class Observation:
    """What was read of some pictures.

    Attributes:
        scores: ``[N, attributes]`` float32.
        features: ``[N, D]`` float32.
        pixels: ``[N, C, h, w]`` in [-1, 1], at most 128 wide.
        realness: ``[N]``, the discriminator's logits, where it was asked.
    """

    scores: Tensor
    features: Tensor
    pixels: Tensor
    realness: Tensor | None = None

    def __getitem__(self, some: slice) -> Observation:
        realness = None if self.realness is None else self.realness[some]
        return Observation(self.scores[some], self.features[some], self.pixels[some], realness)

    @staticmethod
    def cat(parts: list[Observation]) -> Observation:
        """Join several observations to one."""
        realness = [part.realness for part in parts if part.realness is not None]
        return Observation(
            torch.cat([part.scores for part in parts]),
            torch.cat([part.features for part in parts]),
            torch.cat([part.pixels for part in parts]),
            torch.cat(realness) if realness else None,
        )


class Observer:
    """Renders codes and reads what a scorecard needs, counting pictures and seconds.

    Args:
        generator: Draws the pictures.
        reader: Gives the scores; its predictor also the features, where it has any.
        batch_size: Pictures at a time.
        precision: Of rendering.
        side: Changes of pixels are measured at this size at most, so that memory stays bounded.
        coarse: The size at which pixels stand in for features.

    Attributes:
        sees: Where distances are measured: ``"features"``, or ``"pixels"`` (of 16x16) where the
            predictor has no features.
        judge: What says whether pictures are still of the distribution: the ``"features"``, else
            the ``"discriminator"``, else the ``"pixels"``.
    """

    def __init__(
        self,
        generator: Generator,
        reader: Reader,
        *,
        batch_size: int = 32,
        precision: str = "exact",
        side: int = 128,
        coarse: int = 16,
    ) -> None:
        self.generator, self.reader = generator, reader
        self.batch_size, self.precision = batch_size, precision
        self.side, self.coarse = side, coarse
        self.pictures, self._began = 0, time.perf_counter()
        has_features = callable(getattr(reader.predictor, "features", None))
        self.sees = "features" if has_features else "pixels"
        asks = not has_features and _discriminates(generator)
        self.judge = "discriminator" if asks else self.sees

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def __call__(self, codes: Latent) -> Observation:
        """Observe the pictures of some codes."""
        starts = range(0, len(codes), self.batch_size)
        return Observation.cat([self._observe(codes[i : i + self.batch_size]) for i in starts])

    def _observe(self, codes: Latent) -> Observation:
        with torch.no_grad():
            images = self.generator.render(codes, precision=self.precision)
            self.pictures += len(images)
            pixels = self._shrink(images.detach().clamp(-1, 1).float().cpu())
            scores, features = self._read(images, pixels)
            asks = self.judge == "discriminator"
            realness = self.generator.discriminator(images).cpu() if asks else None  # type: ignore[attr-defined]
        return Observation(scores, features, pixels, realness)

    def _shrink(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        if max(height, width) <= self.side:
            return pixels
        shrink = self.side / max(height, width)
        return resize(pixels, (max(1, round(height * shrink)), max(1, round(width * shrink))))

    def _read(self, images: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if self.sees == "pixels":
            return self.reader(images), resize(pixels, (self.coarse, self.coarse)).flatten(1)
        features = torch.as_tensor(self.reader.predictor.features(images)).detach()  # type: ignore[attr-defined]
        if features.ndim != 2 or len(features) != len(images):
            raise PredictorError(
                f"The predictor's features are {list(features.shape)} for {len(images)} pictures; "
                f"expected [{len(images)}, D]."
            )
        return self.reader(images, features), features.float().cpu()


def _discriminates(generator: Generator) -> bool:
    if not hasattr(generator, "discriminator"):
        return False
    try:
        with torch.no_grad():
            generator.discriminator(generator.render(generator.sample(1)))
    except CapabilityError:
        return False
    return True


def pixel_change(before: Tensor, after: Tensor) -> Tensor:
    """Return ``[N]``, how much of the range of a pixel changed on average, from 0 to 1."""
    return (after - before).abs().flatten(1).mean(1) / 2


def changed_share(before: Tensor, after: Tensor, threshold: float = 0.1) -> Tensor:
    """Return ``[N]``, the share of pixels that changed.

    Args:
        before: ``[N, C, H, W]`` in [-1, 1].
        after: The same, edited.
        threshold: A pixel counts from this part of its range on, in any channel.
    """
    return ((after - before).abs().amax(1) / 2 > threshold).flatten(1).float().mean(1)
