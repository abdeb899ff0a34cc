"""What published files of directions look like, one function a format; see `directions`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError, LayerError
from steerbench.generators.checkpoints import Contents
from steerbench.generators.checkpoints.safe.records import entry
from steerbench.generators.published.channels import Channel, parse_channels
from steerbench.types import parse_layers

REFERENCES = {
    "InterFaceGAN": "arXiv 2005.09635",
    "HiGAN": "arXiv 1911.09267",
    "IDInvert": "arXiv 2004.00049",
    "encoder4editing": "arXiv 2102.02766",
    "GANSpace": "arXiv 2004.02546",
    "SeFa": "arXiv 2007.06600",
    "StyleSpace": "arXiv 2011.12799",
    "StyleCLIP": "arXiv 2103.17249",
}


@dataclass(frozen=True, eq=False)
class PublishedVector:
    """One direction of a file, before it is bound to anything."""

    method: str
    space: str
    vector: np.ndarray | None
    name: str = ""
    scale: float | None = None
    layers: tuple[int, ...] | None = None
    channel: Channel | None = None
    scores: dict[str, float] = field(default_factory=dict)


def find_vectors(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Return the directions in what was read from a file.

    Raises:
        CheckpointError: There are none, or they contradict themselves.
    """
    for recognise in FORMATS.values():
        found = recognise(contents, space)
        if found:
            return found
    raise CheckpointError(
        f"{str(contents.path)!r} is a {contents.kind} of no known kind of directions. It holds "
        f"{_describe(contents.value)}. Known are {', '.join(REFERENCES)}. What "
        "Direction.save wrote is opened by sb.Direction.load; a vector of your own becomes a "
        "direction with sb.Direction(name, space, vector)."
    )


