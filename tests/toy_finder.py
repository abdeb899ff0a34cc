"""A toy finder, which lives in the tests only: what a new method looks like, and all that it takes.

It moves one number of a code after the other, and gives the singular vectors of what that changed.
"""

from __future__ import annotations

import torch

from steerbench.types import Direction, Generator
from steerbench.unsupervised.shared import check_count, fix_signs, make_direction


class ToyFinder:
    """Singular vectors of finite differences, at one code.

    Args:
        n_directions: How many, the strongest first.
    """

    reference = "None: a toy"
    directions_: list[Direction]

    def __init__(self, n_directions: int = 3) -> None:
        self.n_directions = n_directions

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return None: it works on any generator."""
        return None

    def fit(self, generator: Generator) -> ToyFinder:
        """Find the directions of a generator."""
        space = generator.natural_space
        size, shape = generator.spaces[space].size, generator.spaces[space].shape
        check_count(self.n_directions, size, space, generator)
        code = generator.sample(1, seed=0, space=space)
        before = generator.render(code)
        moved = [
            generator.render(code.with_data(code.data + axis.reshape(1, *shape)))
            for axis in torch.eye(size).to(code.data)
        ]
        changes = (torch.cat(moved) - before).flatten(1).double().cpu()
        vectors = fix_signs(torch.linalg.svd(changes.T, full_matrices=False)[2])
        self.directions_ = [
            make_direction(self, "toy", generator, space, vector, name=f"toy {index + 1}")
            for index, vector in enumerate(vectors[: self.n_directions])
        ]
        return self
