"""Methods that learn from a predictor: dissection, and what edits of units do.

Every method keeps its hyperparameters as they were given, works in ``fit(generator)``, returns
itself, and leaves its results under names with a trailing underscore.
"""

from __future__ import annotations

from typing import Any

from steerbench.supervised.dissection import Dissection

__all__ = ["DISSECTORS", "Dissection"]

DISSECTORS: dict[str, type[Any]] = {"dissection": Dissection}
"""Methods that find what units stand for: ``units_``, one row for each unit and concept."""
