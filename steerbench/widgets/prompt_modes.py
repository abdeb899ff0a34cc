"""The three ways from a prompt to a picture, each as pictures that come one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from steerbench.embedding.styleclip import GlobalDirections, LatentMapper, LatentOptimiser
from steerbench.errors import ArgumentError, LatentError
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.types import Direction, Latent

MODES = {
    "optimise: this picture": "optimise",
    "direction: any picture": "direction",
    "mapper: learn the step": "mapper",
}
"""What a person reads, and what it is called."""
FRAMES = 6
"""Pictures on the way along a direction."""
LOOK_EVERY = 5
"""Steps of a mapper's training between two pictures."""


@dataclass(frozen=True, eq=False)
class PromptRequest:
    """What a person asked for.

    Attributes:
        prompt: The text.
        neutral: What it is to differ from; may be empty.
        mode: ``"direction"``, ``"optimise"`` or ``"mapper"``.
        seed: Of the picture.
        strength: How far to go along the direction.
        beta: The threshold of a direction in s.
        n_steps: Steps of the optimisation; a mapper's training takes twice as many.
    """

    prompt: str = ""
    neutral: str = ""
    mode: str = "optimise"
    seed: int = 0
    strength: float = 3.0
    beta: float = 0.0
    n_steps: int = 40


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture on the way.

    Attributes:
        done: The share of the work that is done, 0 to 1.
        words: What is happening.
        image: The picture ``[1, C, H, W]``, or none while there is nothing new to see.
        direction: The way so far as a direction, of which ``alpha`` steps were taken.
        alpha: How many steps of it.
    """

    done: float
    words: str
    image: Tensor | None = None
    direction: Direction | None = None
    alpha: float = 0.0


class PromptModes:
    """How to begin each way.

    Args:
        generator: Draws the pictures.
        clip: Guides; None where there is none, and nothing can be begun.
        directions: The channels of s, measured or not; None for none measured yet.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        clip: Clip | None,
        directions: GlobalDirections | None = None,
    ) -> None:
        guide: Any = clip
        self.generator, self.clip = generator, guide
        self.directions = directions or GlobalDirections(guide)
        self.mappers: dict[tuple[str, str], LatentMapper] = {}

    def begin(self, request: PromptRequest) -> Iterator[Frame]:
        """Yield the pictures on the way; the first one asks for nothing to be computed."""
        ways: dict[str, Callable[[PromptRequest], Iterator[Frame]]] = {
            "direction": self._along,
            "optimise": self._optimise,
            "mapper": self._map,
        }
        return ways[request.mode](request)

    def start(self, seed: int) -> Latent:
        """The code of a seed."""
        return self.generator.sample(1, seed=seed)

    @property
    def is_measured(self) -> bool:
        """Whether prompts are directions already."""
        return getattr(self.directions, "fitted", False)

    def direction(self, request: PromptRequest) -> Direction:
        """The prompt as a direction in s, where the channels are measured."""
        return self.directions.direction(request.prompt, request.neutral, beta=request.beta)

    def _along(self, request: PromptRequest) -> Iterator[Frame]:
        if not self.is_measured:
            for now in self.directions.steps(self.generator):
                share = now.step / now.total
                yield Frame(0.9 * share, f"measuring channels, {share:.0%} (once; it is kept)")
        found, start = self.direction(request), self.start(request.seed)
        moved = found.provenance.hyperparameters["channels"]
        for frame in range(1, FRAMES + 1):
            alpha = request.strength * frame / FRAMES
            image = self.generator.render(start, edits=[alpha * found])
            yield Frame(frame / FRAMES, f"{moved} channels of s move", image, found, alpha)

    def _optimise(self, request: PromptRequest) -> Iterator[Frame]:
        walk = LatentOptimiser(self.clip, request.prompt, request.neutral, n_steps=request.n_steps)
        for now in walk.fit(self.generator).steps(self.start(request.seed)):
            fits = [1 - now.losses[0]["clip"], 1 - min(loss["clip"] for loss in now.losses)]
            words = (
                f"step {now.step} of {now.total}: fits {fits[0]:.2f} at first, {fits[1]:.2f} now"
            )
            try:
                found = now.direction(request.prompt)
            except LatentError:  # nothing has moved yet: there is no step to stop at
                yield Frame(now.step / now.total, "beginning", now.images)
                continue
            yield Frame(now.step / now.total, words, now.images, found, 1.0)

    def _map(self, request: PromptRequest) -> Iterator[Frame]:
        key = (request.prompt, request.neutral)
        start = self.generator.to(self.start(request.seed), "w+")
        if key in self.mappers:
            yield self._frame_of(self.mappers[key], start, request, 1.0, "learned before: one pass")
            return
        mapper = LatentMapper(
            self.clip, request.prompt, request.neutral, n_steps=2 * request.n_steps
        )
        for now in mapper.steps(self.generator):
            words = f"step {now.step} of {now.total}: distance {now.losses[-1]['clip']:.2f}"
            share = now.step / now.total
            if now.step % LOOK_EVERY and now.step < now.total:
                yield Frame(share, words)
                continue
            if now.step == now.total:
                self.mappers[key] = mapper
            yield self._frame_of(mapper, start, request, share, words)

    def _frame_of(
        self, mapper: LatentMapper, start: Latent, request: PromptRequest, share: float, words: str
    ) -> Frame:
        edited = mapper.edit(start)
        way = (edited.data - start.data)[0].double()
        if not float(way.norm()) > 0:
            raise ArgumentError("The mapper takes no step. Train it longer.")
        found = Direction(
            request.prompt,
            "w+",
            way,
            scale=float(way.norm()),
            generator=self.generator.fingerprint,
            provenance=mapper.provenance(),
        )
        return Frame(share, words, self.generator.render(edited), found, 1.0)
