"""What all generators share: the walk through the layers, edits, capture, capabilities.

An architecture supplies its spaces, its layers, one conversion a step of the chain, and a walk
through its layers; everything else is here and in `latent_spaces`, once. The walk is the
one seam: ``render``, ``capture`` and the Renderer all call `BaseGenerator.run`, which can
start at any layer from a kept `State`.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from steerbench import store
from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    LayerError,
    ShapeError,
    SpaceError,
    SteerbenchError,
    unknown,
)
from steerbench.generators.fast.precision import fast_dtype
from steerbench.generators.latent_spaces import LatentSpaces, Prior
from steerbench.generators.prior import PriorStatistics
from steerbench.types import (
    ActivationState,
    Edit,
    FirstFeatures,
    Latent,
    Layer,
    Move,
    Run,
    Space,
    State,
    UnitEdit,
    apply_move,
    apply_unit_edits,
)

NOISE_MODES = ("const", "none", "random")
PRECISIONS = ("exact", "fast")


PIECE = 2**22
"""How many numbers of a layer to compute at a time, 16 MiB: larger tensors leave the processor's
cache, and the system hands out their memory page by page."""


class BaseGenerator(LatentSpaces):
    """The shared half of every generator; see DESIGN for the protocol that it fulfils."""

    architecture = ""
    format = ""
    render_space = "z"
    has_noise = False
    independent = False
    """Whether no picture depends on the others of its batch, whatever the mode."""

    def __init__(
        self, module: nn.Module, *, name: str, spaces: Iterable[Space], layers: Sequence[Layer]
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.name = name
        self.statistics = PriorStatistics(self)
        self.spaces = self.statistics.bind({space.name: space for space in spaces})
        self.layers = tuple(layers)
        self.resolution = 0
        self.fingerprint = store.fingerprint(self.module.state_dict())
        self._picture_shape: tuple[int, int, int] | None = None

    # What an architecture supplies.

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        """The state before the first layer, for a latent of ``render_space``."""
        raise CapabilityError(f"Generator {self.name!r} cannot be walked layer by layer.")

    def layer(self, state: State) -> Tensor:
        """The activation of layer ``state.index``, ``[N, C, H, W]``."""
        raise CapabilityError(f"Generator {self.name!r} cannot be walked layer by layer.")

    def advance(self, state: State, activation: Tensor) -> State:
        """The state after a layer gave this (perhaps edited) activation."""
        return replace(state, index=state.index + 1, x=activation)

    def finish(self, state: State) -> Tensor:
        """The picture after the last layer."""
        return state.x.float()

    # Rendering.

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """The channels, height and width of a picture; drawn once where nobody has asked yet."""
        if self._picture_shape is None:
            with torch.no_grad():
                channels, height, width = self.render(self.sample(1)).shape[1:]
            self._picture_shape = (channels, height, width)
        return self._picture_shape

    def render(
        self,
        latent: Latent | ActivationState,
        *,
        edits: Sequence[Edit] = (),
        noise: str | Mapping[str, Tensor] = "const",
        truncation: float | None = None,
        precision: str = "exact",
    ) -> Tensor:
        """Pictures ``[N, C, H, W]`` float32, nominally in [-1, 1], not clamped.

        Differentiable when the latent, or noise that was given, requires a gradient.

        Args:
            latent: Codes in any space that leads to the picture, or activations to go on from.
            edits: Moves of the latent and changes of units, applied in order.
            noise: ``"const"``, ``"none"`` or ``"random"``; ignored where there is no noise. Or maps
                of one's own for some of the layers of `noise_maps`, ``[H, W]`` for all
                pictures or ``[N, 1, H, W]``; the other layers keep their constant noise.
            truncation: Codes are taken as they are; this selects batch statistics where an
                architecture keeps several (BigGAN).
            precision: ``"exact"`` for float32, ``"fast"`` for what convolutions are quickest in on
                this machine, see `steerbench.generators.fast.precision`.
        """
        mode, maps = ("const", noise) if isinstance(noise, Mapping) else (noise, {})
        _choice("noise", mode, NOISE_MODES)
        _choice("precision", precision, PRECISIONS)
        moved, unit_edits = self.prepare(latent, edits)
        self._check_maps(maps, len(moved))
        wanted = _learns(moved) or any(part.requires_grad for part in maps.values())
        with torch.set_grad_enabled(torch.is_grad_enabled() and wanted):
            dtype = fast_dtype(self.device.type) if precision == "fast" else None
            size = len(moved) if unit_edits or maps else self._piece(moved)
            images = []
            for i in range(0, len(moved), size):
                start = self.begin(moved[i : i + size], mode, dtype)
                images.append(self.run(replace(start, maps=maps), edits=unit_edits).image)
        pictures = [image for image in images if image is not None]
        if len(pictures) < len(images):
            raise SteerbenchError(f"Generator {self.name!r} gave no picture.")
        return pictures[0] if len(pictures) == 1 else torch.cat(pictures)

    def noise_maps(self) -> dict[str, Tensor]:
        """The constant noise ``[H, W]`` by layer name; empty where a generator has none."""
        return {}

    def _check_maps(self, maps: Mapping[str, Tensor], n: int) -> None:
        known = self.noise_maps() if maps else {}
        for name, given in maps.items():
            if name not in known:
                raise LayerError(unknown("layer with noise", name, known))
            size = tuple(known[name].shape)
            if tuple(given.shape) not in (size, (1, 1, *size), (n, 1, *size)):
                raise ShapeError(
                    f"Noise {list(given.shape)} was given for layer {name!r} and {n} pictures. "
                    f"Give {list(size)}, or {[n, 1, *size]}."
                )

    def _piece(self, latent: Latent | ActivationState) -> int:
        """How many pictures to make at a time: a large batch on a CPU is quicker in pieces."""
        if not self.independent or _learns(latent) or self.device.type != "cpu":
            return len(latent)
        largest = max(layer.channels * layer.height * layer.width for layer in self.layers)
        return max(1, PIECE // largest)

    def capture(
        self,
        latent: Latent | ActivationState,
        layers: Sequence[str],
        *,
        edits: Sequence[Edit] = (),
        noise: str = "const",
    ) -> dict[str, Tensor]:
        """Activations ``[N, C, H, W]`` by layer name; the walk stops after the last one wanted.

        Raises:
            LayerError: A layer does not exist; the closest names are offered.
        """
        _choice("noise", noise, NOISE_MODES)
        names = [layers] if isinstance(layers, str) else list(layers)
        wanted = {name: self.find_layer(name).index for name in names}
        moved, unit_edits = self.prepare(latent, edits)
        if isinstance(moved, ActivationState):
            self._refuse_earlier(moved, [self.layers[index] for index in wanted.values()])
        with torch.set_grad_enabled(torch.is_grad_enabled() and _learns(moved)):
            run = self.run(
                self.begin(moved, noise), edits=unit_edits, keep=wanted.values(), stop=True
            )
        return {name: run.activations[index].float() for name, index in wanted.items()}

    def capture_state(
        self, latent: Latent, layer: str, *, edits: Sequence[Edit] = (), noise: str = "const"
    ) -> ActivationState:
        """Stop after a layer: the activations from which `render` goes on to the same picture.

        Args:
            latent: Codes in any space that leads to the picture.
            layer: Where to stop.
            edits: Moves, and changes of units of this layer and earlier ones.
            noise: ``"const"``, ``"none"`` or ``"random"``.

        Raises:
            LayerError: The layer does not exist.
        """
        _choice("noise", noise, NOISE_MODES)
        place = self.find_layer(layer)
        codes, unit_edits = self._apply_moves(latent, edits), self._unit_edits(edits)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _learns(codes)):
            start = self.begin(self.to(codes, self.render_space), noise)
            run = self.run(start, edits=unit_edits, keep=[place.index], stop=True)
        image = None if run.end is None else run.end.image
        return ActivationState(
            place.name,
            run.activations[place.index],
            latent=codes,
            image=image,
            generator=self.fingerprint,
        )

    def prepare(
        self, latent: Latent | ActivationState, edits: Sequence[Edit] = ()
    ) -> tuple[Any, dict[int, list[UnitEdit]]]:
        """Apply the moves; return what is left to run, and unit edits by layer index.

        What is left is a latent in the render space, or activations with such a latent.

        Raises:
            LayerError: An edit is of a layer that does not exist, or that has run already.
        """
        unit_edits = self._unit_edits(edits)
        if isinstance(latent, Latent):
            return self.to(self._apply_moves(latent, edits), self.render_space), unit_edits
        self._check_activations(latent)
        self._refuse_earlier(latent, [self.layers[index] for index in unit_edits])
        if latent.latent is not None or any(isinstance(edit, Move) for edit in edits):
            codes = self._apply_moves(latent.codes(), edits)
            latent = latent.with_latent(self.to(codes, self.render_space))
        return latent, unit_edits

    def _apply_moves(self, latent: Latent, edits: Sequence[Edit]) -> Latent:
        self._check(latent)
        for edit in edits:
            latent = self._apply_move(latent, edit) if isinstance(edit, Move) else latent
        return latent

    def _unit_edits(self, edits: Sequence[Edit]) -> dict[int, list[UnitEdit]]:
        by_layer: dict[int, list[UnitEdit]] = defaultdict(list)
        for edit in edits:
            if isinstance(edit, UnitEdit):
                by_layer[self.find_layer(edit.layer).index].append(edit)
            elif not isinstance(edit, Move):
                raise ArgumentError(
                    f"An edit of type {type(edit).__name__} was given. Use a Move "
                    "(alpha * direction) or a UnitEdit."
                )
        return dict(by_layer)

    def _check_activations(self, state: ActivationState) -> None:
        if state.generator and state.generator != self.fingerprint:
            raise SpaceError(
                f"The activations belong to generator {state.generator}, this is {self.name!r} "
                f"({self.fingerprint}). Capture them here: G.capture_state(latent, layer)."
            )
        layer = self.find_layer(state.layer)
        shape = (layer.channels, layer.height, layer.width)
        if tuple(state.activations.shape[1:]) != shape:
            raise ShapeError(
                f"Activations {list(state.activations.shape[1:])} were given for layer "
                f"{layer.name!r} of {self.name!r}, which has {list(shape)}."
            )

    def _refuse_earlier(self, state: ActivationState, layers: Sequence[Layer]) -> None:
        first = self.find_layer(state.layer)
        for layer in layers:
            if layer.index <= first.index:
                raise LayerError(
                    f"Layer {layer.name!r} has run already: the picture begins after "
                    f"{first.name!r}. Edit layers after it, or change the activations themselves."
                )

    def begin(
        self,
        latent: Latent | ActivationState,
        noise: str = "const",
        dtype: torch.dtype | None = None,
    ) -> State:
        """Return the state from which `run` draws what `prepare` left.

        Args:
            latent: A latent of the render space, or activations with one.
            noise: The noise mode.
            dtype: Of the activations; None for the latent's own.
        """
        if isinstance(latent, Latent):
            return self.start(latent, noise, dtype)
        layer = self.find_layer(latent.layer)
        codes = self._any_codes(len(latent)) if latent.latent is None else latent.latent
        state = self.start(codes, noise, dtype)
        if layer.index:
            before = self.run(state, keep=[layer.index - 1], stop=True).end
            state = state if before is None else before
        like = state.x if dtype is None else state.x.to(dtype)
        state = self.advance(state, latent.weighted().to(like))
        return state if latent.image is None else replace(state, image=latent.image.to(like))

    def _any_codes(self, n: int) -> Latent:
        """Codes for layers that read none; a generator whose layers do needs those of its own."""
        if any(layer.row is not None for layer in self.layers):
            raise SpaceError(
                f"The layers of {self.name!r} read a style each, and the activations come without "
                "codes. Give ActivationState(..., latent=codes)."
            )
        return self.to(self.sample(1), self.render_space)[[0] * n]

    def _apply_move(self, latent: Latent, move: Move) -> Latent:
        space = move.direction.space
        if latent.space not in (space, space + "+") and latent.space + "+" != space:
            latent = self.to(latent, space)
        return apply_move(latent, move)

    def run(
        self,
        state: State,
        *,
        edits: Mapping[int, list[UnitEdit]] | None = None,
        keep: Collection[int] = (),
        keep_states: bool = False,
        stop: bool = False,
    ) -> Run:
        """Walk the layers from a state to the picture.

        Args:
            state: Where to start, from `start` or a kept one.
            edits: Changes of units by layer index.
            keep: Layer indices whose activations to keep.
            keep_states: Keep the state before each layer.
            stop: End after the last layer of ``keep``, without a picture.
        """
        edits = edits or {}
        wanted = set(keep)
        activations: dict[int, Tensor] = {}
        states: dict[int, State] = {}
        last = max(wanted) if stop and wanted else len(self.layers) - 1
        while state.index <= last:
            index = state.index
            if keep_states:
                states[index] = state
            activation = self.layer(state)
            if index in edits:
                activation = apply_unit_edits(activation, edits[index])
            if index in wanted:
                activations[index] = activation
            state = self.advance(state, activation)
        image = None if stop else self.finish(state)
        return Run(image, activations, states, state)

    # Capabilities.

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """The weights that a latent first meets, ``[outputs, dim]``, of some layers or all.

        Raises:
            CapabilityError: The generator has no such weights for this space.
        """
        raise CapabilityError(
            f"{self.name!r} has no first affine layer that is known for space {space!r}."
        )

    def first_features(self) -> FirstFeatures:
        """The affine map from a code to the first features that have places.

        Raises:
            CapabilityError: There is none, or it is not known.
        """
        raise CapabilityError(
            f"{self.name!r} has no first affine layer that is known to spread a code over places."
        )

    def discriminator(self, images: Tensor) -> Tensor:
        """Realness logits ``[N]``; absent unless the file held the discriminator."""
        raise CapabilityError(f"{self.name!r} was loaded without a discriminator.")

    def encode(self, images: Tensor) -> Latent:
        """The codes of pictures ``[N, C, H, W]``, where a model can be run towards them."""
        raise CapabilityError(
            f"{self.name!r} has no way from a picture to its code. sb.invert(G, images) searches."
        )

    def log_prob(self, images: Tensor) -> Tensor:
        """The log density ``[N]`` of pictures, in nats, where a model knows it."""
        raise CapabilityError(
            f"{self.name!r} draws pictures without knowing how likely they are. Flows know it."
        )

    # Names.

    def find_layer(self, name: str) -> Layer:
        """A layer by our name or by an alias.

        Raises:
            LayerError: It does not exist; the closest names are offered.
        """
        for layer in self.layers:
            if name == layer.name or name in layer.aliases:
                return layer
        raise LayerError(unknown("layer", name, [layer.name for layer in self.layers]))

    # Device and precision.

    def on(self, device: str | torch.device) -> BaseGenerator:
        """The same generator on another device."""
        return self._with(copy.deepcopy(self.module).to(device))

    def double(self) -> BaseGenerator:
        """The same generator in float64, for laws that should hold exactly."""
        return self._with(copy.deepcopy(self.module).double())

    def _with(self, module: nn.Module) -> BaseGenerator:
        other = copy.copy(self)
        other.module, other.statistics = module, PriorStatistics(other)
        other._rebind()
        other.spaces = other.statistics.bind(other.spaces)
        return other

    def _rebind(self) -> None:
        """Renew what refers to the module after it was replaced."""

    def __repr__(self) -> str:
        spaces = ", ".join(f"{s.name} {list(s.shape)}" for s in self.spaces.values())
        return (
            f"<{self.architecture} {self.name!r}: {self.resolution} pixels, "
            f"{len(self.layers)} layers, {spaces}>"
        )


def _learns(given: Latent | ActivationState) -> bool:
    """Whether a gradient is wanted with respect to what a picture is drawn from."""
    if isinstance(given, Latent):
        return given.data.requires_grad
    parts = (given.activations, given.weights, given.image)
    wanted = any(part is not None and part.requires_grad for part in parts)
    return wanted or (given.latent is not None and given.latent.data.requires_grad)


def _choice(kind: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ArgumentError(unknown(f"{kind} mode", given, known))


__all__ = ["BaseGenerator", "LayerError", "Prior"]
