"""Inversion: from a picture to the code that draws it.

Every inverter is called as ``inverter(generator, images)`` and gives an `Inversion`:

- ``optimise``: downhill from several initial codes, `steerbench.inversion.optimize`.
- ``encode``: the guess of an encoder alone, `steerbench.inversion.encoders`.
- ``hybrid``: that guess, refined by few steps.
- ``project``: NVIDIA's projector, `steerbench.inversion.projector`.

`restore` asks the same engine for what a picture lost (`steerbench.inversion.restoration`): a
`Hole`, colours (`Grey`), detail (`Smaller`), or what `Noisy` hides.

What is said once for all of them stands in small settings: `OptimisationConfig` (how to go),
`Initialisation` (where to begin), `ReconstructionLossConfig` and `DegradationLossConfig` (what to
go by), `PhotoFit` (how photographs are cut).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from steerbench.inversion.degradations import Degradation, Grey, Hole, Noisy, Smaller
from steerbench.inversion.encoders import Encoder, encoder
from steerbench.inversion.engine import CodeOptimiser, OptimisationConfig
from steerbench.inversion.initial_codes import Initialisation
from steerbench.inversion.losses import (
    DegradationLoss,
    DegradationLossConfig,
    ReconstructionLoss,
    ReconstructionLossConfig,
)
from steerbench.inversion.optimize import Inversion, OutOfDomainWarning, invert
from steerbench.inversion.photographs import PhotoFit
from steerbench.inversion.projector import ProjectorConfig, moments_of_w, project
from steerbench.inversion.restoration import Restoration, RestorationConfig, restore

__all__ = [
    "INVERTERS",
    "CodeOptimiser",
    "Degradation",
    "DegradationLoss",
    "DegradationLossConfig",
    "Encoder",
    "Grey",
    "Hole",
    "Initialisation",
    "Inversion",
    "Noisy",
    "OptimisationConfig",
    "OutOfDomainWarning",
    "PhotoFit",
    "ProjectorConfig",
    "ReconstructionLoss",
    "ReconstructionLossConfig",
    "Restoration",
    "RestorationConfig",
    "Smaller",
    "encoder",
    "invert",
    "moments_of_w",
    "project",
    "restore",
]

INVERTERS: dict[str, Callable[..., Inversion]] = {
    "optimise": invert,
    "encode": partial(invert, init="encoder", n_steps=0),
    "hybrid": partial(invert, init="encoder", n_steps=100),
    "project": project,
}
