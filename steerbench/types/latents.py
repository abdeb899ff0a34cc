"""Codes, directions, walks and edits: what a person holds, and how one changes another.

A `Latent` is a batch of codes. A `Direction` is a unit vector with the length of its step, the
same wherever one stands; a `Walk` is a direction whose step depends on where one stands. An edit is
inert data that says what to change: a `Move` of the code along a direction or a walk, or a
`UnitEdit` of a layer's units. Whatever takes a direction takes a walk: sliders, grids, films,
scorecards, recipes, leaderboards.

>>> latent = Latent("w", torch.zeros(1, 2))
>>> (latent + 2.0 * Direction("right", "w", [1.0, 0.0])).data
tensor([[2., 0.]])
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench import store
from steerbench.errors import (
    ArgumentError,
    CheckpointError,
    LatentError,
    LayerError,
    NotFoundError,
    ShapeError,
    SpaceError,
    closest,
)
from steerbench.types.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Latent:
    """A batch of codes.

    ``latent + 2.0 * direction`` is a Latent. Adding a direction that is limited to some layers to
    a latent of one code turns it into its layer-wise form (w becomes w+).

    Attributes:
        space: The name of the space.
        data: ``[N, *shape]`` floating point.
        generator: The fingerprint of the generator it belongs to; empty where it is not known.
        seed: The seed of the first code, where the codes were sampled.
        label: Class indices ``[N]`` or weights ``[N, classes]``, for conditional generators.
        rows: How many rows the layer-wise form of this space has.
    """

    space: str
    data: Tensor
    generator: str = ""
    seed: int | None = None
    label: Tensor | None = None
    rows: int | None = None

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, key: int | slice | Sequence[int]) -> Latent:
        """Some of the codes, always as a batch: ``latent[3]`` holds one."""
        seed = None
        if isinstance(key, int):
            if not -len(self) <= key < len(self):
                raise IndexError(f"Code {key} of {len(self)} was asked for.")
            key = key % len(self)
            seed = None if self.seed is None else self.seed + key
            chosen: slice | list[int] = slice(key, key + 1)
        elif isinstance(key, slice):
            start, _, step = key.indices(len(self))
            seed = self.seed + start if self.seed is not None and step == 1 else None
            chosen = key
        else:
            chosen = list(key)
        label = None if self.label is None else self.label[chosen]
        return replace(self, data=self.data[chosen], label=label, seed=seed)

    def __add__(self, other: Move | Traversal) -> Latent:
        if isinstance(other, Direction | Walk):
            other = Move(other, 1.0)
        if not isinstance(other, Move):
            return NotImplemented
        return apply_move(self, other)

    def __sub__(self, other: Move | Traversal) -> Latent:
        return self + (-other)

    def with_data(self, data: Tensor, space: str | None = None) -> Latent:
        """The same latent with other numbers, in this space or another; the seed stays."""
        return replace(self, data=data, space=space or self.space)

    def detach(self) -> Latent:
        """The same codes outside any gradient."""
        return replace(self, data=self.data.detach())

    def requires_grad_(self) -> Latent:
        """A copy whose codes collect gradients."""
        return replace(self, data=self.data.detach().clone().requires_grad_())

    @property
    def grad(self) -> Tensor | None:
        """The gradient collected by the codes."""
        return self.data.grad

    @staticmethod
    def cat(latents: Sequence[Latent]) -> Latent:
        """One batch out of several of the same space and generator."""
        first = latents[0]
        for latent in latents[1:]:
            if (latent.space, latent.generator) != (first.space, first.generator):
                raise SpaceError(
                    f"Latents of {first.space!r} (generator {first.generator}) and "
                    f"{latent.space!r} (generator {latent.generator}) cannot be joined. "
                    f"Convert them with G.to(latent, {first.space!r}) first."
                )
        labels = [latent.label for latent in latents]
        known = [label for label in labels if label is not None]
        label = torch.cat(known) if len(known) == len(labels) else None
        data = torch.cat([latent.data for latent in latents])
        return replace(first, data=data, seed=None, label=label)


class _Traversable:
    """What a direction and a walk have in common: they can be stepped along, named, limited."""

    if TYPE_CHECKING:
        name: str
        space: str
        scale: float
        layers: tuple[int, ...] | None
        generator: str

    def __mul__(self, alpha: float) -> Move:
        return Move(cast("Traversal", self), float(alpha))

    __rmul__ = __mul__

    def named(self, name: str) -> Self:
        """Return the same under another name."""
        return cast(Self, replace(cast(Any, self), name=name))

    def limited(self, layers: Sequence[int] | None) -> Self:
        """Return the same, changing only some rows of the layer-wise latent; None for all."""
        return cast(Self, replace(cast(Any, self), layers=_rows_of(layers)))

    def stretched(self, factor: float) -> Self:
        """Return the same with steps that are so many times as long."""
        return cast(Self, replace(cast(Any, self), scale=self.scale * factor))


def _rows_of(layers: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if layers is None else tuple(int(row) for row in layers)


KIND = "steerbench direction"
WALK = "steerbench walk"


@dataclass(frozen=True, eq=False)
class Direction(_Traversable):
    """A unit vector in a latent space, and how far one step along it goes.

    Attributes:
        name: What a person calls it.
        space: The name of the space.
        vector: float64, one code's shape, of unit norm (it is normalised when given).
        scale: The length of a step: ``alpha = 1`` moves one standard deviation of the prior along
            the vector. 1 where the direction is not bound to a generator.
        layers: The rows of the layer-wise latent that it may change; none for all.
        generator: The fingerprint of the generator it was found in; empty where it is not known.
        provenance: How it was found.

    Raises:
        LatentError: The vector is zero or holds NaN or infinity.

    >>> smile = Direction("smile", "w", [3.0, 4.0])
    >>> smile.vector
    tensor([0.6000, 0.8000], dtype=torch.float64)
    >>> (2 * smile).alpha
    2.0
    """

    name: str
    space: str
    vector: Tensor
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    generator: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        vector = torch.as_tensor(np.asarray(_plain(self.vector)), dtype=torch.float64)
        norm = vector.norm()
        if not torch.isfinite(norm) or norm == 0:
            raise LatentError(
                f"The vector of direction {self.name!r} is zero or holds NaN or infinity. "
                "Give finite numbers that are not all zero."
            )
        # A vector that is of unit norm already keeps its exact bits through save and load.
        unit = vector.clone() if abs(float(norm) - 1) < 1e-12 else vector / norm
        object.__setattr__(self, "vector", unit)
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "layers", _rows_of(self.layers))

    def __neg__(self) -> Direction:
        return replace(self, vector=-self.vector)

    def cosine(self, other: Direction) -> float:
        """The cosine between two directions of one space, in float64."""
        _same_space(self, other)
        return float(self.vector.flatten() @ other.vector.flatten())

    def condition(self, on: Sequence[Direction]) -> Direction:
        """This direction without what it shares with others: the projection that leaves them.

        Moving along the result does not change the projection on any direction of ``on``.

        Raises:
            LatentError: Nothing is left, because it lies in the span of the others.

        Reference: Shen et al., "InterFaceGAN" (2020, arXiv 2005.09635), section 3.3.
        """
        if not on:
            return self
        for other in on:
            _same_space(self, other)
        basis = torch.stack([other.vector.flatten() for other in on], dim=1)
        left, singular, _ = torch.linalg.svd(basis, full_matrices=False)
        left = left[:, singular > 1e-10 * singular[0]]
        flat = self.vector.flatten()
        rest = flat - left @ (left.T @ flat)
        if rest.norm() < 1e-10:
            raise LatentError(
                f"Direction {self.name!r} lies in the span of the directions it is to be "
                "conditioned on; nothing is left of it. Condition on fewer of them."
            )
        given = " and ".join(other.name for other in on)
        return replace(self, vector=rest.view_as(self.vector), name=f"{self.name} given {given}")

    def to_json(self) -> dict[str, Any]:
        """Return all but the vector, as plain values that JSON can hold."""
        return {
            "name": self.name,
            "space": self.space,
            "scale": self.scale,
            "layers": None if self.layers is None else list(self.layers),
            "generator": self.generator,
            "provenance": self.provenance.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], vector: Tensor) -> Direction:
        """Make the direction again, from what `to_json` gave and its vector."""
        return cls(
            name=values["name"],
            space=values["space"],
            vector=vector,
            scale=values["scale"],
            layers=_rows_of(values["layers"]),
            generator=values["generator"],
            provenance=Provenance.from_json(values["provenance"]),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the direction as a safetensors file."""
        store.save(path, {"vector": self.vector}, {"kind": KIND} | self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Direction:
        """Read a file written by `save`.

        Raises:
            CheckpointError: It is broken, or not a direction.
        """
        tensors, header = store.load(path)
        if header.get("kind") != KIND or "vector" not in tensors:
            raise CheckpointError(
                f"{os.fspath(path)} is not a direction: it holds {header.get('kind', 'no kind')!r}."
                " Give a file written by Direction.save; published .npy, .npz and .pt directions "
                "are read by sb.read_published_direction."
            )
        return cls.from_json(header, tensors["vector"])


@dataclass(frozen=True, eq=False, kw_only=True)
class Walk(_Traversable, ABC):
    """A direction whose step depends on where one stands: `walk(latent, alpha)` is a latent.

    A kind of walk is a frozen, keyword-only dataclass with the name of its kind:

        @dataclass(frozen=True, eq=False, kw_only=True)
        class Spiral(Walk, kind="spiral"):
            turns: float
            centre: Tensor

            def step(self, latent: Latent, alpha: float) -> Latent: ...

    Its own fields are what a recipe or a file keeps: numbers, text, lists of them, tensors and
    directions. Nothing else of the class is stored, so that reading one executes nothing; the
    module that defines the kind must have been imported (those of steerbench are found by
    themselves).

    Attributes:
        name: What a person calls it.
        space: The name of the space that it walks in.
        scale: By what alpha is multiplied; a negative one walks the other way.
        layers: The rows of the layer-wise latent that it may change; none for all.
        generator: The fingerprint of the generator it was found in; empty where it is not known.
        provenance: How it was found.
    """

    name: str
    space: str
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    generator: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, kind: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.kind = kind or cls.kind
        if cls.kind:
            _WALKS[cls.kind] = cls

    @abstractmethod
    def step(self, latent: Latent, alpha: float) -> Latent:
        """Return where codes of `space` (or of its layer-wise form) are after a step of alpha."""

    def __call__(self, latent: Latent, alpha: float) -> Latent:
        """Walk a latent so far: the same as ``latent + alpha * walk``."""
        return apply_move(latent, Move(self, float(alpha)))

    def __neg__(self) -> Self:
        return replace(self, scale=-self.scale)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the walk's own fields: plain values for JSON, and tensors by name."""
        own = [each.name for each in fields(self) if each.name not in Walk.__dataclass_fields__]
        plain: dict[str, Any] = {}
        tensors: dict[str, Tensor] = {}
        for name in own:
            value = getattr(self, name)
            if isinstance(value, Direction):
                plain[name] = value.to_json() | {"vector": name}
                value = value.vector
            if isinstance(value, Tensor):
                tensors[name] = value
            else:
                plain[name] = list(value) if isinstance(value, tuple) else value
        return plain, tensors

    @classmethod
    def from_parts(
        cls, kind: str, plain: Mapping[str, Any], tensors: Mapping[str, Tensor], **shared: Any
    ) -> Walk:
        """Make a walk of a kind again, from what `parts` gave and the fields that all walks have.

        Raises:
            NotFoundError: No kind of that name is known.
            CheckpointError: The parts are not those of the kind.
        """
        if kind not in _WALKS and kind in WALK_HOMES:
            importlib.import_module(WALK_HOMES[kind])
        if kind not in _WALKS:
            raise NotFoundError(
                f"No kind of walk is called {kind!r}. {closest(kind, {*_WALKS, *WALK_HOMES})} "
                "Import the module that defines it first."
            )
        own: dict[str, Any] = dict(tensors)
        for name, value in plain.items():
            if isinstance(value, Mapping) and "vector" in value:
                own[name] = Direction.from_json(value, tensors[value["vector"]])
            else:
                own[name] = value
        names = {each.name for each in fields(_WALKS[kind])} - {*Walk.__dataclass_fields__}
        if own.keys() != names:
            raise CheckpointError(
                f"A walk of the kind {kind!r} is made of {sorted(names)}; {sorted(own)} are there. "
                "It was written by another version: make it anew."
            )
        return _WALKS[kind](**own, **shared)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that all walks have, as plain values that JSON can hold."""
        return {
            "name": self.name,
            "space": self.space,
            "scale": self.scale,
            "layers": None if self.layers is None else list(self.layers),
            "generator": self.generator,
            "provenance": self.provenance.to_json(),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the walk as a safetensors file."""
        plain, tensors = self.parts()
        header = {"kind": WALK, "walk": self.kind, "parts": plain} | self.to_json()
        store.save(path, tensors, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Walk:
        """Read a file written by `save`.

        Raises:
            CheckpointError: It is broken, or not a walk.
            NotFoundError: Its kind is not known.
        """
        tensors, header = store.load(path)
        if header.get("kind") != WALK:
            raise CheckpointError(
                f"{os.fspath(path)} is not a walk: it holds {header.get('kind', 'no kind')!r}. "
                "Give a file written by Walk.save."
            )
        return cls.from_parts(
            header["walk"], header["parts"], tensors, **cls.shared_from_json(header)
        )

    @staticmethod
    def shared_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that all walks have, from what `to_json` gave."""
        shared = {name: values[name] for name in ("name", "space", "scale", "generator")}
        shared["layers"] = _rows_of(values["layers"])
        shared["provenance"] = Provenance.from_json(values["provenance"])
        return shared


_WALKS: dict[str, type[Walk]] = {}
"""The kinds of walks whose classes are there, by name."""
WALK_HOMES = {
    "great circle": "steerbench.unsupervised.closed_form",
    "small circle": "steerbench.unsupervised.closed_form",
}
"""Where steerbench defines its own, so that a file can be read before anything was imported."""

Traversal = Direction | Walk
"""What can be stepped along: the same way everywhere, or one that depends on the place."""


def load_traversal(path: str | os.PathLike[str]) -> Traversal:
    """Read a direction or a walk, whichever a file written by ``save`` holds.

    Raises:
        CheckpointError: It is broken, or neither.
        NotFoundError: It holds a walk of a kind that is not known.
    """
    kind = store.read_header(path).get("kind")
    return Walk.load(path) if kind == WALK else Direction.load(path)


def _plain(vector: Any) -> Any:
    return vector.detach().cpu().numpy() if isinstance(vector, Tensor) else vector


def _same_space(one: Direction, other: Direction) -> None:
    if one.space != other.space:
        raise SpaceError(
            f"Directions {one.name!r} and {other.name!r} live in different spaces, {one.space!r} "
            f"and {other.space!r}. Compare directions of one space."
        )
    if one.vector.shape != other.vector.shape:
        raise ShapeError(
            f"Directions {one.name!r} and {other.name!r} have the shapes {tuple(one.vector.shape)} "
            f"and {tuple(other.vector.shape)}; they come from different generators."
        )


Op = Literal["set", "add", "scale"]


@dataclass(frozen=True, eq=False)
class Move:
    """A step of ``alpha`` along a direction or a walk, on some rows or on all.

    ``layers`` takes the place of the direction's own.
    """

    direction: Traversal
    alpha: float
    layers: tuple[int, ...] | None = None

    def __neg__(self) -> Move:
        return replace(self, alpha=-self.alpha)

    @property
    def rows(self) -> tuple[int, ...] | None:
        """The rows of the layer-wise latent that change; none for all."""
        return self.direction.layers if self.layers is None else self.layers


@dataclass(frozen=True, eq=False)
class UnitEdit:
    """A change of some units of a layer, everywhere or under a mask.

    Attributes:
        layer: The layer's name.
        units: The channels.
        op: ``"set"`` to a value (0 switches units off), ``"add"`` a value or ``"scale"`` by one.
        value: One number, one a unit, or a tensor ``[units, H, W]`` of the layer's size, one number
            for each unit and place (GANSpace's components of activations are such).
        mask: ``[H, W]`` or ``[N, H, W]`` in [0, 1] at any resolution; none for everywhere.
    """

    layer: str
    units: tuple[int, ...]
    op: Op = "set"
    value: float | tuple[float, ...] | Tensor = 0.0
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", tuple(int(unit) for unit in self.units))
        if self.op not in ("set", "add", "scale"):
            raise ArgumentError(
                f"A unit edit was asked to {self.op!r}. It can 'set', 'add' or 'scale'."
            )
        value = _plain_value(self.value)
        object.__setattr__(self, "value", value)
        if not isinstance(value, float) and len(value) != len(self.units):
            raise ShapeError(
                f"{len(value)} values were given for {len(self.units)} units. "
                "Give one number, one a unit, or a tensor [units, H, W]."
            )
        if self.mask is not None and self.mask.ndim not in (2, 3):
            raise ShapeError(
                f"The mask has the shape {tuple(self.mask.shape)}. Give [H, W] or [N, H, W]."
            )


Edit = Move | UnitEdit


def _plain_value(value: Any) -> float | tuple[float, ...] | Tensor:
    """One finite number, a tuple of them, or a tensor ``[units, H, W]``."""
    try:
        given = torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value))
        finite = bool(torch.isfinite(given).all())
    except (TypeError, ValueError, RuntimeError):
        given, finite = torch.zeros(()), False
    if not finite:
        raise ArgumentError(
            f"A unit edit was given the value {str(value)[:60]}. Give finite numbers."
        )
    if given.ndim == 3:
        return given if given.is_floating_point() else given.float()
    if given.ndim > 1:
        raise ShapeError(
            f"The value of a unit edit has the shape {list(given.shape)}. Give one number, one a "
            "unit, or a tensor [units, H, W]."
        )
    numbers: Any = given.tolist()
    return tuple(map(float, numbers)) if given.ndim else float(numbers)


def apply_move(latent: Latent, move: Move) -> Latent:
    """Add a step along a direction to a latent, or walk it so far.

    Raises:
        SpaceError: The direction lives in another space, or belongs to another generator.
        ShapeError: The direction's shape does not fit the latent's.
        LatentError: A walk led to NaN or infinity.
    """
    _check_generators(latent, move.direction)
    latent = _fit_space(latent, move)
    if isinstance(move.direction, Walk):
        return _walk(latent, move, move.direction)
    direction = move.direction
    step = (move.alpha * direction.scale * direction.vector).to(latent.data)
    if step.ndim < latent.data.ndim - 1:
        step = step.expand(latent.data.shape[1:])
    if step.shape != latent.data.shape[1:]:
        raise ShapeError(
            f"Direction {direction.name!r} has the shape {tuple(direction.vector.shape)}, the "
            f"codes in {latent.space!r} have {tuple(latent.data.shape[1:])}."
        )
    if move.rows is not None:
        step = _only_rows(step, move.rows, direction)
    return latent.with_data(latent.data + step)


def _walk(latent: Latent, move: Move, walk: Walk) -> Latent:
    """Where a walk leads, checked: it is somebody's own code."""
    reached = walk.step(latent, move.alpha * walk.scale)
    what = f"The walk {walk.name!r} was given codes {list(latent.data.shape)} in {latent.space!r}"
    if not isinstance(reached, Latent) or reached.data.shape != latent.data.shape:
        gave = list(reached.data.shape) if isinstance(reached, Latent) else type(reached).__name__
        raise ShapeError(
            f"{what} and returned {gave}. Its step must return a Latent of the same shape: "
            "latent.with_data(numbers)."
        )
    if reached.space != latent.space:
        raise SpaceError(f"{what} and returned codes in {reached.space!r}. Stay in one space.")
    if not torch.isfinite(reached.data.detach()).all():
        raise LatentError(
            f"{what} and, at alpha={move.alpha:g}, returned NaN or infinity. Take smaller steps, "
            "or correct its step where it divides or takes a root."
        )
    if move.rows is None:
        return reached
    change = _only_rows(reached.data - latent.data, move.rows, walk, batched=True)
    return latent.with_data(latent.data + change)


def _check_generators(latent: Latent, direction: Traversal) -> None:
    if latent.generator and direction.generator and latent.generator != direction.generator:
        raise SpaceError(
            f"{type(direction).__name__} {direction.name!r} was found in generator "
            f"{direction.generator}, the latent belongs to generator {latent.generator}. Find it "
            "anew in this generator, or drop its binding with dataclasses.replace(direction, "
            "generator='')."
        )


def _fit_space(latent: Latent, move: Move) -> Latent:
    """The latent in the space in which the step is added: its own, or the layer-wise form."""
    space = move.direction.space
    layered = latent.space + "+"
    if space == layered or (space == latent.space and move.rows is not None and latent.rows):
        if latent.rows is None:
            raise SpaceError(f"The latent in {latent.space!r} has no layer-wise form {layered!r}.")
        rows = latent.data[:, None].expand(-1, latent.rows, *latent.data.shape[1:])
        return replace(latent, data=rows, space=layered, rows=None)
    if space == latent.space or space + "+" == latent.space:
        return latent
    raise SpaceError(
        f"{type(move.direction).__name__} {move.direction.name!r} lives in {space!r}, the latent "
        f"in {latent.space!r}. Convert the latent first: G.to(latent, {space!r})."
    )


def _only_rows(
    step: Tensor, rows: tuple[int, ...], direction: Traversal, *, batched: bool = False
) -> Tensor:
    """A step ``[rows, ...]``, or one a code where it is batched, with only some of its rows."""
    step = step.transpose(0, 1) if batched and step.ndim > 2 else step
    if step.ndim < 2 + batched:
        raise SpaceError(
            f"Direction {direction.name!r} is limited to layers {list(rows)}, but space "
            f"{direction.space!r} of this generator is not layer-wise. Use limited(None)."
        )
    if max(rows) >= step.shape[0]:
        raise LayerError(
            f"Layer {max(rows)} was asked for, but there are {step.shape[0]} layers: 0 to "
            f"{step.shape[0] - 1}."
        )
    keep = torch.zeros(step.shape[0], dtype=step.dtype, device=step.device)
    keep[list(rows)] = 1
    step = step * keep.view(-1, *[1] * (step.ndim - 1))
    return step.transpose(0, 1) if batched else step


def apply_unit_edits(activation: Tensor, edits: Iterable[UnitEdit]) -> Tensor:
    """Change units of an activation ``[N, C, H, W]``; the input is left as it was.

    Raises:
        LayerError: A unit does not exist.
    """
    for edit in edits:
        missing = [unit for unit in edit.units if not 0 <= unit < activation.shape[1]]
        if missing:
            raise LayerError(
                f"Unit {missing[0]} was asked for, but layer {edit.layer!r} has "
                f"{activation.shape[1]} units: 0 to {activation.shape[1] - 1}."
            )
        units = list(edit.units)
        before = activation[:, units]
        value = _value_at(edit, before)
        after = {"set": before * 0 + value, "add": before + value, "scale": before * value}[edit.op]
        if edit.mask is not None:
            after = torch.lerp(before, after, _mask_at(edit.mask, before))
        activation = activation.clone()
        activation[:, units] = after
    return activation


def _value_at(edit: UnitEdit, like: Tensor) -> Tensor:
    """The value at an activation's precision, to be broadcast over it."""
    value = torch.as_tensor(edit.value, dtype=like.dtype, device=like.device)
    if value.ndim == 3 and value.shape[1:] != like.shape[2:]:
        raise ShapeError(
            f"The value of an edit of layer {edit.layer!r} has {list(value.shape[1:])} places, the "
            f"layer has {list(like.shape[2:])}."
        )
    return value.reshape(-1, 1, 1) if value.ndim == 1 else value


def _mask_at(mask: Tensor, like: Tensor) -> Tensor:
    """The mask at an activation's resolution, ``[1 or N, 1, H, W]``."""
    mask = mask.to(like).reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[0] not in (1, like.shape[0]):
        raise ShapeError(f"{mask.shape[0]} masks were given for {like.shape[0]} pictures.")
    if mask.shape[-2:] == like.shape[-2:]:
        return mask
    if mask.shape[-1] < like.shape[-1]:
        return F.interpolate(mask, size=like.shape[-2:], mode="nearest")
    return F.interpolate(mask, size=like.shape[-2:], mode="area")
