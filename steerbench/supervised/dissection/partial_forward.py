"""Walks through a generator's layers: a picture with its activations, and only the rest of a walk.

A method that asks what some units do renders the same codes again and again, each time with other
units switched. What comes before the units' layer never changes, so it is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from steerbench.errors import CapabilityError, LayerError, SteerbenchError
from steerbench.generators.base import BaseGenerator
from steerbench.types import Latent, Layer, UnitEdit


def refuse_units(generator: BaseGenerator) -> str | None:
    """Return why no unit of a generator can be compared with parts of a picture, or None."""
    if spatial_layers(generator):
        return None
    return (
        f"{generator.name!r} has no layer that is known and whose units have places, so that none "
        "can be compared with parts of a picture. Methods that move codes work on it."
    )


def spatial_layers(generator: BaseGenerator) -> list[Layer]:
    """Return the layers whose activations have height or width."""
    return [layer for layer in generator.layers if layer.height * layer.width > 1]


def layer_of(generator: BaseGenerator, name: str | None = None) -> Layer:
    """Return a layer whose units have places.

    Args:
        generator: Whose.
        name: Of the layer; None for a middle one, where units stand for things: the last layer
            that is about as many times larger than the first one as the picture is larger than
            it, layers that only paint (of no more channels than the picture) left out.

    Raises:
        CapabilityError: No layer has units with places.
        LayerError: There is no such layer, or its activations have no height and width.
    """
    if reason := refuse_units(generator):
        raise CapabilityError(reason)
    usable = spatial_layers(generator)
    if name is None:
        return _middle(usable, generator.picture_shape)
    layer = generator.find_layer(name)
    if layer in usable:
        return layer
    raise LayerError(
        f"Layer {name!r} of {generator.name!r} has one place only, so its units cannot be compared "
        f"with parts of a picture. Layers that can: {', '.join(one.name for one in usable[:12])}."
    )


def _middle(layers: Sequence[Layer], picture: tuple[int, int, int]) -> Layer:
    channels, height, _ = picture
    drawing = [layer for layer in layers if layer.channels > channels] or list(layers)
    middle = math.log(min(layer.height for layer in drawing) * height) / 2
    return min(reversed(drawing), key=lambda layer: round(abs(math.log(layer.height) - middle), 6))


class PartialForward:
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

    def render(self, edits: Sequence[UnitEdit]) -> Tensor:
        """Render ``[N, C, H, W]`` with units of this layer edited; gradients may flow."""
        run = self.generator.run(self._state, edits={self.layer.index: list(edits)})
        return _picture(run.image, self.generator)


def _picture(image: Tensor | None, generator: BaseGenerator) -> Tensor:
    if image is None:
        raise SteerbenchError(f"Generator {generator.name!r} gave no picture.")
    return image
