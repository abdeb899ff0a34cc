"""EigenBasis: the directions that a generator was built with, one by one, layer by layer.

An EigenGAN needs no search. Each block adds a point of a subspace with an orthonormal basis U,

    phi = U L z + mu

and its coordinates z_i are part of the code: an axis of z is a direction, and the block says what
it may change, from layout (early) to colour (late). The first part of the code, the noise that the
first features are made of, is no such basis and is left out.

This works for every generator whose z has parts that later layers read (``spaces["z"].slices``):
an EigenGAN, and a BigGAN whose code is dealt out to its blocks. Within a layer, directions are
sorted by how much they change the picture.

Reference: He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs" (2021, arXiv 2104.12476).
"""

from __future__ import annotations

import torch
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, CapabilityError
from steerbench.types import Direction, Generator, Latent
from steerbench.unsupervised.shared import make_direction


class EigenBasis:
    """The coordinates of a generator's later layers, as directions of z.

    Args:
        per_layer: How many of each layer, those that change the picture most; None for all.
        n_samples: On how many pictures that is measured, with a step up and a step down.
        seed: Of the first of them.

    Attributes:
        directions_: Directions of z, from the first layer to the last, the strongest of each first.
            Their provenance holds ``layer``, ``coordinate`` (in the layer, from 0) and ``change``
            (the root mean square of the pixels' change for a step of one, in [-1, 1]).
        layers_: The layers, in that order, each with its directions.
    """

    reference = (
        'He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs" (2021), arXiv 2104.12476'
    )
    most = 1024
    """Coordinates beyond which parts of a code are features of a layer rather than a basis."""
    directions_: list[Direction]
    layers_: dict[str, list[Direction]]

    def __init__(self, per_layer: int | None = None, n_samples: int = 16, seed: int = 0) -> None:
        self.per_layer = per_layer
        self.n_samples = n_samples
        self.seed = seed

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return why it cannot work on a generator, or None: layers read no numbers of z."""
        parts = later_parts(generator)
        if not parts:
            return (
                f"{generator.name!r} has no layer with coordinates of its own in z: "
                "EigenBasis needs a generator such as EigenGAN, whose z has parts for its layers "
                "(spaces['z'].slices). A finder such as SeFa looks for directions instead."
            )
        count = sum(part.stop - part.start for part in parts.values())
        if count > cls.most:
            return (
                f"The later layers of {generator.name!r} read {count:,} numbers of z, more than "
                f"{cls.most:,}: these are whole features, no basis. A finder such as SeFa looks "
                "for directions among them instead."
            )
        return None

    def fit(self, generator: Generator) -> EigenBasis:
        """Take the directions of a generator, and measure how much each changes.

        Raises:
            CapabilityError: Its z has no parts for layers.
            ArgumentError: Fewer than one picture or direction a layer was asked for.
        """
        reason = self.refuses(generator)
        if reason is not None:
            raise CapabilityError(reason)
        for name in ("per_layer", "n_samples"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ArgumentError(f"{name}={given}; give 1 or more.")
        codes, parts = generator.sample(self.n_samples, seed=self.seed), later_parts(generator)
        with torch.no_grad():
            before = generator.render(codes)
        layers: dict[str, list[Direction]] = {}
        for layer, part in tqdm(parts.items(), "EigenBasis", delay=1, leave=False):
            found = [
                self._direction(generator, codes, before, layer, place, part.start + place)
                for place in range(part.stop - part.start)
            ]
            found.sort(key=lambda each: -each.provenance.scores["change"])
            layers[layer] = found[: self.per_layer]
        self.layers_ = layers
        self.directions_ = [direction for found in layers.values() for direction in found]
        return self

    def _direction(
        self,
        generator: Generator,
        codes: Latent,
        before: torch.Tensor,
        layer: str,
        coordinate: int,
        axis: int,
    ) -> Direction:
        vector = torch.zeros(generator.spaces["z"].shape, dtype=torch.float64)
        vector[axis] = 1.0
        bare = make_direction(self, "EigenBasis", generator, "z", vector, name=f"{layer} axis")
        with torch.no_grad():
            changes = [generator.render(codes + sign * bare) - before for sign in (1.0, -1.0)]
        change = torch.stack(changes).double().square().mean((2, 3, 4)).sqrt().mean()
        return make_direction(
            self,
            "EigenBasis",
            generator,
            "z",
            vector,
            name=f"{layer} axis {coordinate + 1}",
            scores={"layer": layer, "coordinate": coordinate, "change": float(change)},
        )


def later_parts(generator: Generator) -> dict[str, slice]:
    """Return the parts of z that layers after the first read; empty where z is read as a whole."""
    space = generator.spaces.get("z")
    if space is None or len(space.shape) != 1 or not space.slices:
        return {}
    names = [layer.name for layer in generator.layers]
    parts = {
        layer: part
        for layer, part in space.slices.items()
        if any(name == layer or name.startswith(layer + ".") for name in names)
    }
    return dict(list(parts.items())[1:])


__all__ = ["EigenBasis", "later_parts"]
