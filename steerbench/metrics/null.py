"""The null of everything: what directions and units do that nobody chose.

Any direction changes the picture, and any unit that is switched changes it too. Whether a method
found something can only be told against directions, or sets of units, that are like those it found
in everything but the choice: the same space and layers, the same number, and, where a claim is
about effects, the same **dose**, the change of the picture.

**Random directions** (`random_directions`, `random_directions_like`) come in four kinds:

- ``"prior"``: the difference of two codes of the prior, so that it goes where codes go. In z this
  is any direction alike; in w and s, most of whose directions codes hardly use, it is the harder
  rival.
- ``"isotropic"``: any direction of the space alike, even on the unit sphere.
- ``"orthonormal"``: isotropic directions at right angles to one another, like those of most
  finders, of which none is found twice.
- ``"channels"``: single coordinates of the space, none twice: what a method that chooses single
  channels has to beat.

**Random units** (`random_units`) are sets of as many units of the same layer, none of them chosen.

Which one a claim stands beside:

- p-values and names of a scorecard: prior (isotropic on request), at equal change of pixels
  (`steerbench.metrics.scorecard.null_model`);
- the leaderboard's null, `RandomDirections`: isotropic, and channels for StyleSpace, all at the
  dose to which `step_for_change` brings every finder;
- a boundary's verification (HiGAN), and exercises: isotropic, the same step in standard deviations
  of the prior;
- an edit by a prompt: isotropic in w, at the edit's own change of pixels;
- effects of units, searched units, artefacts: random units, in the same pictures and places.

A p-value is the share of the null, and of the value itself, that is as large (`p_value`), so that
it is never 0: with K random directions no smaller than 1 / (K + 1).

Random directions as the baseline of unsupervised ones: Voynov, Babenko, "Unsupervised Discovery of
Interpretable Directions in the GAN Latent Space" (2020, arXiv 2002.03754); random units: Bau et
al., "GAN Dissection" (2019, arXiv 1811.10597).

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> [direction.name for direction in random_directions(G, 2, "w", kind="isotropic")]
['random 1', 'random 2']
>>> found = sb.SeFa(1).fit(G).directions_[0].limited([0, 1])
>>> random_directions_like(found, G, 1)[0].layers
(0, 1)
>>> random_units(6, [0, 1, 2], 1)
[(5, 4, 3)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, SpaceError, unknown
from steerbench.stats import random_unit_vectors
from steerbench.types import Direction, Generator, Traversal

KINDS = ("prior", "isotropic", "orthonormal", "channels")


def random_vectors(
    generator: Generator,
    n: int,
    space: str,
    *,
    kind: str = "prior",
    free: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Draw the vectors of random directions, ``[n, *shape]`` float64, of any length but 0.

    Args:
        generator: Its space, and for ``"prior"`` its codes.
        n: How many.
        space: Whose.
        kind: One of `KINDS`.
        free: Which numbers of a code they may change, ``[*shape]`` bool; all unless given.
        seed: Of the draw; of the first code for ``"prior"``.

    Raises:
        ArgumentError: The kind is not known, or there are fewer axes than were asked for.
        SpaceError: The generator has no such space.
    """
    if kind not in KINDS:
        raise ArgumentError(unknown("kind of random direction", kind, KINDS))
    if space not in generator.spaces:
        raise SpaceError(unknown("space", space, generator.spaces))
    if n < 1:
        raise ArgumentError(f"{n} random directions were asked for. Ask for some.")
    use = torch.ones(generator.spaces[space].shape).bool() if free is None else free
    if kind == "prior":
        codes = generator.sample(2 * n, seed=seed, space=space).data.detach()
        return (codes[:n] - codes[n:]).double().cpu() * use
    places = use.flatten().nonzero()[:, 0]
    if kind != "isotropic" and n > len(places):
        raise ArgumentError(
            f"{n} directions were asked for ({kind}), but {space!r} of {generator.name!r} has "
            f"{len(places)} dimensions. Ask for 1 to {len(places)}."
        )
    vectors = torch.zeros(n, use.numel(), dtype=torch.float64)
    vectors[:, places] = _unit_vectors(n, len(places), kind, seed)
    return vectors.reshape(n, *use.shape)


def _unit_vectors(n: int, size: int, kind: str, seed: int) -> Tensor:
    if kind != "channels":
        return random_unit_vectors(n, size, orthonormal=kind == "orthonormal", seed=seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(size)[:n])
    return torch.eye(size, dtype=torch.float64)[order]


