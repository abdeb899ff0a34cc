"""StyleCLIP's latent optimisation: one picture is led to one prompt by the gradient.

Adam walks from the start w_s down the loss of `steerbench.embedding.styleclip`. The learning
rate rises in a line over the first twentieth and falls by a cosine over the last quarter, and of
all steps the one of least loss is kept, each code its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import __version__
from steerbench.embedding.styleclip.target import Aim, Embedding, changed, cutouts, layout_of
from steerbench.errors import ArgumentError, LatentError, NotFittedError, SteerbenchError
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.types import Direction, Latent, Provenance

REFERENCE = "Patashnik et al. 2021, arXiv 2103.17249"


@dataclass(frozen=True, eq=False)
class PromptStep:
    """Where a walk is.

    Attributes:
        step: How many steps were made.
        total: How many there will be.
        latent: The best codes so far.
        images: Their pictures ``[N, C, H, W]``.
        start: The codes and space that the walk began with.
        losses: What each step cost, one dictionary a step: ``clip``, ``l2``, ``identity`` and
            ``all``, means over the codes.
        seconds: Since the beginning.
        provenance: How it came about.
    """

    step: int
    total: int
    latent: Latent
    images: Tensor
    start: Latent
    losses: list[dict[str, float]]
    seconds: float
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def done(self) -> bool:
        """Whether the walk was not stopped early."""
        return self.step == self.total

    def direction(self, name: str = "", row: int = 0) -> Direction:
        """The step that was taken, from start to best, as a direction for sliders; alpha 1 is it.

        Raises:
            LatentError: Nothing was changed.
        """
        moved = (self.latent.data[row] - self.start.data[row]).double()
        if not float(moved.norm()) > 0:
            raise LatentError("The codes are where they began: no direction. Make more steps.")
        return Direction(
            name or str(self.provenance.hyperparameters.get("prompt", "prompt")),
            self.latent.space,
            moved,
            scale=float(moved.norm()),
            generator=self.latent.generator,
            provenance=self.provenance,
        )


class LatentOptimiser:
    """Changes pictures until CLIP finds that they show what was asked for.

    Args:
        clip: Guides; judge the result by another one.
        prompt: What is asked for.
        neutral: What it is to differ from; see `steerbench.embedding.styleclip`.
        space: Where the codes walk; ``"w+"`` where there is one, else the generator's first space.
        n_steps: How many steps.
        rate: The learning rate, in standard deviations of the space's numbers.
        l2: The weight lambda_l2 of the way that was gone, per number of a code.
        identity: The weight lambda_id of what is to stay.
        embedding: What is to stay, pictures to features; by default the layout that the
            generator's bundle names, or nothing. Not asked where ``identity`` is 0.
        n_cutouts: Random cutouts a step beside the whole picture.
        seed: Of the cutouts.
    """

    def __init__(
        self,
        clip: Clip,
        prompt: str,
        neutral: str = "",
        *,
        space: str | None = None,
        n_steps: int = 40,
        rate: float = 0.1,
        l2: float = 0.03,
        identity: float = 0.3,
        embedding: Embedding | None = None,
        n_cutouts: int = 1,
        seed: int = 0,
    ) -> None:
        self.clip, self.prompt, self.neutral, self.space = clip, prompt, neutral, space
        self.n_steps, self.rate, self.l2, self.identity = n_steps, rate, l2, identity
        self.embedding, self.n_cutouts, self.seed = embedding, n_cutouts, seed
        if n_steps < 1 or n_cutouts < 0:
            raise ArgumentError(
                f"n_steps={n_steps}, n_cutouts={n_cutouts}; give at least one step, and no "
                "negative number of cutouts."
            )
        self._aim = Aim(clip, prompt, neutral)

    generator_: BaseGenerator

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return None: it walks in any space of any generator."""
        return None

    def fit(self, generator: BaseGenerator) -> LatentOptimiser:
        """Take the generator whose pictures are edited; nothing is learned of it beforehand."""
        self.generator_ = generator
        return self

    def edit(self, latent: Latent) -> Latent:
        """Return the best codes of `optimise`."""
        return self.optimise(latent).latent

    def optimise(self, latent: Latent) -> PromptStep:
        """Walk to the end, with a progress bar; an interrupt keeps the best so far.

        Args:
            latent: Codes in any space that leads to the one walked in.

        Raises:
            NotFittedError: ``fit`` has not said on which generator.
            SpaceError: The codes cannot be brought there.
        """
        steps, last = self.steps(latent), None
        bar = tqdm(total=self.n_steps, desc=f"“{self.prompt[:30]}”", unit="step", delay=1)
        with bar:
            try:
                for last in steps:
                    bar.update(last.step - bar.n)
            except KeyboardInterrupt:
                if last is None:
                    raise
        if last is None:
            raise SteerbenchError("No step was made.")
        return last

    def steps(self, latent: Latent) -> Iterator[PromptStep]:
        """Yield the walk step by step, the start itself first; leave the loop to stop."""
        if not hasattr(self, "generator_"):
            raise NotFittedError("No generator is known yet; call fit(generator) first.")
        generator = self.generator_
        began, embedding = time.perf_counter(), self._embedding(generator)
        start = generator.to(latent, self.space or walked_in(generator))
        spread = spread_of(generator, start.space).to(start.data)
        with torch.no_grad():
            before = generator.render(start)
            aims = self._aim.of(before)
            kept = embedding(before) if embedding else None
        random = torch.Generator().manual_seed(self.seed)
        offset = torch.zeros_like(start.data, requires_grad=True)
        optimiser = torch.optim.Adam([offset], lr=self.rate)
        best = torch.full((len(start),), math.inf, device=start.data.device)
        codes, images, losses = start.data.clone(), before.clone(), list[dict[str, float]]()
        for step in range(self.n_steps + 1):
            with torch.enable_grad():
                now = start.with_data(start.data + spread * offset)
                drawn = generator.render(now)
                parts = self._losses(drawn, aims, offset, embedding, kept)
                cost = torch.stack(list(parts.values())).sum(0)
            better = (cost < best).detach()
            best = torch.where(better, cost.detach(), best)
            codes[better], images[better] = now.data.detach()[better], drawn.detach()[better]
            losses.append({name: float(part.detach().mean()) for name, part in parts.items()})
            losses[-1]["all"] = float(cost.detach().mean())
            yield PromptStep(
                step,
                self.n_steps,
                replace(start, data=codes.clone(), seed=None),
                images.clone(),
                start,
                list(losses),
                time.perf_counter() - began,
                self._provenance(generator, latent, losses[-1]),
            )
            if step == self.n_steps:
                return
            with torch.enable_grad():
                seen = [
                    self._aim.distance(cutouts(drawn, random), aims) for _ in range(self.n_cutouts)
                ]
                # The distance is the mean over the picture and its cutouts.
                extra = sum(seen, torch.zeros_like(cost)) - len(seen) * parts["clip"]
                whole = cost + extra / (1 + len(seen))
            optimiser.param_groups[0]["lr"] = self.rate * schedule(step / self.n_steps)
            optimiser.zero_grad()
            whole.sum().backward()
            optimiser.step()

    def _losses(
        self,
        images: Tensor,
        aims: Tensor,
        offset: Tensor,
        embedding: Embedding | None,
        kept: Tensor | None,
    ) -> dict[str, Tensor]:
        """What pictures cost, ``[N]`` each."""
        parts = {"clip": self._aim.distance(images, aims)}
        parts["l2"] = self.l2 * offset.square().flatten(1).mean(1)
        if embedding is not None and kept is not None:
            parts["identity"] = self.identity * changed(embedding(images), kept)
        return parts

    def _embedding(self, generator: BaseGenerator) -> Embedding | None:
        if not self.identity:
            return None
        return self.embedding or layout_of(generator)

    def _provenance(
        self, generator: BaseGenerator, latent: Latent, scores: dict[str, float]
    ) -> Provenance:
        chosen = ("prompt", "neutral", "n_steps", "rate", "l2", "identity", "n_cutouts")
        return Provenance(
            method="StyleCLIP latent optimisation",
            hyperparameters={name: getattr(self, name) for name in chosen}
            | {"clip": self.clip.name, "start": latent.seed},
            generator=generator.name,
            fingerprint=generator.fingerprint,
            seed=self.seed,
            n_samples=len(latent),
            scores=scores,
            reference=REFERENCE,
            version=__version__,
        )


def schedule(done: float) -> float:
    """The share of the learning rate after a part of the walk.

    >>> schedule(0.5), schedule(1.0)
    (1.0, 0.0)
    """
    rise = min(1.0, (done + 1e-2) / 0.05)
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / 0.25))
    return rise * fall


def walked_in(generator: BaseGenerator) -> str:
    """The space of layer-wise codes where there is one, else the first."""
    return "w+" if "w+" in generator.spaces else generator.latent_space


def spread_of(generator: BaseGenerator, space: str) -> Tensor:
    """The standard deviation of a space's numbers, one for all of them: a scale for steps."""
    std = generator.spaces[space].std
    return torch.ones(()) if std is None else std.double().square().mean().sqrt()
