"""steerbench: steer deep generative models by what they have learned.

>>> import steerbench as sb
>>> rooms = sb.world("rooms")
>>> rooms.sample(1, seed=0).images.shape
torch.Size([1, 3, 64, 64])

Importing the package does no work: each name below is fetched from its module on first use. The
names of methods (``sb.SeFa``) are those of the list in `steerbench.methods`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ActivationState": "types",
    "Bundle": "bundles",
    "Direction": "types",
    "Hole": "inversion",
    "Latent": "types",
    "Move": "types",
    "Recipe": "types",
    "Renderer": "renderer",
    "Space": "types",
    "UnitEdit": "types",
    "Walk": "types",
    "bundle": "bundles",
    "catalogue": "generators.published.catalogue",
    "clip": "predictors.clip",
    "compare": "metrics",
    "film": "films",
    "free": "supervised.boundaries",
    "inspect": "inspection",
    "invert": "inversion",
    "load": "generators",
    "predictor": "predictors",
    "read_published_direction": "generators",
    "rescore": "metrics",
    "restore": "inversion",
    "scorecard": "metrics",
    "show": "image",
    "world": "worlds",
    "wrap": "generators",
}
"""Public name to the module that it lives in, below this one."""
_MODULES = (
    "assets",
    "cards",
    "check",
    "cli",
    "embedding",
    "errors",
    "generators",
    "hooks",
    "image",
    "inversion",
    "leaderboard",
    "methods",
    "metrics",
    "predictors",
    "stats",
    "store",
    "studies",
    "supervised",
    "training",
    "types",
    "unsupervised",
    "widgets",
    "worlds",
)
"""All sub-packages, and the modules that are nouns of their own."""


def _homes() -> dict[str, str]:
    """Return each public name and the full name of its module."""
    # Not by an import statement: every module imports this one, and the list of methods stands
    # above most of them.
    methods = importlib.import_module("steerbench.methods")
    own = {name: f"steerbench.{home}" for name, home in _HOMES.items()}
    return methods.public_homes() | own


def __getattr__(name: str) -> Any:
    homes = _homes()
    if name == "__all__":
        return sorted([*homes, *_MODULES])
    if name in homes:
        value = getattr(importlib.import_module(homes[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"steerbench.{name}")
    else:
        from steerbench.errors import closest

        raise AttributeError(f"steerbench has no {name!r}. {closest(name, [*homes, *_MODULES])}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__getattr__("__all__"), "__version__"]
