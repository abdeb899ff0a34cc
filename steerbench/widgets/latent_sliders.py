"""Sliders that move a latent along directions, and the picture that follows.

>>> import torch
>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 4)), latent_shape=(8, 1, 1))
>>> sliders = LatentSliders(G, sb.SeFa(2).fit(G).directions_)
>>> sliders.values = [1.5, 0]
>>> [(move.direction.name, move.alpha) for move in sliders.recipe.edits]
[('SeFa 1', 1.5)]

In a notebook the last line of a cell shows it. A slider is one direction, in standard deviations;
its name can be changed, and so can the layers that it may change (``all``, ``0-3,7``). Holding
"Compare", or the picture itself, shows the original: the same seed with all sliders at rest. What
is on the screen is at any moment ``sliders.recipe``, which replays anywhere.

Changes are drawn as they come. There is no timer: while a picture is being made the browser joins
later changes into one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets

from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.renderer import Renderer
from steerbench.types import ActivationState, Edit, Latent, Move, Predictor, Recipe, Traversal
from steerbench.widgets.controls import (
    Controls,
    Setting,
    can_truncate,
    check_numbers,
    check_traversals,
    opening_seed,
)
from steerbench.widgets.direction_row import Step
from steerbench.widgets.history import History
from steerbench.widgets.notice import Notice
from steerbench.widgets.picture import Picture
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.scores import Scores
from steerbench.widgets.style import column, refuse_unknown, row, style_sheet

KEYWORDS = ("seed", "truncation", "alpha_range", "size", "predictor", "latent")
MOVE_ORDER = ("z", "w", "w+", "p", "p+", "s")
"""Moves are applied down the chain of spaces, for there is no way back up."""


class LatentSliders(ipywidgets.VBox):
    """A picture and a slider for each direction.

    Args:
        generator: The generator.
        directions: The directions or walks, of this generator.
        seed: Of the first picture; None takes a good one of the generator's bundle, or 0.
        truncation: How far codes are drawn towards the mean, from 0 (the mean) to 1 (not at all).
        alpha_range: How far a slider goes to either side, in standard deviations.
        size: The width of the picture on the screen, in pixels.
        predictor: Reads scores from the picture, shown under it.
        latent: One code, or activations with one, to begin from instead of a sample; another seed
            draws a sample, the first seed comes back to it.

    Attributes:
        history: Every `Setting` so far, for undo and redo.
        renderer: Makes the pictures.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword is not known, there is no direction, or a number is out of
            range; SpaceError where a direction does not fit the generator.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        directions: Sequence[Traversal],
        *,
        seed: int | None = None,
        truncation: float = 1.0,
        alpha_range: float = 3.0,
        size: int = 384,
        predictor: Predictor | None = None,
        latent: Latent | ActivationState | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("LatentSliders", unknown, KEYWORDS)
        self.generator = generator
        seed = opening_seed(generator, seed)
        self._own, self._own_seed = latent, seed
        self._found = check_traversals(generator, directions, self._code(seed))
        check_numbers(truncation, alpha_range, size, can_truncate(generator, self._found))
        self.renderer = Renderer(generator)
        self.notice = Notice()
        self._base: tuple[tuple[int, float], Latent | ActivationState] | None = None
        self._calls: list[Callable[[], None]] = []
        self._controls = Controls(generator, self._found, alpha_range)
        self._picture = Picture(size)
        self._scores = None if predictor is None else Scores(predictor)
        self._save = SaveRow(generator, lambda: self.recipe, self.notice)
        steps = tuple(Step(each.name, 0.0, each.layers) for each in self._found)
        self.history = History(Setting(seed, float(truncation), steps))
        super().__init__([style_sheet(), self._columns(size)])
        self.add_class("sb-panel")
        self._show(self.history.present)
        self._listen()

    # What programs ask for.

    @property
    def recipe(self) -> Recipe:
        """What is on the screen: the starting latent, and a Move for every slider off zero."""
        start = self._code(self._now.seed)
        return Recipe.of(self.generator, start, self._moves(), truncation=self._now.truncation)

    @property
    def latent(self) -> Latent | ActivationState:
        """The latent on the screen, moved, in the space that the picture is made from."""
        moved: Latent | ActivationState = self.generator.prepare(self._start(), self._moves())[0]
        return moved

    @property
    def directions(self) -> list[Traversal]:
        """The directions, with the names and layers that their rows give them."""
        return [as_said(each, step) for each, step in self._pairs()]

    @property
    def values(self) -> list[float]:
        """How far each slider stands; can be set, as one step of the history."""
        return [step.alpha for step in self._now.steps]

    @values.setter
    def values(self, alphas: Sequence[float]) -> None:
        sliders = [row.slider for row in self._controls.rows]
        if len(alphas) != len(sliders):
            raise ArgumentError(
                f"{len(alphas)} values were given for {len(sliders)} sliders. Give one each."
            )
        if any(not slider.min <= alpha <= slider.max for slider, alpha in zip(sliders, alphas)):
            raise ArgumentError(
                f"The values {list(alphas)} were given; these sliders go from {sliders[0].min} to "
                f"{sliders[0].max}. Pass a larger alpha_range."
            )
        pairs = zip(self._now.steps, alphas, strict=True)
        self._go(replace(self._now, steps=tuple(replace(s, alpha=float(a)) for s, a in pairs)))

    @property
    def error(self) -> str:
        """The mistake shown, or the empty text."""
        return self.notice.error

    @property
    def picture(self) -> bytes:
        """The file of the picture on the screen, PNG or JPEG."""
        return self._picture.data

    def reset(self) -> None:
        """Back to the first picture; the names given since stay. One step of the history."""
        first, steps = self.history.first, self._now.steps
        named = [replace(a, name=b.name) for a, b in zip(first.steps, steps, strict=True)]
        self._go(replace(first, steps=tuple(named)))

    def undo(self) -> None:
        """One step back."""
        self._show(self.history.undo())

    def redo(self) -> None:
        """One step forward again."""
        self._show(self.history.redo())

    def on_change(self, call: Callable[[], None]) -> None:
        """Call whenever anything was moved, renamed, undone or set, after the picture is drawn."""
        self._calls.append(call)

    # The tree, built once.

    def _columns(self, size: int) -> ipywidgets.HBox:
        has = self._controls
        left = [self._picture, row(has.seed, has.random, has.compare), has.truncation]
        if self._scores is not None:
            left.append(self._scores)
        head = ipywidgets.HTML(
            "<span>Direction</span><span>Standard deviations</span><span>Layers</span>"
        )
        head.add_class("sb-head")
        directions = column(has.rows)
        directions.add_class("sb-directions")
        right = [head, directions, row(has.reset, has.undo, has.redo), self._save, self.notice]
        columns = ipywidgets.HBox(
            [
                column(left, width=f"{size}px", max_width="100%"),
                column(right, flex="1 1 380px", max_width="640px", min_width="0"),
            ]
        )
        columns.add_class("sb-columns")
        return columns

    def _listen(self) -> None:
        self._controls.on_change(self._on_move)
        self._controls.reset.on_click(lambda _: self.reset())
        self._controls.undo.on_click(lambda _: self.undo())
        self._controls.redo.on_click(lambda _: self.redo())

    # From controls to pixels.

    @property
    def _now(self) -> Setting:
        return self.history.present

    def _on_move(self, what: Hashable) -> None:
        """A person moved a control."""
        self.history.push(self._controls.read(), what)
        self._refresh()

    def _go(self, setting: Setting) -> None:
        self.history.push(setting)
        self._show(setting)

    def _show(self, setting: Setting) -> None:
        self._controls.write(setting)
        self._refresh()

    def _refresh(self) -> None:
        self._controls.undo.disabled = not self.history.can_undo
        self._controls.redo.disabled = not self.history.can_redo
        self.notice.fail(self._controls.problem)
        with self.notice.guard(), self.renderer.lock:
            self._draw()
        self.history.rest()
        for call in self._calls:
            call()

    def _draw(self) -> None:
        """Draw the present setting, and the original where it is another one.

        A callback can run in a thread of its own. With the lock held until the picture is on its
        way, pictures leave in order, and the last to leave is of the newest setting.
        """
        image = self.renderer.render(self._start(), self._moves())
        self._picture.show(image)
        if self._scores is not None:
            self._scores.show(image)

    def _code(self, seed: int) -> Latent | ActivationState:
        """The code that a seed stands for: the given one for the first seed."""
        if self._own is not None and seed == self._own_seed:
            return self._own
        return self.generator.sample(1, seed=seed)

    def _start(self) -> Latent | ActivationState:
        """The latent before the moves, kept while seed and truncation stay."""
        key = (self._now.seed, self._now.truncation)
        if self._base is None or self._base[0] != key:
            start = self._code(key[0])
            recipe = Recipe.of(self.generator, start, truncation=key[1])
            latent = recipe.latent(self.generator)
            if key[1] == 1.0 and isinstance(
                latent, Latent
            ):  # go once, not at every event, to where the first direction lives
                spaces = (each.space for each in self._found)
                first = min(spaces, key=_place)
                if _place(first) > _place(latent.space):
                    latent = self.generator.to(latent, first)
            self._show_original(latent)
            self._base = (key, latent)
        return self._base[1]

    def _show_original(self, latent: Latent | ActivationState) -> None:
        image = self.renderer.render(latent)
        self._picture.show_original(image)
        if self._scores is not None:
            self._scores.show_original(image)

    def _pairs(self) -> Iterator[tuple[Traversal, Step]]:
        return zip(self._found, self._now.steps, strict=True)

    def _moves(self) -> list[Edit]:
        moves = [
            Move(as_said(each, step), step.alpha) for each, step in self._pairs() if step.alpha
        ]
        return [*sorted(moves, key=lambda move: _place(move.direction.space))]


def as_said(direction: Traversal, step: Step) -> Traversal:
    """A direction with the name and the layers that its row gives it."""
    return direction.named(step.name).limited(step.layers)


def _place(space: str) -> int:
    return MOVE_ORDER.index(space) if space in MOVE_ORDER else 0
