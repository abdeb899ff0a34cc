"""How long a call takes here, for choosing the quicker of two ways.

Other work on the machine only ever slows a call down, so that the best of a few tries is nearest to
what the call itself takes. The first try may also prepare kernels, which is one reason more to take
the best.

>>> 0 < best_of(lambda: sum(range(1000))) < 1
True
"""

from __future__ import annotations

import time
from collections.abc import Callable


def best_of(
    action: Callable[[], object], tries: int = 5, *, patience: float = float("inf")
) -> float:
    """Return the least seconds that a call takes.

    Args:
        action: What is timed.
        tries: How often at most.
        patience: No further try begins after so many seconds, beyond the first.
    """
    seconds: list[float] = []
    while not seconds or (len(seconds) < tries and sum(seconds) < patience):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
