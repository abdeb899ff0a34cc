"""Spaces that latents live in, layers that activations come from, and how people name layers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from steerbench.errors import LayerError


@dataclass(frozen=True, eq=False)
class Space:
    """One of a generator's latent spaces.

    Attributes:
        name: ``z``, ``w``, ``w+``, ``s``, ``p``, ``p+`` or ``c``. The layer-wise form of a space
            carries a plus.
        shape: The shape of one code.
        parent: The space it is computed from, or none for the first.
        slices: For a space that joins parts, such as the inputs of many layers, where each lies.
        invertible: Whether codes can be taken back to ``parent`` exactly.
        measure: Gives ``mean``, ``std`` or ``covariance`` of the prior; its generator sets it.
    """

    name: str
    shape: tuple[int, ...]
    parent: str | None = None
    slices: Mapping[str, slice] | None = None
    invertible: bool = False
    measure: Callable[[str], Tensor] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """How many numbers a code has."""
        return math.prod(self.shape)

    @property
    def mean(self) -> Tensor | None:
        """The mean code of the prior, ``[*shape]``; measured once for a generator's weights."""
        return None if self.measure is None else self.measure("mean")

    @property
    def std(self) -> Tensor | None:
        """The standard deviation of each number of a code, ``[*shape]``."""
        return None if self.measure is None else self.measure("std")

    @property
    def covariance(self) -> Tensor | None:
        """The covariance of the numbers of a flat code, ``[size, size]``.

        Raises:
            CapabilityError: A code is so long that its covariance would fill the memory.
        """
        return None if self.measure is None else self.measure("covariance")


@dataclass(frozen=True)
class Layer:
    """One layer of a generator, in the order in which they run.

    Attributes:
        name: Our name, ``b16.conv1`` or a module's dotted name.
        index: Its place in the walk.
        channels: Its units.
        height: Of its activations.
        width: Of its activations.
        row: The row of the layer-wise latent that it reads, where there is one.
        aliases: The names that other projects give it.
    """

    name: str
    index: int
    channels: int
    height: int
    width: int
    row: int | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FirstFeatures:
    """The affine map by which a code becomes a generator's first features: ``W z + b``.

    What follows treats every place alike until the next convolution, so that a change of these
    features in space is, at a coarse grain, that change of the picture.

    Attributes:
        space: The space of the code. A code that the generator normalises first is meant as
            normalised, and a class as no class in particular.
        weight: W, ``[C, H, W, size]``.
        bias: b, ``[C, H, W]``.
    """

    space: str
    weight: Tensor
    bias: Tensor


def parse_layers(spec: str | int | Iterable[int] | None, count: int) -> tuple[int, ...] | None:
    """Rows of a layer-wise latent, from the ways in which people write them.

    Args:
        spec: ``None`` or ``"all"`` for every row, one number, numbers, or text like ``"0-3,7"``.
        count: How many rows there are.

    Returns:
        Sorted row numbers, or ``None`` for all of them.

    Raises:
        LayerError: The text cannot be read, or a row does not exist.

    >>> parse_layers("0-3,7", 10)
    (0, 1, 2, 3, 7)
    >>> parse_layers("all", 10) is None
    True
    """
    if spec is None or (isinstance(spec, str) and spec.strip() in ("all", "")):
        return None
    rows = _read_text(spec) if isinstance(spec, str) else _numbers(spec)
    outside = [row for row in rows if not 0 <= row < count]
    if outside:
        raise LayerError(
            f"Layer {outside[0]} was asked for, but there are {count} layers: 0 to {count - 1}."
        )
    if not rows:
        raise LayerError(f"No layer was chosen. Give 'all' or some of 0 to {count - 1}.")
    return tuple(sorted(set(rows)))


def format_layers(rows: Iterable[int] | None) -> str:
    """Return rows of a layer-wise latent as people write them; `parse_layers` reads it again.

    >>> format_layers((0, 1, 2, 7)), format_layers((4, 5)), format_layers(None)
    ('0-2,7', '4-5', 'all')
    """
    if rows is None:
        return "all"
    runs: list[list[int]] = []
    for row in sorted(rows):
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _numbers(spec: int | Iterable[int]) -> list[int]:
    return [spec] if isinstance(spec, int) else [int(row) for row in spec]


def _read_text(spec: str) -> list[int]:
    rows: list[int] = []
    for part in spec.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if match is None:
            raise LayerError(
                f"Layers were given as {spec!r}. Write 'all', a number, or ranges like '0-3,7'."
            )
        first = int(match[1])
        rows.extend(range(first, int(match[2] or first) + 1))
    return rows
