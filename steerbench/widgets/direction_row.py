"""One direction: its name, how far to go along it, and the layers that may change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets

from steerbench.errors import LayerError
from steerbench.types import Generator, Traversal, format_layers, parse_layers

Rows = tuple[int, ...] | None


@dataclass(frozen=True)
class Step:
    """What a row says: the direction's name, alpha in standard deviations, and its layers."""

    name: str
    alpha: float
    layers: Rows


class DirectionRow(ipywidgets.HBox):
    """The controls of one direction.

    Args:
        direction: The direction.
        count: How many layers there are to choose from; 0 where its space is not layer-wise.
        alpha_range: How far the slider goes, in standard deviations.

    Attributes:
        problem: What is wrong with the text in the layer box, or the empty text. The last good
            layers hold meanwhile.
    """

    def __init__(self, direction: Traversal, count: int, alpha_range: float) -> None:
        self._count = count
        self._step = Step(direction.name, 0.0, direction.layers)
        self.problem = ""
        self.name = ipywidgets.Text(
            value=direction.name,
            continuous_update=False,
            tooltip="The direction's name; click to change it",
            layout={"width": "132px", "flex": "0 0 auto"},
        )
        self.name.add_class("sb-name")
        self.slider = ipywidgets.FloatSlider(
            min=-alpha_range,
            max=alpha_range,
            step=alpha_range / 30,
            readout_format="+.1f",
            tooltip="How far along the direction, in standard deviations; arrow keys work",
            layout={"flex": "1 1 140px", "width": "auto", "min_width": "0"},
        )
        self.slider.add_class("sb-middle")
        self.layers = ipywidgets.Text(
            value=format_layers(direction.layers),
            continuous_update=False,
            disabled=not count,
            tooltip=f"Layers that may change: all, or some of 0 to {count - 1}, like 0-3,7"
            if count
            else "This space is not layer-wise",
            layout={"width": "60px", "flex": "0 0 auto"},
        )
        super().__init__([self.name, self.slider, self.layers])
        self.add_class("sb-row")

    def on_change(self, call: Callable[[str], None]) -> None:
        """Call with ``"name"``, ``"alpha"`` or ``"layers"`` when one of them changes."""
        self.name.observe(lambda _: call("name"), "value")
        self.slider.observe(lambda _: call("alpha"), "value")
        self.layers.observe(lambda _: call("layers"), "value")

    def read(self) -> Step:
        """What the row says; of the name and the layers the last good ones."""
        try:
            layers, self.problem = parse_layers(self.layers.value, self._count), ""
            self.layers.remove_class("sb-invalid")
        except LayerError as error:
            layers, self.problem = self._step.layers, str(error)
            self.layers.add_class("sb-invalid")
        name = self.name.value.strip() or self._step.name
        self._step = Step(name, self.slider.value, layers)
        return self._step

    def write(self, step: Step) -> None:
        """Make the row say this."""
        self._step = step
        self.name.value = step.name
        self.slider.value = step.alpha
        self.layers.value = format_layers(step.layers)
        self.read()


def layer_count(generator: Generator, space: str) -> int:
    """How many layers a direction of a space can be limited to; 0 where it cannot."""
    layered = generator.spaces.get(space if space.endswith("+") else space + "+")
    return 0 if layered is None else layered.shape[0]
