"""The nouns of steerbench: spaces, latents, directions, walks, edits, recipes, and protocols.

All are frozen: an operation returns a new object, so what a notebook cell holds never changes
under its feet. Shapes are stated without the batch.
"""

from steerbench.types.activations import ActivationState
from steerbench.types.forward import Run, State
from steerbench.types.latents import (
    Direction,
    Edit,
    Latent,
    Move,
    Traversal,
    UnitEdit,
    Walk,
    apply_move,
    apply_unit_edits,
    load_traversal,
)
from steerbench.types.protocols import Generator, Predictor, Walkable
from steerbench.types.provenance import Provenance
from steerbench.types.recipe import Recipe
from steerbench.types.spaces import FirstFeatures, Layer, Space, format_layers, parse_layers

__all__ = [
    "ActivationState",
    "Direction",
    "Edit",
    "FirstFeatures",
    "Generator",
    "Latent",
    "Layer",
    "Move",
    "Predictor",
    "Provenance",
    "Recipe",
    "Run",
    "Space",
    "State",
    "Traversal",
    "UnitEdit",
    "Walk",
    "Walkable",
    "apply_move",
    "apply_unit_edits",
    "format_layers",
    "load_traversal",
    "parse_layers",
]
