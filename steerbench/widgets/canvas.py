"""Drawing on an ipycanvas from callbacks, and a brush on it.

All canvases of a kernel share one list of commands, which ``ipycanvas.hold_canvas`` collects and
sends; callbacks may run in several threads, so that only one may draw at a time. A canvas remembers
nothing: whoever draws on one draws again in ``canvas.on_client_ready``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import ipycanvas
from ipycanvas import canvas as manager

_DRAWING = threading.RLock()


@contextmanager
def drawing() -> Iterator[None]:
    """Send what is drawn inside in one message, and nobody else's commands in between."""
    with _DRAWING, ExitStack() as held:
        held.enter_context(ipycanvas.hold_canvas())
        # ipycanvas names the canvas only where it changes, and a browser that came later missed it.
        manager._CANVAS_MANAGER._current_canvas = None
        try:
            yield
        except BaseException:
            held.close()  # hold_canvas alone would go on collecting for ever
            raise


def on_brush(
    canvas: ipycanvas.Canvas,
    *,
    press: Callable[[float, float], None],
    drag: Callable[[float, float], None],
    release: Callable[[], None],
) -> None:
    """Call with x and y in pixels of the canvas, for a mouse, a pen or one finger."""
    canvas.on_mouse_down(press)
    canvas.on_mouse_move(drag)
    canvas.on_mouse_up(lambda x, y: release())
    canvas.on_mouse_out(lambda x, y: release())
    canvas.on_touch_start(lambda touches: press(*touches[0]) if touches else None)
    canvas.on_touch_move(lambda touches: drag(*touches[0]) if touches else None)
    canvas.on_touch_end(lambda touches: release())
    canvas.on_touch_cancel(lambda touches: release())
