"""StyleCLIP's latent mapper: three small networks that learn to take one prompt's step anywhere.

The rows of w+ are parted into coarse, medium and fine ones, each with a network of four layers
that reads a row and gives its step:

    M(w) = (M_coarse(w_coarse), M_medium(w_medium), M_fine(w_fine)),   w' = w + 0.1 M(w)

trained on fresh samples by ``1 - f(G(w')) . t + lambda_l2 |M(w)|^2 + lambda_id D_id``. Applying it
is one pass through small networks, whatever the picture.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench import __version__, store
from steerbench.embedding.styleclip.optimisation import REFERENCE, space_scale
from steerbench.embedding.styleclip.target import Embedding, TextLoss, TextLossConfig, TextTarget
from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    CheckpointError,
    NotFittedError,
)
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import schedule
from steerbench.predictors.clip import Clip
from steerbench.runs import RunFile
from steerbench.seeds import Codes
from steerbench.types import Latent, Provenance

KIND = "steerbench latent mapper"


class RowNetwork(nn.Sequential):
    """Rows ``[N, rows, dim]``, in standard deviations, to their steps ``[N, rows, dim]``."""

    def __init__(self, dim: int, depth: int = 4) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += [nn.Linear(dim, dim), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Linear(dim, dim))


class Mapper(nn.Module):
    """The three networks; groups without rows have none.

    Args:
        dim: Of a row.
        groups: The rows that each network reads and changes.
        scale: By what their output is multiplied, so that they begin near no change at all.
    """

    def __init__(self, dim: int, groups: Sequence[Sequence[int]], scale: float = 0.1) -> None:
        super().__init__()
        self.scale = scale
        self.groups = [list(group) for group in groups]
        self.networks = nn.ModuleList(RowNetwork(dim) for group in self.groups if group)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the step ``[N, rows, dim]`` of codes in standard deviations from the mean."""
        step = torch.zeros_like(rows)
        for group, network in zip([g for g in self.groups if g], self.networks):
            step = step.index_copy(1, torch.tensor(group), network(rows[:, group]))
        return self.scale * step


@dataclass(frozen=True)
class MapperStep:
    """Where the training is: step of total, and what each step cost."""

    step: int
    total: int
    losses: list[dict[str, float]]
    seconds: float


