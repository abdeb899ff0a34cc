"""GANSpace: the principal axes of what a generator makes of its codes.

Codes z are drawn without preference, but w is not: it is long where training found much to vary.
Its principal components, of a covariance C over many codes, are the directions:

    C v_k = sigma_k^2 v_k          edit:  w' = w + alpha * sigma_k * v_k

so that ``alpha = 1`` is one standard deviation. Restricted to some rows of w+ (``layers="0-3"``)
an axis changes only what those layers draw; that is how the paper finds its named edits.

Where there is no w, or where ``layer`` names one, the axes are those of the activations of that
layer. A code cannot be asked to move an activation, so each axis is taken back to the latent space
by least squares: with x_k the coordinate of an activation along axis k, in standard deviations,:

    u_k = argmin sum |x_k u - z|^2 = mean(x_k z)

z itself is never taken apart: all its axes have the same length.

The covariance is summed up in one pass and is exact for any ``n_samples``; memory does not grow
with it. Activations of more than 4096 numbers would need too large a covariance. Of those the rows
are kept instead, half a gigabyte at most, and the products of all pairs give the same axes
(`steerbench.stats.principal`). A long run goes on where it stopped, and runs of different
seeds are joined:

    GANSpace(n_samples=1_000_000).fit(G, state="w.safetensors")
    one, two = GANSpace(seed=0, n_samples=500).fit(G), GANSpace(seed=500, n_samples=500).fit(G)
    one.merge(G, two)            # the axes of all 1000

>>> import steerbench as sb
>>> axes = GANSpace(n_directions=2, n_samples=500).fit(sb.load("rooms"))
>>> [direction.name for direction in axes.directions_]
['GANSpace 1', 'GANSpace 2']

Reference: Haerkoenen, Hertzmann, Lehtinen, Paris, "GANSpace: Discovering Interpretable GAN
Controls" (2020, arXiv 2004.02546).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.stats import Covariance
from steerbench.stats.principal import Principal, of_covariance, principal_components
from steerbench.stats.sample_buffer import SampleBuffer
from steerbench.types import Direction, Latent, UnitEdit
from steerbench.unsupervised.shared import (
    check_count,
    layer_suffix,
    make_direction,
    rows_of,
    run_file,
)

WIDEST = 4096
"""The longest activation, with its code, whose covariance is summed up: 128 MiB of it."""
KEPT = 2**27
"""How many numbers of longer activations are kept: half a gigabyte."""


class GANSpace:
    """Principal component analysis of w, or of the activations of a layer.

    Args:
        n_directions: How many, the strongest first.
        n_samples: How many codes are drawn.
        layer: Whose activations; w itself by default (the first layer, where there is no w).
        layers: The rows of the layer-wise latent that the directions change: ``"all"``, ``"0-3"``.
        label: The class of all samples, for conditional generators; by default they differ.
        seed: Of the first code; the others follow it.
        batch_size: Codes at a time.

    Attributes:
        directions_: Directions of w (of z, where there is no w).
        principal_: The `Principal` components themselves.
        samples_: Seed and number of the codes that were drawn, ``[(seed, n_samples)]``.
        moments_: What was summed up of them, from which runs are merged.
    """

    reference = (
        'Haerkoenen et al., "GANSpace: Discovering Interpretable GAN Controls", arXiv 2004.02546'
    )
    directions_: list[Direction]
    principal_: Principal
    samples_: list[tuple[int, int]]
    moments_: Covariance | SampleBuffer

    def __init__(
        self,
        n_directions: int = 10,
        n_samples: int = 10_000,
        layer: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        label: Any = None,
        seed: int = 0,
        batch_size: int = 250,
    ) -> None:
        self.n_directions = n_directions
        self.n_samples = n_samples
        self.layer = layer
        self.layers = layers
        self.label = label
        self.seed = seed
        self.batch_size = batch_size

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        if "w" in generator.spaces or generator.layers:
            return None
        return (
            f"{generator.name!r} has neither a space w nor a layer that is known, and z is the "
            "prior itself: all its axes have the same length."
        )

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> GANSpace:
        """Find the axes of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any with a space w, or with layers.
            state: A file from which to go on and into which to write how far the run is; it is
                replaced whole or not at all.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: The generator has neither w nor layers.
            LayerError: A layer does not exist.
            ArgumentError: The options make no sense, the activations fill more memory than a
                run may take, or the file belongs to another run.
        """
        moments = self._begin(generator)
        file = run_file(state, self, generator, save_every)
        if kept := file.read():
            moments = type(moments).from_state(kept)
        done = moments.count
        with tqdm(total=self.n_samples, initial=done, desc="GANSpace", delay=1) as progress:
            while moments.count < self.n_samples:
                count = min(self.batch_size, self.n_samples - moments.count)
                moments.add(self._look(generator, self.seed + moments.count, count))
                progress.update(count)
                file.write(moments.state_dict)
        if moments.count > done:
            file.write(moments.state_dict, now=True)
        self.__dict__.update(self._results(generator, moments, [(self.seed, self.n_samples)]))
        return self

    def merge(self, generator: BaseGenerator, *others: GANSpace) -> GANSpace:
        """Return the axes of all samples that several finders drew, as a new finder.

        Raises:
            ArgumentError: Some code was drawn by two of them, or they looked at other things.
        """
        parts = [self, *others]
        looked = {(part.layer, str(part.label), *_source(part)) for part in parts}
        if len(looked) != 1 or _source(self)[0] != generator.fingerprint:
            raise ArgumentError(
                "The finders looked at different layers, classes or generators. Merge those that "
                "differ in seed and n_samples only."
            )
        samples = sorted(run for part in parts for run in part.samples_)
        for (first, count), (following, _) in pairwise(samples):
            if first + count > following:
                raise ArgumentError(
                    f"Seeds {following} to {first + count - 1} were drawn twice. Give every finder "
                    "seeds of its own: seed to seed + n_samples - 1."
                )
        moments: Any = type(self.moments_)()
        for part in parts:
            moments.merge(part.moments_)
        given = {key: value for key, value in vars(self).items() if not key.endswith("_")}
        merged = GANSpace(**given | {"seed": samples[0][0], "n_samples": moments.count})
        merged.__dict__.update(merged._results(generator, moments, samples))
        return merged

    def edit(self, index: int, alpha: float = 1.0) -> UnitEdit:
        """Edit the activations themselves along an axis, by so many standard deviations.

        Raises:
            ArgumentError: The axes are those of w, or there is no such axis.
        """
        if not 0 <= index < len(self.directions_):
            raise ArgumentError(f"Axis {index} was asked for, of {len(self.directions_)}.")
        scores = self.directions_[index].provenance.scores
        if "layer" not in scores:
            raise ArgumentError(
                "These are axes of w: move along directions_. Activations are edited along the "
                "axes of a layer: GANSpace(layer=...)."
            )
        value = alpha * self.principal_.std[index] * self.principal_.components[index]
        channels = scores["shape"][0]
        return UnitEdit(
            scores["layer"], tuple(range(channels)), "add", value.reshape(scores["shape"])
        )

    # The work.

    def _layer(self, generator: BaseGenerator) -> str | None:
        """Return the layer whose activations are looked at, by our name for it; none for w."""
        if self.layer is not None:
            return generator.find_layer(self.layer).name
        return None if "w" in generator.spaces else generator.layers[0].name

    def _begin(self, generator: BaseGenerator) -> Covariance | SampleBuffer:
        """Check all that can be checked before the first sample."""
        if reason := self.refuses(generator):
            raise CapabilityError(reason)
        space = generator.natural_space
        rows_of(generator, space, self.layers)
        latent = generator.spaces[space].size
        name = self._layer(generator)
        width = latent if name is None else _width(generator, name)
        check_count(self.n_directions, min(latent, width), space, generator)
        if self.n_samples <= self.n_directions or self.batch_size < 1 or self.seed < 0:
            raise ArgumentError(
                f"n_samples={self.n_samples}, batch_size={self.batch_size} and seed={self.seed} "
                f"were given for {self.n_directions} directions. Draw more samples than "
                "directions, in batches of at least one, from a seed of at least 0."
            )
        whole = width if name is None else width + latent
        if whole <= WIDEST:
            return Covariance()
        if whole * self.n_samples > KEPT:
            raise ArgumentError(
                f"{self.n_samples} activations of {name or space!r} of {generator.name!r}, of "
                f"{width} numbers each, fill more than half a gigabyte. Draw at most "
                f"{KEPT // whole} samples, or look at a layer of fewer units and places."
            )
        return SampleBuffer(self.n_samples)

    def _look(self, generator: BaseGenerator, seed: int, count: int) -> Tensor:
        """Return what a run sums up of some codes: w, or activations with the codes beside them."""
        space, name = generator.natural_space, self._layer(generator)
        with torch.no_grad():
            latent: Latent = generator.sample(count, seed=seed, space=space, label=self.label)
            codes = latent.data.flatten(1)
            if name is None:
                return codes
            seen = generator.capture(latent, [name])[name].flatten(1)
        return torch.cat([seen, codes.to(seen)], dim=1)

    def _results(
        self,
        generator: BaseGenerator,
        moments: Covariance | SampleBuffer,
        samples: list[tuple[int, int]],
    ) -> dict[str, Any]:
        space, name = generator.natural_space, self._layer(generator)
        rows = rows_of(generator, space, self.layers)
        width = generator.spaces[space].size if name is None else _width(generator, name)
        principal, crossed = _axes(moments, width, self.n_directions)
        of_layer: dict[str, Any] = {"samples": [list(run) for run in samples]}
        if name is not None:
            layer = generator.find_layer(name)
            of_layer |= {"layer": name, "shape": [layer.channels, layer.height, layer.width]}
        directions = [
            make_direction(
                self,
                "GANSpace",
                generator,
                space,
                principal.components[k] if name is None else crossed[k],
                name=f"GANSpace {k + 1}{f' of {name}' if name else ''}{layer_suffix(rows)}",
                scale=float(principal.std[k]) if name is None else None,
                layers=rows,
                scores=of_layer
                | {"std": float(principal.std[k]), "variance_share": float(principal.ratio[k])},
            )
            for k in range(self.n_directions)
        ]
        return {
            "directions_": directions,
            "principal_": principal,
            "samples_": samples,
            "moments_": moments,
        }


def regress(coordinates: Tensor, latents: Tensor) -> Tensor:
    """Return the latent step that goes with each coordinate, by least squares.

    Args:
        coordinates: ``[N, n]``, in standard deviations: ``principal.project(x) / principal.std``.
        latents: ``[N, d]``, the codes that they came from.

    Returns:
        ``[n, d]`` float64; the authors normalise its rows.
    """
    return torch.linalg.lstsq(coordinates.double(), latents.double()).solution


def _axes(moments: Covariance | SampleBuffer, width: int, n: int) -> tuple[Principal, Tensor]:
    """Return principal components of the first columns, and their covariance with the rest."""
    if isinstance(moments, Covariance):
        covariance = moments.covariance(ddof=0)
        principal = of_covariance(moments.mean[:width], covariance[:width, :width], n)
        return principal, principal.components @ covariance[:width, width:]
    seen, codes = moments.samples[:, :width], moments.samples[:, width:]
    principal = principal_components(seen, n)
    coordinates = torch.cat([principal.project(part) for part in seen.split(64)])
    return principal, coordinates.T @ codes.double() / len(codes)


def _width(generator: BaseGenerator, name: str) -> int:
    layer = generator.find_layer(name)
    return layer.channels * layer.height * layer.width


def _source(finder: GANSpace) -> tuple[str, str]:
    """Return the generator whose codes were looked at, and how they were kept."""
    return finder.directions_[0].generator, type(finder.moments_).__name__