def _boundary(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find a boundary of HiGAN or IDInvert and the rows of w+ that it is meant for."""
    boundary = _numbers(entry(contents.value, "boundary"))
    if boundary is None or boundary.ndim not in (1, 2, 3) or boundary.size == 0:
        return []
    meta = entry(contents.value, "meta_data")
    meta = meta if isinstance(meta, dict) else {}
    rows = meta.get("manipulate_layers", meta.get("layers", entry(contents.value, "layers")))
    layered = boundary.ndim == 3 or (boundary.ndim == 2 and len(boundary) > 1)
    layers = _rows(rows, boundary.shape[-2] if layered else 100, contents)
    found = _vectors(contents, boundary, "IDInvert" if layered else "HiGAN", layered)
    return [replace(item, layers=layers) for item in found]


def _rows(rows: Any, count: int, contents: Contents) -> tuple[int, ...] | None:
    if isinstance(rows, np.ndarray | Tensor):
        rows = rows.reshape(-1).tolist()
    if rows is None or rows == "" or rows == []:
        return None
    try:
        return parse_layers(rows, count)
    except (LayerError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{str(contents.path)!r} names layers in no known way. {error}"
        ) from error


def _components(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find GANSpace's principal components, with the standard deviation along each of them."""
    for comp, std in (("lat_comp", "lat_stdev"), ("comp", "std")):
        vectors, steps = _numbers(entry(contents.value, comp)), _numbers(entry(contents.value, std))
        if vectors is None or steps is None:
            continue
        if steps.ndim != 1 or vectors.ndim < 2 or len(steps) != len(vectors):
            raise CheckpointError(
                f"{str(contents.path)!r} holds {comp} {list(vectors.shape)} and {std} "
                f"{list(steps.shape)}; as many deviations as components were expected."
            )
        if not (np.isfinite(steps).all() and (steps > 0).all()):
            raise CheckpointError(f"{str(contents.path)!r}: {std} is not made of deviations.")
        gaussian = comp == "lat_comp" and not says_w(contents.path) and (steps == 1).all()
        ratio = _numbers(entry(contents.value, "var_ratio"))
        shares = ratio if ratio is not None and ratio.shape == steps.shape else steps * np.nan
        return [
            replace(
                item,
                name=f"component {place}",
                scale=float(steps[place]),
                space=("z" if gaussian else "w") + "+" * (item.space == "w+"),
                scores={} if np.isnan(shares[place]) else {"var_ratio": float(shares[place])},
            )
            for place, item in enumerate(_vectors(contents, vectors, "GANSpace"))
        ]
    return []


def _eigenvectors(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find SeFa's directions by rosinality's script, one a column."""
    columns = _numbers(entry(contents.value, "eigvec"))
    if columns is None or columns.ndim != 2:
        return []
    found = _vectors(contents, columns.T, "SeFa")
    return [replace(item, name=f"direction {place}") for place, item in enumerate(found)]


def _channels(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find StyleSpace's layers and channels."""
    return channel_vectors(parse_channels(contents.value) or {})


def channel_vectors(lists: dict[str, list[Channel]]) -> list[PublishedVector]:
    return [
        PublishedVector(
            "StyleSpace", "s", None, _name(name, channel, len(channels)), channel=channel
        )
        for name, channels in lists.items()
        for channel in channels
    ]


def _name(name: str, channel: Channel, count: int) -> str:
    place = f"({channel[0]}, {channel[1]})"
    return (f"{name} {place}" if count > 1 else name) if name else place


def _joined_styles(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find StyleCLIP's styles, one array a layer."""
    parts = contents.value if isinstance(contents.value, list) else []
    arrays = [array for part in parts if (array := _numbers(part)) is not None]
    if not arrays or len(arrays) != len(parts) or any(array.ndim != 1 for array in arrays):
        return []
    return [PublishedVector("StyleCLIP", "s", np.concatenate(arrays))]


def _plain(contents: Contents, space: str | None) -> list[PublishedVector]:
    """Find InterFaceGAN's and encoder4editing's arrays, which are all that there is."""
    array = _numbers(contents.value)
    if array is None or not 1 <= array.ndim <= 3 or array.size == 0:
        return []
    layered = (space or "").endswith("+")
    if contents.kind == "NumPy array":
        guess = "w" if says_w(contents.path) else "z"
        found = _vectors(contents, array, "InterFaceGAN", layered)
    else:
        guess = "w"
        found = _vectors(contents, array, "encoder4editing", layered)
    named = "" if len(found) == 1 else "direction "
    return [
        replace(item, space=guess + item.space[1:], name=f"{named}{place}" if named else "")
        for place, item in enumerate(found)
    ]


FORMATS: dict[str, Callable[[Contents, str | None], list[PublishedVector]]] = {
    "boundary with layers": _boundary,
    "principal components": _components,
    "eigenvectors": _eigenvectors,
    "channels": _channels,
    "styles of all layers": _joined_styles,
    "array": _plain,
}
"""What is looked for in a file, in this order."""


def _vectors(
    contents: Contents, array: np.ndarray, method: str, layered: bool = False
) -> list[PublishedVector]:
    """Return the vectors of an array, ``[dim]``, ``[n, dim]`` or ``[n, rows, dim]``."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1 or (array.ndim == 2 and layered and len(array) > 1):
        array = array[None]
    check_count(contents.path, len(array))
    return [PublishedVector(method, "w+" if item.ndim == 2 else "w", item) for item in array]


def _numbers(value: Any) -> np.ndarray | None:
    """Return floating point numbers as an array in this machine's order, or none."""
    if isinstance(value, Tensor) and value.is_floating_point():
        value = value.detach()
        return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(value.dtype.newbyteorder("="), copy=False)
    return None


def check_count(path: Path, count: int, most: int = 1024) -> None:
    """Refuse more vectors than a set of directions has.

    Args:
        path: Of the file.
        count: Of the vectors in it.
        most: That a set may have.
    """
    if count > most:
        raise CheckpointError(
            f"{str(path)!r} holds {count} vectors; sets of directions have at most {most}. It "
            "seems to be something else, perhaps codes."
        )


def says_w(path: Path) -> bool:
    return re.search(r"_w(_|$)", path.stem) is not None


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray | Tensor):
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    if isinstance(value, dict):
        items = ", ".join(f"{str(k)[:40]}: {_kind(v)}" for k, v in list(value.items())[:12])
        return f"a dictionary of {len(value)} ({items})"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} ({', '.join(_kind(v) for v in value[:6])})"
    return f"a {type(value).__name__}"


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(list(shape))
