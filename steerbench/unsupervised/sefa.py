"""SeFa: directions in closed form, from the weights that a latent first meets.

A generator's first step turns a code n into A n + b. The direction that changes this the most is
the one that the weights stretch the most:

    n* = argmax |A n|^2  with  |n| = 1      so      A^T A n_i = lambda_i n_i

Its eigenvectors, by falling eigenvalue, are the directions: no data, no training, no sampling.
For style-based generators A joins the affine weights of the chosen layers, for progressive and
DCGAN-like ones it is the first layer. Rows of A are scaled to unit norm first, as the authors' code
does, so that no output outweighs another.

Reference: Shen, Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (2021,
arXiv 2007.06600).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.types import Direction, Generator, parse_layers
from steerbench.unsupervised.shared import check_count, layer_suffix, make_direction


class SeFa:
    """Closed-form factorisation.

    Args:
        n_directions: How many directions to keep, the strongest first.
        layers: ``"all"``, or the rows of the layer-wise latent whose weights are read and which
            the directions then change: ``"0-3"``, ``[0, 1]``.

    Attributes:
        directions_: The directions found, as Directions of w (or of z, where z meets the weights).
        eigenvalues_: ``[n_directions]`` float64, falling.
    """

    reference = (
        'Shen, Zhou, "Closed-Form Factorization of Latent Semantics in GANs", arXiv 2007.06600'
    )

    directions_: list[Direction]
    eigenvalues_: Tensor

    def __init__(self, n_directions: int = 8, layers: str | int | Iterable[int] = "all") -> None:
        self.n_directions = n_directions
        self.layers = layers

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return why it cannot work on a generator, or None: no weights are known."""
        try:
            generator.affine(generator.natural_space)
        except CapabilityError as error:
            return str(error)
        return None

    def fit(self, generator: Generator) -> SeFa:
        """Find the directions of a generator.

        Raises:
            CapabilityError: The generator has no first affine layer that is known.
            LayerError: A layer does not exist.
            ArgumentError: More directions were asked for than the space has dimensions.
        """
        space = generator.natural_space
        rows = self._rows(generator, space)
        weights = generator.affine(space, "all" if rows is None else rows)
        values, vectors = factorise(weights)
        check_count(self.n_directions, len(values), space, generator)
        self.directions_ = [
            make_direction(
                self,
                "SeFa",
                generator,
                space,
                vectors[:, i],
                name=f"SeFa {i + 1}{layer_suffix(rows)}",
                layers=rows,
                scores={"eigenvalue": float(values[i]), "rank": i},
            )
            for i in range(self.n_directions)
        ]
        self.eigenvalues_ = values[: self.n_directions]
        return self

    def _rows(self, generator: Generator, space: str) -> tuple[int, ...] | None:
        layered = generator.spaces.get(space + "+")
        return None if layered is None else parse_layers(self.layers, layered.shape[0])


def factorise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (falling) and eigenvectors (columns) of ``A^T A``, rows of A at unit norm.

    The sign of an eigenvector is arbitrary; here its largest number is positive.

    Args:
        weights: A, ``[outputs, dim]``.

    Returns:
        ``[dim]`` and ``[dim, dim]``, float64.

    >>> values, vectors = factorise(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]))
    >>> values
    tensor([2., 1.], dtype=torch.float64)
    >>> vectors[:, 0]
    tensor([1., 0.], dtype=torch.float64)
    """
    rows = weights.detach().double().cpu()
    norms = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(norms > 0, norms, 1.0)
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    values, vectors = values.flip(0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return values, vectors * largest.sign()
