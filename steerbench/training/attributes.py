"""Training the oracle: a network that reads every factor from a picture of a world.

Continuous factors are standardised and learned by squared error, binary ones by cross-entropy;
where a factor does not show (`steerbench.worlds.rooms.visibility`) its error does not count:

    loss = sum over visible (r - (f - middle) / spread)^2 + sum over visible BCE(r, f)
           divided by how many are visible

The oracle will read generated pictures too, which are a little softer and noisier than rendered
ones, so a part of each batch is blurred and all of it gets some noise. Half of each batch is
mirrored: the world promises that this is the room with ``side`` flipped and ``yaw`` negated.
Brightness and colour are never touched, being factors themselves. The default world stamps no
watermark; here a quarter of the pictures get one, by the rule that one rendered pair shows.

The loop is that of `steerbench.training.trainer`; how well the oracle reads is measured by
``python -m steerbench.cards``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.predictors import Attribute, AttributeNetwork, AttributePredictor, save
from steerbench.predictors.attributes import scales
from steerbench.training import pictures as cache
from steerbench.training.shared import blur_noise, watermark
from steerbench.training.trainer import Place, Trainer, TrainerSettings
from steerbench.worlds import world
from steerbench.worlds.rooms.visibility import visibility_mask

TOWARDS_LAMP = ("furniture_offset", "window_offset", "cloud_shift", "sun_side", "tree_offset")
"""Factors that the world states towards the lamp, on whichever side it stands."""


@dataclass
class Settings(TrainerSettings):
    """Everything that decides a run besides the pictures.

    Attributes:
        widths: Channels at 32, 16, 8 and 4.
        features: Of the last layer but one.
        noise: The largest standard deviation of noise.
        blur: The largest standard deviation of the blur, in pixels.
        watermarks: What share of the pictures gets one.
    """

    images: int = 200_000
    widths: tuple[int, ...] = (32, 64, 96, 128)
    features: int = 256
    noise: float = 0.04
    blur: float = 0.9
    watermarks: float = 0.25


class Examples:
    """Pictures with their factors and where these show, ready to be drawn from."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        self.pictures = cache.Pictures(folder, with_masks=True, limit=limit)
        self.world: Any = world(self.pictures.world)
        self.names = tuple(self.pictures.factor_names)
        self.factors = self.pictures.factors.float()
        columns = dict(zip(self.names, self.factors.T))
        self.visible = visibility_mask(self.names, columns, self._pixels())
        self._mark = watermark(self.world, self.pictures.resolution)

    def __len__(self) -> int:
        return len(self.pictures)

    def _pixels(self) -> dict[str, Tensor]:
        """Count the pixels of each class, as of 64x64, so that the rules hold at any size."""
        classes, counts = self.world.class_names, []
        for masks in self.pictures.masks:
            flat = masks.reshape(len(masks), -1).astype(np.int64)
            offset = np.arange(len(flat))[:, None] * len(classes)
            bins = np.bincount((flat + offset).ravel(), minlength=len(flat) * len(classes))
            counts.append(bins.reshape(len(flat), -1) * (64 * 64 / flat.shape[1]))
        return dict(zip(classes, torch.from_numpy(np.concatenate(counts)).float().T))

    def batch(self, indices: np.ndarray, watermarked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures, factors and visibility, with a mark where ``watermarked`` is set."""
        images, factors = self.pictures.images(indices), self.factors[indices].clone()
        chosen = watermarked & (factors[:, self.names.index("watermark")] == 0)
        images = torch.where(chosen[:, None, None, None], self._mark.on(images), images)
        factors[chosen, self.names.index("watermark")] = 1.0
        return images, factors, self.visible[indices]

    def attributes(self) -> list[Attribute]:
        """List what there is to read, in the order of the factors."""
        factors = [self.world.factors[name] for name in self.names]
        return [
            Attribute(
                f.name, f.kind, f.low, f.high, f.unit, "side" if f.name in TOWARDS_LAMP else ""
            )
            for f in factors
        ]


def augment(
    images: Tensor, factors: Tensor, names: tuple[str, ...], settings: Settings
) -> tuple[Tensor, Tensor]:
    """Mirror half of a batch, blur some of it, and add noise; factors follow the mirror."""
    half = len(images) // 2
    factors = factors.clone()
    images = torch.cat([images[:half].flip(-1), images[half:]])
    side, yaw = names.index("side"), names.index("yaw")
    factors[:half, side] = 1 - factors[:half, side]
    factors[:half, yaw] = -factors[:half, yaw]
    return blur_noise(images, blur=settings.blur, noise=settings.noise, share=0.3), factors


def loss_of(readings: Tensor, targets: Tensor, shows: Tensor, binary: Tensor) -> Tensor:
    """Compute the mean error over what shows; ``targets`` hold standardised values and 0 or 1."""
    errors = torch.where(
        binary,
        F.binary_cross_entropy_with_logits(readings, targets.clamp(0, 1), reduction="none"),
        (readings - targets).square(),
    )
    return (errors * shows).sum() / shows.sum()


def targets_of(factors: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """Return what a network has to read: standardised, and as the picture shows it."""
    _, middle, spread = scales(attributes)
    names = [attribute.name for attribute in attributes]
    targets = (factors - middle) / spread
    for column, attribute in enumerate(attributes):
        if attribute.side:
            targets[:, column] *= 2 * factors[:, names.index(attribute.side)] - 1
    return targets


class AttributesTrainer(Trainer):
    """Trains an oracle on examples."""

    title = "attributes"
    settings: Settings
    network: AttributeNetwork

    def __init__(self, examples: Examples, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.examples, self.attributes = examples, examples.attributes()
        count = len(self.attributes)
        network = AttributeNetwork(count, settings.widths, settings.features, norm=True)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.binary, _, _ = scales(self.attributes)
        super().__init__(examples.pictures, settings, network)

    def shape(self) -> dict[str, Any]:
        return {"widths": list(self.settings.widths), "features": self.settings.features}

    def losses(self, indices: np.ndarray) -> dict[str, Tensor]:
        marked = torch.rand(len(indices)) < self.settings.watermarks
        images, factors, shows = self.examples.batch(indices, marked)
        images, factors = augment(images, factors, self.examples.names, self.settings)
        with self.autocast():
            maps = self.network.trunk(images.contiguous(memory_format=torch.channels_last))
        # The last layers in full precision: they read fine differences and cost next to nothing.
        readings = self.network.heads(self.network.describe(maps.float()))
        targets = targets_of(factors, self.attributes)
        return {"error": loss_of(readings, targets, shows, self.binary)}

    def predictor(self) -> AttributePredictor:
        """Return what was learned so far, its normalisation folded."""
        return AttributePredictor(self.network.fold(), self.attributes)


def run(settings: Settings, place: Place) -> AttributePredictor:
    """Train an oracle on a cache and write it as an asset; checkpoints go to ``place.work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
    """
    place.prepare()
    trainer = AttributesTrainer(Examples(place.data), settings)
    place.train(trainer)
    found = trainer.predictor()
    save(found, place.target, training=trainer.report(place.hardware), licence="MIT")
    return found
