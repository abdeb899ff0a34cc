"""Methods that learn from labels or from a predictor: what units do, and boundaries of attributes.

Every method keeps its hyperparameters as they were given, works in ``fit(generator)``, returns
itself, and leaves its results under names with a trailing underscore.
"""

from __future__ import annotations

from typing import Any

from steerbench.supervised.boundaries.higan import LatentBoundaries
from steerbench.supervised.boundaries.hyperplane import Boundary, linear_boundary
from steerbench.supervised.boundaries.interfacegan import Trained, interpolate, train_boundary
from steerbench.supervised.boundaries.labelling import Evidence, LabelledDirection
from steerbench.supervised.dissection import Dissection
from steerbench.supervised.dissection.artefacts import ArtefactUnits
from steerbench.supervised.dissection.effects import UnitEffects, unit_edit
from steerbench.supervised.dissection.search import UnitSearch

__all__ = [
    "DISSECTORS",
    "SUPERVISED",
    "ArtefactUnits",
    "Boundary",
    "Dissection",
    "Evidence",
    "LabelledDirection",
    "LatentBoundaries",
    "Trained",
    "UnitEffects",
    "UnitSearch",
    "interpolate",
    "linear_boundary",
    "train_boundary",
    "unit_edit",
]

DISSECTORS: dict[str, type[Any]] = {"dissection": Dissection}
"""Methods that find what units stand for: ``units_``, one row for each unit and concept."""

SUPERVISED: dict[str, type[Any]] = {"latent_boundaries": LatentBoundaries}
"""Finders that are given a predictor: ``directions_`` and ``table_``."""
