"""Random directions: the null that every finder is compared with.

Any direction of a latent space changes the picture. Whether a method found something can only be
told against directions that nobody chose, drawn evenly from the unit sphere of the same space:

    n = g / |g|      with      g ~ N(0, I)

which has no preferred axis. ``kind="orthonormal"`` draws a random basis instead, each of whose
vectors is again even on the sphere: such a null shares with most finders that no direction is found
twice. ``kind="channels"`` draws coordinates of the space instead, none twice: what a method that
chooses single channels has to beat; ``kind="prior"`` goes where codes go. `steerbench.metrics.null`
says which claim stands beside which.

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

from steerbench.errors import SpaceError, unknown
from steerbench.metrics.null import random_vectors
from steerbench.types import Direction, Generator
from steerbench.unsupervised.shared import layer_suffix, make_direction, rows_of

REFERENCE = 'Muller, "A Note on a Method for Generating Points Uniformly on N-dimensional Spheres"'


class RandomDirections:
    """Directions of a space that nobody chose.

    Args:
        n_directions: How many.
        space: Whose; w where there is one, else z, by default.
        layers: The rows of the layer-wise latent that they change.
        kind: One of `steerbench.metrics.null.KINDS`.
        seed: Of the draw. Isotropic, more directions begin with the same ones.

    Attributes:
        directions_: The directions drawn.
    """

    reference = REFERENCE
    directions_: list[Direction]

    def __init__(
        self,
        n_directions: int = 10,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        kind: str = "isotropic",
        seed: int = 0,
    ) -> None:
        self.n_directions = n_directions
        self.space = space
        self.layers = layers
        self.kind = kind
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
            ArgumentError: No direction was asked for, or more orthonormal ones, or channels, than
                the space has dimensions.
        """
        space = generator.natural_space if self.space is None else self.space
        if space not in generator.spaces:
            raise SpaceError(unknown("space", space, generator.spaces))
        rows = rows_of(generator, space, self.layers)
        vectors = random_vectors(
            generator, self.n_directions, space, kind=self.kind, seed=self.seed
        )
        self.directions_ = [
            make_direction(
                self,
                "random",
                generator,
                space,
                vector,
                name=f"random {index + 1}{layer_suffix(rows)}",
                layers=rows,
            )
            for index, vector in enumerate(vectors)
        ]
        return self
