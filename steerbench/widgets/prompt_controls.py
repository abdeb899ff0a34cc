"""The controls of `PromptBox`, made once; laid out and listened to elsewhere."""

from __future__ import annotations

import ipywidgets

from steerbench.widgets.prompt_modes import MODES
from steerbench.widgets.style import button

STRENGTH, BETA = 1.0, 0.2
"""How far to go along a direction at first, and which channels move at first."""


class PromptControls:
    """What a person types, presses and drags.

    Args:
        neutral: What prompts are to differ from.
        mode: A value of `MODES`.
        seed: Of the picture.
    """

    def __init__(self, neutral: str, mode: str, seed: int) -> None:
        wide = {"width": "auto"}
        beside = {"width": "auto", "flex": "1 1 0", "min_width": "0"}
        self.prompt = ipywidgets.Text(
            placeholder="what should the picture show?",
            tooltip="Type, then press Enter",
            layout=beside,
        )
        self.prompt.add_class("sb-prompt")
        self.neutral = ipywidgets.Text(
            value=neutral,
            description="Instead of",
            placeholder="a neutral text; may stay empty",
            tooltip="What it is to differ from",
            layout=wide,
        )
        self.mode = ipywidgets.Dropdown(options=MODES, value=mode, description="How", layout=wide)
        self.seed = ipywidgets.BoundedIntText(
            value=seed,
            min=0,
            max=2**32 - 1,
            description="Seed",
            tooltip="The number that this picture is drawn from",
            style={"description_width": "auto"},
            layout={"flex": "1 1 0", "width": "auto", "min_width": "0"},
        )
        self.strength = _slider("Strength", STRENGTH, -4.0, 4.0, 0.1)
        self.beta = _slider("Threshold", BETA, 0.0, 0.8, 0.02)
        self.go = button("Go", "play", "Change the picture until it shows this")
        self.stop = button("Stop", "stop", "Keep the best so far")
        self.keep = button("Keep", "sliders", "The direction on sliders, beside those kept before")
        self.random = button("Random", "random", "Another picture")
        self.compare = button("Compare", "eye", "Press and hold to see the original")
        self.compare.add_class("sb-compare")
        self.history = ipywidgets.Dropdown(options=[("", -1)], description="Asked", layout=beside)
        self.bar = ipywidgets.FloatProgress(max=1.0, layout={"width": "auto", "height": "10px"})
        self.status = ipywidgets.Label()
        self.status.add_class("sb-status")
        self.stop.disabled = True


def _slider(
    name: str, value: float, low: float, high: float, step: float
) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=name, layout={"width": "auto"}
    )
