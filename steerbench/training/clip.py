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

Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(2021, arXiv 2103.00020); van den Oord, Li, Vinyals, "Representation Learning with Contrastive
Predictive Coding" (2018, arXiv 1807.03748) for the loss.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError
from steerbench.predictors import clip as clips
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
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.statements import OPPOSITES, opposites, readable_factors, statement

SAVE_EVERY = 100
"""Steps between two checkpoints, about a minute."""
VOCABULARY_FROM = 6000
"""Pictures whose texts are read for the vocabulary."""
MAX_SCALE = 100.0


@dataclass
class Settings:
    """Everything that decides a run besides the pictures."""

    seed: int = 0
    layers: tuple[int, ...] = (1, 2, 2, 1)
    width: int = 24
    features: int = 128
    text_width: int = 96
    text_layers: int = 2
    context: int = 48
    images: int = 90_000
    batch: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 2e-2
    warm_up: float = 0.05
    noise: float = 0.06
    blur: float = 1.0
    softened: float = 0.4
    watermarks: float = 0.1
    precision: str = "bfloat16"

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def config(self) -> dict[str, Any]:
        """The networks, as `steerbench.predictors.clip.build_clip` wants them."""
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
        self.classes = world("rooms").class_names
        self.mark = watermark(self.pictures.pixels[0].shape[-1])

    def __len__(self) -> int:
        return len(self.pictures)

    def truth(self, index: int) -> tuple[dict[str, float], dict[str, float]]:
        """The factors of a picture, and the share of its pixels that each class has."""
        row = self.pictures.factors[index].tolist()
        mask = self.pictures.masks[index // cache.SHARD][index % cache.SHARD]
        shares = np.bincount(mask.ravel(), minlength=len(self.classes)) / mask.size
        return dict(zip(self.pictures.factor_names, row)), dict(zip(self.classes, shares.tolist()))

    def texts(
        self, index: int, mirrored: bool, marked: bool, choose: random.Random
    ) -> tuple[str, str, list[float]]:
        """A caption, a statement, and of each pair of opposites 1, 0, or NaN: not to be told."""
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
        """Pictures ``[n, 3, H, W]`` as a generator might draw them, their captions and statements,
        and what of the opposites holds ``[n, len(OPPOSITES)]``."""
        images = self.pictures.images(indices)
        mirrored = torch.rand(len(indices)) < 0.5
        marked = torch.rand(len(indices)) < settings.watermarks
        images[mirrored] = images[mirrored].flip(-1)
        images[marked] = self.mark.on(images[marked])
        said = [
            self.texts(int(index), bool(flip), bool(mark), choose)
            for index, flip, mark in zip(indices, mirrored, marked)
        ]
        images = soften(
            images, blur=settings.blur, noise=settings.noise, share=settings.softened
        ).clamp(-1, 1)
        captions, statements, truths = zip(*said)
        return images, [list(captions), list(statements)], torch.tensor(truths)


def vocabulary(examples: Examples) -> tuple[str, ...]:
    """The words of what is said of pictures, and of the opposites of their factors."""
    choose, words = random.Random(0), set()
    for index in range(min(VOCABULARY_FROM, len(examples))):
        for text in examples.texts(index, False, index % 10 == 0, choose)[:2]:
            words.update(clips.split(text))
    for pair in OPPOSITES.values():
        words.update(word for text in pair for word in clips.split(text))
    return tuple(sorted(words))


def contrast(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """The contrastive loss of features ``[N, features]`` of unit length, row by row pairs."""
    logits, own = scale * images @ texts.T, torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def decide(images: Tensor, ends: Tensor, truths: Tensor, scale: Tensor) -> Tensor:
    """How surely pictures find the true one of two opposite sentences: a cross-entropy.

    Args:
        images: Features ``[N, features]``.
        ends: Features ``[2 K, features]``, the sentence for 1 and the one for 0 of each pair.
        truths: ``[N, K]``: 1, 0, or NaN where the picture does not tell.
        scale: tau.
    """
    logits = scale * images @ (ends[0::2] - ends[1::2]).T
    tells = ~truths.isnan()
    return F.binary_cross_entropy_with_logits(logits[tells], truths[tells])


def read(network: Any, numbers: Tensor) -> Tensor:
    """Texts ``[N, context]`` to features of unit length, as `encode_text` of open_clip's CLIP.

    Only as far as the longest text of the batch goes: the attention looks back, so that what
    comes after a text's end changes nothing.
    """
    longest = int(numbers.argmax(1).max()) + 1
    numbers = numbers[:, :longest]
    x = network.token_embedding(numbers) + network.positional_embedding[:longest]
    x = network.ln_final(network.transformer(x, attn_mask=network.attn_mask[:longest, :longest]))
    ends = x[torch.arange(len(x)), numbers.argmax(1)]
    return F.normalize(ends @ network.text_projection, dim=-1)


class Trainer:
    """Holds the networks, their optimiser and how far they are."""

    def __init__(self, examples: Examples, settings: Settings, words: Sequence[str]) -> None:
        torch.manual_seed(settings.seed)
        self.examples, self.settings = examples, settings
        self.clip = clips.build_clip(settings.config, words)
        self.network: Any = self.clip.network.requires_grad_(True).train()
        self.network.visual.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Norms, biases and the scale are not pulled towards 0.
        weights = list(self.network.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in weights if p.ndim > 1]},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, weight_decay=settings.weight_decay, betas=(0.9, 0.98), foreach=True
        )
        self.step_count, self.seconds = 0, 0.0

    def step(self, indices: np.ndarray, choose: random.Random) -> Tensor:
        """Learn from one batch; returns the loss."""
        settings = self.settings
        rate = cosine(self.step_count / settings.steps, settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate
        pictures, texts, truths = self.examples.batch(indices, settings, choose)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
            features = self.network.encode_image(pictures)
        images = F.normalize(features.float(), dim=-1)
        scale = self.network.logit_scale.exp().clamp(max=MAX_SCALE)
        ends = [text for name in OPPOSITES for text in opposites(name, choose)]
        *read_texts, pairs = (
            read(self.network, self.clip.tokenizer(lines)) for lines in (*texts, ends)
        )
        losses = [contrast(images, features, scale) for features in read_texts]
        loss = torch.stack(losses).mean() + decide(images, pairs, truths, scale)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step_count += 1
        return loss.detach()

    def train(self, checkpoint: Path | None = None) -> clips.Clip:
        """Train to the end, with a checkpoint now and then."""
        settings = self.settings
        rng = np.random.default_rng(np.random.SeedSequence([settings.seed, self.step_count]))
        torch.manual_seed(int(rng.integers(2**31)))
        choose = random.Random(int(rng.integers(2**31)))
        batches = epochs(rng, len(self.examples), settings.batch)
        progress = tqdm(
            total=settings.steps,
            initial=self.step_count,
            desc=f"clip, seed {settings.seed}",
            unit="step",
            mininterval=5,
        )
        started, before = time.process_time(), self.seconds
        while self.step_count < settings.steps:
            loss = self.step(next(batches), choose)
            self.seconds = before + time.process_time() - started
            progress.update()
            if self.step_count % 10 == 0:
                progress.set_postfix(loss=f"{loss.item():.4f}")
            if checkpoint is not None and self.step_count % SAVE_EVERY == 0:
                self.save(checkpoint)
        progress.close()
        self.network.eval().requires_grad_(False)
        return self.clip

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        header = {"settings": plain(self.settings), "words": list(self.clip.vocabulary)}
        store.save(path, tensors, header | {"step": self.step_count, "seconds": self.seconds})

    def restore(self, path: Path) -> None:
        """Go on from a file written by `save`.

        Raises:
            ArgumentError: It holds other networks, or another vocabulary.
        """
        tensors, header = store.load(path)
        theirs = Settings(**header["settings"]).config
        if theirs != self.settings.config or header["words"] != list(self.clip.vocabulary):
            raise ArgumentError(
                f"{path} holds networks of {theirs} and {len(header['words'])} words, expected "
                f"{self.settings.config} and {len(self.clip.vocabulary)}. Give the settings with "
                "which it was begun, or start anew without --resume."
            )
        self.network.load_state_dict(under(tensors, "network."))
        restore_optimiser(self.optimiser, under(tensors, "optimiser."))
        self.step_count, self.seconds = header["step"], header["seconds"]


def plain(settings: Settings) -> Mapping[str, Any]:
    """Settings as they are stored."""
    return asdict(settings) | {"layers": list(settings.layers)}


def run(
    settings: Settings, data: Path, target: Path, work: Path, hardware: str, resume: bool
) -> clips.Clip:
    """Train a CLIP on a cache and write it as an asset; checkpoints go to ``work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
        CheckpointError: The checkpoint is damaged.
    """
    # Before the minutes of training, not after them: a folder that cannot be made is said now.
    for folder in (target.parent, work):
        folder.mkdir(parents=True, exist_ok=True)
    examples, checkpoint = Examples(data), work / "latest.safetensors"
    trainer = Trainer(examples, settings, vocabulary(examples))
    if resume:
        trainer.restore(checkpoint)
    clip = trainer.train(checkpoint)
    trainer.save(checkpoint)
    training = {
        "data": f"{len(examples):,} renders of the world rooms, seeds from {cache.TRAIN_SEED}",
        "settings": plain(settings),
        "seconds": round(trainer.seconds),
        "hardware": hardware,
    }
    clips.save(clip, settings.config, target, training=training, licence="MIT")
    return clip
