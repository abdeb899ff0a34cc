"""Edits: inert data that says what to change, and the two functions that change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import LayerError, ShapeError, SpaceError, SteerbenchError
from steerbench.types.latents import Direction
from steerbench.types.latents import Latent

Op = Literal["set", "add", "scale"]


@dataclass(frozen=True, eq=False)
class Move:
    """A step of ``alpha`` standard deviations along a direction, on some rows or on all.

    ``layers`` takes the place of the direction's own.
    """

    direction: Direction
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
            raise SteerbenchError(
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
        raise SteerbenchError(
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
    """Add a step along a direction to a latent.

    Raises:
        SpaceError: The direction lives in another space, or belongs to another generator.
        ShapeError: The direction's shape does not fit the latent's.
    """
    direction = move.direction
    _check_generators(latent, direction)
    latent = _fit_space(latent, move)
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


def _check_generators(latent: Latent, direction: Direction) -> None:
    if latent.generator and direction.generator and latent.generator != direction.generator:
        raise SpaceError(
            f"Direction {direction.name!r} was found in generator {direction.generator}, the "
            f"latent belongs to generator {latent.generator}. Find the direction anew in this "
            "generator, or drop its binding with dataclasses.replace(direction, generator='')."
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
        f"Direction {move.direction.name!r} lives in {space!r}, the latent in {latent.space!r}. "
        f"Convert the latent first: G.to(latent, {space!r})."
    )


def _only_rows(step: Tensor, rows: tuple[int, ...], direction: Direction) -> Tensor:
    if step.ndim < 2:
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
    return step * keep.view(-1, *[1] * (step.ndim - 1))


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
