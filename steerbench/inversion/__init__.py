"""Inversion: from a picture to the code that draws it.

Every inverter is called as ``inverter(generator, images)`` and gives an `Inversion`:

- ``optimise``: downhill from several starts, `optimize`
- ``encode``: the guess of an encoder alone, `encoders`
- ``hybrid``: the guess, refined by few steps
- ``project``: NVIDIA's projector, `projector`

`restore` asks the same engine for what a picture lost (`restoration`): a `Hole`, colours
(`Grey`), detail (`Smaller`), or what `Noisy` hides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from steerbench.inversion.degradations import Degradation, Grey, Hole, Noisy, Smaller
from steerbench.inversion.encoders import Encoder, encoder
from steerbench.inversion.optimize import Inversion, Likeness, OutOfDomainWarning, invert
from steerbench.inversion.projector import moments_of_w, project
from steerbench.inversion.restoration import Restoration, restore

__all__ = [
    "INVERTERS",
    "Degradation",
    "Encoder",
    "Grey",
    "Hole",
    "Inversion",
    "Likeness",
    "Noisy",
    "OutOfDomainWarning",
    "Restoration",
    "Smaller",
    "encoder",
    "invert",
    "moments_of_w",
    "project",
    "restore",
]

INVERTERS: dict[str, Callable[..., Inversion]] = {
    "optimise": invert,
    "encode": partial(invert, starts="encoder", steps=0),
    "hybrid": partial(invert, starts="encoder", steps=100),
    "project": project,
}
