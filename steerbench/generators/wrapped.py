"""Any module that maps a latent to a picture, as a Generator.

The module is run once on a sample to learn what it is made of: its convolutions become the
layers, by their dotted names and in the order in which they run; its pixels are brought from
their own range to [-1, 1]; the weights that the latent meets first become ``affine``, so that
SeFa works. The module is always run whole, with its layers recorded and edited on the way: to go on
from a layer, the activation there takes the place of what the module computes, so that a later
start gives the same picture and saves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from steerbench import hooks
from steerbench.errors import ArgumentError, CapabilityError, ShapeError
from steerbench.generators.base import BaseGenerator, Prior
from steerbench.generators.dcgan import normalisation
from steerbench.types import (
    FirstFeatures,
    Latent,
    Layer,
    Run,
    Space,
    State,
    UnitEdit,
    apply_unit_edits,
)


class WrappedGenerator(BaseGenerator):
    """What `wrap` makes of a module."""

    architecture = "wrapped"
    format = "a module of one's own"

    def __init__(
        self,
        module: nn.Module,
        *,
        latent_shape: tuple[int, ...],
        prior: Prior,
        pixels: tuple[float, float],
        name: str,
    ) -> None:
        self.latent_shape, self.pixels = latent_shape, pixels
        self.prior = prior
        module = module.eval()
        size = 1
        for length in latent_shape:
            size *= length
        code = Space("z", (size,))
        probe = torch.zeros(1, *latent_shape).to(next(module.parameters(), torch.zeros(())))
        found, picture = _explore(module, probe, name)
        layers = [Layer(layer, index, *shape) for index, (layer, shape) in enumerate(found.items())]
        super().__init__(module, name=name, spaces=[code], layers=layers)
        self.resolution = int(picture.shape[-1])
        self._picture_shape = (int(picture.shape[1]), int(picture.shape[2]), self.resolution)
        self._first = _first_weights(module, probe)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        reference = next(self.module.parameters(), latent.data)
        x = latent.data.to(reference.dtype).reshape(-1, *self.latent_shape)
        # The code stands among the inputs of every state: the module is entered with it.
        return State(0, (x,), x, None, noise)

    def run(
        self,
        state: State,
        *,
        edits: Mapping[int, list[UnitEdit]] | None = None,
        keep: Collection[int] = (),
        keep_states: bool = False,
        stop: bool = False,
    ) -> Run:
        names = [layer.name for layer in self.layers]
        changes = self._changes(state, edits or {})
        last = max(keep, default=len(names) - 1) if stop else len(names) - 1
        watched = sorted({*keep, *([last] if stop else [])})
        image = None
        with hooks.Trace(
            self.module, [names[i] for i in watched], edit=changes, stop=stop and bool(names)
        ) as trace:
            image = self.module(state.inputs[0])
        activations = {index: trace[names[index]] for index in keep}
        states = {state.index: state} if keep_states else {}
        if stop or image is None:
            end = replace(state, index=last + 1, x=trace[names[last]]) if stop and names else None
            return Run(None, activations, states, end)
        return Run(self._to_pixels(image), activations, states)

    def _changes(self, state: State, edits: Mapping[int, list[UnitEdit]]) -> dict[str, Any]:
        """What takes the place of each layer's output: its edited one, or where to go on from."""
        names = [layer.name for layer in self.layers]
        changes: dict[str, Any] = {
            names[index]: lambda x, changed=changed: apply_unit_edits(x, changed)
            for index, changed in edits.items()
        }
        if state.index:
            changes[names[state.index - 1]] = lambda x: state.x.to(x)
        return changes

    def _to_pixels(self, image: Tensor) -> Tensor:
        low, high = self.pixels
        return (image.float() - low) * (2 / (high - low)) - 1

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """The weights that z first meets, ``[outputs, latent]``."""
        if space != "z" or self._first is None:
            raise CapabilityError(
                f"{self.name!r} has no first affine layer that is known for space {space!r}: its "
                "latent does not go straight into a linear layer or convolution."
            )
        if layers not in ("all", None):
            raise CapabilityError(
                f"{self.name!r} takes its latent at the first layer only; layers must be 'all', "
                f"not {layers!r}."
            )
        return self._first

    def first_features(self) -> FirstFeatures:
        """The layer that z goes into, where what it gives is laid out over places.

        A batch normalisation that reads it straight away is part of it.
        """
        probe = self.module_input()
        walked = _walk(self.module, probe) if self._first is not None else []
        first = next((i for i, step in enumerate(walked) if isinstance(step[0], KINDS)), None)
        if first is None:
            return super().first_features()
        part, _, given = walked[first]
        laid_out = next(
            (x for step in walked[first:] for x in step[1:] if x.ndim == 4 and _same(x, given)),
            None,
        )
        rows = _laid_out_weights(part)
        if laid_out is None or laid_out.shape[2:].numel() == 1 or len(rows) != laid_out.numel():
            return super().first_features()
        weight = rows.unflatten(0, laid_out.shape[1:])
        bias = weight.new_zeros(weight.shape[:3])
        own = getattr(part, "bias", None)
        if own is not None:
            per_channel = isinstance(part, nn.Conv2d | nn.ConvTranspose2d)
            bias = bias + (own[:, None, None] if per_channel else own.reshape(bias.shape)).detach()
        for norm, before, _ in walked[first + 1 :]:
            if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
                if _same(before, given) and before.ndim == 4:
                    gain, offset = normalisation(norm)
                    weight, bias = gain[..., None] * weight, gain * bias + offset
                break
        return FirstFeatures("z", weight, bias)

    def module_input(self) -> Tensor:
        """A random code, as the module wants it."""
        source = torch.Generator().manual_seed(0)
        reference = next(self.module.parameters(), torch.zeros(()))
        return torch.randn(1, *self.latent_shape, generator=source).to(reference)


