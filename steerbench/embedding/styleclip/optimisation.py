"""StyleCLIP's latent optimisation: one picture is led to one prompt by the gradient.

The loss of `steerbench.embedding.styleclip` on the engine that also inverts and restores,
`steerbench.inversion.engine`: Adam walks from the start w_s, the learning rate rises in a line over
the first twentieth and falls by a cosine over the last quarter, and of all steps the one of least
loss is kept, each code its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import __version__
from steerbench.embedding.styleclip.target import TextLoss, TextLossConfig, TextTarget
from steerbench.errors import ArgumentError, LatentError, NotFittedError, SteerbenchError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import CodeOptimiser, OptimisationConfig
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
    def is_done(self) -> bool:
        """Whether the walk was not stopped early."""
        return self.step == self.total

    def direction(self, name: str = "", row: int = 0) -> Direction:
        """Return the step that was taken, from start to best, as a direction; alpha 1 is it.

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
        learning_rate: In standard deviations of the space's numbers.
        loss: What the way costs beside the distance to the text, and the number of cutouts.
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
        learning_rate: float = 0.1,
        loss: TextLossConfig = TextLossConfig(),
        seed: int = 0,
    ) -> None:
        self.clip = clip
        self.prompt = prompt
        self.neutral = neutral
        self.space = space
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.loss = loss
        self.seed = seed
        if n_steps < 1:
            raise ArgumentError(f"n_steps={n_steps}; give at least one step.")
        self._target = TextTarget(clip, prompt, neutral)

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
        began = time.perf_counter()
        start = self.generator_.to(latent, self.space or default_space(self.generator_))
        with torch.no_grad():
            images = self.generator_.render(start).clone()
        loss = self._loss(images)
        optimiser = self._optimiser(start, loss)
        losses: list[dict[str, float]] = []
        for step in range(self.n_steps + 1):
            lowest = optimiser.best_losses
            shown, costs = optimiser.step()
            better = (optimiser.best_losses < lowest).to(shown.device)
            images[better] = shown[better]
            losses.append(_means(loss.parts, costs))
            best, _ = optimiser.best_latents()
            yield PromptStep(
                step,
                self.n_steps,
                best.with_data(best.data.clone()),
                images.clone(),
                start,
                list(losses),
                time.perf_counter() - began,
                self._provenance(latent, losses[-1]),
            )

    def _loss(self, before: Tensor) -> TextLoss:
        random = torch.Generator().manual_seed(self.seed)
        embedding = self.loss.embedding_for(self.generator_)
        return TextLoss(self._target, before, self.loss, embedding, random)

    def _optimiser(self, start: Latent, loss: TextLoss) -> CodeOptimiser:
        config = OptimisationConfig(
            n_steps=self.n_steps + 1,  # the start itself is looked at first
            learning_rate=self.learning_rate,
            proximity=self.loss.l2,
            patience=None,
            unit=float(space_scale(self.generator_, start.space)),
        )
        return CodeOptimiser(self.generator_, start, torch.arange(len(start)), loss, config)

    def _provenance(self, latent: Latent, scores: dict[str, float]) -> Provenance:
        chosen = ("prompt", "neutral", "n_steps", "learning_rate")
        return Provenance(
            method="StyleCLIP latent optimisation",
            hyperparameters={name: getattr(self, name) for name in chosen}
            | self.loss.settings()
            | {"clip": self.clip.name, "start": latent.seed},
            generator=self.generator_.name,
            fingerprint=self.generator_.fingerprint,
            seed=self.seed,
            n_samples=len(latent),
            scores=scores,
            reference=REFERENCE,
            version=__version__,
        )


def _means(parts: dict[str, Tensor], costs: Tensor) -> dict[str, float]:
    """Return the means of what a step cost: each part, what is left of the whole, and the whole."""
    means = {name: float(part.mean()) for name, part in parts.items()}
    whole = float(costs.mean())
    return means | {"l2": max(0.0, whole - sum(means.values())), "all": whole}


def default_space(generator: BaseGenerator) -> str:
    """Return the space of layer-wise codes where there is one, else the first."""
    return "w+" if "w+" in generator.spaces else generator.latent_space


def space_scale(generator: BaseGenerator, space: str) -> Tensor:
    """Return the standard deviation of a space's numbers, one for all of them, ``[]``."""
    std = generator.spaces[space].std
    return torch.ones(()) if std is None else std.double().square().mean().sqrt()
