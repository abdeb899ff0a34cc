"""Walks through a generator's layers: a picture with its activations, and only the rest of a walk.

A method that asks what some units do renders the same codes again and again, each time with other
units switched. What comes before the units' layer never changes, so it is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steerbench.errors import LayerError, SteerbenchError
from steerbench.generators.base import BaseGenerator
from steerbench.types import Latent, Layer, UnitEdit


def layer_of(generator: BaseGenerator, name: str) -> Layer:
    """A layer whose units have places.

    Raises:
        LayerError: There is no such layer, or its activations have no height and width.
    """
    layer = generator.find_layer(name)
    if layer.height * layer.width > 1:
        return layer
    usable = [found.name for found in generator.layers if found.height * found.width > 1]
    raise LayerError(
        f"Layer {name!r} of {generator.name!r} has one place only, so its units cannot be compared "
        f"with parts of a picture. Layers that can: {', '.join(usable[:12]) or 'none'}."
    )


class Walk:
    """The pictures of some codes, and the walk that led to them as far as one layer.

    Attributes:
        image: ``[N, C, H, W]``, not clamped.
        activation: ``[N, units, h, w]`` float32, of the layer, without edits.
    """

    def __init__(self, generator: BaseGenerator, latent: Latent, layer: str) -> None:
        self.generator, self.layer = generator, generator.find_layer(layer)
        index = self.layer.index
        prepared, _ = generator.prepare(latent)
        with torch.no_grad():
            start = generator.start(prepared, "const")
            run = generator.run(start, keep=[index], keep_states=True)
        self.image = _picture(run.image, generator)
        self.activation = run.activations[index].float()
        # A module of one's own cannot be entered in the middle: its walk starts anew.
        self._state = run.states.get(index, start)

    def edited(self, edits: Sequence[UnitEdit]) -> Tensor:
        """The pictures ``[N, C, H, W]`` with units of this layer edited; gradients may flow."""
        run = self.generator.run(self._state, edits={self.layer.index: list(edits)})
        return _picture(run.image, self.generator)


def _picture(image: Tensor | None, generator: BaseGenerator) -> Tensor:
    if image is None:
        raise SteerbenchError(f"Generator {generator.name!r} gave no picture.")
    return image
