"""Training a CLIP: pictures and what is said of them, each picture to its own sentence.

The contrastive loss over a batch of N pictures with unit features f and texts with unit features
g, and a learned scale tau:

    loss = (CE(tau f g^T, 1..N) + CE(tau g f^T, 1..N)) / 2

Every picture brings two texts: a caption that describes it, worded anew each time it is seen, and
a short statement such as somebody types (`steerbench.worlds.rooms.statements`). The loss is taken
for captions and for statements and averaged. A statement is true of many pictures of a batch; that
does no harm, since what this loss learns is how much more often a text goes with a picture than
chance has it, log p(x, t) / p(x) p(t), whether few or many share the text.

A denial is a small word in a long sentence, and seldom decides between two pictures of a batch. So
of pairs of opposite sentences, worded anew at each step, every picture also finds the true one,
which is the same loss among two texts:

    - log 1 / (1 + exp(-tau f . (g_true - g_false)))     over what the picture tells

It will read generated pictures, which are a little softer and noisier than rendered ones, so a
part of the pictures is blurred and all get some noise. Half are mirrored (what is said of left and
right with them), and a tenth get a watermark.

The loop is that of `steerbench.training.trainer`; how good a CLIP is, ``python -m
steerbench.cards`` measures.

Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(2021, arXiv 2103.00020); van den Oord, Li, Vinyals, "Representation Learning with Contrastive
Predictive Coding" (2018, arXiv 1807.03748) for the loss.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.predictors import clip as clips
from steerbench.training import pictures as cache
from steerbench.training.shared import blur_noise, watermark
from steerbench.training.trainer import Place, Trainer, TrainerSettings
from steerbench.worlds import world
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.statements import OPPOSITES, opposites, readable_factors, statement


@dataclass
class Settings(TrainerSettings):
    """Everything that decides a run besides the pictures.

    Attributes:
        layers: Blocks of the picture's network at 16, 8, 4 and 2.
        width: Channels of its first blocks.
        features: Numbers that a picture and a text are compared by.
        text_width: Of the text's transformer.
        text_layers: Of the same.
        context: Words of a text, with its two ends.
        noise: The largest standard deviation of noise.
        blur: The largest standard deviation of the blur, in pixels.
        softened: What share of the pictures is blurred.
        watermarks: What share of the pictures gets one.
    """

    images: int = 90_000
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 2e-2
    layers: tuple[int, ...] = (1, 2, 2, 1)
    width: int = 24
    features: int = 128
    text_width: int = 96
    text_layers: int = 2
    context: int = 48
    noise: float = 0.06
    blur: float = 1.0
    softened: float = 0.4
    watermarks: float = 0.1

    @property
    def config(self) -> dict[str, Any]:
        """The networks' shapes, as `steerbench.predictors.clip.build_clip` wants them."""
        image = {"layers": list(self.layers), "width": self.width, "head_width": 64}
        text = {"width": self.text_width, "heads": self.text_width // 32}
        return {
            "features": self.features,
            "image": image | {"image_size": 64},
            "text": text | {"layers": self.text_layers, "context_length": self.context},
        }


class Examples:
    """Pictures with what can be said of them."""

    def __init__(self, folder: Path, *, limit: int | None = None) -> None:
        self.pictures = cache.Pictures(folder, with_masks=True, limit=limit)
        source = world(self.pictures.world)
        self.classes = source.class_names
        self.mark = watermark(source, self.pictures.resolution)

    def __len__(self) -> int:
        return len(self.pictures)

    def truth(self, index: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return the factors of a picture, and the share of its pixels that each class has."""
        row = self.pictures.factors[index].tolist()
        mask = self.pictures.masks[index // cache.SHARD][index % cache.SHARD]
        shares = np.bincount(mask.ravel(), minlength=len(self.classes)) / mask.size
        return dict(zip(self.pictures.factor_names, row)), dict(zip(self.classes, shares.tolist()))

    def texts(
        self, index: int, mirrored: bool, marked: bool, choose: random.Random
    ) -> tuple[str, str, list[float]]:
        """Word a caption and a statement, and say 1, 0 or NaN (untold) of each opposite."""
        factors, shares = self.truth(index)
        if mirrored:
            factors["side"] = 1 - factors["side"]
        if marked:
            shares["watermark"] = float(self.mark.ink.float().mean())
        # A caption words itself by the factors: one more number gives another wording.
        worded = caption(factors | {"wording": choose.random()}, shares)
        known = readable_factors(factors, shares)
        truth = [float(known[name]) if name in known else math.nan for name in OPPOSITES]
        return worded, statement(factors, shares, choose), truth

    def batch(
        self, indices: np.ndarray, settings: Settings, choose: random.Random
    ) -> tuple[Tensor, list[list[str]], Tensor]:
        """Return pictures as a generator might draw them, and what is said of them.

        Args:
            indices: ``[n]``, which pictures.
            settings: How they are altered.
            choose: Words the texts.

        Returns:
            Pictures ``[n, 3, H, W]``; their captions and their statements; and what of the
            opposites holds, ``[n, len(OPPOSITES)]``.
        """
        images = self.pictures.images(indices)
        mirrored = torch.rand(len(indices)) < 0.5
        marked = torch.rand(len(indices)) < settings.watermarks
        images[mirrored] = images[mirrored].flip(-1)
        images[marked] = self.mark.on(images[marked])
        said = [
            self.texts(int(index), bool(flip), bool(mark), choose)
            for index, flip, mark in zip(indices, mirrored, marked)
        ]
        images = blur_noise(
            images, blur=settings.blur, noise=settings.noise, share=settings.softened
        ).clamp(-1, 1)
        captions, statements, truths = zip(*said)
        return images, [list(captions), list(statements)], torch.tensor(truths)


def vocabulary(examples: Examples, n_samples: int = 6000) -> tuple[str, ...]:
    """Collect the words of what is said of so many pictures, and of the opposites of factors."""
    choose, words = random.Random(0), set()
    for index in range(min(n_samples, len(examples))):
        for text in examples.texts(index, False, index % 10 == 0, choose)[:2]:
            words.update(clips.split(text))
    for pair in OPPOSITES.values():
        words.update(word for text in pair for word in clips.split(text))
    return tuple(sorted(words))


def contrast(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Compute the contrastive loss of unit features ``[N, features]``, row by row pairs."""
    logits, own = scale * images @ texts.T, torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def decide(images: Tensor, ends: Tensor, truths: Tensor, scale: Tensor) -> Tensor:
    """Compute how surely pictures find the true one of two opposite sentences: a cross-entropy.

    Args:
        images: Features ``[N, features]``.
        ends: Features ``[2 K, features]``, the sentence for 1 and the one for 0 of each pair.
        truths: ``[N, K]``: 1, 0, or NaN where the picture does not tell.
        scale: tau.
    """
    logits = scale * images @ (ends[0::2] - ends[1::2]).T
    tells = ~truths.isnan()
    return F.binary_cross_entropy_with_logits(logits[tells], truths[tells])


def encode_text(network: Any, numbers: Tensor) -> Tensor:
    """Turn texts ``[N, context]`` into features of unit length, as open_clip's CLIP does.

    Only as far as the longest text of the batch goes: the attention looks back, so that what
    comes after a text's end changes nothing.
    """
    longest = int(numbers.argmax(1).max()) + 1
    numbers = numbers[:, :longest]
    x = network.token_embedding(numbers) + network.positional_embedding[:longest]
    x = network.ln_final(network.transformer(x, attn_mask=network.attn_mask[:longest, :longest]))
    ends = x[torch.arange(len(x)), numbers.argmax(1)]
    return F.normalize(ends @ network.text_projection, dim=-1)


class ClipTrainer(Trainer):
    """Trains a CLIP on pictures and what is said of them.

    Args:
        examples: The pictures.
        settings: Of the run.
        words: The vocabulary.
        max_scale: The largest tau.
    """

    title = "clip"
    max_norm = 1.0
    settings: Settings
    network: Any

    def __init__(
        self,
        examples: Examples,
        settings: Settings,
        words: Sequence[str],
        max_scale: float = 100.0,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.examples, self.max_scale = examples, max_scale
        self.clip = clips.build_clip(settings.config, words)
        network = self.clip.network.requires_grad_(True).train()
        network.visual.to(memory_format=torch.channels_last)  # type: ignore[call-overload,union-attr]
        # Norms, biases and the scale are not pulled towards 0.
        weights = list(network.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in weights if p.ndim > 1]},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.choose = random.Random(settings.seed)
        super().__init__(examples.pictures, settings, network, groups, betas=(0.9, 0.98))

    def shape(self) -> dict[str, Any]:
        return self.settings.config | {"words": list(self.clip.vocabulary)}

    def reseed(self, rng: np.random.Generator) -> None:
        super().reseed(rng)
        self.choose = random.Random(int(rng.integers(2**31)))

    def losses(self, indices: np.ndarray) -> dict[str, Tensor]:
        pictures, texts, truths = self.examples.batch(indices, self.settings, self.choose)
        with self.autocast():
            features = self.network.encode_image(
                pictures.contiguous(memory_format=torch.channels_last)
            )
        images = F.normalize(features.float(), dim=-1)
        scale = self.network.logit_scale.exp().clamp(max=self.max_scale)
        ends = [text for name in OPPOSITES for text in opposites(name, self.choose)]
        *said, pairs = (
            encode_text(self.network, self.clip.tokenizer(lines)) for lines in (*texts, ends)
        )
        contrasts = torch.stack([contrast(images, each, scale) for each in said])
        return {"contrast": contrasts.mean(), "opposites": decide(images, pairs, truths, scale)}


def run(settings: Settings, place: Place) -> clips.Clip:
    """Train a CLIP on a cache and write it as an asset; checkpoints go to ``place.work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
    """
    place.prepare()
    examples = Examples(place.data)
    trainer = ClipTrainer(examples, settings, vocabulary(examples))
    place.train(trainer)
    trainer.network.eval().requires_grad_(False)
    training = trainer.report(place.hardware)
    clips.save(trainer.clip, settings.config, place.target, training=training, licence="MIT")
    return trainer.clip
