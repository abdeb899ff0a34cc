"""From a picture to its code in one pass: a network that learned to invert a generator.

A chain of convolutions describes the picture; one layer reads a code w from it, another how far the
code of each layer of the generator departs from w. Both are read in standard deviations of the
prior, around its mean:

    w+_l = mean + std * (base + offset_l)          w = mean + std * base

It is quick and rough: it guesses in milliseconds what an optimisation then refines. How the
embedded one was trained: `steerbench.training.encoder`.

References: Richardson, Alaluf, Patashnik, Nitzan, Azar, Shapiro, Cohen-Or, "Encoding in Style"
(2020, arXiv 2008.00951); the departure from one code: Tov, Alaluf, Nitzan, Patashnik, Cohen-Or,
"Designing an Encoder for StyleGAN Image Manipulation" (2021, arXiv 2102.02766); as a start for an
optimisation: Zhu, Krähenbühl, Shechtman, Efros, "Generative Visual Manipulation on the Natural
Image Manifold" (2016, arXiv 1609.03552).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steerbench import assets, store
from steerbench.bundles import part
from steerbench.errors import CheckpointError, MissingFileError, SpaceError, closest
from steerbench.generators.base import BaseGenerator
from steerbench.image import resize
from steerbench.image.pixels import batch_of
from steerbench.predictors.layers import Convolution
from steerbench.types import Latent

KIND = "steerbench encoder"


class EncoderNetwork(nn.Module):
    """Pictures ``[N, 3, 64, 64]`` in [-1, 1] to a base ``[N, dim]`` and offsets ``[N, rows, dim]``.

    Args:
        rows: Of w+.
        dim: Of a code.
        widths: Channels at 32x32, 16x16, 8x8 and 4x4.
        features: Length of the layer before the last.
    """

    resolution = 64
    """Height and width, in pixels, at which it looks at every picture."""

    def __init__(
        self,
        rows: int,
        dim: int,
        widths: Sequence[int] = (32, 64, 96, 128),
        features: int = 384,
    ) -> None:
        super().__init__()
        self.rows, self.dim, self.widths = rows, dim, tuple(widths)
        steps = [Convolution(3, widths[0], 5, 2)]
        for before, after in pairwise(widths):
            steps += [Convolution(before, after, stride=2), Convolution(after, after)]
        self.trunk = nn.Sequential(*steps)
        places = (self.resolution // 2 ** len(widths)) ** 2
        self.dense = nn.Linear(widths[-1] * places, features)
        self.base = nn.Linear(features, dim)
        self.offsets = nn.Linear(features, rows * dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.trunk(images))

    def read(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes, from what the convolutions make of pictures."""
        x = self.dense(maps.flatten(1)).relu()
        return self.base(x), self.offsets(x).unflatten(1, (self.rows, self.dim))


class Encoder:
    """An `EncoderNetwork` for one generator.

    Args:
        network: It is put in evaluation mode and its weights are frozen.
        mean, std: ``[dim]`` each, of the prior in w.
        generator: The fingerprint of the generator whose codes it gives.
        name: What to call it in messages.
    """

    def __init__(
        self, network: EncoderNetwork, mean: Tensor, std: Tensor, *, generator: str, name: str
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.mean, self.std, self.generator, self.name = mean, std, generator, name

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, w+ [{self.network.rows}, {self.network.dim}])"

    def __call__(self, images: Tensor) -> Latent:
        """Return codes w+ of pictures, as `encode` does."""
        return self.encode(images)

    def encode(self, images: Tensor, space: str = "w+", *, batch_size: int = 128) -> Latent:
        """Return codes of pictures.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], any size, grey or RGB.
            space: ``"w+"`` or ``"w"``.
            batch_size: How many pictures to look at at a time.

        Raises:
            SpaceError: Another space was asked for.
            ShapeError: These are no pictures.
        """
        if space not in ("w", "w+"):
            raise SpaceError(
                f"{self.name!r} gives codes of 'w+' and 'w', not of {space!r}. Convert with "
                "G.to(latent, space), where the space comes after them."
            )
        shown = resize(batch_of(images).clamp(-1, 1).float(), self.network.resolution)
        x = shown.expand(-1, 3, -1, -1)
        with torch.no_grad():
            parts = [self.network(part) for part in x.to(self.mean.device).split(batch_size)]
        base, offsets = (torch.cat(column) for column in zip(*parts))
        if space == "w":
            return Latent("w", self.mean + self.std * base, self.generator, rows=offsets.shape[1])
        rows = self.mean + self.std * (base[:, None] + offsets)
        return Latent("w+", rows, self.generator)

    def config(self) -> dict[str, Any]:
        """Return what `build` needs beside the tensors."""
        network = self.network
        return {
            "rows": network.rows,
            "dim": network.dim,
            "widths": list(network.widths),
            "features": network.dense.out_features,
            "generator": self.generator,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights at half precision, and the prior's moments."""
        weights = {f"network.{k}": v.half() for k, v in self.network.state_dict().items()}
        return weights | {"mean": self.mean, "std": self.std}

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str) -> Encoder:
        """Invert `config` and `tensors`.

        Args:
            config: Of the network, and whose codes it gives.
            tensors: Weights and moments by name.
            name: What to call it in messages.
        """
        network = EncoderNetwork(
            config["rows"], config["dim"], config["widths"], config["features"]
        )
        prefix = "network."
        weights = {
            k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)
        }
        network.load_state_dict(weights)
        mean, std = tensors["mean"], tensors["std"]
        return cls(network, mean, std, generator=config["generator"], name=name)


def encoder(source: str | os.PathLike[str]) -> Encoder:
    """Return an encoder by the name of an embedded one, or from a file written by `save`.

    Raises:
        NotFoundError: There is neither.
        CheckpointError: The file is broken, or not an encoder.
    """
    name = os.fspath(source)
    path = assets.path("encoders", name) or Path(name).expanduser()
    if not path.is_file():
        near = closest(name, assets.names("encoders"))
        raise MissingFileError(f"There is no encoder and no file {name!r}. {near}")
    tensors, header = store.load(path)
    if header.get("kind") != KIND:
        raise CheckpointError(
            f"{path} is not an encoder: it holds {header.get('kind', 'no kind')!r}. Give a file "
            "written by python -m steerbench.training encoder."
        )
    try:
        return Encoder.build(header["config"], tensors, path.stem)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is an incomplete encoder: {type(error).__name__}: {error}. Get the file "
            "again from where it came from."
        ) from error


def encoder_for(generator: BaseGenerator) -> Callable[[Tensor], Any] | None:
    """Return the encoder of a generator's bundle, loaded, or None where there is none.

    One whose codes are those of another generator does not count.
    """
    source = part(generator, "encoder")
    source = encoder(source) if isinstance(source, str) else source
    other = isinstance(source, Encoder) and source.generator != generator.fingerprint
    return None if other else source


def save(source: Encoder, path: str | os.PathLike[str], **header: Any) -> None:
    """Write an encoder as one safetensors file; ``header`` adds to what it says of itself."""
    document = {"kind": KIND, "name": source.name, "config": source.config(), **header}
    store.save(path, source.tensors(), document)
