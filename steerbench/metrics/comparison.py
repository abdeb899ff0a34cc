"""Two sets of directions against each other: cosines, angles between what they span, pairs.

Directions of one space and the same layers are compared as they are. Otherwise they are pushed to
the first space that all of them lead to (z to w, w to s, ...), where a direction is what a small
step does to a code, different for each code where the way is curved:

    J_i v = (to(c_i + h v) - to(c_i - h v)) / 2 h          for codes c_i, i = 1 .. n

and the cosine of two directions is the mean over codes of the cosine of these. Joined end to end,
each at unit norm, the pushes of a direction are one long vector whose inner products are those
means, so spans and angles follow as ever. ``space="picture"`` compares what the directions do to
pixels, which is the one space that every generator's directions lead to.

**Principal angles** between the spans, in degrees, ascending: 0 where they share a line, 90 where
nothing is shared. **Pairs** match each direction of the smaller set with one of the other, such
that the absolute cosines add up to the most (the Hungarian method).

>>> one = [Direction("a", "w", [1.0, 0, 0]), Direction("b", "w", [0, 1.0, 0])]
>>> two = [Direction("c", "w", [0, -1.0, 0]), Direction("d", "w", [0, 0, 1.0])]
>>> found = compare(one, two)
>>> found.pairs[["a", "b", "cosine"]].values.tolist()
[['a', 'd', 0.0], ['b', 'c', -1.0]]
>>> found.angles.round(6).tolist()
[0.0, 90.0]

Reference: Björck and Golub, "Numerical Methods for Computing Angles Between Linear Subspaces"
(1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError, SpaceError
from steerbench.types import Direction, Generator


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two sets of directions lie to each other.

    Attributes:
        space: Where they were compared.
        cosines: The first set's directions by the second's.
        angles: ``[min(rank)]`` principal angles between the spans, in degrees, ascending.
        pairs: One row a pair: names ``a`` and ``b``, and their ``cosine``.
    """

    space: str
    cosines: pd.DataFrame
    angles: np.ndarray
    pairs: pd.DataFrame

    def _repr_html_(self) -> str:
        angles = ", ".join(f"{angle:.1f}°" for angle in self.angles)
        return (
            f"<p>Compared in {self.space!r}. Principal angles: {angles}.</p>"
            f"{self.cosines.round(3).to_html()}{self.pairs.round(3).to_html(index=False)}"
        )


