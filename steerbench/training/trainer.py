"""The loop of every training but the adversarial ones: steps, a cosine, checkpoints, going on.

A `Trainer` holds a network, its optimiser (AdamW) and how far they are; a kind of network adds the
loss of a batch. The learning rate rises in a line and falls along half a cosine, over ``n_steps``::

    rate(k) = learning_rate * cosine(k / n_steps)

A checkpoint is written every minute, so that a run that was killed goes on from there. Each stretch
draws its own random numbers: an interrupted run equals an uninterrupted one in kind, not in bits.

Reference: Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (2019, arXiv 1711.05101)
and "SGDR" (2017, arXiv 1608.03983) for AdamW and the cosine.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError
from steerbench.training import pictures as cache
from steerbench.training.shared import cosine, epochs


@dataclass
class TrainerSettings:
    """Everything that decides a run besides the pictures.

    Attributes:
        seed: Of the weights and of all that is drawn.
        images: How many pictures are seen.
        batch_size: In one step.
        learning_rate: At its highest.
        weight_decay: Of AdamW.
        warm_up: The share of the steps in which the rate rises.
        precision: ``"bfloat16"`` or ``"float32"``, of the convolutions.
    """

    seed: int = 0
    images: int = 100_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    precision: str = "bfloat16"

    @property
    def n_steps(self) -> int:
        """How many steps that is."""
        return self.images // self.batch_size

    def plain(self) -> dict[str, Any]:
        """Return the settings as a header keeps them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


class Trainer(ABC):
    """A network, its optimiser, and how far they are.

    Args:
        pictures: What is learned from.
        settings: Everything else that decides the run.
        network: What learns.
        groups: Groups of its parameters, as optimisers take them; None for all alike.
        betas: Of AdamW.
    """

    title: ClassVar[str] = "training"
    """What the progress is called."""
    renders: ClassVar[float] = 1.0
    """What share of a batch is drawn from the pictures."""
    max_norm: ClassVar[float] = float("inf")
    """The longest gradient that is followed as it is."""
    weights: Mapping[str, float] = MappingProxyType({})
    """How much a term of the loss counts, where not 1."""

    def __init__(
        self,
        pictures: cache.Pictures,
        settings: TrainerSettings,
        network: nn.Module,
        groups: list[dict[str, Any]] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.pictures, self.settings, self.network = pictures, settings, network
        self.optimiser = torch.optim.AdamW(
            network.parameters() if groups is None else groups,
            weight_decay=settings.weight_decay,
            betas=betas,
            foreach=True,
        )
        self.step_count, self.seconds = 0, 0.0

    @abstractmethod
    def losses(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Compute the terms of the loss of one batch, by name.

        Args:
            indices: ``[n]``, which pictures.
        """

    def shape(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with this network."""
        return {}

    def reseed(self, rng: np.random.Generator) -> None:
        """Give this stretch of the run its own random numbers."""
        torch.manual_seed(int(rng.integers(2**31)))

    def autocast(self) -> torch.autocast:
        """Return the context in which convolutions run, in half precision where that was asked."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def step(self, indices: np.ndarray) -> dict[str, float]:
        """Learn from one batch, and return the terms of its loss."""
        rate = cosine(self.step_count / self.settings.n_steps, self.settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * rate
        losses = self.losses(indices)
        terms = [self.weights.get(name, 1.0) * loss for name, loss in losses.items()]
        self.optimiser.zero_grad()
        torch.stack(terms).sum().backward()
        if self.max_norm < float("inf"):
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
        self.optimiser.step()
        self.step_count += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def run(self, checkpoint: Path | None = None, *, save_minutes: float = 1.0) -> None:
        """Train to the end, with a checkpoint every so many minutes and at the end."""
        settings, saved = self.settings, time.monotonic()
        started, before = time.process_time(), self.seconds
        batches = self._batches()
        progress = tqdm(
            total=settings.n_steps,
            initial=self.step_count,
            desc=f"{self.title}, seed {settings.seed}",
            unit="step",
            mininterval=5,
        )
        while self.step_count < settings.n_steps:
            losses = self.step(next(batches))
            self.seconds = before + time.process_time() - started
            progress.update()
            if self.step_count % 20 == 0:
                progress.set_postfix({name: f"{value:.4f}" for name, value in losses.items()})
            if checkpoint is not None and time.monotonic() - saved >= 60 * save_minutes:
                self.save(checkpoint)
                saved = time.monotonic()
        progress.close()
        if checkpoint is not None:
            self.save(checkpoint)

    def _batches(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(np.random.SeedSequence([self.settings.seed, self.step_count]))
        self.reseed(rng)
        return epochs(rng, len(self.pictures), round(self.renders * self.settings.batch_size))

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        remembered = store.optimiser_tensors(self.optimiser)
        tensors |= {f"optimiser.{k}": v for k, v in remembered.items()}
        header = {"settings": self.settings.plain(), "shape": self.shape()}
        store.save(path, tensors, header | {"step": self.step_count, "seconds": self.seconds})

    def restore(self, path: Path) -> None:
        """Go on from a file written by `save`.

        Raises:
            NotFoundError: There is none.
            CheckpointError: It is damaged.
            ArgumentError: It holds another network.
        """
        tensors, header = store.load(path)
        mine, theirs = self.shape(), header.get("shape")
        if mine != theirs:
            raise ArgumentError(
                f"{path} holds a network of {theirs}, expected {mine}. Give the settings with "
                "which it was begun, or start anew without --resume."
            )
        self.network.load_state_dict(store.under(tensors, "network."))
        store.restore_optimiser(self.optimiser, store.under(tensors, "optimiser."))
        self.step_count, self.seconds = header["step"], header["seconds"]

    def report(self, hardware: str) -> dict[str, Any]:
        """Return what an asset's header says of its training."""
        return {
            "data": f"{len(self.pictures):,} renders of the world {self.pictures.world}, seeds "
            f"from {cache.TRAIN_SEED}",
            "settings": self.settings.plain(),
            "seconds": round(self.seconds),
            "hardware": hardware,
        }


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        data: A cache of pictures.
        target: The asset.
        work: A folder for checkpoints.
        hardware: For the asset's header.
        resume: Go on from the checkpoint in ``work``.
    """

    data: Path
    target: Path
    work: Path
    hardware: str = "one CPU core"
    resume: bool = False

    def prepare(self) -> None:
        """Make the folders: before the minutes of training, not after them."""
        for folder in (self.target.parent, self.work):
            folder.mkdir(parents=True, exist_ok=True)

    def train(self, trainer: Trainer) -> None:
        """Run a trainer to its end, from its checkpoint where the run is resumed.

        Raises:
            NotFoundError: There is nothing to resume from.
            CheckpointError: The checkpoint is damaged.
        """
        checkpoint = self.work / "latest.safetensors"
        if self.resume:
            trainer.restore(checkpoint)
        trainer.run(checkpoint)
