"""The three ways from a prompt to a picture, each as pictures that come one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from steerbench.embedding import GlobalDirections, LatentMapper, LatentOptimiser
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
class Wish:
    """What a person asked for.

    Attributes:
        prompt: The text.
        neutral: What it is to differ from; may be empty.
        mode: ``"direction"``, ``"optimise"`` or ``"mapper"``.
        seed: Of the picture.
        strength: How far to go along the direction.
        beta: The threshold of a direction in s.
    """

    prompt: str
    neutral: str
    mode: str
    seed: int
    strength: float
    beta: float


@dataclass(frozen=True, eq=False)
class Sight:
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


class Walks:
    """Knows how to begin each way.

    Args:
        generator: Draws the pictures.
        clip: Guides.
        directions: The channels of s, measured or not; None for none measured yet.
        n_steps: Steps of the optimisation; a mapper's training takes twice as many.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        clip: Clip,
        directions: GlobalDirections | None = None,
        n_steps: int = 40,
    ) -> None:
        self.generator, self.clip, self.n_steps = generator, clip, n_steps
        self.directions = directions or GlobalDirections(clip)
        self.mappers: dict[tuple[str, str], LatentMapper] = {}

    def begin(self, wish: Wish) -> Iterator[Sight]:
        """The pictures on the way to a wish; the first one asks for nothing to be computed."""
        ways: dict[str, Callable[[Wish], Iterator[Sight]]] = {
            "direction": self._along,
            "optimise": self._optimised,
            "mapper": self._mapped,
        }
        return ways[wish.mode](wish)

    def start(self, seed: int) -> Latent:
        """The code of a seed."""
        return self.generator.sample(1, seed=seed)

    @property
    def measured(self) -> bool:
        """Whether prompts are directions already."""
        return getattr(self.directions, "fitted", False)

    def direction(self, wish: Wish) -> Direction:
        """The prompt as a direction in s, where the channels are measured."""
        neutral = wish.neutral.strip() or "a room"
        return self.directions.direction(wish.prompt, neutral, beta=wish.beta)

    def _along(self, wish: Wish) -> Iterator[Sight]:
        if not self.measured:
            for now in self.directions.steps(self.generator):
                share = now.step / now.total
                yield Sight(0.9 * share, f"measuring channels, {share:.0%} (once; it is kept)")
        found, start = self.direction(wish), self.start(wish.seed)
        moved = found.provenance.hyperparameters["channels"]
        for frame in range(1, FRAMES + 1):
            alpha = wish.strength * frame / FRAMES
            image = self.generator.render(start, edits=[alpha * found])
            yield Sight(frame / FRAMES, f"{moved} channels of s move", image, found, alpha)

    def _optimised(self, wish: Wish) -> Iterator[Sight]:
        walk = LatentOptimiser(self.clip, wish.prompt, wish.neutral, n_steps=self.n_steps)
        for now in walk.steps(self.generator, self.start(wish.seed)):
            fits = [1 - now.losses[0]["clip"], 1 - min(loss["clip"] for loss in now.losses)]
            words = (
                f"step {now.step} of {now.total}: fits {fits[0]:.2f} at first, {fits[1]:.2f} now"
            )
            try:
                found = now.direction(wish.prompt)
            except LatentError:  # nothing has moved yet
                yield Sight(now.step / now.total, words, now.images)
                continue
            yield Sight(now.step / now.total, words, now.images, found, 1.0)

    def _mapped(self, wish: Wish) -> Iterator[Sight]:
        key = (wish.prompt, wish.neutral)
        start = self.generator.to(self.start(wish.seed), "w+")
        if key in self.mappers:
            yield self._learned(self.mappers[key], start, wish, 1.0, "learned before: one pass")
            return
        mapper = LatentMapper(self.clip, wish.prompt, wish.neutral, n_steps=2 * self.n_steps)
        for now in mapper.steps(self.generator):
            words = f"step {now.step} of {now.total}: distance {now.losses[-1]['clip']:.2f}"
            share = now.step / now.total
            if now.step % LOOK_EVERY and now.step < now.total:
                yield Sight(share, words)
                continue
            if now.step == now.total:
                self.mappers[key] = mapper
            yield self._learned(mapper, start, wish, share, words)

    def _learned(
        self, mapper: LatentMapper, start: Latent, wish: Wish, share: float, words: str
    ) -> Sight:
        edited = mapper.edit(self.generator, start)
        way = (edited.data - start.data)[0].double()
        if not float(way.norm()) > 0:
            raise ArgumentError("The mapper takes no step. Train it longer.")
        found = Direction(
            wish.prompt,
            "w+",
            way,
            scale=float(way.norm()),
            generator=self.generator.fingerprint,
            provenance=mapper.provenance(self.generator),
        )
        return Sight(share, words, self.generator.render(edited), found, 1.0)
