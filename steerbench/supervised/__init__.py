"""Methods that learn from labels or from a predictor: what units do, and boundaries of attributes.

Every method keeps its hyperparameters as they were given, works in ``fit(generator)``, returns
itself, and leaves its results under names with a trailing underscore.
"""

from __future__ import annotations

from typing import Any

from steerbench.supervised.dissection import Dissection
from steerbench.supervised.hyperplane import Boundary, linear_boundary
from steerbench.supervised.interfacegan import Trained, interpolate, train_boundary

__all__ = [
    "DISSECTORS",
    "Boundary",
    "Dissection",
    "Trained",
    "interpolate",
    "linear_boundary",
    "train_boundary",
]

DISSECTORS: dict[str, type[Any]] = {"dissection": Dissection}
"""Methods that find what units stand for: ``units_``, one row for each unit and concept."""
