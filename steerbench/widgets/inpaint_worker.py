"""A search that goes on beside the page: begun, watched, and ended at any moment.

It runs in a thread of its own and holds the generator's lock only while it computes, so that other
components on the page get their pictures in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from steerbench.bundles import require
from steerbench.inversion import (
    DegradationLossConfig,
    Hole,
    Restoration,
    RestorationConfig,
    restore,
)
from steerbench.inversion.losses import TextImageEncoder
from steerbench.renderer import Renderer
from steerbench.widgets.masking import Work
from steerbench.widgets.notice import Notice
from steerbench.widgets.worker import Ending, Worker

APART = 1_000_000
"""Added to the seed for the search: a sample must not be found among the samples it begins at."""


@dataclass(frozen=True, eq=False)
class InpaintRequest:
    """What to fill, and how.

    Attributes:
        work: The picture, and the mask as it was painted.
        hole: The mask in the size of the picture.
        n_proposals, n_steps, prompt, seed: As for `steerbench.inversion.restore`.
    """

    work: Work
    hole: Hole
    n_proposals: int
    n_steps: int
    prompt: str
    seed: int


Watch = Callable[[InpaintRequest, int, Tensor], None]
"""Called with the order, the step and the best picture ``[1, C, H, W]`` of that step."""
Done = Callable[[InpaintRequest, Restoration | None], None]
"""Called at the end with what was found; with None where that failed."""


class InpaintWorker:
    """One search at a time.

    Args:
        renderer: Of the generator; its lock is held.
        notice: Where mistakes, and words that a CLIP does not know, are told.
        clip: Reads prompts; that of the generator's bundle, when it is needed, if None.
    """

    def __init__(self, renderer: Renderer, notice: Notice, clip: TextImageEncoder | None) -> None:
        self._renderer, self._notice, self._clip = renderer, notice, clip
        self._worker = Worker("filling a hole")

    def begin(self, order: InpaintRequest, watch: Watch, done: Done) -> None:
        """Start; what is under way is ended first. Returns at once."""
        self._worker.begin(lambda ending: self._work(order, ending, watch, done))

    def cancel(self) -> None:
        """End after the present step. Returns at once."""
        self._worker.cancel()

    def stop(self) -> None:
        """End after the present step, and wait for that."""
        self._worker.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended; whether that came about in time."""
        return self._worker.wait(seconds)

    def _work(self, order: InpaintRequest, ending: Ending, watch: Watch, done: Done) -> None:
        found = None
        try:
            with self._notice.guard():
                found = self._search(order, ending, watch)
        finally:
            done(order, found)

    def _search(self, order: InpaintRequest, ending: Ending, watch: Watch) -> Restoration:
        lock, given = self._renderer.lock, order.work.picture

        def look(step: int, drawn: Tensor, losses: Tensor) -> bool:
            best = drawn[[int(losses.nan_to_num(nan=float("inf")).argmin())]]
            lock.release()  # let others have their pictures while this one is on its way
            try:
                watch(order, step + 1, order.hole.finish(best, given).clamp(-1, 1))
            finally:
                lock.acquire()
            return not ending.is_set()

        clip = self._reader(order.prompt)
        with lock:
            return restore(
                self._renderer.generator,
                given,
                order.hole,
                n_steps=order.n_steps,
                n_proposals=order.n_proposals,
                loss=DegradationLossConfig(clip=clip, prompt=order.prompt),
                config=RestorationConfig(seed=(order.seed + APART) % 2**32, precision="fast"),
                callback=look,
            )

    def _reader(self, prompt: str) -> TextImageEncoder | None:
        if not prompt:
            return None
        if self._clip is None:
            self._clip = require(self._renderer.generator, "clip", "reads prompts", "clip=")
        remarks = getattr(self._clip, "remarks", None)
        if remarks is not None and (said := remarks(prompt)):
            self._notice.fail(" ".join(said))
        return self._clip
