"""A picture as the list of what was done to get it: small, readable, replayable.

A recipe is two files side by side, ``evening.json`` that a person can read and
``evening.safetensors`` with the numbers that belong to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import MissingFileError, RecipeError, SteerbenchError
from steerbench.types.activations import ActivationState
from steerbench.types.latents import Direction, Edit, Latent, Move, Provenance, UnitEdit, Walk

if TYPE_CHECKING:
    from steerbench.types.protocols import Generator

KIND = "steerbench recipe"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Recipe:
    """The starting latent and the edits that lead to a picture.

    Attributes:
        generator: The fingerprint of the generator.
        generator_name: Its name, for people.
        start: The latent before any edit, or activations in the middle of the generator.
        edits: What was done, in order.
        undone: What was taken back and can be done again.
        truncation: How far codes are drawn towards the mean, in w where there is one (1: not
            at all).
        noise: The noise mode of the generator.
    """

    generator: str
    generator_name: str
    start: Latent | ActivationState
    edits: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    truncation: float = 1.0
    noise: str = "const"

    @classmethod
    def of(
        cls,
        generator: Generator,
        start: Latent | ActivationState,
        edits: tuple[Edit, ...] | list[Edit] = (),
        *,
        truncation: float = 1.0,
        noise: str = "const",
    ) -> Recipe:
        """A recipe for this generator."""
        return cls(
            generator=generator.fingerprint,
            generator_name=generator.name,
            start=start.detach(),
            edits=tuple(edits),
            truncation=truncation,
            noise=noise,
        )

    def add(self, edit: Edit) -> Recipe:
        """One more edit; what was undone is forgotten."""
        return replace(self, edits=(*self.edits, edit), undone=())

    def undo(self) -> Recipe:
        """Without the last edit; the same recipe where there is none."""
        if not self.edits:
            return self
        return replace(self, edits=self.edits[:-1], undone=(*self.undone, self.edits[-1]))

    def redo(self) -> Recipe:
        """With the edit that was undone last; the same recipe where there is none."""
        if not self.undone:
            return self
        return replace(self, edits=(*self.edits, self.undone[-1]), undone=self.undone[:-1])

    def on(self, start: Latent | ActivationState) -> Recipe:
        """The same edits on other latents, one or a batch."""
        return replace(self, start=start.detach())

    def latent(self, generator: Generator) -> Latent | ActivationState:
        """The starting latent, or activations, as the edits meet it.

        Raises:
            RecipeError: The recipe was made with another generator.
        """
        self.check(generator)
        if self.truncation == 1.0 or isinstance(self.start, ActivationState):
            return self.start
        space = "w+" if "w+" in generator.spaces else self.start.space
        return generator.to(self.start, space, truncation=self.truncation)

    def render(self, generator: Generator) -> Tensor:
        """The picture, ``[N, C, H, W]`` in [-1, 1].

        Raises:
            RecipeError: The recipe was made with another generator.
        """
        return generator.render(self.latent(generator), edits=self.edits, noise=self.noise)

    def check(self, generator: Generator) -> None:
        """Raise RecipeError unless the recipe was made with this generator."""
        if generator.fingerprint == self.generator:
            return
        raise RecipeError(
            f"This recipe was made with generator {self.generator_name!r} (fingerprint "
            f"{self.generator}), but {generator.name!r} (fingerprint {generator.fingerprint}) was "
            f"given: its weights differ, so the picture would be another one. Load "
            f"{self.generator_name!r}, or find the directions anew in {generator.name!r}."
        )

    def diff(self, other: Recipe) -> list[str]:
        """What differs between two recipes, one line each; empty where nothing does."""
        lines: list[str] = []
        for name in ("generator", "truncation", "noise"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                lines.append(f"{name}: {mine} -> {theirs}")
        if _mark_start(self.start) != _mark_start(other.start):
            lines.append(f"start: {_say_start(self.start)} -> {_say_start(other.start)}")
        for i in range(max(len(self.edits), len(other.edits))):
            before = _say(self.edits[i]) if i < len(self.edits) else "nothing"
            after = _say(other.edits[i]) if i < len(other.edits) else "nothing"
            if before != after:
                lines.append(f"edit {i}: {before} -> {after}")
        return lines

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``NAME.json`` and ``NAME.safetensors``; returns the path of the first."""
        target = _paths(path)
        tensors: dict[str, Tensor] = {}
        start = _start_to_json(self.start, tensors)
        steps = [_edit_to_json(edit, i, tensors) for i, edit in enumerate(self.edits)]
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        document = {
            "kind": KIND,
            "format": FORMAT_VERSION,
            "generator": {"name": self.generator_name, "fingerprint": self.generator},
            "start": start,
            "truncation": self.truncation,
            "noise": self.noise,
            "edits": steps,
            "tensors": store.fingerprint(tensors),
        }
        store.save(target.with_suffix(".safetensors"), tensors, {"kind": KIND})
        store.write_text_atomic(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a recipe from either of its two files.

        Raises:
            NotFoundError: One of the files is missing.
            RecipeError: The text is not a recipe, or the numbers belong to another one.
        """
        target = _paths(path)
        document = _read_document(target)
        tensors, _ = store.load(target.with_suffix(".safetensors"))
        if store.fingerprint(tensors) != document.get("tensors"):
            raise RecipeError(
                f"{target.with_suffix('.safetensors')} does not hold the numbers that {target} "
                "was written with. Keep the two files of a recipe together."
            )
        try:
            return cls._from_json(document, tensors)
        except SteerbenchError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise RecipeError(
                f"{target} is not a complete recipe ({type(error).__name__}: {error}). "
                "Save it again from the widget or with Recipe.save."
            ) from error

    @classmethod
    def _from_json(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Recipe:
        fingerprint = document["generator"]["fingerprint"]
        return cls(
            generator=fingerprint,
            generator_name=document["generator"]["name"],
            start=_start_from_json(document["start"], tensors, fingerprint),
            edits=tuple(_edit_from_json(step, tensors) for step in document["edits"]),
            truncation=float(document["truncation"]),
            noise=document["noise"],
        )


def _paths(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix in (".json", ".safetensors"):
        return target.with_suffix(".json")
    return target.with_name(target.name + ".json")


def _read_document(target: Path) -> dict[str, Any]:
    if not target.exists():
        raise MissingFileError(f"There is no recipe {target}. Give the path of its .json file.")
    try:
        document = json.loads(target.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise RecipeError(f"{target} cannot be read as JSON: {error}.") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise RecipeError(f"{target} is not a recipe. Give a file written by Recipe.save.")
    if document.get("format") != FORMAT_VERSION:
        raise RecipeError(
            f"{target} is a recipe of format {document.get('format')!r}; this version reads format "
            f"{FORMAT_VERSION}. Update steerbench."
        )
    return document


def _start_to_json(
    start: Latent | ActivationState, tensors: dict[str, Tensor]
) -> dict[str, Any] | None:
    if isinstance(start, ActivationState):
        parts = {"activations": start.activations, "weights": start.weights, "image": start.image}
        tensors.update({name: part for name, part in parts.items() if part is not None})
        codes = None if start.latent is None else _start_to_json(start.latent, tensors)
        return {"layer": start.layer, "codes": codes}
    tensors["start"] = start.data
    if start.label is not None:
        tensors["label"] = start.label
    return {
        "space": start.space,
        "seed": start.seed,
        "count": len(start),
        "rows": start.rows,
    }


def _start_from_json(
    start: Mapping[str, Any], tensors: Mapping[str, Tensor], fingerprint: str
) -> Latent | ActivationState:
    if "layer" not in start:
        label = tensors.get("label")
        return Latent(
            start["space"], tensors["start"], fingerprint, start["seed"], label, start["rows"]
        )
    codes = start["codes"]
    return ActivationState(
        start["layer"],
        tensors["activations"],
        tensors.get("weights"),
        None if codes is None else cast(Latent, _start_from_json(codes, tensors, fingerprint)),
        tensors.get("image"),
        fingerprint,
    )


def _edit_to_json(edit: Edit, index: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
    if isinstance(edit, Move) and isinstance(edit.direction, Walk):
        return _walk_to_json(edit, edit.direction, index, tensors)
    if isinstance(edit, Move):
        direction = cast(Direction, edit.direction)
        tensors[f"edit.{index}.vector"] = direction.vector
        return {
            "kind": "move",
            "direction": direction.name,
            "space": direction.space,
            "vector": f"edit.{index}.vector",
            "alpha": edit.alpha,
            "layers": None if edit.layers is None else list(edit.layers),
            "scale": direction.scale,
            "direction_layers": None if direction.layers is None else list(direction.layers),
            "direction_generator": direction.generator,
            "provenance": direction.provenance.to_json(),
        }
    if edit.mask is not None:
        tensors[f"edit.{index}.mask"] = edit.mask.to(torch.float32)
    value: Any = edit.value
    if isinstance(value, Tensor):
        tensors[f"edit.{index}.value"] = value
        value = f"edit.{index}.value"
    return {
        "kind": "units",
        "layer": edit.layer,
        "units": list(edit.units),
        "op": edit.op,
        "value": list(value) if isinstance(value, tuple) else value,
    } | ({"mask": f"edit.{index}.mask"} if edit.mask is not None else {})


def _walk_to_json(move: Move, walk: Walk, index: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
    plain, own = walk.parts()
    tensors.update({f"edit.{index}.{name}": value for name, value in own.items()})
    return {
        "kind": "walk",
        "walk": walk.kind,
        "alpha": move.alpha,
        "rows": None if move.layers is None else list(move.layers),
        "parts": plain,
        "tensors": {name: f"edit.{index}.{name}" for name in own},
    } | walk.to_json()


def _walk_from_json(step: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Move:
    own = {name: tensors[place] for name, place in step["tensors"].items()}
    walk = Walk.from_parts(step["walk"], step["parts"], own, **Walk.shared_from_json(step))
    rows = step["rows"]
    return Move(walk, float(step["alpha"]), None if rows is None else tuple(rows))


def _edit_from_json(step: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Edit:
    if step["kind"] == "walk":
        return _walk_from_json(step, tensors)
    if step["kind"] == "move":
        return _move_from_json(step, tensors)
    value = step["value"]
    mask = step.get("mask")
    return UnitEdit(
        layer=step["layer"],
        units=tuple(step["units"]),
        op=step["op"],
        value=tensors[value] if isinstance(value, str) else value,
        mask=None if mask is None else tensors[mask],
    )


def _move_from_json(step: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Move:
    rows, own = step["layers"], step["direction_layers"]
    direction = Direction(
        name=step["direction"],
        space=step["space"],
        vector=tensors[step["vector"]],
        scale=step["scale"],
        layers=None if own is None else tuple(own),
        generator=step["direction_generator"],
        provenance=Provenance.from_json(step["provenance"]),
    )
    return Move(direction, float(step["alpha"]), None if rows is None else tuple(rows))


def _say_start(start: Latent | ActivationState) -> str:
    if isinstance(start, ActivationState):
        return f"{len(start)} from {start.layer}, activations {_mark(start.weighted())}"
    return f"{len(start)} in {start.space}, seed {start.seed}"


def _mark_start(start: Latent | ActivationState) -> str:
    """What tells one start from another."""
    tensors: dict[str, Tensor] = {}
    document = _start_to_json(start, tensors)
    return f"{document} {store.fingerprint(tensors)}"


def _say(edit: Edit) -> str:
    if isinstance(edit, Move):
        where = "" if edit.rows is None else f" on layers {list(edit.rows)}"
        return f"{edit.direction.name} {edit.alpha:+.3g}{where}"
    where = "" if edit.mask is None else f" under mask {_mark(edit.mask.float())}"
    value: Any = edit.value
    if isinstance(value, Tensor):
        value = f"{list(value.shape)} values {_mark(value)}"
    return f"{edit.op} {value} in {len(edit.units)} units of {edit.layer}{where}"


def _mark(tensor: Tensor) -> str:
    """Six digits that tell one tensor from another."""
    return store.fingerprint({"": tensor})[:6]