def compare(
    directions_a: Sequence[Direction],
    directions_b: Sequence[Direction],
    generator: Generator | None = None,
    *,
    space: str | None = None,
    n_samples: int = 16,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of directions of one generator.

    Args:
        directions_a: One set, the rows.
        directions_b: The other, the columns.
        generator: Needed where spaces or layers differ, or ``space`` is another one.
        space: Where to compare, or ``"picture"``; None for theirs if they share one, else the
            first space that all lead to.
        n_samples: How many codes to average over, where directions are pushed.
        seed: Of the first.

    Raises:
        ArgumentError: A set is empty.
        SpaceError: They belong to different generators, or there is no common space; the message
            says what to do.
        ShapeError: The same space has different sizes.
    """
    everything = [*directions_a, *directions_b]
    _check(directions_a, directions_b, generator)
    where, ways = _vectors(everything, generator, space, n_samples, seed)
    a, b = ways[: len(directions_a)], ways[len(directions_a) :]
    cosines = a @ b.T
    rows, columns = linear_sum_assignment(-cosines.abs().numpy())
    pairs = pd.DataFrame(
        {
            "a": [directions_a[i].name for i in rows],
            "b": [directions_b[j].name for j in columns],
            "cosine": cosines[rows, columns].numpy(),
        }
    )
    return Comparison(
        where,
        pd.DataFrame(
            cosines.numpy(), [d.name for d in directions_a], [d.name for d in directions_b]
        ),
        principal_angles(a, b),
        pairs,
    )


def principal_angles(a: Tensor, b: Tensor) -> np.ndarray:
    """Compute the angles between the spans of the rows of two matrices, in degrees, ascending.

    Small angles come from their sines, which the cosine does not resolve.
    """
    one, two = _basis(a), _basis(b)
    if len(one) > len(two):
        one, two = two, one
    # Of the smaller span, what the other one has of it, and what it lacks.
    cosines = torch.linalg.svdvals(one @ two.T)
    sines = torch.linalg.svdvals(one - one @ two.T @ two).flip(0)
    angles = torch.where(cosines > 0.7, sines.clamp(0, 1).asin(), cosines.clamp(0, 1).acos())
    return np.degrees(angles.numpy())


def _basis(rows: Tensor) -> Tensor:
    """Return orthonormal rows that span the same."""
    _, singular, right = torch.linalg.svd(rows, full_matrices=False)
    return right[singular > 1e-8 * singular[0]]


def _check(a: Sequence[Direction], b: Sequence[Direction], generator: Generator | None) -> None:
    for which, given in (("first", a), ("second", b)):
        if not len(given):
            raise ArgumentError(f"The {which} set is empty; give at least one Direction.")
        wrong = next((each for each in given if not isinstance(each, Direction)), None)
        if wrong is not None:
            raise ArgumentError(
                f"The {which} set holds a {type(wrong).__name__}; give Directions, such as the "
                "directions_ of a fitted finder."
            )
    known = {each.generator for each in [*a, *b] if each.generator}
    if generator is not None:
        known.add(generator.fingerprint)
    if len(known) > 1:
        raise SpaceError(
            f"The directions belong to different generators ({', '.join(sorted(known))}), whose "
            "codes have nothing to do with each other. Compare what they do to scores instead: "
            "sb.scorecard on each generator with one predictor."
        )


def _vectors(
    directions: Sequence[Direction],
    generator: Generator | None,
    space: str | None,
    n: int,
    seed: int,
) -> tuple[str, Tensor]:
    """Return where to compare, and one unit vector for each direction there, as rows."""
    spaces = {each.space for each in directions}
    same = len(spaces) == 1 and len({each.layers for each in directions}) == 1
    if same and space in (None, directions[0].space):
        shapes = {tuple(each.vector.shape) for each in directions}
        if len(shapes) > 1:
            raise ShapeError(
                f"Directions of space {directions[0].space!r} have the shapes {sorted(shapes)}; "
                "they come from different generators."
            )
        return directions[0].space, torch.stack([_flat(each) for each in directions])
    if generator is None:
        what = f"spaces {sorted(spaces)}" if len(spaces) > 1 else "different layers or spaces"
        raise SpaceError(
            f"The directions live in {what}, so a generator must say how one leads to the other: "
            "sb.compare(a, b, generator=G)."
        )
    target = space or _common(directions, generator)
    pushes = [_push(each, generator, target, n, seed) for each in directions]
    return target, torch.stack(pushes)


def _flat(direction: Direction) -> Tensor:
    """Return the vector, without the rows that the direction leaves alone."""
    vector = direction.vector
    if direction.layers is not None and vector.ndim > 1:
        vector = vector[list(direction.layers)]
    flat = vector.flatten()
    return flat / flat.norm().clamp_min(1e-300)


def _common(directions: Sequence[Direction], generator: Generator) -> str:
    """Find the first space in the generator's order that every direction leads to."""
    starts = {_lands(each) for each in directions}
    for target in generator.spaces:
        if all(_leads(start, target, generator) for start in starts):
            return target
    raise SpaceError(
        f"No space of {generator.name!r} can be reached from all of {sorted(starts)}. Compare "
        'what the directions do to the picture: space="picture".'
    )


def _lands(direction: Direction) -> str:
    """Return the space that a step ends in: layer-wise where layers are chosen."""
    chosen = direction.layers is not None and not direction.space.endswith("+")
    return direction.space + "+" if chosen else direction.space


def _leads(start: str, target: str, generator: Generator) -> bool:
    if start not in generator.spaces:
        raise SpaceError(
            f"{generator.name!r} has no space {start!r}; it has {', '.join(generator.spaces)}."
        )
    try:
        generator.to(generator.sample(1, space=start), target)
    except SpaceError:
        return False
    return True


def _push(
    direction: Direction,
    generator: Generator,
    target: str,
    n: int,
    seed: int,
    step: float = 0.1,
) -> Tensor:
    """Return what a small step does, code by code at unit norm, joined to one unit vector."""
    codes = generator.sample(n, seed=seed, space=direction.space)
    up, down = codes + step * direction, codes - step * direction
    with torch.no_grad():
        if target == "picture":
            difference = generator.render(up) - generator.render(down)
        else:
            difference = generator.to(up, target).data - generator.to(down, target).data
    each = difference.double().cpu().flatten(1)
    norms = each.norm(dim=1, keepdim=True)
    if not bool((norms > 0).any()):
        raise SpaceError(
            f"Direction {direction.name!r} changes nothing in {target!r} and has no cosine there."
        )
    each = each / norms.clamp_min(1e-300)
    return (each / each.norm()).flatten()
