"""What the prior looks like in each space: mean, standard deviation, covariance.

Samples are drawn in z, which is known, and taken to a space in batches, so that memory does not
grow with their number: a set of codes is kept only where it is small, and otherwise made again
from the nearest space before it that is (s from w). What was measured is remembered by the
generator's fingerprint, in memory for the next load and in files for the next run:

    STEERBENCH_CACHE/statistics/FINGERPRINT-SPACE-moments.safetensors

A file that is damaged, of something else, or cannot be written only costs measuring again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import CapabilityError, ShapeError, SpaceError, SteerbenchError, closest
from steerbench.stats import Covariance, MeanVar
from steerbench.types import Latent, Space

SAMPLES = 4096
"""How many codes are measured."""
KEPT = 32 * 2**20
"""The largest set of codes, or measurement, that is kept in memory, in bytes."""
BATCH = 2**22
"""How many numbers a batch of codes may have."""
REMEMBERED = 16
"""How many measurements are kept in memory, the last ones."""
LARGEST = 16_384
"""The longest code whose covariance is measured: two gigabytes of it."""
KIND = "steerbench space statistics 1"

_MEASURED: dict[str, MeanVar] = {}


class Sampler(Protocol):
    """What is asked of a generator whose prior is measured."""

    name: str
    architecture: str
    fingerprint: str
    classes: int
    spaces: dict[str, Space]

    @property
    def prior(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def latent_space(self) -> str: ...

    def draw(self, random: np.random.RandomState, size: int) -> np.ndarray: ...

    def to(self, latent: Latent, space: str) -> Latent: ...


class PriorStatistics:
    """Mean, standard deviation and covariance of a generator's prior in each of its spaces.

    Args:
        generator: Draws codes and converts them.
    """

    def __init__(self, generator: Any) -> None:
        self.generator: Sampler = generator
        self._codes: dict[str, Tensor] = {}

    def bind(self, spaces: Mapping[str, Space]) -> dict[str, Space]:
        """Return spaces that ask here for their statistics."""
        return {
            name: replace(space, measure=partial(self.statistic, name))
            for name, space in spaces.items()
        }

    def codes(self, space: str) -> Iterator[Tensor]:
        """Yield a fixed set of codes of the prior in a space, in batches ``[n, *shape]``."""
        source: str | None = space
        while source is not None and 4 * SAMPLES * self._length(source) > KEPT:
            source = self.generator.spaces[source].parent
        if source is None:
            first = self.generator.latent_space
            return self._onwards(self._draw(self._step(space)), first, space)
        if source not in self._codes:
            first = self.generator.latent_space
            drawn = self._draw(self._step(first))
            self._codes[source] = torch.cat([*self._onwards(drawn, first, source)])
        return self._onwards(self._codes[source].split(self._step(space)), source, space)

    def _onwards(self, batches: Iterable[Tensor], source: str, space: str) -> Iterator[Tensor]:
        """Batches of the set, taken from a space to a later one."""
        labels, start = self._labels(), 0
        for batch in batches:
            label = None if labels is None else labels[start : start + len(batch)]
            start += len(batch)
            latent = Latent(source, batch, self.generator.fingerprint, label=label)
            with torch.no_grad():
                data = self.generator.to(latent, space).data
            yield data

    def _draw(self, step: int) -> Iterator[Tensor]:
        """The codes in the first space; the steps make no difference to what is drawn."""
        shape = self.generator.spaces[self.generator.latent_space].shape
        random = np.random.RandomState(0)
        for start in range(0, SAMPLES, step):
            count = min(step, SAMPLES - start)
            rows = torch.from_numpy(self.generator.draw(random, count * int(np.prod(shape))))
            yield rows.to(self.generator.device, torch.float32).reshape(count, *shape)

    def _labels(self) -> Tensor | None:
        """Classes drawn at random, so that statistics are of all of them."""
        if not self.generator.classes:
            return None
        drawn = np.random.RandomState(0).randint(self.generator.classes, size=SAMPLES)
        return torch.from_numpy(drawn).to(self.generator.device)

    def _length(self, space: str) -> int:
        return int(np.prod(self.generator.spaces[space].shape))

    def _step(self, space: str) -> int:
        return max(1, min(SAMPLES, BATCH // self._length(space)))

    # Measuring.

    def std_along(self, space: str, vector: Tensor) -> float:
        """Return the standard deviation of the prior along a unit vector of a space.

        Raises:
            SpaceError: There is no such space.
            ShapeError: The vector has another shape than a code.
        """
        if space not in self.generator.spaces:
            raise SpaceError(
                f"{self.generator.name!r} has no space {space!r}. "
                f"{closest(space, self.generator.spaces)}"
            )
        shape = self.generator.spaces[space].shape
        if tuple(vector.shape) != shape:
            raise ShapeError(
                f"A vector of shape {list(vector.shape)} was given for space {space!r} of "
                f"{self.generator.name!r}, whose codes have the shape {list(shape)}."
            )
        if space == self.generator.latent_space:
            return self._known_std()
        flat = vector.flatten().to(self.generator.device, torch.float64)
        along = [batch.flatten(1).double() @ flat for batch in self.codes(space)]
        return float(torch.cat(along).std())

    def _known_std(self) -> float:
        return 1.0 if self.generator.prior == "normal" else float(1 / np.sqrt(3.0))

    def statistic(self, space: str, what: str) -> Tensor:
        """Return ``mean``, ``std`` (of a code's shape) or ``covariance`` (of flat codes)."""
        shape, length = self.generator.spaces[space].shape, self._length(space)
        if what == "covariance" and length > LARGEST:
            raise CapabilityError(
                f"The covariance of {length} numbers was asked for in space {space!r} of "
                f"{self.generator.name!r}. Up to {LARGEST} are measured; take the standard "
                "deviation, or another space."
            )
        if space == self.generator.latent_space:
            value = self._exact(what, length)
        else:
            value = self._moments(space, what)
        value = value if what == "covariance" else value.reshape(shape)
        return value.to(self.generator.device, torch.float32)

    def _exact(self, what: str, length: int) -> Tensor:
        std = self._known_std()
        if what == "covariance":
            return std**2 * torch.eye(length)
        return torch.full((length,), std if what == "std" else 0.0)

    def _moments(self, space: str, what: str) -> Tensor:
        kind: type[MeanVar] = Covariance if what == "covariance" else MeanVar
        moments = self._recall(space, kind)
        if isinstance(moments, Covariance) and what == "covariance":
            return moments.covariance()
        return moments.mean if what == "mean" else moments.std(ddof=1)

    def _recall(self, space: str, kind: type[MeanVar]) -> MeanVar:
        """Moments from memory, from their file, or measured and put in both."""
        what = "covariance" if kind is Covariance else "moments"
        name = f"{self.generator.fingerprint}-{space}-{what}"
        if name in _MEASURED:
            return _MEASURED[name]
        path = store.cache_folder("statistics", f"{name}.safetensors")
        owner = self.generator
        header = {"kind": KIND, "architecture": owner.architecture, "prior": owner.prior}
        moments = _read(path, kind, header, self._length(space))
        if moments is None:
            moments = kind()
            for batch in self.codes(space):
                moments.add(batch.flatten(1))
            with contextlib.suppress(OSError, SteerbenchError):
                path.parent.mkdir(parents=True, exist_ok=True)
                store.save(path, moments.state_dict(), header)
        if sum(8 * part.numel() for part in moments.state_dict().values()) <= KEPT:
            _MEASURED[name] = moments
        while len(_MEASURED) > REMEMBERED:
            del _MEASURED[next(iter(_MEASURED))]
        return moments


def _read(path: Path, kind: type[MeanVar], header: dict[str, str], length: int) -> MeanVar | None:
    """The moments in a file, or none if it does not hold just these."""
    try:
        tensors, found = store.load(path)
        moments = kind.from_state(tensors)
        whole = all(torch.isfinite(part).all() for part in tensors.values())
    except (OSError, SteerbenchError, TypeError, ValueError, RuntimeError):
        return None
    shapes = {part.shape for name, part in tensors.items() if name != "count"}
    expected = {torch.Size([length])} | (
        {torch.Size([length, length])} if kind is Covariance else set()
    )
    right = found == header and whole and shapes == expected and moments.count == SAMPLES
    return moments if right else None


__all__ = ["PriorStatistics"]
