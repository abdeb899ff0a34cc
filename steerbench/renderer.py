"""The one interactive render path: what a slider waits for.

A `Renderer` remembers the walk through the layers of its last picture. A new request is compared
with it, layer by layer, and the walk starts again at the first layer that is fed something else:
an edit of a late layer costs only the late layers.

>>> import torch
>>> from steerbench.generators import wrap
>>> G = wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 4), torch.nn.Tanh()), (8, 1, 1))
>>> renderer = Renderer(G)
>>> renderer.render(G.sample(1, seed=0)).shape
torch.Size([1, 3, 4, 4])

`Renderer.render` gives what ``G.render`` gives, and neither collects gradients nor keeps anything
that the caller holds. `Renderer.request` is the same for callers on several threads: while a
picture is being made requests do not queue up, the newest one wins and older ones get None.

Gradients are switched off by ``torch.no_grad`` inside the call, which is local to the thread.
``inference_mode`` would save no time worth having, and what a generator caches during the call
(its kernels, say) could never again be differentiated through.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, SteerbenchError, unknown
from steerbench.generators.base import NOISE_MODES, BaseGenerator
from steerbench.generators.fast.precision import fast_dtype
from steerbench.image import encode_jpeg, to_uint8
from steerbench.timing import best_of
from steerbench.types import ActivationState, Edit, Latent, State, UnitEdit

Precision = Literal["auto", "exact", "fast"]
UnitEdits = dict[int, list[UnitEdit]]

CLEARLY_FASTER = 1.15
"""How many times faster half precision must be to be taken."""
PATIENCE = 1.0
"""For how many seconds to try each precision; a person waits for the first picture."""
ALIKE = 2.0
"""How far its pictures may be from float32, in levels of 255, on average."""

_LOCKS: WeakKeyDictionary[BaseGenerator, threading.RLock] = WeakKeyDictionary()
_FASTEST: WeakKeyDictionary[BaseGenerator, torch.dtype | None] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class CachedForward:
    """A finished forward pass: what layers were fed, what came between them, and the picture."""

    start: State
    edits: UnitEdits
    states: dict[int, State]
    image: Tensor


class Renderer:
    """Renders one request after the other, reusing the layers that a request leaves alone.

    Args:
        generator: The generator; all Renderers of one generator share one lock.
        precision: ``"exact"`` is float32, to 1e-5 what ``G.render`` gives. ``"fast"`` is the
            half precision that this machine is quick in. ``"auto"`` tries both once and takes the
            fast one only where this generator is clearly faster in it and its pictures look the
            same (see `CLEARLY_FASTER`, `ALIKE`).

    Attributes:
        last_start: The index of the layer at which the last walk began; the number of layers
            where the picture was at hand already.
        lock: The generator's lock, held during a render. Hold it to keep others out for longer.

    Raises:
        ArgumentError: The precision is not known.
    """

    def __init__(self, generator: BaseGenerator, precision: Precision = "auto") -> None:
        if precision not in ("auto", "exact", "fast"):
            raise ArgumentError(unknown("precision", precision, ("auto", "exact", "fast")))
        self.generator = generator
        self.precision = precision
        self.lock = lock_of(generator)
        self.last_start = 0
        self._last: CachedForward | None = None
        self._newest = 0
        self._counting = threading.Lock()

    def render(
        self,
        latent: Latent | ActivationState,
        edits: Sequence[Edit] = (),
        noise: str = "const",
    ) -> Tensor:
        """Pictures ``[N, C, H, W]`` float32, nominally in [-1, 1], not clamped; no gradients.

        Args:
            latent: Codes in any space that leads to the picture, or activations to go on from.
            edits: Moves of the latent and changes of units, applied in order.
            noise: ``"const"``, ``"none"`` or ``"random"``; random noise is drawn anew for every
                picture, so nothing is reused then.

        Raises:
            ArgumentError: Of the kinds that ``G.render`` raises for wrong latents and edits.
        """
        if noise not in NOISE_MODES:
            raise ArgumentError(unknown("noise mode", noise, NOISE_MODES))
        with self.lock, torch.no_grad():
            moved, unit_edits = self.generator.prepare(latent, edits)
            start = self.generator.begin(moved, noise, self._dtype())
            if noise == "random":
                return self._walk_anew(start, unit_edits)
            return self._walk(start, unit_edits)

    def request(
        self,
        latent: Latent | ActivationState,
        edits: Sequence[Edit] = (),
        noise: str = "const",
    ) -> Tensor | None:
        """`render`, or None if a newer request came while this one waited for its turn."""
        with self._counting:
            self._newest += 1
            mine = self._newest
        with self.lock:
            if mine != self._newest:
                return None
            return self.render(latent, edits, noise)

    def jpeg(self, latent: Latent, edits: Sequence[Edit] = (), quality: int = 90) -> bytes:
        """The one picture as a JPEG file, ready for the screen.

        Raises:
            ShapeError: The latent holds several codes.
        """
        return encode_jpeg(self.render(latent, edits), quality)

    def forget(self) -> None:
        """Drop what is kept: to free memory, or after the generator's weights were changed."""
        with self.lock:
            self._last = None

    def _walk_anew(self, start: State, edits: UnitEdits) -> Tensor:
        self.last_start = 0
        return _picture(self.generator.run(start, edits=edits).image)

    def _walk(self, start: State, edits: UnitEdits) -> Tensor:
        """The picture, from the layer where it parts from the last one."""
        start, edits = _own(start), {index: _own_edits(some) for index, some in edits.items()}
        last = self._last
        if last is None or not _same_beginning(last.start, start):
            states, state = {}, start
        else:
            parting = _parting(last, start, edits, len(self.generator.layers))
            if parting is None:
                self.last_start = len(self.generator.layers)
                return last.image.clone()
            states = {index: kept for index, kept in last.states.items() if index <= parting}
            state = states[max(states)].resume(start.inputs)
        run = self.generator.run(state, edits=edits, keep_states=True)
        image = _picture(run.image)
        self._last = CachedForward(start, edits, states | run.states, image)
        self.last_start = state.index
        return image.clone()

    def _dtype(self) -> torch.dtype | None:
        if self.precision == "exact":
            return None
        if self.precision == "fast":
            return fast_dtype(self.generator.device.type)
        if self.generator not in _FASTEST:
            _FASTEST[self.generator] = fastest_dtype(self.generator)
        return _FASTEST[self.generator]


