"""Work that follows a hand: in a thread of its own, always for the newest state.

A mouse that moves sends fifty messages a second, and unlike the changes of a slider they are not
joined on the way. So a handler only notes what happened and wakes a `LatestWorker`, which calls its
function with whatever holds by then: while one picture is being made any number of movements
become one.

>>> seen = []
>>> newest = LatestWorker(lambda: seen.append("drawn"))
>>> newest.wake()
>>> newest.wait(60), seen
(True, ['drawn'])
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class LatestWorker:
    """Calls a function again as long as it was woken during the last call.

    The function shows its own mistakes; what it raises all the same goes to the log.

    Args:
        call: Reads the present state by itself, and takes the locks that it needs.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._changed = threading.Condition()
        self._woken = 0
        self._running = False

    def wake(self) -> None:
        """Something changed. Returns at once."""
        with self._changed:
            self._woken += 1
            if self._running:
                return
            self._running = True
        # In the context of the message that woke it: what it sends belongs to that message.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work,), daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Until nothing is left to do; whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                mine = self._woken
            try:
                self._call()
            except Exception:
                log.exception("A picture could not be drawn.")
            with self._changed:
                if mine == self._woken:
                    self._running = False
                    self._changed.notify_all()
                    return
