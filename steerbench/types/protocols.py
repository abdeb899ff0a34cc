"""What a generator and a predictor are to everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from steerbench.types.latents import Edit, Latent
from steerbench.types.spaces import FirstFeatures, Layer, Space


@runtime_checkable
class Generator(Protocol):
    """Anything that turns codes into pictures, layer by layer.

    Pictures are ``[N, C, H, W]`` float32, nominally in [-1, 1] and never clamped here. Optional
    capabilities (``affine``, ``first_features``, ``discriminator``, ``encode``, ``log_prob``) raise
    CapabilityError with the reason where they are absent.
    """

    name: str
    fingerprint: str
    resolution: int
    layers: tuple[Layer, ...]

    @property
    def spaces(self) -> Mapping[str, Space]: ...

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
        label: Any = None,
    ) -> Latent: ...

    def latent(self, array: Any, space: str = "z", label: Any = None) -> Latent: ...

    def to(
        self,
        latent: Latent,
        space: str,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Latent: ...

    def render(
        self,
        latent: Latent,
        *,
        edits: Sequence[Edit] = (),
        noise: str | Mapping[str, Tensor] = "const",
        truncation: float | None = None,
        precision: str = "exact",
    ) -> Tensor: ...

    def capture(self, latent: Latent, layers: Sequence[str]) -> dict[str, Tensor]: ...

    def prior_std(self, space: str, vector: Tensor) -> float: ...

    def affine(self, space: str, layers: Any = "all") -> Tensor: ...

    def first_features(self) -> FirstFeatures: ...


@runtime_checkable
class Predictor(Protocol):
    """Anything that reads a picture.

    ``predict`` takes ``[N, C, H, W]`` in [-1, 1] (it clamps, resizes and normalises as it needs)
    and gives scores ``[N, len(names)]``; a segmenter gives label maps ``[N, H, W]``, indices into
    ``names``, in the size of the pictures.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    def predict(self, images: Tensor) -> Tensor: ...
