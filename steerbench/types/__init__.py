"""The nouns of steerbench: spaces, latents, directions, edits, recipes, and two protocols.

All are frozen: an operation returns a new object, so what a notebook cell holds never changes
under its feet. Shapes are stated without the batch.
"""

from steerbench.types.latents import (
    Direction,
    Edit,
    Latent,
    Move,
    Provenance,
    UnitEdit,
    apply_move,
    apply_unit_edits,
)
from steerbench.types.protocols import Generator, Predictor
from steerbench.types.recipe import Recipe
from steerbench.types.spaces import FirstFeatures, Layer, Space, parse_layers

__all__ = [
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
    "Space",
    "UnitEdit",
    "apply_move",
    "apply_unit_edits",
    "parse_layers",
]
