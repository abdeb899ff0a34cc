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

Reference: Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (2019, arXiv 1711.05101)
and "SGDR" (2017, arXiv 1608.03983) for AdamW and the cosine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from steerbench.cards.text import attributes_card
from steerbench.predictors import Attribute, AttributeNetwork, AttributePredictor, save
from steerbench.predictors.attributes import scales
from steerbench.store import write_text_atomic
from steerbench.training import pictures as cache
from steerbench.training.shared import check_held_out, cosine, epochs, soften, watermark
from steerbench.worlds import world
from steerbench.worlds.rooms.visibility import visibility_mask

HANDED = ("furniture_offset", "window_offset", "cloud_shift", "sun_side", "tree_offset")
"""Factors that the world states towards the lamp, on whichever side it stands."""


@dataclass
class Settings:
    """Everything that decides a run besides the pictures."""

    seed: int = 0
    widths: tuple[int, ...] = (32, 64, 96, 128)
    features: int = 256
    images: int = 200_000
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    noise: float = 0.04
    blur: float = 0.9
    watermarks: float = 0.25
    precision: str = "bfloat16"


class Examples:
    """Pictures with their factors and where these show, ready to be drawn from."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        self.pictures = cache.Pictures(folder, with_masks=True, limit=limit)
        self.world = world("rooms")
        self.names = tuple(self.pictures.factor_names)
        self.factors = self.pictures.factors.float()
        columns = dict(zip(self.names, self.factors.T))
        self.visible = visibility_mask(self.names, columns, self._pixels())
        self._mark = watermark(self.pictures.pixels[0].shape[-1])

    def __len__(self) -> int:
        return len(self.pictures)

    def _pixels(self) -> dict[str, Tensor]:
        """How many pixels each class covers, as of 64x64, so that the rules hold at any size."""
        classes, counts = self.world.class_names, []
        for masks in self.pictures.masks:
            flat = masks.reshape(len(masks), -1).astype(np.int64)
            offset = np.arange(len(flat))[:, None] * len(classes)
            bins = np.bincount((flat + offset).ravel(), minlength=len(flat) * len(classes))
            counts.append(bins.reshape(len(flat), -1) * (64 * 64 / flat.shape[1]))
        return dict(zip(classes, torch.from_numpy(np.concatenate(counts)).float().T))

    def batch(self, indices: np.ndarray, watermarked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, factors and visibility; those where ``watermarked`` is set carry a mark."""
        images, factors = self.pictures.images(indices), self.factors[indices].clone()
        chosen = watermarked & (factors[:, self.names.index("watermark")] == 0)
        images = torch.where(chosen[:, None, None, None], self._mark.on(images), images)
        factors[chosen, self.names.index("watermark")] = 1.0
        return images, factors, self.visible[indices]

    def attributes(self) -> list[Attribute]:
        """What there is to read, in the order of the factors."""
        factors = [self.world.factors[name] for name in self.names]
        return [
            Attribute(f.name, f.kind, f.low, f.high, f.unit, "side" if f.name in HANDED else "")
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
    return soften(images, blur=settings.blur, noise=settings.noise, share=0.3), factors


def loss_of(readings: Tensor, targets: Tensor, shows: Tensor, binary: Tensor) -> Tensor:
    """Mean error over what shows; ``targets`` hold standardised values and 0 or 1."""
    errors = torch.where(
        binary,
        F.binary_cross_entropy_with_logits(readings, targets.clamp(0, 1), reduction="none"),
        (readings - targets).square(),
    )
    return (errors * shows).sum() / shows.sum()


def targets_of(factors: Tensor, attributes: Sequence[Attribute]) -> Tensor:
    """What a network has to read: standardised, handed ones as the picture shows them."""
    _, middle, spread = scales(attributes)
    names = [attribute.name for attribute in attributes]
    targets = (factors - middle) / spread
    for column, attribute in enumerate(attributes):
        if attribute.side:
            targets[:, column] *= 2 * factors[:, names.index(attribute.side)] - 1
    return targets


def train(examples: Examples, settings: Settings) -> AttributePredictor:
    """Train a network on examples and return it as a predictor, normalisation folded."""
    torch.manual_seed(settings.seed)
    attributes = examples.attributes()
    network = AttributeNetwork(len(attributes), settings.widths, settings.features, norm=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(),
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        foreach=True,
    )
    steps = settings.images // settings.batch
    schedule = LambdaLR(optimiser, lambda k: cosine(k / steps, settings.warm_up))
    batches = epochs(np.random.default_rng(settings.seed), len(examples), settings.batch)
    binary, _, _ = scales(attributes)
    progress = tqdm(
        range(steps), desc=f"attributes, seed {settings.seed}", unit="step", mininterval=5
    )
    for step in progress:
        marked = torch.rand(settings.batch) < settings.watermarks
        images, factors, shows = examples.batch(next(batches), marked)
        images, factors = augment(images, factors, examples.names, settings)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
            maps = network.trunk(images)
        # The last layers in full precision: they read fine differences and cost next to nothing.
        readings = network.heads(network.describe(maps.float()))
        loss = loss_of(readings, targets_of(factors, attributes), shows, binary)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
    return AttributePredictor(network.fold(), attributes)


def scores(oracle: AttributePredictor, examples: Examples) -> dict[str, dict[str, Any]]:
    """How well an oracle reads pictures it never saw, where each factor shows.

    Returns:
        For each factor ``shows`` (the share of pictures where it does) and, if continuous,
        ``r2`` and ``rmse`` (in its unit); if binary, ``accuracy`` at 0.5, and ``majority``, the
        accuracy of always giving the more frequent answer. Every second picture is stamped with
        a watermark.
    """
    parts = []
    for indices in np.array_split(np.arange(len(examples)), -(-len(examples) // 512)):
        marked = torch.from_numpy(indices % 2 == 1)
        images, factors, shows = examples.batch(indices, marked)
        parts.append((oracle.predict(images), factors, shows))
    read, factors, shows = (torch.cat(columns) for columns in zip(*parts))
    return {
        attribute.name: {
            "shows": round(float(where.float().mean()), 4),
            **_score(attribute.kind, given[where], truth[where]),
        }
        for attribute, given, truth, where in zip(oracle.attributes, read.T, factors.T, shows.T)
    }


def _score(kind: str, given: Tensor, truth: Tensor) -> dict[str, float]:
    if kind == "binary":
        share = float(truth.mean())
        right = float(((given > 0.5) == (truth > 0.5)).float().mean())
        return {"accuracy": round(right, 4), "majority": round(max(share, 1 - share), 4)}
    error = (given - truth).double().square().mean()
    r2 = 1 - error / truth.double().var(correction=0)
    return {"r2": round(float(r2), 4), "rmse": round(float(error.sqrt()), 4)}


def run(
    settings: Settings, data: Path, held_out: Path, out: Path, hardware: str
) -> AttributePredictor:
    """Train, judge on held-out pictures, write the asset and the card beside it."""
    check_held_out(held_out)
    # Before the minutes of training, not after them: a folder that cannot be made is said now.
    out.parent.mkdir(parents=True, exist_ok=True)
    examples, started = Examples(data), time.time()
    oracle = train(examples, settings)
    seconds = time.time() - started
    judged = Examples(held_out)
    result = scores(oracle, judged)
    training = {
        "data": f"{len(examples):,} renders of the world rooms, seeds from {cache.TRAIN_SEED}",
        "held_out": f"{len(judged):,} renders of the world rooms, seeds from {cache.HELD_OUT_SEED}",
        "settings": asdict(settings) | {"widths": list(settings.widths)},
        "seconds": round(seconds),
        "hardware": hardware,
    }
    save(oracle, out, training=training, scores=result, licence="MIT")
    write_text_atomic(out.with_suffix(".md"), attributes_card(out.stem, oracle, training, result))
    return oracle
