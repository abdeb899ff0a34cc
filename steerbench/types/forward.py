"""A forward pass, taken layer by layer: what is known before a layer, and what came of all.

`BaseGenerator.run` goes from a `State` to a `Run`; whoever holds a state can go on from it with
other inputs or edits for the layers to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class State:
    """What is known before layer ``index`` runs.

    Attributes:
        index: The layer that runs next.
        inputs: What each layer reads besides the activations (its style), by layer.
        x: The activations, ``[N, C, H, W]``.
        image: The picture so far, where an architecture sums one up.
        shortcut: The other path of a residual block, until it is added.
        noise: The noise mode.
        maps: Noise of one's own by layer name, instead of what the mode gives.
    """

    index: int
    inputs: tuple[Tensor, ...]
    x: Tensor
    image: Tensor | None = None
    noise: str = "const"
    shortcut: Tensor | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    def noise_of(self, layer: str) -> str | Tensor:
        """Return the noise of a layer: its map where there is one, or the mode."""
        return self.maps.get(layer, self.noise)

    def resume(self, inputs: tuple[Tensor, ...]) -> State:
        """Return the same place with other inputs for the layers to come."""
        return replace(self, inputs=inputs)


@dataclass(frozen=True, eq=False)
class Run:
    """The result of a walk.

    Attributes:
        image: The picture ``[N, C, H, W]``, or none where the walk stopped early.
        activations: What was asked for, by layer index.
        states: The state before each layer, where they were asked for.
        end: The state after the last layer that ran.
    """

    image: Tensor | None
    activations: dict[int, Tensor] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    end: State | None = None