def random_directions(
    generator: Generator,
    n: int,
    space: str,
    *,
    kind: str = "prior",
    layers: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Direction]:
    """Draw random directions, a step of which is one standard deviation of the prior.

    Args:
        generator: Whose.
        n: How many.
        space: ``"w"``, ``"z"``, ...
        kind: One of `KINDS`.
        layers: The rows of the layer-wise latent that they change; None for all.
        seed: Of the draw.

    Raises:
        ArgumentError: The kind is not known, or there are fewer axes than were asked for.
        SpaceError: The generator has no such space.
    """
    vectors = random_vectors(generator, n, space, kind=kind, seed=seed)
    return _directions(generator, vectors, space, layers, None)


def random_directions_like(
    direction: Traversal,
    generator: Generator,
    n: int,
    *,
    kind: str = "prior",
    scale: float | None = None,
    seed: int = 0,
) -> list[Direction]:
    """Draw random directions of a direction's, or a walk's, space, layers and rows.

    Args:
        direction: What they are held against.
        generator: Whose.
        n: How many.
        kind: One of `KINDS`.
        scale: Of a step; one standard deviation of the prior along each unless given.
        seed: Of the draw.

    Raises:
        ArgumentError: The kind is not known, or there are fewer axes than were asked for.
        SpaceError: The generator has no such space.
    """
    space = direction.space
    free = _free(direction) if isinstance(direction, Direction) else None
    vectors = random_vectors(generator, n, space, kind=kind, free=free, seed=seed)
    return _directions(generator, vectors, space, direction.layers, scale)


def _directions(
    generator: Generator,
    vectors: Tensor,
    space: str,
    layers: Sequence[int] | None,
    scale: float | None,
) -> list[Direction]:
    def step(vector: Tensor) -> float:
        return generator.prior_std(space, vector / vector.norm()) if scale is None else scale

    rows = None if layers is None else tuple(layers)
    return [
        Direction(f"random {i + 1}", space, vector, step(vector), rows, generator.fingerprint)
        for i, vector in enumerate(vectors)
    ]


def _free(direction: Direction) -> Tensor:
    """Tell which numbers of a code a direction may change: of a layer-wise one its rows."""
    shape, size = direction.vector.shape, direction.vector.ndim
    if not direction.space.endswith("+") or size < 2:
        return torch.ones(shape).bool()
    rows = direction.vector.flatten(1).abs().amax(1) > 0
    return rows.view(-1, *[1] * (size - 1)).expand(shape)


def random_units(count: int, chosen: Sequence[int], n: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Draw sets of as many units as were chosen, none of them among those.

    Args:
        count: How many units the layer has.
        chosen: The units that were chosen.
        n: How many sets.
        seed: Of the draw.

    Raises:
        ArgumentError: Fewer than as many others are left.
    """
    others = np.setdiff1d(np.arange(count), np.asarray(chosen, dtype=int))
    if len(others) < len(chosen):
        raise ArgumentError(
            f"{len(chosen)} of {count} units were chosen; fewer than as many others are left to "
            "compare with. Choose at most half."
        )
    random = np.random.RandomState(seed)
    return [tuple(random.permutation(others)[: len(chosen)].tolist()) for _ in range(n)]


def step_for_change(
    change_of: Callable[[float], float],
    change: float,
    *,
    first: float = 1.0,
    most: float = 8.0,
    rounds: int = 4,
) -> float:
    """Find the step at which a picture changes by a dose.

    Every round takes the step that the last one's change asks for, as if both grew alike.

    Args:
        change_of: From a step, above 0, to the change that it makes.
        change: The change that is wanted.
        first: The step that is tried first.
        most: The longest step to give.
        rounds: How many steps are tried.

    >>> round(step_for_change(lambda alpha: alpha**0.5, 2.0, rounds=40), 3)
    4.0
    """
    alpha = first
    for _ in range(rounds):
        alpha = min(most, alpha * change / max(change_of(alpha), 1e-9))
    return alpha


def p_value(value: Tensor, null: Tensor) -> Tensor:
    """Return the share of the null, and the value itself, that is as large.

    Args:
        value: ``[...]``.
        null: ``[K, ...]``, the same of K random directions.
    """
    return ((null >= value).double().sum(0) + 1) / (len(null) + 1)
