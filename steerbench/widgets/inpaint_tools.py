"""The tools of `InpaintCanvas`: where pictures come from, brushes, what to fill in, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import ipywidgets

from steerbench.errors import ArgumentError
from steerbench.inversion import Restoration
from steerbench.widgets.controls import random_seed
from steerbench.widgets.picture import encode
from steerbench.widgets.style import button, column, row

TOOLS = ("brush", "rectangle", "erase")
MOST = 4
"""Proposals at a time."""
WIDE = {"flex": "1 1 0", "width": "auto", "min_width": "0"}
CROPS = {"Middle": "center", "All of it": "none"}


class InpaintTools:
    """Every control, laid out elsewhere.

    Args:
        largest: The largest brush, in pixels of the mask.
        size: The brush at first.
        proposals, steps, feather, prompt, seed: What the others say at first.
        reach: The widest feather.
    """

    def __init__(
        self,
        *,
        largest: int,
        size: int,
        proposals: int,
        steps: int,
        feather: float,
        reach: int,
        prompt: str,
        seed: int,
    ) -> None:
        self.action = ipywidgets.ToggleButtons(
            options=[("Brush", "brush"), ("Rectangle", "rectangle"), ("Erase", "erase")],
            tooltips=["Paint what is to be filled", "Drag over it", "Take paint away"],
            style={"button_width": "86px"},
        )
        self.size = _slider("Brush", size, 1, largest, "The diameter, in pixels of the mask")
        self.feather = _slider(
            "Feather", round(feather), 0, reach, "Over how many pixels the seam fades"
        )
        self.proposals = _slider("Proposals", proposals, 1, MOST, "How many to choose from")
        self.steps = _slider("Steps", steps, 10, 600, "How long to search; Stop ends it earlier")
        self.prompt = ipywidgets.Text(
            prompt,
            placeholder="what should be there? (may stay empty)",
            description="Prompt",
            layout={"width": "auto"},
            style=_NARROW,
        )
        self.upload = ipywidgets.FileUpload(
            accept="image/*", description="Photograph", layout={"width": "auto"}
        )
        self.crop = ipywidgets.Dropdown(
            options=CROPS,
            tooltip="Which part of the photograph",
            layout={"width": "100px"},
        )
        self.seed = ipywidgets.BoundedIntText(
            seed, min=0, max=2**32 - 1, description="Seed", layout=WIDE, style=_NARROW
        )
        self.random = button("Random", "random", "Another picture; the paint stays")
        self.compare = button("Compare", "eye", "Press and hold to see the original")
        self.compare.add_class("sb-compare")
        self.invert = button("Invert", "adjust", "Fill the rest instead")
        self.clear = button("Clear", "trash", "Take all paint away")
        self.undo = button("Undo", "undo", "Take the last change back")
        self.redo = button("Redo", "repeat", "Do it again")
        self.fill = button("Fill", "magic", "Search what could be there")
        self.fill.button_style = "primary"
        self.stop = button("Stop", "stop", "Keep the best so far")
        self.keep = button("Go on with this", "check", "Take the picture as it is, and paint anew")
        self.shown = ipywidgets.ToggleButton(
            True,
            description="Paint",
            icon="paint-brush",
            layout={"width": "auto"},
            tooltip="Show where paint lies; never part of the picture",
        )
        self.bar = ipywidgets.FloatProgress(max=1.0, layout={"width": "auto", "height": "8px"})
        self.status = ipywidgets.Label()
        self.status.add_class("sb-status")
        self.row = ProposalRow()
        self.random.on_click(lambda _: setattr(self.seed, "value", random_seed()))
        self.busy(False)

    def choose(self, action: str) -> None:
        """Take another tool.

        Raises:
            ArgumentError: There is no such tool.
        """
        if action not in TOOLS:
            raise ArgumentError(f"tool={action!r}; expected one of {', '.join(TOOLS)}.")
        self.action.value = action

    def busy(self, working: bool) -> None:
        """Whether something is under way."""
        self.stop.disabled = not working
        self.bar.bar_style = "info" if working else "success"

    def columns(self, stage: ipywidgets.Box, below: Sequence[ipywidgets.Widget]) -> ipywidgets.HBox:
        """Everything: on the left the picture, on the right what it is worked on with."""
        tools = column([self.action, self.size, self.feather])
        search = column([self.prompt, self.proposals, self.steps])
        for part in (tools, search):
            part.add_class("sb-tools")
        left = [
            stage,
            row(self.seed, self.random, self.compare),
            row(self.upload, self.crop),
        ]
        right = [
            tools,
            row(self.invert, self.clear, self.undo, self.redo, self.shown),
            search,
            row(self.fill, self.stop, self.keep),
            self.bar,
            self.status,
            self.row,
            *below,
        ]
        columns = ipywidgets.HBox(
            [
                column(left, width=stage.layout.width, max_width="100%"),
                column(right, flex="1 1 380px", max_width="560px", min_width="0"),
            ]
        )
        columns.add_class("sb-columns")
        return columns


class ProposalRow(ipywidgets.HBox):
    """What was found, side by side, with a button under each."""

    def __init__(self) -> None:
        self._images = [ipywidgets.Image(layout={"width": "88px"}) for _ in range(MOST)]
        self._takes = [ipywidgets.Button(layout={"width": "88px"}) for _ in range(MOST)]
        for number, take in enumerate(self._takes):
            take.description = f"{number + 1}"
            take.tooltip = "Show this one"
        self._cells = [
            ipywidgets.VBox([image, take], layout={"margin": "0 6px 0 0"})
            for image, take in zip(self._images, self._takes)
        ]
        super().__init__(self._cells)
        self.add_class("sb-proposals")
        self.show(None, 0)

    def on_choice(self, call: Callable[[int], None]) -> None:
        """Call with the number of the one that a person took."""
        for number, take in enumerate(self._takes):
            take.on_click(lambda _, number=number: call(number))

    def show(self, found: Restoration | None, chosen: int) -> None:
        """Show what was found, and which of them is on the canvas."""
        images = [] if found is None or len(found.proposals) == 1 else list(found.proposals)
        for number, cell in enumerate(self._cells):
            cell.layout.display = None if number < len(images) else "none"
            if number < len(images):
                self._images[number].format, self._images[number].value = encode(images[number])
                self._takes[number].button_style = "info" if number == chosen else ""


_NARROW = {"description_width": "70px"}


def _slider(name: str, value: int, low: int, high: int, tooltip: str) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(
        min(max(value, low), high),
        min=low,
        max=high,
        description=name,
        tooltip=tooltip,
        style=_NARROW,
        layout={"width": "auto"},
    )


def check_settings(
    n_proposals: int, n_steps: int, brush: float | None, feather: float | None
) -> None:
    """Raise SteerbenchError for what no canvas can be asked for."""
    if not isinstance(n_proposals, int) or not 1 <= n_proposals <= MOST:
        raise ArgumentError(
            f"n_proposals={n_proposals!r}, expected a whole number from 1 to {MOST}."
        )
    if not isinstance(n_steps, int) or not 10 <= n_steps <= 600:
        raise ArgumentError(f"n_steps={n_steps!r}, expected a whole number from 10 to 600.")
    if brush is not None and not 0 < brush < math.inf:
        raise ArgumentError(f"brush={brush}, expected a width in pixels above 0.")
    if feather is not None and not 0 <= feather < math.inf:
        raise ArgumentError(f"feather={feather}, expected a width in pixels from 0 up.")
