"""Training a segmenter: a network that says of every pixel of a room which class it shows.

The mean cross-entropy over the pixels of rendered rooms with their class masks:

    loss = - mean over pixels of log p(class of the pixel)

It will read generated pictures too, where outlines are soft and bent and colours speckled. So half
of the pictures are blurred, up to a standard deviation of 1.4 pixels, and all get noise, fine and
coarse, and a tint; the masks stay sharp, so that the network learns to draw an outline where a
picture only hints at one. Pictures are bent a little, by a smooth field of shifts, and half of them
mirrored, each with its mask. A tenth get a watermark, which is a class of its own that the default
world never shows.

A run keeps a checkpoint and goes on from it with ``resume``: each stretch draws its own random
numbers, so an interrupted run equals an uninterrupted one in kind, not in bits.

Reference: Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (2019, arXiv 1711.05101)
for AdamW; the network's is in `steerbench.predictors.segmentation`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError
from steerbench.predictors import SegmentationNetwork, SegmentationPredictor, save
from steerbench.training import pictures as cache
from steerbench.training.shared import (
    cosine,
    epochs,
    optimiser_tensors,
    restore_optimiser,
    soften,
    under,
    watermark,
)
from steerbench.worlds import world

SAVE_EVERY = 250
"""Steps between two checkpoints, about a minute."""


@dataclass
class Settings:
    """Everything that decides a run besides the pictures."""

    seed: int = 0
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    images: int = 180_000
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    noise: float = 0.08
    blur: float = 1.4
    softened: float = 0.5
    blotches: float = 0.15
    tint: float = 0.15
    bend: float = 1.0
    watermarks: float = 0.1
    precision: str = "bfloat16"

    @property
    def steps(self) -> int:
        return self.images // self.batch


class Trainer:
    """Holds the network, its optimiser and how far they are."""

    def __init__(self, pictures: cache.Pictures, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        source = world("rooms")
        self.pictures, self.settings, self.names = pictures, settings, source.class_names
        self.network = SegmentationNetwork(len(self.names), settings.widths, norm=True)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=settings.weight_decay, foreach=True
        )
        self.mark = watermark(pictures.pixels[0].shape[-1])
        self.mark_class = self.names.index("watermark")
        self.step_count, self.seconds = 0, 0.0

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pictures ``[n, 3, H, W]``, as a generator might draw them, and masks ``[n, H, W]``."""
        settings, n = self.settings, len(indices)
        images, masks = self.pictures.images(indices), self.pictures.labels(indices)
        mirrored = torch.rand(n) < 0.5
        images[mirrored], masks[mirrored] = images[mirrored].flip(-1), masks[mirrored].flip(-1)
        stamped = torch.rand(n) < settings.watermarks
        images[stamped] = self.mark.on(images[stamped])
        masks[stamped] = torch.where(self.mark.ink, self.mark_class, masks[stamped])
        images, masks = bent(images, masks, settings.bend)
        images = blotched(images, settings.blotches, settings.tint)
        images = soften(images, blur=settings.blur, noise=settings.noise, share=settings.softened)
        return images, masks

    def step(self, indices: np.ndarray) -> Tensor:
        """Learn from one batch; returns the loss."""
        rate = cosine(self.step_count / self.settings.steps, self.settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        images, masks = self.batch(indices)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), masks)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step_count += 1
        return loss.detach()

    def train(self, checkpoint: Path | None = None) -> SegmentationPredictor:
        """Train to the end, with a checkpoint now and then; returns the network as a predictor."""
        settings = self.settings
        seeds = np.random.SeedSequence([settings.seed, self.step_count])
        rng = np.random.default_rng(seeds)
        torch.manual_seed(int(rng.integers(2**31)))
        batches = epochs(rng, len(self.pictures), settings.batch)
        progress = tqdm(
            total=settings.steps,
            initial=self.step_count,
            desc=f"segmenter, seed {settings.seed}",
            unit="step",
            mininterval=5,
        )
        started, before = time.process_time(), self.seconds
        while self.step_count < settings.steps:
            loss = self.step(next(batches))
            self.seconds = before + time.process_time() - started
            progress.update()
            if self.step_count % 20 == 0:
                progress.set_postfix(loss=f"{loss.item():.4f}")
            if checkpoint is not None and self.step_count % SAVE_EVERY == 0:
                self.save(checkpoint)
        progress.close()
        return SegmentationPredictor(self.network.fold(), self.names)

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        header = {"settings": plain(self.settings), "step": self.step_count}
        store.save(path, tensors, header | {"seconds": self.seconds})

    def restore(self, path: Path) -> None:
        """Go on from a file written by `save`.

        Raises:
            ArgumentError: It holds a network of other widths.
        """
        tensors, header = store.load(path)
        mine, theirs = list(self.settings.widths), header["settings"]["widths"]
        if mine != theirs:
            raise ArgumentError(
                f"{path} holds a network of widths {theirs}, expected {mine}. Give the widths with "
                "which it was begun, or start anew without --resume."
            )
        self.network.load_state_dict(under(tensors, "network."))
        restore_optimiser(self.optimiser, under(tensors, "optimiser."))
        self.step_count, self.seconds = header["step"], header["seconds"]


def bent(images: Tensor, masks: Tensor, pixels: float) -> tuple[Tensor, Tensor]:
    """Pictures and masks moved by a smooth field of shifts, up to this standard deviation.

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


def blotched(images: Tensor, blotches: float, tint: float) -> Tensor:
    """Pictures with coarse noise, up to this standard deviation, and each channel scaled a little.

    The coarseness is drawn for the batch: noise of a quarter, half or nearly the full size.
    """
    n, channels, height, width = images.shape
    size = (height // 4, height // 2, 3 * height // 4)[int(torch.randint(3, ()))]
    noise = blotches * torch.rand(n, 1, 1, 1) * torch.randn(n, channels, size, size)
    gain = 1 + tint * torch.randn(n, channels, 1, 1)
    coarse = F.interpolate(noise, (height, width), mode="bilinear")
    return (images + 1) * gain - 1 + coarse


def plain(settings: Settings) -> dict[str, object]:
    """Settings as they are stored."""
    return asdict(settings) | {"widths": list(settings.widths)}


def run(
    settings: Settings, data: Path, target: Path, work: Path, hardware: str, resume: bool
) -> SegmentationPredictor:
    """Train a segmenter on a cache and write it as an asset; checkpoints go to ``work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
        CheckpointError: The checkpoint is damaged.
    """
    # Before the minutes of training, not after them: a folder that cannot be made is said now.
    for folder in (target.parent, work):
        folder.mkdir(parents=True, exist_ok=True)
    pictures, checkpoint = cache.Pictures(data, with_masks=True), work / "latest.safetensors"
    trainer = Trainer(pictures, settings)
    if resume:
        trainer.restore(checkpoint)
    segmenter = trainer.train(checkpoint)
    training = {
        "data": f"{len(pictures):,} renders of the world rooms, seeds from {cache.TRAIN_SEED}",
        "settings": plain(settings),
        "seconds": round(trainer.seconds),
        "hardware": hardware,
    }
    save(segmenter, target, training=training, licence="MIT")
    return segmenter
