"""The latent half of every generator: sampling, labels, conversions along the chain, statistics.

A seed alone fixes a code, and the draw is the one of NVIDIA's ``generate.py``, so that published
seeds show the published pictures. Spaces form a chain, each computed from its parent by one
``_convert``; a step without inverse is refused with the way that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    LatentError,
    ShapeError,
    SpaceError,
    closest,
)
from steerbench.generators.prior import PriorStatistics
from steerbench.types import Latent, Space

Prior = Literal["normal", "uniform"]


class LatentSpaces:
    """What a generator knows of its codes; `BaseGenerator` adds the way to pictures."""

    prior: Prior = "normal"
    classes = 0
    name: str
    fingerprint: str
    module: nn.Module
    spaces: dict[str, Space]
    statistics: PriorStatistics

    @property
    def device(self) -> torch.device:
        tensor = next(chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def _convert(self, data: Tensor, source: str, target: str, label: Tensor | None) -> Tensor:
        """One step of the chain, from a space to its child (or back, where invertible)."""
        raise SpaceError(f"Space {source!r} does not lead to {target!r} in {self.name!r}.")

    # Sampling.

    @property
    def latent_space(self) -> str:
        """The space that samples are drawn in."""
        return next(iter(self.spaces))

    @property
    def natural_space(self) -> str:
        """Where directions are looked for if nothing else is asked: w where there is one."""
        return "w" if "w" in self.spaces else self.latent_space

    def prior_std(self, space: str, vector: Tensor) -> float:
        """Return the standard deviation of the prior along a unit vector of a space."""
        return self.statistics.std_along(space, vector)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
        label: Any = None,
    ) -> Latent:
        """Draw codes from the prior; code ``i`` is the only code of ``sample(1, seed=seed + i)``.

        Args:
            n: How many.
            seed: Of the first code; NumPy's ``RandomState(seed)`` draws it, as NVIDIA's
                ``generate.py`` does, so that published seeds show the published pictures.
            space: Convert the codes to this space.
            truncation: Draw codes towards the mean on the way to w (1: not at all).
            label: Class indices or weights, for conditional generators; without, each seed draws
                its class after its code.

        Raises:
            ArgumentError: ``n`` or ``seed`` is negative.
        """
        if n < 1 or seed < 0 or seed + n > 2**32:
            raise ArgumentError(
                f"{n} codes from seed {seed} were asked for. Ask for at least one code, and seeds "
                "of at least 0 and below 2**32."
            )
        first = self.spaces[self.latent_space]
        size = int(np.prod(first.shape))
        draws = [np.random.RandomState(seed + i) for i in range(n)]
        rows = np.concatenate([self.draw(draw, size) for draw in draws])
        data = torch.from_numpy(rows).to(self.device, torch.float32).reshape(n, *first.shape)
        if label is None and self.classes:
            label = [int(draw.randint(self.classes)) for draw in draws]
        latent = self._bind(first.name, data, seed, self._label(label, n))
        if space is None:
            return latent
        return self.to(latent, space, truncation=truncation)

    def draw(self, random: np.random.RandomState, size: int) -> np.ndarray:
        """Return so many numbers of the prior, ``[1, size]``."""
        return random.randn(1, size) if self.prior == "normal" else random.uniform(-1, 1, (1, size))

    def latent(self, array: Any, space: str | None = None, label: Any = None) -> Latent:
        """A latent from one's own numbers, ``[N, *shape]`` or one code of ``[*shape]``.

        Trailing dimensions of one are accepted. Floating point numbers keep their precision.

        Raises:
            SpaceError: The generator has no such space.
            ShapeError: The numbers have another shape.
            LatentError: They hold NaN or infinity, or are not numbers.
        """
        name = self.latent_space if space is None else space
        shape = self._space(name).shape
        data = self._numbers(array)
        while data.ndim > len(shape) and data.ndim > 2 and data.shape[-1] == 1:
            data = data.squeeze(-1)
        data = data[None] if self._is_code(name, data.shape) else data
        if not data.ndim or not self._is_code(name, data.shape[1:]):
            raise ShapeError(
                f"A latent of shape {list(np.shape(array))} was given for space {name!r} of "
                f"{self.name!r}, whose codes have the shape {list(shape)}. Give "
                f"[N, {', '.join(map(str, shape))}]."
            )
        latent = self._bind(name, data, None, self._label(label, len(data)))
        self._check(latent)
        return latent

    def _numbers(self, array: Any) -> Tensor:
        try:
            data = torch.as_tensor(np.asarray(array) if not isinstance(array, Tensor) else array)
        except (TypeError, ValueError) as error:
            raise LatentError(
                f"A latent cannot be made of {type(array).__name__}: {error}. Give an array of "
                "numbers."
            ) from error
        return data.to(self.device, data.dtype if data.is_floating_point() else torch.float32)

    def _bind(self, space: str, data: Tensor, seed: int | None, label: Tensor | None) -> Latent:
        return Latent(space, data, self.fingerprint, seed, label, self._rows(space))

    def _label(self, label: Any, n: int) -> Tensor | None:
        """Class indices ``[n]`` or weights ``[n, classes]``, from what a person gives."""
        if label is None:
            return None
        if not self.classes:
            raise CapabilityError(
                f"A label was given, but {self.name!r} is not conditional. Leave the label out."
            )
        given = torch.as_tensor(np.asarray(label) if not isinstance(label, Tensor) else label)
        whole = not given.is_floating_point()
        weights = given.ndim == 2 or (given.ndim == 1 and not whole)
        if (
            weights
            and given.shape[-1] == self.classes
            and (given.ndim == 1 or len(given) in (1, n))
        ):
            return given.to(self.device, torch.float32).expand(n, self.classes)
        indices = given.ndim < 2 and whole and given.numel() in (1, n)
        if indices and given.min() >= 0 and given.max() < self.classes:
            return given.to(self.device, torch.int64).expand(n)
        raise LatentError(
            f"The label {str(label)[:60]} was given for {n} codes of {self.name!r}, which has "
            f"{self.classes} classes. Give class indices of 0 to {self.classes - 1}, one or {n}, "
            f"or weights [{n}, {self.classes}]."
        )

    def label_weights(self, label: Tensor | None, like: Tensor) -> Tensor | None:
        """A label as weights ``[N, classes]``; without one, no class in particular: equal ones."""
        if not self.classes:
            return None
        if label is None:
            return like.new_full((len(like), self.classes), 1 / self.classes)
        if label.ndim == 2:
            return label.to(like)
        return torch.nn.functional.one_hot(label.long(), self.classes).to(like)

    # Conversion.

    def to(
        self,
        latent: Latent,
        space: str,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Latent:
        """Convert codes along the chain of spaces.

        Args:
            latent: Codes of this generator.
            space: The space wanted.
            truncation: In w, ``mean + truncation * (code - mean)``; 1 leaves codes as they are.
            truncation_cutoff: Only the first so many rows of w+ are drawn towards the mean.

        Raises:
            SpaceError: There is no such space, no way to it, or the latent belongs to another
                generator.
            LatentError: The codes hold NaN or infinity.
        """
        self._check(latent)
        self._space(space)
        for step in self._path(latent.space, space):
            data = self._convert(latent.data, latent.space, step, latent.label)
            latent = replace(latent, data=data, space=step, rows=self._rows(step))
            if truncation != 1.0 and step == self._truncation_space(space):
                latent = self._truncate(latent, truncation, truncation_cutoff)
                truncation = 1.0
        if truncation != 1.0:
            latent = self._truncate(latent, truncation, truncation_cutoff)
        return latent

    def _rows(self, space: str) -> int | None:
        layered = self.spaces.get(space + "+")
        return None if layered is None else layered.shape[0]

    def _truncation_space(self, target: str) -> str:
        return "w" if target in ("w", "p") else "w+"

    def _truncate(self, latent: Latent, psi: float, cutoff: int | None) -> Latent:
        raise CapabilityError(
            f"{self.name!r} has no mean code to truncate towards in space {latent.space!r}. "
            "Leave truncation at 1."
        )

    def _path(self, source: str, target: str) -> list[str]:
        """The spaces on the way from one to another, without the first."""
        if source == target:
            return []
        reached: dict[str, str] = {source: ""}
        queue = [source]
        while queue:
            here = queue.pop(0)
            for step in self._neighbours(here):
                if step not in reached:
                    reached[step] = here
                    queue.append(step)
        if target not in reached:
            raise SpaceError(
                f"{self.name!r} cannot turn codes of {source!r} into {target!r}: that step has no "
                f"inverse. From {source!r} one can reach {sorted(set(reached) - {source})}. To "
                f"find codes in {target!r} for a picture, use sb.invert(G, images)."
            )
        path = [target]
        while reached[path[0]] != source:
            path.insert(0, reached[path[0]])
        return path

    def _neighbours(self, name: str) -> list[str]:
        children = [space.name for space in self.spaces.values() if space.parent == name]
        space = self.spaces[name]
        return children + ([space.parent] if space.invertible and space.parent else [])

    # Checks.

    def _space(self, name: str) -> Space:
        if name not in self.spaces:
            raise SpaceError(f"{self.name!r} has no space {name!r}. {closest(name, self.spaces)}")
        return self.spaces[name]

    def _is_code(self, space: str, shape: Sequence[int]) -> bool:
        """Whether a code of a space may have this shape."""
        return tuple(shape) == self.spaces[space].shape

    def _check(self, latent: Latent) -> None:
        """Refuse a latent of another generator, space or shape, or with numbers that are none."""
        if latent.generator and latent.generator != self.fingerprint:
            raise SpaceError(
                f"The latent belongs to generator {latent.generator}, this is {self.name!r} "
                f"({self.fingerprint}). Sample it here, or rebind its numbers with "
                f"G.latent(latent.data, {latent.space!r})."
            )
        shape = self._space(latent.space).shape
        if not self._is_code(latent.space, latent.data.shape[1:]):
            raise ShapeError(
                f"The latent's codes have the shape {list(latent.data.shape[1:])}; space "
                f"{latent.space!r} of {self.name!r} has {list(shape)}."
            )
        if not torch.isfinite(latent.data.detach()).all():
            row = int((~torch.isfinite(latent.data.detach()).flatten(1).all(1)).nonzero()[0])
            raise LatentError(
                f"Code {row} of the latent holds NaN or infinity. Check where it came from; a "
                "step of optimisation that was too large is the usual cause."
            )


__all__ = ["LatentSpaces", "Prior"]
