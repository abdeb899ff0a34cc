"""Directions in a latent space, and where they came from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import CheckpointError, LatentError, ShapeError, SpaceError

if TYPE_CHECKING:
    from steerbench.types.latents import Move

KIND = "steerbench direction"


@dataclass(frozen=True)
class Provenance:
    """How something was found: enough to find it again.

    Attributes:
        method: The finder's name.
        hyperparameters: What it was given.
        generator: The generator's name.
        fingerprint: The generator's fingerprint.
        seed: Of the finder's random numbers.
        n_samples: How many samples it looked at.
        scores: What was measured of the result.
        reference: The paper.
        version: Of steerbench.
    """

    method: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    generator: str = ""
    fingerprint: str = ""
    seed: int | None = None
    n_samples: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Provenance:
        """The inverse of :meth:`to_json`; unknown keys of newer versions are left out."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        return cls(**known)


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector in a latent space, and how far one step along it goes.

    Attributes:
        name: What a person calls it.
        space: The name of the space.
        vector: float64, one code's shape, of unit norm (it is normalised when given).
        scale: The length of a step: ``alpha = 1`` moves one standard deviation of the prior along
            the vector. 1 where the direction is not bound to a generator.
        layers: The rows of the layer-wise latent that it may change; none for all.
        generator: The fingerprint of the generator it was found in; empty where it is not known.
        provenance: How it was found.

    Raises:
        LatentError: The vector is zero or holds NaN or infinity.

    >>> smile = Direction("smile", "w", [3.0, 4.0])
    >>> smile.vector
    tensor([0.6000, 0.8000], dtype=torch.float64)
    >>> (2 * smile).alpha
    2.0
    """

    name: str
    space: str
    vector: Tensor
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    generator: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        vector = torch.as_tensor(np.asarray(_plain(self.vector)), dtype=torch.float64)
        norm = vector.norm()
        if not torch.isfinite(norm) or norm == 0:
            raise LatentError(
                f"The vector of direction {self.name!r} is zero or holds NaN or infinity. "
                "Give finite numbers that are not all zero."
            )
        # A vector that is of unit norm already keeps its exact bits through save and load.
        unit = vector.clone() if abs(float(norm) - 1) < 1e-12 else vector / norm
        object.__setattr__(self, "vector", unit)
        object.__setattr__(self, "scale", float(self.scale))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(int(row) for row in self.layers))

    def __mul__(self, alpha: float) -> Move:
        from steerbench.types.latents import Move

        return Move(self, float(alpha))

    __rmul__ = __mul__

    def __neg__(self) -> Direction:
        return replace(self, vector=-self.vector)

    def named(self, name: str) -> Direction:
        """The same direction under another name."""
        return replace(self, name=name)

    def limited(self, layers: Sequence[int] | None) -> Direction:
        """The same direction, changing only some rows of the layer-wise latent."""
        return replace(self, layers=None if layers is None else tuple(layers))

    def cosine(self, other: Direction) -> float:
        """The cosine between two directions of one space, in float64."""
        _same_space(self, other)
        return float(self.vector.flatten() @ other.vector.flatten())

    def condition(self, on: Sequence[Direction]) -> Direction:
        """This direction without what it shares with others: the projection that leaves them.

        Moving along the result does not change the projection on any direction of ``on``.

        Raises:
            LatentError: Nothing is left, because it lies in the span of the others.

        Reference: Shen et al., "InterFaceGAN" (2020, arXiv 2005.09635), section 3.3.
        """
        if not on:
            return self
        for other in on:
            _same_space(self, other)
        basis = torch.stack([other.vector.flatten() for other in on], dim=1)
        left, singular, _ = torch.linalg.svd(basis, full_matrices=False)
        left = left[:, singular > 1e-10 * singular[0]]
        flat = self.vector.flatten()
        rest = flat - left @ (left.T @ flat)
        if rest.norm() < 1e-10:
            raise LatentError(
                f"Direction {self.name!r} lies in the span of the directions it is to be "
                "conditioned on; nothing is left of it. Condition on fewer of them."
            )
        given = " and ".join(other.name for other in on)
        return replace(self, vector=rest.view_as(self.vector), name=f"{self.name} given {given}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the direction as a safetensors file."""
        header = {
            "kind": KIND,
            "name": self.name,
            "space": self.space,
            "scale": self.scale,
            "layers": None if self.layers is None else list(self.layers),
            "generator": self.generator,
            "provenance": self.provenance.to_json(),
        }
        store.save(path, {"vector": self.vector}, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Direction:
        """Read a file written by :meth:`save`.

        Raises:
            CheckpointError: It is broken, or not a direction.
        """
        tensors, header = store.load(path)
        if header.get("kind") != KIND or "vector" not in tensors:
            raise CheckpointError(
                f"{os.fspath(path)} is not a direction: it holds {header.get('kind', 'no kind')!r}."
                " Give a file written by Direction.save; published .npy, .npz and .pt directions "
                "are read by sb.read_published_direction."
            )
        layers = header["layers"]
        return cls(
            name=header["name"],
            space=header["space"],
            vector=tensors["vector"],
            scale=header["scale"],
            layers=None if layers is None else tuple(layers),
            generator=header["generator"],
            provenance=Provenance.from_json(header["provenance"]),
        )


def _plain(vector: Any) -> Any:
    return vector.detach().cpu().numpy() if isinstance(vector, Tensor) else vector


def _same_space(one: Direction, other: Direction) -> None:
    if one.space != other.space:
        raise SpaceError(
            f"Directions {one.name!r} and {other.name!r} live in different spaces, {one.space!r} "
            f"and {other.space!r}. Compare directions of one space."
        )
    if one.vector.shape != other.vector.shape:
        raise ShapeError(
            f"Directions {one.name!r} and {other.name!r} have the shapes {tuple(one.vector.shape)} "
            f"and {tuple(other.vector.shape)}; they come from different generators."
        )
