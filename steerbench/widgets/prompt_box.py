"""A picture that becomes what is typed under it.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> box = PromptBox(G)
>>> box.ask("a room at night", mode="optimise", n_steps=10)
>>> box.wait(120), box.direction.space
(True, 'w+')

In a notebook the last line of a cell shows it. Type, press Enter or "Go", and watch the picture
change step by step; "Stop" keeps the best so far. The three modes are those of
`steerbench.embedding.styleclip`: the optimisation of this one picture; a direction that holds for
any, found at once where the channels are measured (else they are at the first prompt, and kept);
and a mapper that learns the step for all of them.

Words that the model never saw are named, and those that it knows are offered while you type.
"Strength" goes along the direction that was found, "Threshold" lets only those channels move that
matter most. "Keep" puts the direction on sliders under the box; the history brings back what was
asked before. What is on the screen is at any moment ``box.recipe``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets
import torch

from steerbench.bundles import part, require
from steerbench.embedding.styleclip import GlobalDirections
from steerbench.errors import ArgumentError, unknown
from steerbench.generators import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.renderer import Renderer
from steerbench.types import Direction, Edit, Predictor, Recipe
from steerbench.widgets.controls import opening_seed, random_seed
from steerbench.widgets.latent_sliders import LatentSliders
from steerbench.widgets.notice import Notice
from steerbench.widgets.picture import Picture
from steerbench.widgets.prompt_controls import STRENGTH, PromptControls
from steerbench.widgets.prompt_modes import MODES, Frame, PromptModes, PromptRequest
from steerbench.widgets.prompt_words import WordRow
from steerbench.widgets.save_row import SaveRow
from steerbench.widgets.scores import Scores
from steerbench.widgets.style import column, refuse_unknown, row, style_sheet
from steerbench.widgets.worker import Ending, Worker

KEYWORDS = ("clip", "directions", "neutral", "seed", "mode", "n_steps", "predictor", "size")


class PromptBox(ipywidgets.VBox):
    """Type a prompt and watch a generator follow it.

    Args:
        generator: The generator.
        clip: Guides; that of the generator's bundle where none is given. Without any the box shows
            the picture, and says what is missing.
        directions: Channels of s that were measured before.
        neutral: What prompts are to differ from, at first; may be empty.
        seed: Of the first picture; None takes a good one of the generator's bundle, or 0.
        mode: ``"direction"``, ``"optimise"`` or ``"mapper"``, at first.
        n_steps: Steps of an optimisation; a mapper takes twice as many.
        predictor: Another model whose scores stand under the picture: a judge.
        size: The picture's width on the screen, in pixels.

    Attributes:
        direction: The `Direction` of the present picture, or None.
        kept: The directions that "Keep" put on sliders.
        request: What is asked for, or was; the controls mirror it.
        attempts: ``(request, direction, alpha)`` of everything that was asked, the latest last.
        sliders: The `LatentSliders` with what was kept, or None.
        notice: Says what went wrong, or which words do not count.

    Raises:
        ArgumentError: A keyword is not known, or there is no such mode.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        clip: Clip | None = None,
        *,
        directions: GlobalDirections | None = None,
        neutral: str = "",
        seed: int | None = None,
        mode: str = "optimise",
        n_steps: int = 40,
        predictor: Predictor | None = None,
        size: int = 384,
        **others: Any,
    ) -> None:
        refuse_unknown("PromptBox", others, KEYWORDS)
        if mode not in MODES.values():
            raise ArgumentError(unknown("mode", mode, MODES.values()))
        self.generator, self.clip = generator, clip or part(generator, "clip")
        self.renderer, self.notice = Renderer(generator), Notice()
        self._modes = PromptModes(generator, self.clip, directions)
        self.direction: Direction | None = None
        self.alpha = 0.0
        self.kept: list[Direction] = []
        self.attempts: list[tuple[PromptRequest, Direction, float]] = []
        self.sliders: LatentSliders | None = None
        self._worker = Worker("following a prompt")
        self._scores = None if predictor is None else Scores(predictor)
        self._picture = Picture(size)
        self._controls = PromptControls(neutral, mode, opening_seed(generator, seed))
        self.request = replace(self._read(), n_steps=n_steps)
        self._words = WordRow(self._vocabulary, self._examples(), self._take)
        self._save = SaveRow(generator, lambda: self.recipe, self.notice)
        self._quiet = False
        self._stage = ipywidgets.VBox()
        super().__init__([style_sheet(), self._columns(size), self._stage])
        self.add_class("sb-panel")
        self._listen()
        self._restart()
        with self.notice.guard():
            self._reader()

    # What programs ask for.

    def ask(
        self,
        prompt: str,
        *,
        neutral: str | None = None,
        mode: str | None = None,
        n_steps: int | None = None,
    ) -> None:
        """Ask for a prompt, as by typing it and pressing "Go". Returns at once; `wait` waits.

        Args:
            prompt: The text.
            neutral: What it is to differ from; None for what the box says.
            mode: ``"direction"``, ``"optimise"`` or ``"mapper"``; None for what the box says.
            n_steps: Steps of an optimisation; None for as many as before.

        Raises:
            ArgumentError: There is no such mode.
        """
        if mode is not None and mode not in MODES.values():
            raise ArgumentError(unknown("mode", mode, MODES.values()))
        asked = {"neutral": neutral, "mode": mode, "n_steps": n_steps}
        changes: dict[str, Any] = {name: each for name, each in asked.items() if each is not None}
        self._follow(replace(self._read(), prompt=prompt, **changes))

    def go(self) -> None:
        """Follow what is typed; what is under way is stopped first."""
        self._follow(self._read())

    def _follow(self, request: PromptRequest) -> None:
        with self.notice.guard():
            self.stop()
            clip, self.request = self._reader(), request
            self._mirror()
            self.notice.clear()
            remarks = [*clip.remarks(request.prompt), *clip.remarks(request.neutral)]
            clip.encode_text(request.prompt)  # an empty one is refused here, before any work
            if remarks:
                self.notice.fail(" ".join(remarks))
            self._busy(True)
            self._worker.begin(lambda ending: self._work(request, ending))

    def stop(self) -> None:
        """End what is under way after its present step, and keep the best so far."""
        self._worker.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Until nothing is under way; whether that came about in time."""
        return self._worker.wait(seconds)

    def keep(self) -> LatentSliders | None:
        """Put the present direction on sliders, beside those kept before."""
        with self.notice.guard():
            if self.direction is None:
                raise ArgumentError("There is no direction yet. Type a prompt and press Go.")
            self.kept.append(self.direction)
            self.sliders = LatentSliders(
                self.generator, self.kept, seed=self.request.seed, alpha_range=4, size=320
            )
            self._stage.children = (self.sliders,)
        return self.sliders

    @property
    def recipe(self) -> Recipe:
        """What is on the screen: the seed, and the way along the direction."""
        moves: list[Edit] = [self.alpha * self.direction] if self.direction is not None else []
        return Recipe.of(self.generator, self._modes.start(self.request.seed), moves)

    @property
    def error(self) -> str:
        """The mistake or the warning shown, or the empty text."""
        return self.notice.error

    @property
    def picture(self) -> bytes:
        """The file of the picture on the screen, PNG or JPEG."""
        return self._picture.data

    # From words to pixels.

    def _reader(self) -> Clip:
        """Return the CLIP that reads prompts.

        Raises:
            CapabilityError: None was given, and none is known for the generator.
        """
        return self.clip or require(self.generator, "clip", "reads prompts", "clip=")

    @property
    def _vocabulary(self) -> tuple[str, ...]:
        return () if self.clip is None else self.clip.vocabulary

    def _read(self) -> PromptRequest:
        """What the controls ask for."""
        has = self._controls
        return replace(
            getattr(self, "request", PromptRequest()),
            prompt=has.prompt.value,
            neutral=has.neutral.value,
            mode=has.mode.value,
            seed=has.seed.value,
            strength=has.strength.value,
            beta=has.beta.value,
        )

    def _mirror(self) -> None:
        """Let the controls show the request, without taking that for a person's hand."""
        has, now = self._controls, self.request
        self._quiet = True
        try:
            has.prompt.value, has.neutral.value, has.mode.value = now.prompt, now.neutral, now.mode
            has.seed.value, has.strength.value, has.beta.value = now.seed, now.strength, now.beta
        finally:
            self._quiet = False

    def _work(self, request: PromptRequest, ending: Ending) -> None:
        """In a thread of its own: one step after the other, each under the generator's lock."""
        try:
            with self.notice.guard():
                sights = self._modes.begin(request)
                found: Direction | None = None
                while not ending.is_set():
                    with self.renderer.lock:
                        now = next(sights, None)
                    if now is None:
                        break
                    self._see(now)
                    found = found if now.direction is None else now.direction
                if found is not None:
                    self._remember(request, found)
                elif not ending.is_set():
                    raise ArgumentError(
                        f"No step came nearer to {request.prompt!r} than the picture as it was. "
                        "Give more steps, or ask for something else."
                    )
        finally:
            self._busy(False)

    def _see(self, now: Frame) -> None:
        self._controls.bar.value, self._controls.status.value = now.done, now.words
        if now.image is not None:
            self.direction, self.alpha = now.direction, now.alpha
            self._show(now.image)

    def _show(self, image: torch.Tensor) -> None:
        self._picture.show(image)
        if self._scores is not None:
            self._scores.show(image)

    def _remember(self, request: PromptRequest, found: Direction) -> None:
        self.attempts.append((request, found, self.alpha))
        names = [f"{i + 1}. {w.prompt[:40]} ({w.mode})" for i, (w, *_) in enumerate(self.attempts)]
        self._quiet = True
        self._controls.history.options = [("", -1), *zip(names, range(len(names)))]
        self._controls.history.value = len(names) - 1
        self._quiet = False

    def _restart(self) -> None:
        """The picture of the seed, untouched."""
        with self.notice.guard():
            self.stop()
            self.direction, self.alpha = None, 0.0
            image = self.renderer.render(self._modes.start(self.request.seed))
            self._picture.show_original(image)
            if self._scores is not None:
                self._scores.show_original(image)
            self._show(image)
            self._controls.bar.value, self._controls.status.value = 0.0, ""

    def _redraw(self) -> None:
        """After the strength or the threshold was moved; nothing while a walk is under way."""
        if self._quiet or self.direction is None or self._worker.busy:
            return
        has = self._controls
        self.request = replace(self.request, strength=has.strength.value, beta=has.beta.value)
        with self.notice.guard(), self.renderer.lock:
            if self.direction.space == "s":
                self.direction = self._modes.direction(self.request)
                channels = self.direction.provenance.hyperparameters["channels"]
                has.status.value = f"{channels} channels of s move"
                self.alpha = self.request.strength
            else:
                self.alpha = self.request.strength / STRENGTH
            start = self._modes.start(self.request.seed)
            self._show(self.renderer.render(start, [self.alpha * self.direction]))

    def _recall(self) -> None:
        """Show an attempt of the history again."""
        number = self._controls.history.value
        if self._quiet or number is None or not 0 <= number < len(self.attempts):
            return
        with self.notice.guard():
            self.stop()
            self.request, direction, alpha = self.attempts[number]
            self._mirror()
            self._restart()
            self.direction, self.alpha = direction, alpha
            start = self._modes.start(self.request.seed)
            self._show(self.renderer.render(start, [alpha * direction]))

    def _on_seed(self) -> None:
        """Another seed was chosen: its picture, untouched."""
        if not self._quiet:
            self.request = replace(self.request, seed=self._controls.seed.value)
            self._restart()

    # The tree, built once.

    def _examples(self) -> Sequence[str]:
        """Return the prompts of the bundle of which the model knows every word."""
        examples = part(self.generator, "examples") or ()
        if self.clip is None:
            return ()
        return [text for text in examples if not self.clip.unknown_words(text)]

    def _columns(self, size: int) -> ipywidgets.HBox:
        has = self._controls
        left = [self._picture, row(has.seed, has.random, has.compare)]
        if self._scores is not None:
            left.append(self._scores)
        asked = [row(has.prompt, has.go, has.stop), self._words, has.neutral, has.mode]
        watched = [has.strength, has.beta, has.bar, has.status, self.notice]
        right = [*asked, *watched, row(has.history, has.keep), self._save]
        columns = ipywidgets.HBox(
            [
                column(left, width=f"{size}px", max_width="100%"),
                column(right, flex="1 1 380px", max_width="640px", min_width="0"),
            ]
        )
        columns.add_class("sb-columns")
        return columns

    def _listen(self) -> None:
        self._controls.prompt.on_msg(self._on_submit)
        self._controls.prompt.observe(lambda change: self._on_type(change["new"]), "value")
        self._controls.go.on_click(lambda _: self.go())
        self._controls.stop.on_click(lambda _: self.stop())
        self._controls.keep.on_click(lambda _: self.keep())
        self._controls.random.on_click(
            lambda _: setattr(self._controls.seed, "value", random_seed())
        )
        self._controls.seed.observe(lambda _: self._on_seed(), "value")
        self._controls.strength.observe(lambda _: self._redraw(), "value")
        self._controls.beta.observe(lambda _: self._redraw(), "value")
        self._controls.history.observe(lambda _: self._recall(), "value")

    def _on_submit(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            self.go()

    def _on_type(self, text: str) -> None:
        if self.clip is None:
            return
        self._words.follow(text)
        finished = text[: text.rfind(" ") + 1]  # the last word may not be complete yet
        unknown_words = self.clip.unknown_words(finished)
        if unknown_words:
            self.notice.fail(" ".join(self.clip.remarks(finished)))
        else:
            self.notice.clear()

    def _take(self, text: str) -> None:
        self._controls.prompt.value = text

    def _busy(self, working: bool) -> None:
        self._controls.stop.disabled = not working
        self._controls.bar.bar_style = "info" if working else "success"
