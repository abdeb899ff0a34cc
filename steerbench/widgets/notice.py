"""The line in a component that says what went wrong, or that something was done.

>>> notice = Notice()
>>> with notice.guard():
...     raise SteerbenchError("No layer is called 'b5'.")
>>> notice.error
"No layer is called 'b5'."
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets

from steerbench.errors import SteerbenchError


class Notice(ipywidgets.HTML):
    """Hidden while there is nothing to say.

    Attributes:
        error: The mistake shown, or the empty text.
        note: The good news shown, or the empty text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error = self.note = ""
        self.add_class("sb-notice")
        self.clear()

    def fail(self, message: str) -> None:
        """Show a mistake, in red."""
        self._say(error=message)

    def tell(self, message: str) -> None:
        """Show that something was done."""
        self._say(note=message)

    def clear(self) -> None:
        """Say nothing."""
        self._say()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Show what is raised inside. A caller's mistake ends here; a bug goes on to the log."""
        try:
            yield
        except SteerbenchError as error:
            self.fail(str(error))
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}. Please report this as a bug.")
            raise

    def guard_call(self, call: Callable[..., object]) -> Callable[..., None]:
        """A call from the page, whose mistakes are shown."""

        def guard_call(*given: Any) -> None:
            with self.guard():
                call(*given)

        return guard_call

    def _say(self, error: str = "", note: str = "") -> None:
        self.error, self.note = error, note
        kind, role = ("sb-error", "alert") if error else ("sb-note", "status")
        text = html.escape(error or note)
        self.value = f'<div class="{kind}" role="{role}">{text}</div>' if text else ""
        self.layout.display = None if text else "none"
