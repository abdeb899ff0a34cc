"""Undo and redo, over states that are never changed themselves.

>>> history = History("first")
>>> history.push("second")
>>> history.undo(), history.redo()
('first', 'second')

A drag along a slider is a hundred changes and one step: a change that says *what* it changes, as
the one before it did and soon after it, becomes part of the same step.

>>> for value in (0.1, 0.2, 0.3):
...     history.push(f"night {value}", what="slider 0")
>>> history.undo()
'second'
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

State = TypeVar("State")

PAUSE = 1.0
"""Seconds of rest after which the same slider begins a new step."""


class History(Generic[State]):
    """The present state, what came before it and what was undone.

    Args:
        first: The first state; it stays at hand as an attribute. States are compared with ``==``.
        clock: Seconds that pass; for tests.

    Attributes:
        present: The state that holds now.
    """

    def __init__(self, first: State, clock: Callable[[], float] = time.monotonic) -> None:
        self.first = self.present = first
        self._past: list[State] = []
        self._undone: list[State] = []
        self._clock = clock
        self._what: Hashable = None
        self._when = 0.0

    def push(self, state: State, what: Hashable = None) -> None:
        """A new present. Equal to the old one, it is no step; what was undone is forgotten.

        Args:
            state: The new state.
            what: Names what changed, so that changes in quick succession make one step; None
                always begins a step.
        """
        if state == self.present:
            return
        now = self._clock()
        merge = what is not None and what == self._what and now - self._when < PAUSE
        if not merge:
            self._past.append(self.present)
        self._undone.clear()
        self.present, self._what, self._when = state, what, now

    def rest(self) -> None:
        """The last change has been drawn: from here on the pause counts, however slow it was."""
        self._when = self._clock()

    def undo(self) -> State:
        """One step back, if there is one; the present."""
        return self._step(self._past, self._undone)

    def redo(self) -> State:
        """One step forward again, if there is one; the present."""
        return self._step(self._undone, self._past)

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def _step(self, source: list[State], target: list[State]) -> State:
        self._what = None
        if source:
            target.append(self.present)
            self.present = source.pop()
        return self.present
