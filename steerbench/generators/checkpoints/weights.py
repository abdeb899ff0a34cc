"""The named tensors of a file, taken one after the other by whoever knows what they should be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from steerbench.errors import CheckpointError, closest
from steerbench.generators.stylegan1 import StyleGAN1
from steerbench.generators.stylegan2 import StyleGAN2

Styled = TypeVar("Styled", StyleGAN1, StyleGAN2)


class Weights:
    """Named tensors; asking for one that is missing or no number says so by name."""

    def __init__(self, tensors: Mapping[str, Tensor], what: str) -> None:
        self.tensors, self.what = dict(tensors), what

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, dimensions: int | None = None) -> Tensor:
        """A tensor by name, of so many dimensions, in float32.

        Raises:
            CheckpointError: It is missing, or is not what it should be.
        """
        if name not in self.tensors:
            raise CheckpointError(
                f"The file looks like {self.what}, but {name!r} is missing. "
                f"{closest(name, self.tensors)} It is incomplete; fetch it again."
            )
        tensor = self.tensors[name]
        if not tensor.is_floating_point() or dimensions not in (None, tensor.ndim):
            raise CheckpointError(
                f"{name!r} of {self.what} has the shape {list(tensor.shape)} and type "
                f"{tensor.dtype}; {dimensions or 'some'} dimensions of floating point numbers "
                "were expected. The file is broken."
            )
        return tensor.float()

    def scalar(self, name: str) -> Tensor:
        """A tensor of one number, without dimensions."""
        tensor = self.take(name)
        if tensor.numel() != 1:
            raise CheckpointError(
                f"{name!r} of {self.what} has {tensor.numel()} numbers; one was expected."
            )
        return tensor.reshape(())

    def numbers(self, pattern: str, start: int = 0) -> list[int]:
        """The numbers that occur in names of this form, in order, counted from ``start``."""
        found = (re.fullmatch(pattern, name) for name in self.tensors)
        return sorted({start + int(match[1][:9]) for match in found if match})


def doubling(resolutions: list[int]) -> list[int]:
    """The resolutions of a network, which double from 4 on.

    Raises:
        CheckpointError: They do not, or there are too many.
    """
    if resolutions != [4 * 2**i for i in range(len(resolutions))] or len(resolutions) > 11:
        raise CheckpointError(
            f"The network's layers stand at the resolutions {resolutions[:12]}; 4, 8, 16 and so "
            "on without gaps, up to 4096, were expected. The file is incomplete."
        )
    return resolutions


def lacking(tensors: Mapping[str, Tensor], required: Iterable[str]) -> list[str]:
    """The required names that are missing."""
    return [name for name in required if name not in tensors]


def with_mean(
    kind: type[Styled], config: Mapping[str, Any], state: dict[str, Tensor], name: str
) -> Styled:
    """A style-based generator, its mean code measured where the file has none."""
    if "mapping.w_avg" in state:
        return kind.build(config, state, name=name)
    state["mapping.w_avg"] = torch.zeros(config["w_dim"])
    draft = kind.build(config, state, name=name)
    drawn = [draft.to(draft.sample(256, seed=256 * i), "w").data.mean(dim=0) for i in range(16)]
    state["mapping.w_avg"] = torch.stack(drawn).mean(dim=0)
    return kind.build(config, state, name=name)


def noise_of(number: int, resolution: int) -> Tensor:
    """Fixed noise for a layer of a file that has none, drawn from the layer's number."""
    draw = torch.Generator().manual_seed(number)
    return torch.randn(resolution, resolution, generator=draw)


def odd_blur(kernel: Tensor) -> Tensor:
    """A blur ``[taps, taps]`` with a middle, from a kernel ``[..., taps, taps]``.

    Raises:
        CheckpointError: It is not square, or has no middle.
    """
    taps = kernel.shape[-1]
    if kernel.shape[-2:] != (taps, taps) or taps % 2 == 0:
        raise CheckpointError(
            f"The file blurs with a kernel of {list(kernel.shape)}; a square one of 1, 3 or 5 "
            "taps was expected. Use sb.wrap."
        )
    return kernel.reshape(-1, taps, taps)[0]


def four_taps(kernel: Tensor) -> Tensor:
    """A low-pass filter of up to four by four taps, in four by four taps that sum to one.

    Raises:
        CheckpointError: It is longer, or not square.
    """
    taps = kernel.shape[-1]
    kernel = kernel.reshape(-1, taps)
    if kernel.ndim != 2 or kernel.shape[0] != taps or taps > 4:
        raise CheckpointError(
            f"The file filters with {list(kernel.shape)} taps; up to [4, 4] are known."
        )
    # Where a shorter filter lies among the four follows from how published code pads it.
    after = (4 - taps) // 2 if taps != 3 else 0
    before = 4 - taps - after
    square = torch.nn.functional.pad(kernel, (before, after, before, after))
    return square / square.sum()
