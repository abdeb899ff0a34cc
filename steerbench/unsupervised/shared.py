"""What finders share: where they look, how a direction is signed, and the file of a long run.

A finder changes itself in one step, when everything is found; an interrupt finds the old
``directions_`` or the new ones. A long run keeps how far it is in a `RunFile`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from steerbench import __version__
from steerbench.errors import ArgumentError, LayerError
from steerbench.runs import RunFile
from steerbench.types import Direction, Generator, Provenance, format_layers, parse_layers


def rows_of(
    generator: Generator, space: str, layers: str | int | Iterable[int] | None
) -> tuple[int, ...] | None:
    """Return the rows of the layer-wise latent that a direction may change; none for all.

    Args:
        generator: Whose.
        space: Of the direction.
        layers: As they were asked for: ``"all"``, ``"0-3"``, numbers.

    Raises:
        LayerError: A row does not exist, or rows were asked for and the space has none.
    """
    layered = generator.spaces.get(space if space.endswith("+") else space + "+")
    if layered is not None:
        return parse_layers(layers, layered.shape[0])
    if layers is None or layers == "all":
        return None
    raise LayerError(
        f"Layers {layers!r} were asked for, but space {space!r} of {generator.name!r} has no "
        "layer-wise form. Leave layers at 'all'."
    )


def layer_suffix(rows: tuple[int, ...] | None) -> str:
    """Return rows as the end of a direction's name.

    >>> layer_suffix((0, 1, 2)), layer_suffix((5,)), layer_suffix(None)
    (' (layers 0-2)', ' (layer 5)', '')
    """
    if rows is None:
        return ""
    return f" (layer{'s' if len(rows) > 1 else ''} {format_layers(rows)})"


def check_count(n_directions: int, size: int, space: str, generator: Generator) -> None:
    """Refuse to find more directions than there are.

    Args:
        n_directions: How many were asked for.
        size: How many there are.
        space: For the message.
        generator: Likewise.

    Raises:
        ArgumentError: Fewer than one, or more than ``size``.
    """
    if not 1 <= n_directions <= size:
        raise ArgumentError(
            f"{n_directions} directions were asked for, but {space!r} of {generator.name!r} has "
            f"{size} dimensions. Ask for 1 to {size}."
        )


def fix_signs(vectors: Tensor) -> Tensor:
    """Return vectors in rows whose sign is arbitrary, each with its largest number positive.

    >>> fix_signs(torch.tensor([[0.6, -0.8], [0.0, 1.0]]))
    tensor([[-0.6000,  0.8000],
            [ 0.0000,  1.0000]])
    """
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)


def hyperparameters(finder: Any) -> dict[str, Any]:
    """Return what a finder was given, by name."""
    return {name: getattr(finder, name) for name in inspect.signature(type(finder)).parameters}


def make_direction(
    finder: Any,
    method: str,
    generator: Generator,
    space: str,
    vector: Tensor,
    *,
    name: str,
    scale: float | None = None,
    layers: tuple[int, ...] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Direction:
    """Return a direction with all that its finder knows of where it came from.

    Args:
        finder: Its hyperparameters are kept, with ``seed`` and ``n_samples`` where it has them.
        method: The finder's name, as people say it.
        generator: Whose direction.
        space: Of the vector.
        vector: One code's shape.
        name: Of the direction.
        scale: A step; the standard deviation of the prior along the vector by default.
        layers: The rows that it may change.
        scores: What was measured on the way.
    """
    vector = vector.detach().double().cpu()
    vector = (vector / vector.norm()).reshape(generator.spaces[space].shape)
    provenance = Provenance(
        method=method,
        hyperparameters=hyperparameters(finder) | ({} if layers is None else {"layers": layers}),
        generator=generator.name,
        fingerprint=generator.fingerprint,
        seed=getattr(finder, "seed", None),
        n_samples=getattr(finder, "n_samples", None),
        scores=dict(scores or {}),
        reference=finder.reference,
        version=__version__,
    )
    return Direction(
        name=name,
        space=space,
        vector=vector,
        scale=generator.prior_std(space, vector) if scale is None else scale,
        layers=layers,
        generator=generator.fingerprint,
        provenance=Provenance.from_json(provenance.to_json()),
    )


def run_file(
    path: str | os.PathLike[str] | None,
    finder: Any,
    generator: Generator,
    every: float = 30.0,
    **more: Any,
) -> RunFile:
    """Return the file of a finder's run, which its class and hyperparameters tell from others.

    Args:
        path: Where; None for a run that is not kept.
        finder: Whose run.
        generator: Likewise, by its fingerprint.
        every: Seconds between two writings.
        more: What else decides the result.
    """
    given = Provenance(hyperparameters=hyperparameters(finder)).to_json()["hyperparameters"]
    settings = {
        "finder": type(finder).__name__,
        "generator": generator.fingerprint,
        **given,
        **more,
    }
    return RunFile(path, "steerbench finder run", settings, every)
