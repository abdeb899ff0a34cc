"""What a published format is: the names that tell it from others, and how it becomes ours.

A format is one file in ``formats/`` that ends in a `Format`, and one line of ``formats.FORMATS``.
Its ``convert`` takes the weights under their published names and gives the settings and the
weights of one of our architectures: it brings names, orientation and gains into our form, and
nothing else. What it leaves is refused, unless it is ``harmless``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from steerbench.generators.checkpoints.options import Options
from steerbench.generators.checkpoints.state_dicts import StateDict, Tensors
from steerbench.generators.checkpoints.weights import Weights

Parts = tuple[dict[str, Any], dict[str, Tensor]]
"""Settings and weights, as the ``build`` of an architecture takes them."""

Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Format:
    """A published format.

    Attributes:
        name: In the registry.
        title: In messages to people.
        architecture: The class that it becomes, one of ``GENERATORS``.
        required: The names that tell it from other formats.
        convert: Weights and settings to the parts of our architecture.
        options: What the weights do not say, with what the authors' code assumes; see `options`.
        rename: Brings older names of the same weights into those of ``required``.
        misfits: What else a dictionary with all the names lacks.
        harmless: Patterns of names that no picture depends on.
    """

    name: str
    title: str
    architecture: type[Any]
    required: Sequence[str]
    convert: Callable[[Weights, Settings], Parts]
    options: Options = field(default_factory=dict)
    rename: Callable[[Tensors], Tensors] = lambda tensors: tensors
    misfits: Callable[[Tensors], list[str]] = lambda tensors: []
    harmless: Sequence[str] = ()

    def lacks(self, state: StateDict) -> list[str]:
        """Return what a dictionary of tensors lacks to be of this format; empty where it is."""
        tensors = self.rename(state.tensors)
        missing = [name for name in self.required if name not in tensors]
        return missing or self.misfits(tensors)

    def weights(self, state: StateDict) -> Weights:
        """Return the tensors of a dictionary under the names that ``convert`` knows."""
        return Weights(state, self.title, self.rename(state.tensors))


__all__ = ["Format", "Parts", "Settings"]
