"""Chapter 00: directions that pixels can judge."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.types import Direction, Generator


@announce
def brighter(direction: Direction, generator: Generator, n_samples: int = 32) -> Verdict:
    """Check whether a direction makes rooms brighter, measured in the pixels of fresh rooms.

    Args:
        direction: The answer.
        generator: Where it was found.
        n_samples: How many rooms; none of them occurs in a chapter.
    """
    return _rises("brighter", brightness, direction, generator, n_samples)


@announce
def warmer(direction: Direction, generator: Generator, n_samples: int = 32) -> Verdict:
    """Check whether a direction makes rooms warmer (more red, less blue), as `brighter`."""
    return _rises("warmer", warmth, direction, generator, n_samples)


def brightness(images: Tensor) -> Tensor:
    """Return the mean of all pixels, ``[N]``, from -1 (black) to 1 (white)."""
    return images.clamp(-1, 1).mean(dim=(1, 2, 3))


def warmth(images: Tensor) -> Tensor:
    """Return mean red minus mean blue, ``[N]``, from -2 to 2."""
    channels = images.clamp(-1, 1).mean(dim=(2, 3))
    return channels[:, 0] - channels[:, 2]


def _rises(
    word: str,
    measure: Callable[[Tensor], Tensor],
    direction: Direction,
    generator: Generator,
    n: int,
) -> Verdict:
    if not isinstance(direction, Direction):
        return Verdict(False, 0, f"A {type(direction).__name__} was given; give an sb.Direction.")
    codes = generator.sample(n, seed=FRESH_SEED, space=direction.space)
    before = measure(generator.render(codes + -1.0 * direction))
    after = measure(generator.render(codes + 1.0 * direction))
    slope = float((after - before).mean()) / 2
    share = float((after > before).float().mean())
    found = (
        f"on {n} fresh rooms one standard deviation along {direction.name!r} makes the picture "
        f"{slope:+.3f} {word}, and {share:.0%} of the rooms get {word}."
    )
    if share >= 0.9:
        return Verdict(True, slope, f"Yes: {found}")
    advice = (
        "Turn it round: -direction." if share <= 0.1 else "Nearly all rooms (90%) should follow."
    )
    return Verdict(False, slope, f"Not yet: {found} {advice}")