class LatentMapper:
    """Learns one prompt's step for any picture of a generator.

    Args:
        clip: Guides; judge the result by another one.
        prompt: What is asked for.
        neutral: What it is to differ from; see `steerbench.embedding.styleclip`.
        n_steps: How many steps of training.
        batch_size: Pictures a step.
        learning_rate: Of the networks' weights.
        loss: What a step costs beside the distance to the text, and the number of cutouts.
        seed: Of the networks and the first training picture.

    Attributes:
        mapper_: The networks.
        losses_: What each step cost.
        seconds_: How long the training took.

    >>> import steerbench as sb
    >>> G, clip = sb.load("rooms"), sb.clip("rooms-clip")
    >>> mapper = LatentMapper(clip, "a room at night", n_steps=2, batch_size=2).fit(G)
    >>> mapper.edit(G.sample(3, seed=0)).space
    'w+'
    """

    def __init__(
        self,
        clip: Clip,
        prompt: str,
        neutral: str = "",
        *,
        n_steps: int = 100,
        batch_size: int = 5,
        learning_rate: float = 2e-3,
        loss: TextLossConfig = TextLossConfig(),
        seed: int = 0,
    ) -> None:
        self.clip = clip
        self.prompt = prompt
        self.neutral = neutral
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.loss = loss
        self.seed = seed
        if n_steps < 1 or batch_size < 1:
            raise ArgumentError(
                f"n_steps={n_steps}, batch_size={batch_size}; give at least one step of one "
                "picture."
            )
        self._target = TextTarget(clip, prompt, neutral)

    generator_: BaseGenerator
    mapper_: Mapper
    losses_: list[dict[str, float]]
    seconds_: float

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        if "w+" in generator.spaces:
            return None
        return f"{generator.name!r} has no layer-wise codes w+, whose rows the mapper changes."

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> LatentMapper:
        """Train, with a progress bar.

        Args:
            generator: Any with w+.
            state: A file from which to go on and into which to write how far the training is.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: The generator has no w+.
            ArgumentError: The file belongs to another run.
        """
        bar = tqdm(total=self.n_steps, desc=f"mapper “{self.prompt[:24]}”", unit="step", delay=1)
        with bar:
            for now in self.steps(generator, state, save_every):
                bar.update(now.step - bar.n)
        return self

    def steps(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> Iterator[MapperStep]:
        """Train step by step; whoever leaves the loop keeps what was learned so far.

        Args:
            generator, state, save_every: As for `fit`.
        """
        if reason := self.refuses(generator):
            raise CapabilityError(f"{reason} Use LatentOptimiser, which walks in any space.")
        self.generator_ = generator
        began, losses = time.perf_counter(), list[dict[str, float]]()
        embedding = self.loss.embedding_for(generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.mapper_ = Mapper(generator.spaces["w+"].shape[-1], groups_of(generator))
        optimiser = torch.optim.Adam(self.mapper_.parameters(), lr=self.learning_rate)
        random = torch.Generator().manual_seed(self.seed)
        file = RunFile(state, "steerbench latent mapper run", self._settings(generator), save_every)
        if known := file.read():
            losses = self._resume(known, optimiser, random)
            began -= float(known["seconds"])
        for step in range(len(losses), self.n_steps):
            codes = self._codes(generator, step)
            with torch.enable_grad():
                cost, parts = self._cost(generator, codes, embedding, random)
            # In the middle of each step: at the ends the rate is nothing.
            share = schedule((step + 0.5) / self.n_steps)
            optimiser.param_groups[0]["lr"] = self.learning_rate * share
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            losses.append(parts)
            self.losses_, self.seconds_ = list(losses), time.perf_counter() - began
            last = step + 1 == self.n_steps
            file.write(lambda: self._run_tensors(optimiser, random), now=last)
            yield MapperStep(step + 1, self.n_steps, self.losses_, self.seconds_)

    def _codes(self, generator: BaseGenerator, step: int) -> Latent:
        """Return the codes of a step, away from those that people look at."""
        seed = Codes.MAPPER + (self.seed * 100_000 + step * self.batch_size)
        return generator.sample(self.batch_size, seed=seed, space="w+")

    def _settings(self, generator: BaseGenerator) -> dict[str, Any]:
        """Return all that decides the training: what a file must agree with to be gone on from."""
        names = [name for name in signature(type(self)).parameters if name != "loss"]
        embedding = self.loss.embedding
        return (
            {name: getattr(self, name) for name in names}
            | self.loss.settings()
            | {
                "clip": self.clip.fingerprint,
                "embedding": getattr(embedding, "__qualname__", str(type(embedding))),
                "generator": generator.fingerprint,
            }
        )

    def _run_tensors(
        self, optimiser: torch.optim.Optimizer, random: torch.Generator
    ) -> dict[str, Tensor]:
        """Return all that is needed to go on from here."""
        tensors = {f"mapper.{k}": v for k, v in self.mapper_.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in store.optimiser_tensors(optimiser).items()}
        for name in self.losses_[0]:
            losses = [step[name] for step in self.losses_]
            tensors[f"losses.{name}"] = torch.tensor(losses, dtype=torch.float64)
        seconds = torch.tensor(self.seconds_, dtype=torch.float64)
        return tensors | {"random": random.get_state(), "seconds": seconds}

    def _resume(
        self,
        known: Mapping[str, Tensor],
        optimiser: torch.optim.Optimizer,
        random: torch.Generator,
    ) -> list[dict[str, float]]:
        """Take up a training from what a file holds; returns what each step cost."""
        self.mapper_.load_state_dict(store.under(known, "mapper."))
        store.restore_optimiser(optimiser, store.under(known, "optimiser."))
        random.set_state(known["random"])
        losses = {name: values.tolist() for name, values in store.under(known, "losses.").items()}
        self.losses_ = [dict(zip(losses, step)) for step in zip(*losses.values())]
        self.seconds_ = float(known["seconds"])
        return list(self.losses_)

    def _cost(
        self,
        generator: BaseGenerator,
        codes: Latent,
        embedding: Embedding | None,
        random: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return what the step of codes costs, and the parts of that."""
        with torch.no_grad():
            before = generator.render(codes)
        loss = TextLoss(self._target, before, self.loss, embedding, random)
        step, scale = self._step(generator, codes)
        after = generator.render(codes.with_data(codes.data + scale * step))
        length = self.loss.l2 * step.square().mean()
        cost = loss(after, torch.arange(len(codes))).mean() + length
        parts = {name: float(part.mean()) for name, part in loss.parts.items()}
        return cost, parts | {"l2": float(length.detach())}

    def _step(self, generator: BaseGenerator, codes: Latent) -> tuple[Tensor, Tensor]:
        """Return the step of codes, in standard deviations, and what one of these is."""
        scale = space_scale(generator, "w+").to(codes.data)
        mean = generator.spaces["w+"].mean
        centre = 0.0 if mean is None else mean.to(codes.data)
        return self.mapper_((codes.data - centre) / scale), scale

    def edit(self, latent: Latent, alpha: float = 1.0) -> Latent:
        """Return codes in w+ after the step, ``alpha`` times.

        Args:
            latent: In any space that leads to w+.
            alpha: How many times the step is taken.

        Raises:
            NotFittedError: Nothing was learned yet.
        """
        if not hasattr(self, "mapper_"):
            raise NotFittedError("Nothing was learned yet; call fit(generator) first.")
        codes = self.generator_.to(latent, "w+")
        with torch.no_grad():
            step, scale = self._step(self.generator_, codes)
        return codes.with_data(codes.data + alpha * scale * step)

    def provenance(self) -> Provenance:
        """Return where an edit by this mapper came from."""
        chosen = ("prompt", "neutral", "n_steps", "batch_size", "learning_rate")
        return Provenance(
            method="StyleCLIP latent mapper",
            hyperparameters={name: getattr(self, name) for name in chosen}
            | self.loss.settings()
            | {"clip": self.clip.name},
            generator=self.generator_.name,
            fingerprint=self.generator_.fingerprint,
            seed=self.seed,
            n_samples=len(self.losses_) * self.batch_size,
            scores=self.losses_[-1],
            reference=REFERENCE,
            version=__version__,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the networks as one safetensors file.

        Raises:
            ArgumentError: Nothing was learned yet.
        """
        if not hasattr(self, "mapper_"):
            raise NotFittedError("Nothing was learned yet; call fit(generator) first.")
        header: dict[str, Any] = {"kind": KIND, "prompt": self.prompt, "neutral": self.neutral}
        header |= {"groups": self.mapper_.groups, "losses": self.losses_}
        store.save(path, self.mapper_.state_dict(), header | {"seconds": self.seconds_})

    def restore(self, path: str | os.PathLike[str], generator: BaseGenerator) -> LatentMapper:
        """Take the networks of a file written by `save`; returns self.

        Args:
            path: Of the file.
            generator: The one that they were trained on.

        Raises:
            CheckpointError: It is no such file, or of another prompt.
        """
        tensors, header = store.load(path)
        asked = (KIND, self.prompt, self.neutral)
        given = tuple(header.get(key) for key in ("kind", "prompt", "neutral"))
        if given != asked:
            raise CheckpointError(f"{os.fspath(path)} holds {given}, expected {asked}.")
        try:
            dim = tensors["networks.0.0.weight"].shape[1]
            mapper = Mapper(dim, header["groups"])
            mapper.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"{os.fspath(path)} is an incomplete mapper: {error}") from error
        self.generator_ = generator
        self.mapper_, self.losses_, self.seconds_ = mapper, header["losses"], header["seconds"]
        return self


def groups_of(generator: BaseGenerator, coarse: int = 8, medium: int = 32) -> list[list[int]]:
    """Return the coarse, medium and fine rows of w+, by the resolution of their layers.

    Args:
        generator: With a space w+.
        coarse, medium: Up to which resolution a row is that.
    """
    rows = generator.spaces["w+"].shape[0]
    sizes: dict[int, float] = {row: math.inf for row in range(rows)}
    for layer in generator.layers:
        if layer.row is not None:
            sizes[layer.row] = min(sizes[layer.row], layer.height)
    parts: list[list[int]] = [[], [], []]
    for row, size in sizes.items():
        parts[0 if size <= coarse else 1 if size <= medium else 2].append(row)
    return parts


__all__: list[Any] = ["LatentMapper", "Mapper", "MapperStep", "groups_of"]
