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
from steerbench.embedding.styleclip.optimisation import REFERENCE, schedule, spread_of
from steerbench.embedding.styleclip.target import Aim, Embedding, changed, cutouts, layout_of
from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    CheckpointError,
    NotFittedError,
)
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.runs import RunFile
from steerbench.seeds import Codes
from steerbench.types import Latent, Provenance

KIND = "steerbench latent mapper"
STEP = 0.1
"""By what the networks' output is multiplied, so that they begin near no change at all."""
COARSE, MEDIUM = 8, 32
"""Up to which resolution a row is coarse or medium."""


class RowNetwork(nn.Sequential):
    """Rows ``[N, rows, dim]``, in standard deviations, to their steps ``[N, rows, dim]``."""

    def __init__(self, dim: int, depth: int = 4) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += [nn.Linear(dim, dim), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Linear(dim, dim))


class Mapper(nn.Module):
    """The three networks; groups without rows have none."""

    def __init__(self, dim: int, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.groups = [list(group) for group in groups]
        self.networks = nn.ModuleList(RowNetwork(dim) for group in self.groups if group)

    def forward(self, rows: Tensor) -> Tensor:
        """The step ``[N, rows, dim]`` of codes in standard deviations from the mean."""
        step = torch.zeros_like(rows)
        for group, network in zip([g for g in self.groups if g], self.networks):
            step = step.index_copy(1, torch.tensor(group), network(rows[:, group]))
        return STEP * step


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
        batch: Pictures a step.
        rate: The learning rate.
        l2: The weight lambda_l2 of the step's length, per number of a code.
        identity: The weight lambda_id of what is to stay.
        embedding: What is to stay; by default the layout that the generator's bundle names.
        seed: Of the networks and the first training picture.

    Attributes:
        mapper_: The networks.
        losses_: What each step cost.
        seconds_: How long the training took.

    >>> import steerbench as sb
    >>> G, clip = sb.load("rooms"), sb.clip("rooms-clip")
    >>> mapper = LatentMapper(clip, "a room at night", n_steps=2, batch=2).fit(G)
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
        batch: int = 5,
        rate: float = 2e-3,
        l2: float = 0.03,
        identity: float = 0.3,
        embedding: Embedding | None = None,
        seed: int = 0,
    ) -> None:
        self.clip, self.prompt, self.neutral = clip, prompt, neutral
        self.n_steps, self.batch, self.rate = n_steps, batch, rate
        self.l2, self.identity, self.embedding, self.seed = l2, identity, embedding, seed
        if n_steps < 1 or batch < 1:
            raise ArgumentError(
                f"n_steps={n_steps}, batch={batch}; give at least one step of one picture."
            )
        self._aim = Aim(clip, prompt, neutral)

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
        """The same step by step; whoever leaves the loop keeps what was learned so far."""
        if reason := self.refuses(generator):
            raise CapabilityError(f"{reason} Use LatentOptimiser, which walks in any space.")
        self.generator_ = generator
        began, losses = time.perf_counter(), list[dict[str, float]]()
        embedding = (self.embedding or layout_of(generator)) if self.identity else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.mapper_ = Mapper(generator.spaces["w+"].shape[-1], groups_of(generator))
        optimiser = torch.optim.Adam(self.mapper_.parameters(), lr=self.rate)
        random = torch.Generator().manual_seed(self.seed)
        file = RunFile(state, "steerbench latent mapper run", self._settings(generator), save_every)
        if known := file.read():
            losses = self._resume(known, optimiser, random)
            began -= float(known["seconds"])
        for step in range(len(losses), self.n_steps):
            seed = Codes.MAPPER + (self.seed * 100_000 + step * self.batch)
            codes = generator.sample(self.batch, seed=seed, space="w+")
            with torch.enable_grad():
                parts = self._losses(generator, codes, embedding, random)
                cost = torch.stack(list(parts.values())).sum()
            optimiser.param_groups[0]["lr"] = self.rate * schedule(step / self.n_steps)
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            losses.append({name: float(part.detach()) for name, part in parts.items()})
            self.losses_, self.seconds_ = list(losses), time.perf_counter() - began
            last = step + 1 == self.n_steps
            file.write(lambda: self._run_tensors(optimiser, random), now=last)
            yield MapperStep(step + 1, self.n_steps, self.losses_, self.seconds_)

    def _settings(self, generator: BaseGenerator) -> dict[str, Any]:
        """Return all that decides the training: what a file must agree with to be gone on from."""
        own = {name: getattr(self, name) for name in signature(type(self)).parameters}
        return own | {
            "clip": self.clip.fingerprint,
            "embedding": getattr(self.embedding, "__qualname__", str(type(self.embedding))),
            "generator": generator.fingerprint,
        }

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

    def _losses(
        self,
        generator: BaseGenerator,
        codes: Latent,
        embedding: Embedding | None,
        random: torch.Generator,
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            before = generator.render(codes)
            aims = self._aim.of(before)
            kept = embedding(before) if embedding else None
        step, spread = self._step(generator, codes)
        after = generator.render(codes.with_data(codes.data + spread * step))
        views = torch.stack([after, cutouts(after, random)])
        distance = self._aim.distance(views.flatten(0, 1), aims.repeat(2, 1)).mean()
        parts = {"clip": distance, "l2": self.l2 * step.square().mean()}
        if embedding is not None and kept is not None:
            parts["identity"] = self.identity * changed(embedding(after), kept).mean()
        return parts

    def _step(self, generator: BaseGenerator, codes: Latent) -> tuple[Tensor, Tensor]:
        """The step of codes, in standard deviations, and what one of these is."""
        spread = spread_of(generator, "w+").to(codes.data)
        mean = generator.spaces["w+"].mean
        centre = 0.0 if mean is None else mean.to(codes.data)
        return self.mapper_((codes.data - centre) / spread), spread

    def edit(self, latent: Latent, alpha: float = 1.0) -> Latent:
        """Return codes in w+ after the step, ``alpha`` times.

        Raises:
            NotFittedError: Nothing was learned yet.
        """
        if not hasattr(self, "mapper_"):
            raise NotFittedError("Nothing was learned yet; call fit(generator) first.")
        codes = self.generator_.to(latent, "w+")
        with torch.no_grad():
            step, spread = self._step(self.generator_, codes)
        return codes.with_data(codes.data + alpha * spread * step)

    def provenance(self) -> Provenance:
        """Return where an edit by this mapper came from."""
        chosen = ("prompt", "neutral", "n_steps", "batch", "rate", "l2", "identity")
        return Provenance(
            method="StyleCLIP latent mapper",
            hyperparameters={name: getattr(self, name) for name in chosen}
            | {"clip": self.clip.name},
            generator=self.generator_.name,
            fingerprint=self.generator_.fingerprint,
            seed=self.seed,
            n_samples=len(self.losses_) * self.batch,
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


def groups_of(generator: BaseGenerator) -> list[list[int]]:
    """The coarse, medium and fine rows of w+, by the resolution of the layers that read them."""
    rows = generator.spaces["w+"].shape[0]
    sizes: dict[int, float] = {row: math.inf for row in range(rows)}
    for layer in generator.layers:
        if layer.row is not None:
            sizes[layer.row] = min(sizes[layer.row], layer.height)
    coarse = [row for row in range(rows) if sizes[row] <= COARSE]
    medium = [row for row in range(rows) if COARSE < sizes[row] <= MEDIUM]
    return [coarse, medium, [row for row in range(rows) if sizes[row] > MEDIUM]]


__all__: list[Any] = ["LatentMapper", "Mapper", "MapperStep", "groups_of"]
