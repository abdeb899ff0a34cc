"""Random directions: the null that every finder is compared with.

Any direction of a latent space changes the picture. Whether a method found something can only be
told against directions that nobody chose, drawn evenly from the unit sphere of the same space:

    n = g / |g|      with      g ~ N(0, I)

which has no preferred axis. ``orthonormal=True`` draws a random basis instead, each of whose
vectors is again even on the sphere: such a null shares with most finders that no direction is found
twice. ``axes=True`` draws coordinates of the space instead, none twice: what a method that chooses
single channels has to beat.

>>> import steerbench as sb
>>> null = RandomDirections(n_directions=3, seed=0).fit(sb.load("rooms"))
>>> [direction.name for direction in null.directions_]
['random 1', 'random 2', 'random 3']

Reference: Muller, "A Note on a Method for Generating Points Uniformly on N-dimensional Spheres",
Communications of the ACM 2(4) (1959). As the baseline of unsupervised directions: Voynov, Babenko,
"Unsupervised Discovery of Interpretable Directions in the GAN Latent Space" (2020, arXiv
2002.03754).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from steerbench.errors import ArgumentError, SpaceError, unknown
from steerbench.types import Direction, Generator
from steerbench.unsupervised.shared import (
    check_count,
    make_direction,
    rows_of,
    say_rows,
)


class RandomDirections:
    """Directions drawn evenly from the unit sphere of a space.

    Args:
        n_directions: How many.
        space: Whose; w where there is one, else z, by default.
        layers: The rows of the layer-wise latent that they change.
        orthonormal: Draw them at right angles to one another.
        axes: Draw single coordinates of the space.
        seed: Of the draw. Without ``orthonormal``, more directions begin with the same ones.

    Attributes:
        directions_: The directions drawn.
    """

    reference = (
        'Muller, "A Note on a Method for Generating Points Uniformly on N-dimensional Spheres"'
    )
    directions_: list[Direction]

    def __init__(
        self,
        n_directions: int = 10,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        orthonormal: bool = False,
        axes: bool = False,
        seed: int = 0,
    ) -> None:
        self.n_directions = n_directions
        self.space = space
        self.layers = layers
        self.orthonormal = orthonormal
        self.axes = axes
        self.seed = seed

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return None: there is chance in any generator."""
        return None

    def fit(self, generator: Generator) -> RandomDirections:
        """Draw them for a generator.

        Raises:
            SpaceError: It has no such space.
            LayerError: A layer does not exist.
            ArgumentError: No direction was asked for, or more orthonormal ones, or axes, than
                the space has dimensions.
        """
        space = generator.natural_space if self.space is None else self.space
        if space not in generator.spaces:
            raise SpaceError(unknown("space", space, generator.spaces))
        rows, size = rows_of(generator, space, self.layers), generator.spaces[space].size
        if self.orthonormal or self.axes:
            check_count(self.n_directions, size, space, generator)
        if self.n_directions < 1:
            raise ArgumentError(f"{self.n_directions} directions were asked for. Ask for some.")
        if self.axes:
            order = np.random.default_rng(self.seed).permutation(size)[: self.n_directions]
            vectors = torch.eye(size, dtype=torch.float64)[torch.from_numpy(order)]
        else:
            vectors = sphere(self.n_directions, size, seed=self.seed, orthonormal=self.orthonormal)
        self.directions_ = [
            make_direction(
                self,
                "random",
                generator,
                space,
                vector,
                name=f"random {index + 1}{say_rows(rows)}",
                layers=rows,
            )
            for index, vector in enumerate(vectors)
        ]
        return self


def sphere(n: int, size: int, *, seed: int = 0, orthonormal: bool = False) -> torch.Tensor:
    """Return unit vectors in rows, ``[n, size]`` float64, evenly distributed on the sphere.

    Args:
        n: How many.
        size: Numbers of each.
        seed: Of the draw.
        orthonormal: Whether they are at right angles.

    >>> basis = sphere(2, 5, orthonormal=True)
    >>> torch.allclose(basis @ basis.T, torch.eye(2, dtype=torch.float64))
    True
    """
    drawn = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, size)))
    if not orthonormal:
        return drawn / drawn.norm(dim=1, keepdim=True)
    basis, triangle = torch.linalg.qr(drawn.T)
    # The signs of the diagonal make the basis even over all of them (Mezzadri 2007).
    return (basis * triangle.diagonal().sign()).T
