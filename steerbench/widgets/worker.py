"""Work that goes on beside the page: begun, waited for, and ended at any moment.

>>> worker = Worker("counting")
>>> seen = []
>>> worker.begin(lambda ending: seen.append(ending.is_set()))
>>> worker.wait(10), seen
(True, [False])
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Ending = threading.Event
"""Set when the work is to end after its present step."""


class Worker:
    """One piece of work at a time, in a thread of its own.

    Args:
        what: It is called so in the log, where a mistake of the library's own ends up.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._ending, self._thread = Ending(), None

    _thread: threading.Thread | None

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, work: Callable[[Ending], object]) -> None:
        """Start; what is under way is ended first. Returns at once.

        Args:
            work: Called with what will be set when it is to end.
        """
        self.stop()
        self._ending = Ending()
        # In the context of the message that asked: what is sent belongs to that message.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run, work, self._ending), daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """End after the present step. Returns at once."""
        self._ending.set()

    def stop(self) -> None:
        """End after the present step, and wait for that."""
        self.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended; whether that came about in time."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self, work: Callable[[Ending], object], ending: Ending) -> None:
        try:
            work(ending)
        except Exception:
            log.exception("%s went wrong.", self._what.capitalize())