KINDS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def _walk(module: nn.Module, probe: Tensor) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Every part without parts, in the order in which they run, with a copy of what came in and
    went out."""
    walked: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            walked.append((part, came[part], output.detach().clone()))

    def arrive(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            came[part] = inputs[0].detach().clone()

    came: dict[nn.Module, Tensor] = {}
    leaves = [part for part in module.modules() if not list(part.children())]
    handles = [leaf.register_forward_pre_hook(arrive) for leaf in leaves]
    handles += [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with torch.no_grad():
            module(probe)
    finally:
        for handle in handles:
            handle.remove()
    return walked


def _same(one: Tensor, two: Tensor) -> bool:
    """Whether the same numbers stand in the same order."""
    return one.numel() == two.numel() and torch.equal(one.flatten(), two.flatten())


def _laid_out_weights(part: nn.Module) -> Tensor:
    """The weights of a layer that reads one place, outputs in the order in which it gives them."""
    weight = part.get_parameter("weight").detach()
    if isinstance(part, nn.ConvTranspose2d):
        return weight.flatten(1).T
    return weight.flatten(1)


def wrap(
    module: nn.Module,
    latent_shape: tuple[int, ...] = (100,),
    prior: Prior = "normal",
    pixels: tuple[float, float] = (-1.0, 1.0),
    name: str | None = None,
) -> WrappedGenerator:
    """Turn a module that maps a latent to a picture into a Generator.

    Args:
        module: Called with ``[N, *latent_shape]``, gives ``[N, C, H, W]``. It is put in
            evaluation mode, and its weights are frozen.
        latent_shape: As the module wants it, without the batch: ``(100,)`` or ``(100, 1, 1)``.
            Codes of the Generator are flat.
        prior: ``"normal"`` for N(0, 1), ``"uniform"`` for U(-1, 1).
        pixels: The module's own range of pixel values, brought to [-1, 1].
        name: What to call it; the class name by default.

    Raises:
        ShapeError: The module refuses such a latent, or does not give a picture.
        ArgumentError: The prior or the pixel range make no sense.

    >>> G = wrap(nn.Sequential(nn.ConvTranspose2d(8, 3, 4), nn.Tanh()), latent_shape=(8, 1, 1))
    >>> G.render(G.sample(2, seed=0)).shape
    torch.Size([2, 3, 4, 4])
    """
    if prior not in ("normal", "uniform"):
        raise ArgumentError(f"The prior was given as {prior!r}. Use 'normal' or 'uniform'.")
    low, high = pixels
    if not low < high:
        raise ArgumentError(f"The pixel range was given as {pixels}. Give (low, high).")
    return WrappedGenerator(
        module,
        latent_shape=tuple(latent_shape),
        prior=prior,
        pixels=(float(low), float(high)),
        name=name or type(module).__name__,
    )


def _explore(
    module: nn.Module, probe: Tensor, name: str
) -> tuple[dict[str, tuple[int, int, int]], Tensor]:
    """The convolutions in the order in which they run, and the picture that came out."""
    try:
        with torch.no_grad():
            picture = module(probe)
            found = hooks.conv_layers(module, probe)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ShapeError(
            f"{name} does not accept a latent of shape {list(probe.shape)}: {error}. Give the "
            "shape that it wants as latent_shape, without the batch."
        ) from error
    if not isinstance(picture, Tensor) or picture.ndim != 4 or picture.shape[0] != 1:
        given = list(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
        raise ShapeError(
            f"{name} gave {given} for a latent of shape {list(probe.shape)}. A generator gives "
            "pictures [N, C, H, W]; wrap the part of the model that does."
        )
    return found, picture


def _first_weights(module: nn.Module, probe: Tensor) -> Tensor | None:
    """The weights of the first layer, ``[outputs, latent]``, if the latent goes straight in."""
    met: list[tuple[nn.Module, Tensor]] = []
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    probe = torch.randn_like(probe)
    handles = [
        part.register_forward_pre_hook(lambda part, inputs: met.append((part, inputs[0])))
        for part in module.modules()
        if isinstance(part, kinds)
    ]
    try:
        with torch.no_grad():
            module(probe)
    finally:
        for handle in handles:
            handle.remove()
    if not met or met[0][1].numel() != probe.numel():
        return None
    part, given = met[0]
    if not torch.equal(given.flatten(), probe.flatten()):
        return None
    weight = part.get_parameter("weight").detach()
    if isinstance(part, nn.ConvTranspose2d):
        return None if part.groups != 1 else weight.flatten(1).T
    if isinstance(part, nn.Conv2d):
        return weight.permute(0, 2, 3, 1).flatten(0, 2) if part.groups == 1 else None
    return weight


__all__ = ["WrappedGenerator", "wrap"]
