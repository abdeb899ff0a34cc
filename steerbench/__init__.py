"""steerbench: steer deep generative models by what they have learned.

>>> import steerbench as sb
>>> rooms = sb.world("rooms")
>>> rooms.sample(1, seed=0).images.shape
torch.Size([1, 3, 64, 64])

Importing the package does no work: each name below is fetched from its module on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ClosedForm": "unsupervised",
    "Direction": "types",
    "Dissection": "supervised",
    "EigenBasis": "unsupervised",
    "GANSpace": "unsupervised",
    "GlobalDirections": "embedding",
    "HessianPenalty": "unsupervised",
    "Jacobian": "unsupervised",
    "LabelledDirection": "supervised",
    "Latent": "types",
    "LatentBoundaries": "supervised",
    "LatentDiscovery": "unsupervised",
    "LatentMapper": "embedding",
    "LatentOptimiser": "embedding",
    "Move": "types",
    "RandomDirections": "unsupervised",
    "Recipe": "types",
    "Renderer": "renderer",
    "SeFa": "unsupervised",
    "Space": "types",
    "StyleSpace": "unsupervised",
    "UnitEdit": "types",
    "UnitEffects": "supervised",
    "UnitSearch": "supervised",
    "catalogue": "generators.catalogue",
    "clip": "predictors.clip",
    "compare": "metrics",
    "film": "films",
    "inspect": "inspection",
    "invert": "inversion",
    "load": "generators",
    "predictor": "predictors",
    "read_published_direction": "generators",
    "scorecard": "metrics",
    "show": "image",
    "world": "worlds",
    "wrap": "generators",
}
_MODULES = (
    "check",
    "errors",
    "generators",
    "image",
    "inversion",
    "metrics",
    "types",
    "widgets",
    "worlds",
)

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"steerbench.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"steerbench.{name}")
    else:
        from steerbench.errors import closest

        raise AttributeError(f"steerbench has no {name!r}. {closest(name, __all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
