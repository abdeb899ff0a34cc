"""Training a segmenter: a network that says of every pixel of a room which class it shows.

The mean cross-entropy over the pixels of rendered rooms with their class masks:

    loss = - mean over pixels of log p(class of the pixel)

It will read generated pictures too, where outlines are soft and bent and colours speckled. So half
of the pictures are blurred, up to a standard deviation of 1.4 pixels, and all get noise, fine and
coarse, and a tint; the masks stay sharp, so that the network learns to draw an outline where a
picture only hints at one. Pictures are bent a little, by a smooth field of shifts, and half of them
mirrored, each with its mask. A tenth get a watermark, which is a class of its own that the default
world never shows.

The loop is that of `steerbench.training.trainer`, the network that of
`steerbench.predictors.segmentation`; how good it is, ``python -m steerbench.cards`` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.predictors import SegmentationNetwork, SegmentationPredictor, save
from steerbench.training import pictures as cache
from steerbench.training.shared import blur_noise, watermark
from steerbench.training.trainer import Place, Trainer, TrainerSettings
from steerbench.worlds import world


@dataclass
class Settings(TrainerSettings):
    """Everything that decides a run besides the pictures.

    Attributes:
        widths: Channels at 64, 32, 16, 8 and 4.
        noise: The largest standard deviation of fine noise.
        blur: The largest standard deviation of the blur, in pixels.
        softened: What share of the pictures is blurred.
        blotches: The largest standard deviation of coarse noise.
        tint: The standard deviation of each channel's gain.
        bend: The largest standard deviation of the shifts, in pixels.
        watermarks: What share of the pictures gets one.
    """

    images: int = 180_000
    learning_rate: float = 3e-3
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    noise: float = 0.08
    blur: float = 1.4
    softened: float = 0.5
    blotches: float = 0.15
    tint: float = 0.15
    bend: float = 1.0
    watermarks: float = 0.1


class SegmenterTrainer(Trainer):
    """Trains a segmenter on pictures with masks."""

    title = "segmenter"
    settings: Settings
    network: SegmentationNetwork

    def __init__(self, pictures: cache.Pictures, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        source = world(pictures.world)
        self.names = source.class_names
        network = SegmentationNetwork(len(self.names), settings.widths, norm=True)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mark = watermark(source, pictures.resolution)
        self.mark_class = self.names.index("watermark")
        super().__init__(pictures, settings, network)

    def shape(self) -> dict[str, Any]:
        return {"widths": list(self.settings.widths)}

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return pictures ``[n, 3, H, W]``, as if generated, and their masks ``[n, H, W]``."""
        settings, n = self.settings, len(indices)
        images, masks = self.pictures.images(indices), self.pictures.labels(indices)
        mirrored = torch.rand(n) < 0.5
        images[mirrored], masks[mirrored] = images[mirrored].flip(-1), masks[mirrored].flip(-1)
        stamped = torch.rand(n) < settings.watermarks
        images[stamped] = self.mark.on(images[stamped])
        masks[stamped] = torch.where(self.mark.ink, self.mark_class, masks[stamped])
        images, masks = elastic_warp(images, masks, settings.bend)
        images = low_frequency_noise(images, settings.blotches, settings.tint)
        images = blur_noise(
            images, blur=settings.blur, noise=settings.noise, share=settings.softened
        )
        return images, masks

    def losses(self, indices: np.ndarray) -> dict[str, Tensor]:
        images, masks = self.batch(indices)
        with self.autocast():
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
        return {"cross-entropy": F.cross_entropy(logits.float(), masks)}

    def predictor(self) -> SegmentationPredictor:
        """Return what was learned so far, its normalisation folded."""
        return SegmentationPredictor(self.network.fold(), self.names)


def elastic_warp(images: Tensor, masks: Tensor, pixels: float) -> tuple[Tensor, Tensor]:
    """Move pictures and masks by a smooth field of shifts, up to this standard deviation.

    Args:
        images, masks: ``[N, 3, H, W]`` and ``[N, H, W]``; at the border the outermost are repeated.
        pixels: Drawn at 8x8 places and smooth between them.
    """
    if not pixels:
        return images, masks
    n, _, height, width = images.shape
    shifts = pixels * torch.rand(n, 1, 1, 1) * torch.randn(n, 2, 8, 8)
    shifts = F.interpolate(shifts, (height, width), mode="bicubic", align_corners=True)
    identity = torch.eye(2, 3).expand(n, 2, 3)
    grid = F.affine_grid(identity, [n, 1, height, width], align_corners=False)
    grid = grid + shifts.permute(0, 2, 3, 1) * (2 / torch.tensor([width, height]))
    moved = F.grid_sample(images, grid, "bilinear", "border", align_corners=False)
    labels = F.grid_sample(masks[:, None].float(), grid, "nearest", "border", align_corners=False)
    return moved, labels[:, 0].long()


def low_frequency_noise(images: Tensor, blotches: float, tint: float) -> Tensor:
    """Add coarse noise, up to this standard deviation, and scale each channel a little.

    The coarseness is drawn for the batch: noise of a quarter, half or nearly the full size.
    """
    n, channels, height, width = images.shape
    size = (height // 4, height // 2, 3 * height // 4)[int(torch.randint(3, ()))]
    noise = blotches * torch.rand(n, 1, 1, 1) * torch.randn(n, channels, size, size)
    gain = 1 + tint * torch.randn(n, channels, 1, 1)
    coarse = F.interpolate(noise, (height, width), mode="bilinear")
    return (images + 1) * gain - 1 + coarse


def run(settings: Settings, place: Place) -> SegmentationPredictor:
    """Train a segmenter on a cache and write it as an asset; checkpoints go to ``place.work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
    """
    place.prepare()
    trainer = SegmenterTrainer(cache.Pictures(place.data, with_masks=True), settings)
    place.train(trainer)
    found = trainer.predictor()
    save(found, place.target, training=trainer.report(place.hardware), licence="MIT")
    return found
