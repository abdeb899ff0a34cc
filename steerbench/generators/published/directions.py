"""Directions that others published, from their own files, with where they came from.

Files are recognised by what is in them, and nothing in them is executed:

- InterFaceGAN ``.npy``: a boundary ``[1, 512]``, the unit normal of a hyperplane;
- HiGAN ``.npy``: ``{boundary, meta_data}`` with the rows of w+ that the boundary is meant for;
- IDInvert ``.npy``: the same with a boundary ``[1, rows, 512]`` of w+;
- encoder4editing ``.pt``: a tensor ``[1, 512]`` or ``[1, rows, 512]``, or principal components
  ``{comp, mean, std}``;
- GANSpace ``.npz``: ``lat_comp [n, 1, 512]`` with ``lat_stdev [n]``;
- SeFa ``.pt`` of rosinality's script: ``{eigvec}``, one direction a column;
- StyleSpace: lists of channels (`steerbench.generators.published.channels`);
- StyleCLIP: one array a style layer, all of StyleSpace joined.

Vectors become unit vectors in float64. GANSpace states how far a step goes, the standard deviation
along the component; elsewhere a direction that is not bound to a generator has the scale 1. Given
a generator, directions are checked against it, bound to it, and scaled by its prior.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "stylegan_ffhq_age_w_boundary.npy"
>>> np.save(path, np.array([[0.6, 0.8]]))
>>> age = read_published_direction(path)
>>> age.name, age.space, age.vector, age.provenance.method
('age', 'w', tensor([0.6000, 0.8000], dtype=torch.float64), 'InterFaceGAN')

References: Shen et al., "InterFaceGAN" (2020, arXiv 2005.09635); Yang, Shen, Zhou, "Semantic
Hierarchy Emerges in Deep Generative Representations for Scene Synthesis" (HiGAN, 2019, arXiv
1911.09267); Zhu et al., "In-Domain GAN Inversion for Real Image Editing" (IDInvert, 2020, arXiv
2004.00049); Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (encoder4editing,
2021, arXiv 2102.02766); Härkönen et al., "GANSpace" (2020, arXiv 2004.02546); Shen, Zhou,
"Closed-Form Factorization of Latent Semantics in GANs" (SeFa, 2020, arXiv 2007.06600); Wu,
Lischinski, Shechtman, "StyleSpace Analysis" (2021, arXiv 2011.12799); Patashnik et al.,
"StyleCLIP" (2021, arXiv 2103.17249).
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from steerbench.errors import (
    CheckpointError,
    LatentError,
    LayerError,
    ShapeError,
    SpaceError,
    closest,
)
from steerbench.generators.base import BaseGenerator
from steerbench.generators.checkpoints import read
from steerbench.generators.published.channels import Channel, parse_channels
from steerbench.generators.published.formats import (
    REFERENCES,
    PublishedVector,
    channel_vectors,
    check_count,
    find_vectors,
)
from steerbench.types import Direction, Provenance


def read_published_direction(
    path: str | os.PathLike[str],
    space: str | None = None,
    *,
    generator: BaseGenerator | None = None,
) -> Direction | list[Direction]:
    """Return the direction in a published file, or a list where it holds several.

    Args:
        path: The file.
        space: The space that the vectors live in. By default what the format says; for plain
            arrays ``"w"`` where the file's name says ``_w_`` and ``"z"`` elsewhere. An array
            ``[n, dim]`` holds n directions, or one of n rows where the space ends in a plus.
        generator: Bind the directions to this generator. Lists of StyleSpace channels need one,
            because its layers say where a channel lies.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is broken, unsafe, or holds no directions; it says what it holds.
        SpaceError, ShapeError, LayerError: The directions do not fit the generator.
    """
    path = Path(path)
    channels = parse_channels(_text(path))
    found = channel_vectors(channels) if channels else find_vectors(read(path), space)
    check_count(path, len(found))
    try:
        directions = [_direction(item, path, space, generator) for item in found]
    except LatentError as error:
        raise CheckpointError(f"{str(path)!r} is broken. {error}") from error
    return directions[0] if len(directions) == 1 else directions


def _text(path: Path, most: int = 2**16) -> str:
    """Return what is in the file, if it is a short text."""
    try:
        with open(path, "rb") as file:
            text = file.read(most + 1).decode("utf-8")
    except (OSError, ValueError):
        return ""
    printable = re.sub(r"[\n\r\t]", "", text).isprintable()
    return text if len(text) <= most and printable else ""


def _direction(
    found: PublishedVector, path: Path, space: str | None, generator: BaseGenerator | None
) -> Direction:
    vector = found.vector
    if found.channel is not None:
        vector = _one_channel(found.channel, path, generator)
    vector = np.asarray(vector, dtype=np.float64)
    own_name, source = _read_name(path)
    direction = Direction(
        name=found.name or own_name,
        space=space or found.space,
        vector=torch.from_numpy(vector),
        scale=1.0 if found.scale is None else found.scale,
        layers=found.layers,
        provenance=Provenance(
            method=found.method,
            hyperparameters={"file": path.name, "norm": float(np.linalg.norm(vector))},
            generator=source,
            scores=found.scores,
            reference=REFERENCES[found.method],
        ),
    )
    return direction if generator is None else _bind(direction, found.scale is None, generator)


def _bind(direction: Direction, rescale: bool, generator: BaseGenerator) -> Direction:
    """Return the direction of this generator, if it fits."""
    name, vector = direction.space, direction.vector
    if name not in generator.spaces:
        raise SpaceError(
            f"Direction {direction.name!r} lives in {name!r}, a space that {generator.name!r} "
            f"does not have. {closest(name, generator.spaces)} Give another space or generator."
        )
    shape = generator.spaces[name].shape
    if tuple(vector.shape) == shape[1:]:
        vector = vector.expand(shape)
    if tuple(vector.shape) != shape:
        raise ShapeError(
            f"Direction {direction.name!r} has the shape {list(direction.vector.shape)}; codes in "
            f"{name!r} of {generator.name!r} have {list(shape)}. It is another generator's."
        )
    layered = generator.spaces.get(name.removesuffix("+") + "+")
    rows = 0 if layered is None else layered.shape[0]
    if direction.layers is not None and max(direction.layers) >= rows:
        raise LayerError(
            f"Direction {direction.name!r} is meant for layers {list(direction.layers)}; "
            f"{generator.name!r} has {rows}. Give another generator."
        )
    bound = replace(direction, vector=vector, generator=generator.fingerprint)
    if not rescale:
        return bound
    return replace(bound, scale=generator.prior_std(name, bound.vector))


def _one_channel(channel: Channel, path: Path, generator: BaseGenerator | None) -> np.ndarray:
    """Return the vector of StyleSpace that turns one channel up."""
    if generator is None:
        raise SpaceError(
            f"{str(path)!r} lists channels of StyleSpace. Where they lie follows from the layers "
            "of the generator: give generator=G."
        )
    styles = generator.spaces.get("s")
    if styles is None or styles.slices is None:
        raise SpaceError(
            f"{str(path)!r} lists channels of StyleSpace, which {generator.name!r} does not have. "
            "Give the StyleGAN2 that they were found in."
        )
    layer, place = channel
    names = list(styles.slices)
    if isinstance(layer, str):
        layer = names.index(name) if (name := generator.find_layer(layer).name) in names else -1
    if not 0 <= layer < len(names):
        raise LayerError(f"Layer {channel[0]} was asked for; {len(names)} layers read a style.")
    part = styles.slices[names[layer]]
    if not 0 <= place < part.stop - part.start:
        raise LayerError(
            f"Channel {place} of layer {names[layer]} was asked for; there are "
            f"{part.stop - part.start}. The list was made for another generator."
        )
    vector = np.zeros(styles.shape)
    vector[part.start + place] = 1
    return vector


def _read_name(path: Path) -> tuple[str, str]:
    """Return what a file's name says: the attribute, and InterFaceGAN's generator."""
    stem = re.sub(r"(_w)?(_boundary|_direction)?$", "", path.stem) or path.stem
    match = re.fullmatch(r"((?:pggan|stylegan\d?)_[a-z0-9]+)_(.+)", stem)
    if match is None:
        return stem, ""
    attribute, *conditions = match[2].split("_c_")
    given = f" given {' and '.join(conditions)}" if conditions else ""
    return attribute + given, match[1]


__all__ = ["read_published_direction"]
