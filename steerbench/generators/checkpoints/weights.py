"""The named tensors of one network, taken one after the other by whoever knows what they should be.

What nobody took is a part that our network does not have: a file that leaves some is another
network, and is refused rather than opened without them.

>>> import torch
>>> weights = Weights(StateDict(tensors={"a": torch.ones(2), "b": torch.ones(2)}), "a toy")
>>> weights.take("a", 1)
tensor([1., 1.])
>>> weights.leftover()
['b']
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from steerbench.errors import CheckpointError, closest
from steerbench.generators.checkpoints.state_dicts import StateDict, Tensors


class Weights:
    """Named tensors; asking for one that is missing or no number says so by name.

    Args:
        state: Where they come from, with what lies beside it.
        what: The network that they should be, in words.
        tensors: The tensors under other names, instead of those of the state.
    """

    def __init__(self, state: StateDict, what: str, tensors: Tensors | None = None) -> None:
        self.state, self.what = state, what
        self.tensors = dict(state.tensors if tensors is None else tensors)
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, dimensions: int | None = None) -> Tensor:
        """Return a tensor by name, of so many dimensions, in float32.

        Raises:
            CheckpointError: It is missing, or is not what it should be.
        """
        if name not in self.tensors:
            raise CheckpointError(
                f"The file looks like {self.what}, but {name!r} is missing. "
                f"{closest(name, self.tensors)} It is incomplete, or of another network."
            )
        tensor = self.tensors[name]
        if not tensor.is_floating_point() or dimensions not in (None, tensor.ndim):
            raise CheckpointError(
                f"{name!r} of {self.what} has the shape {list(tensor.shape)} and type "
                f"{tensor.dtype}; {dimensions or 'some'} dimensions of floating point numbers "
                "were expected. It is of another network."
            )
        self._used.add(name)
        return tensor.float()

    def scalar(self, name: str) -> Tensor:
        """Return a tensor of one number, without dimensions."""
        tensor = self.take(name)
        if tensor.numel() != 1:
            raise CheckpointError(
                f"{name!r} of {self.what} has {tensor.numel()} numbers; one was expected."
            )
        return tensor.reshape(())

    def beside(self, name: str) -> Tensor | None:
        """Return a tensor that lies among the weights or beside them, or none."""
        tensor = self.tensors.get(name, self.state.beside.get(name))
        self._used.add(name)
        return tensor.float() if isinstance(tensor, Tensor) else None

    def skip(self, name: str) -> None:
        """Say that a tensor is known, and of no use beside the others."""
        self._used.add(name)

    def numbers(self, pattern: str, start: int = 0) -> list[int]:
        """Return the numbers in names of this form, in order, counted from ``start``."""
        found = (re.fullmatch(pattern, name) for name in self.tensors)
        return sorted({start + int(match[1][:9]) for match in found if match})

    def leftover(self, harmless: Iterable[str] = ()) -> list[str]:
        """Return the names that nobody took.

        Args:
            harmless: Patterns of names that no picture depends on.
        """
        pattern = re.compile("|".join((r".*num_batches_tracked", *harmless)))
        return [n for n in self.tensors if n not in self._used and not pattern.fullmatch(n)]


def check_doubling(resolutions: list[int]) -> list[int]:
    """Return the resolutions of a network, which double from 4 on.

    Raises:
        CheckpointError: They do not, or there are too many.
    """
    if resolutions != [4 * 2**i for i in range(len(resolutions))] or len(resolutions) > 11:
        raise CheckpointError(
            f"The network's layers stand at the resolutions {resolutions[:12]}; 4, 8, 16 and so "
            "on without gaps, up to 4096, were expected. The file is incomplete."
        )
    return resolutions


__all__ = ["Weights", "check_doubling"]
