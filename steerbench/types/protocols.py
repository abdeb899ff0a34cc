"""What a generator, a layer walk and a predictor are to everybody else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from steerbench.types.activations import ActivationState
from steerbench.types.forward import Run, State
from steerbench.types.latents import Edit, Latent, UnitEdit
from steerbench.types.spaces import FirstFeatures, Layer, Space


@runtime_checkable
class Generator(Protocol):
    """Anything that turns codes into pictures, layer by layer.

    Pictures are ``[N, C, H, W]`` float32, nominally in [-1, 1] and never clamped here. Optional
    capabilities (``affine``, ``first_features``, ``discriminator``, ``encode``, ``log_prob``) raise
    CapabilityError with the reason where they are absent.
    """

    name: str
    architecture: str
    format: str
    fingerprint: str
    resolution: int
    layers: tuple[Layer, ...]
    classes: int

    @property
    def prior(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def spaces(self) -> Mapping[str, Space]: ...

    @property
    def latent_space(self) -> str: ...

    @property
    def natural_space(self) -> str: ...

    @property
    def picture_shape(self) -> tuple[int, int, int]: ...

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
        label: Any = None,
    ) -> Latent: ...

    def latent(self, array: Any, space: str | None = None, label: Any = None) -> Latent: ...

    def to(
        self,
        latent: Latent,
        space: str,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Latent: ...

    def prior_std(self, space: str, vector: Tensor) -> float: ...

    def render(
        self,
        latent: Latent | ActivationState,
        *,
        edits: Sequence[Edit] = (),
        noise: str | Mapping[str, Tensor] = "const",
        truncation: float | None = None,
        precision: str = "exact",
    ) -> Tensor: ...

    def capture(
        self,
        latent: Latent | ActivationState,
        layers: Sequence[str],
        *,
        edits: Sequence[Edit] = (),
        noise: str = "const",
    ) -> dict[str, Tensor]: ...

    def capture_state(
        self, latent: Latent, layer: str, *, edits: Sequence[Edit] = (), noise: str = "const"
    ) -> ActivationState: ...

    def noise_maps(self) -> dict[str, Tensor]: ...

    def find_layer(self, name: str) -> Layer: ...

    def affine(self, space: str, layers: Any = "all") -> Tensor: ...

    def first_features(self) -> FirstFeatures: ...

    def discriminator(self, images: Tensor) -> Tensor: ...

    def encode(self, images: Tensor) -> Latent: ...

    def log_prob(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Walkable(Generator, Protocol):
    """A generator whose layers can be walked one by one, and entered at any of them."""

    def prepare(
        self, latent: Latent | ActivationState, edits: Sequence[Edit] = ()
    ) -> tuple[Any, dict[int, list[UnitEdit]]]: ...

    def begin(
        self,
        latent: Latent | ActivationState,
        noise: str = "const",
        dtype: torch.dtype | None = None,
    ) -> State: ...

    def run(
        self,
        state: State,
        *,
        edits: Mapping[int, list[UnitEdit]] | None = None,
        keep: Collection[int] = (),
        keep_states: bool = False,
        stop: bool = False,
    ) -> Run: ...


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