def lock_of(generator: BaseGenerator) -> threading.RLock:
    """The one lock of a generator; a thread may take it again while it holds it."""
    return _LOCKS.setdefault(generator, threading.RLock())


def fastest_dtype(generator: BaseGenerator) -> torch.dtype | None:
    """Half precision where it pays on this machine, else None for the generator's own."""
    dtype = fast_dtype(generator.device.type)
    if dtype is None:
        return None
    latent = generator.sample(1, seed=0)
    try:
        fast, quick = _time(generator, latent, "fast")
    except RuntimeError:  # an operation of a foreign model that half precision does not have
        return None
    slow, true = _time(generator, latent, "exact")
    distance = np.abs(quick.astype(float) - true.astype(float)).mean()
    return dtype if slow > CLEARLY_FASTER * fast and distance <= ALIKE else None


def _time(generator: BaseGenerator, latent: Latent, precision: str) -> tuple[float, np.ndarray]:
    """The best of a few tries in seconds, and the picture's bytes ``[1, H, W, C]``."""
    pictures: list[np.ndarray] = []

    def draw() -> None:
        image = generator.render(latent, precision=precision)
        pictures[:] = [to_uint8(torch.nan_to_num(image))]

    # The first try also prepares kernels.
    return best_of(draw, 4, patience=PATIENCE), pictures[0]


def _parting(last: CachedForward, start: State, edits: UnitEdits, layers: int) -> int | None:
    """The first layer that is fed something else than in the last walk; None where there is none.

    A generator whose layers read no inputs of their own parts only by its unit edits.
    """
    for index in range(start.index, layers):
        if index < len(start.inputs) and not _same(last.start.inputs[index], start.inputs[index]):
            return index
        if not _same_edits(last.edits.get(index, []), edits.get(index, [])):
            return index
    return None


def _same_beginning(a: State, b: State) -> bool:
    words = (a.index, a.noise, len(a.inputs)) == (b.index, b.noise, len(b.inputs))
    return words and _same(a.x, b.x) and _alike(a.image, b.image) and _alike(a.shortcut, b.shortcut)


def _same_edits(a: list[UnitEdit], b: list[UnitEdit]) -> bool:
    return len(a) == len(b) and all(map(_same_edit, a, b))


def _same_edit(a: UnitEdit, b: UnitEdit) -> bool:
    words = (a.units, a.op) == (b.units, b.op)
    return words and _alike(a.value, b.value) and _alike(a.mask, b.mask)


def _alike(a: object, b: object) -> bool:
    """Whether two tensors hold the same, or two other things are equal."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _same(a, b)
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def _own(state: State) -> State:
    """The state with inputs of its own: a caller may write into a latent and ask again."""
    inputs = tuple(given.detach().clone() for given in state.inputs)
    return replace(state, inputs=inputs, x=state.x.detach().clone())


def _own_edits(edits: list[UnitEdit]) -> list[UnitEdit]:
    """The same for values and masks, which people paint in."""
    return [replace(edit, value=_own_copy(edit.value), mask=_own_copy(edit.mask)) for edit in edits]


def _own_copy(given: Any) -> Any:
    return given.detach().clone() if isinstance(given, Tensor) else given


def _picture(image: Tensor | None) -> Tensor:
    if image is None:
        raise SteerbenchError("The generator gave no picture. Its last layer was not reached.")
    return image
