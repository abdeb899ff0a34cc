"""What a layer makes of its frozen weights, kept until they change.

A kernel in another precision, layout or basis takes a while to make and is the same for every
picture. A layer asks its `WeightCache` for it, and says how to make it:

>>> kept, weight = WeightCache(), torch.ones(2)
>>> kept(weight, torch.bfloat16, lambda: print("made") or weight.bfloat16())
made
tensor([1., 1.], dtype=torch.bfloat16)
>>> kept(weight, torch.bfloat16, lambda: print("made") or weight.bfloat16())
tensor([1., 1.], dtype=torch.bfloat16)

Weights that train are never kept. Of each precision one thing is held, so memory is bounded; a copy
of the layer (on another device, in float64) starts with nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")
Source = tuple[int, int, torch.device]


class WeightCache:
    """Made of one weight, by precision."""

    def __init__(self) -> None:
        self._made: dict[torch.dtype, tuple[Source, Any]] = {}

    def __call__(self, weight: Tensor, dtype: torch.dtype, make: Callable[[], Made]) -> Made:
        """Return what ``make`` gives for this weight and precision, from last time if it holds.

        It is made outside inference mode and gradients, so that any later call can use it.

        Args:
            weight: That the thing is made of.
            dtype: The precision that it is for.
            make: Makes it.
        """
        if weight.requires_grad or weight.is_inference():
            return make()
        source = (weight.data_ptr(), weight._version, weight.device)
        if dtype not in self._made or self._made[dtype][0] != source:
            with torch.inference_mode(False), torch.no_grad():
                self._made[dtype] = (source, make())
        made: Made = self._made[dtype][1]
        return made

    def __len__(self) -> int:
        return len(self._made)

    def __reduce__(self) -> tuple[type[WeightCache], tuple[()]]:
        return WeightCache, ()
