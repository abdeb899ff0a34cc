"""BigGAN: pictures of a class, whose residual blocks read the code and the class embedding.

A code z and a class make a picture. What steers every layer is its condition: z, or the layer's
chunk of it, beside the class embedding (`steerbench.generators.biggan.network`). The spaces
are linear in one another:

- z ``[z_dim]``: the code; ``slices`` names the layers where it is split in chunks
- z+ ``[rows, chunk]``: a code for each layer, as GANSpace edits it: the first layer, then
  the blocks
- c ``[z_dim + c_dim]``: the code with its class embedding: ``slices`` names ``z`` and ``class``
- c+ ``[rows, chunk + c_dim]``: the same for each layer

Labels are indices or soft weights. In c classes are vectors, so that they mix, and one's own is as
good as any: `BigGAN.with_class`. Without a shared embedding c holds the weights themselves.

BigGAN draws z from a normal distribution, cut at two and scaled, to trade variety for quality:
``sample(n, truncation=0.4)`` gives what the Hugging Face port calls
``truncated_noise_sample(truncation=0.4, seed=seed)``, one seed a code; 1 leaves the normal
distribution whole, as in every generator here. ``G.to(codes, space, truncation=0.4)`` scales
codes that were drawn already. Where a network keeps statistics for several
truncations, ``render(codes, truncation=0.4)`` chooses among them.

Layers are walked in order, ``b4.dense  b8.block0  b16.block0  b16.attention ... b64.torgb``; the
activation of a block is the sum of its two paths.

Reference: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image
Synthesis" (2018, arXiv 1809.11096); z+: Härkönen, Hertzmann, Lehtinen, Paris, "GANSpace" (2020,
arXiv 2004.02546).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import ArgumentError, CapabilityError, ShapeError
from steerbench.generators.base import BaseGenerator
from steerbench.generators.biggan.network import (
    Attention,
    BigGANNetwork,
    Block,
    BlockShape,
    Dense,
    Norm,
)
from steerbench.types import (
    ActivationState,
    Direction,
    Edit,
    FirstFeatures,
    Latent,
    Layer,
    Move,
    Space,
    State,
    apply_move,
    parse_layers,
)

LATER = {"z": ("z", "z+", "c", "c+"), "z+": ("z+", "c+"), "c": ("c", "c+"), "c+": ("c+",)}
"""The spaces in which a step of a space can be taken."""


class BigGAN(BaseGenerator):
    """A BigGAN generator.

    Attributes:
        truncation: The statistics that it normalises with, where it keeps several.
    """

    architecture = "biggan"
    render_space = "c+"

    def __init__(self, network: BigGANNetwork, *, name: str) -> None:
        self.network, self.truncation = network, 1.0
        self.classes = network.classes
        layers = _layers(network)
        super().__init__(network, name=name, spaces=self._spaces(layers), layers=layers)
        self.resolution = layers[-1].height

    def _spaces(self, layers: Sequence[Layer]) -> list[Space]:
        network = self.network
        z, c, rows, chunk = network.z_dim, network.c_dim, network.rows, network.chunk
        readers = [layer.name for layer in layers if layer.row is not None]
        chunks = {name: slice(i * chunk, (i + 1) * chunk) for i, name in enumerate(readers)}
        split = network.reads == "chunks"
        spaces = [
            Space("z", (z,), slices=chunks if split else None),
            Space("z+", (rows, chunk), "z", invertible=split),
            Space(
                "c",
                (z + c,),
                "z",
                slices={"z": slice(0, z), "class": slice(z, z + c)},
            ),
            Space("c+", (rows, chunk + c), "c"),
        ]
        return [space for space in spaces if space.name != "z+" or network.reads != "first"]

    def _rebind(self) -> None:
        if isinstance(self.module, BigGANNetwork):
            self.network = self.module

    # Codes.

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
        label: Any = None,
    ) -> Latent:
        """Draw codes; below 1, ``truncation`` draws from the normal distribution cut at two.

        The class that a seed draws does not depend on the truncation.

        Raises:
            ArgumentError: The truncation is not between 0 and 1.
        """
        latent = super().sample(n, seed=seed, label=label)
        if not 0 <= truncation <= 1:
            raise ArgumentError(
                f"A truncation of {truncation} was asked for. Give one between 0 and 1."
            )
        if truncation < 1:
            rows = np.concatenate([_cut_normal(seed + i, self.network.z_dim) for i in range(n)])
            latent = latent.with_data(truncation * torch.from_numpy(rows).to(latent.data))
        return latent if space is None else self.to(latent, space)

    def with_class(self, latent: Latent, embedding: Tensor) -> Latent:
        """Return codes with a class embedding of one's own, in space c.

        Args:
            latent: Codes in z or c.
            embedding: ``[c_dim]`` or ``[N, c_dim]``.

        Raises:
            ShapeError: The embedding has another length.
        """
        part = self.spaces["c"].slices or {}
        codes = self.to(latent, "c")
        c_dim = self.network.c_dim
        if embedding.shape[-1:] != (c_dim,) or embedding.shape[:-1] not in (
            (),
            (1,),
            (len(codes),),
        ):
            raise ShapeError(
                f"A class embedding of shape {list(embedding.shape)} was given for {len(codes)} "
                f"codes of {self.name!r}. Give [{c_dim}] or [{len(codes)}, {c_dim}]."
            )
        given = embedding.to(codes.data).expand(len(codes), c_dim)
        return codes.with_data(torch.cat([codes.data[:, part["z"]], given], dim=1))

    def _convert(self, data: Tensor, source: str, target: str, label: Tensor | None) -> Tensor:
        network = self.network
        if (source, target) == ("z", "z+"):
            return network.split_code(data)
        if (source, target) == ("z+", "z"):
            return data.flatten(1)
        if (source, target) == ("c", "c+"):
            z, c = data.split([network.z_dim, network.c_dim], dim=1)
            return torch.cat([network.split_code(z), self._repeat(c)], dim=2)
        weights = self.label_weights(label, data)
        if weights is None or target not in ("c", "c+"):
            return super()._convert(data, source, target, label)
        c = network.embed_classes(weights.to(next(network.parameters()).dtype)).to(data)
        return torch.cat([data, c if target == "c" else self._repeat(c)], dim=-1)

    def _repeat(self, c: Tensor) -> Tensor:
        return c[:, None].expand(-1, self.network.rows, -1)

    def _truncate(self, latent: Latent, psi: float, cutoff: int | None) -> Latent:
        """Draw codes towards their mean, which is zero; classes stay."""
        layered = latent.space.endswith("+")
        if cutoff is not None and not layered:
            raise CapabilityError(
                f"A truncation cutoff was given for space {latent.space!r}, which has no rows. "
                "Convert to 'c+'."
            )
        code = self.network.chunk if layered else self.network.z_dim
        scale = torch.ones_like(latent.data)
        if layered:
            scale[:, :cutoff, :code] = psi
        else:
            scale[:, :code] = psi
        return latent.with_data(latent.data * scale)

    def _neighbours(self, name: str) -> list[str]:
        # c+ can be computed from either of the two spaces that it joins.
        return super()._neighbours(name) + (["c+"] if name == "z+" else [])

    def _rows(self, space: str) -> int | None:
        # A code that is split in chunks is not repeated in the rows of z+.
        split = space == "z" and self.network.reads == "chunks"
        return None if split else super()._rows(space)

    def _apply_move(self, latent: Latent, move: Move) -> Latent:
        """Take a step in the first space in which both the codes and the step can be given."""
        self._space(move.direction.space)
        space = next(
            name
            for name in LATER[move.direction.space]
            if name in LATER[latent.space]
            and name in self.spaces
            and (move.rows is None or name.endswith("+"))
        )
        direction = move.direction
        if isinstance(direction, Direction):
            direction = self._carry(direction, space)
        return apply_move(self.to(latent, space), replace(move, direction=direction))

    def _carry(self, direction: Direction, space: str) -> Direction:
        """Return the same step in a later space; its class part is zero where it had none."""
        shape = self.spaces[direction.space].shape
        if direction.space == space or tuple(direction.vector.shape) != shape:
            return direction
        nowhere = torch.zeros(1, self.classes)
        vector, here = direction.vector[None].to(self.device), direction.space
        for step in self._path(direction.space, space):
            vector, here = self._convert(vector, here, step, nowhere), step
        scale = direction.scale * float(vector.norm())
        return replace(direction, space=space, vector=vector[0], scale=scale)

    # Pictures.

    def at_truncation(self, truncation: float) -> BigGAN:
        """Return the same generator, which normalises with the statistics of a truncation.

        Raises:
            ArgumentError: It is not above 0 and at most 1.
        """
        if not 0 < truncation <= 1:
            raise ArgumentError(
                f"Statistics of truncation {truncation} were asked for. Give one above 0 and at "
                "most 1."
            )
        other = copy.copy(self)
        other.truncation = float(truncation)
        return other

    def render(
        self,
        latent: Latent | ActivationState,
        *,
        edits: Sequence[Edit] = (),
        noise: str | Mapping[str, Tensor] = "const",
        truncation: float | None = None,
        precision: str = "exact",
    ) -> Tensor:
        """Draw pictures ``[N, C, H, W]``; truncation chooses the statistics, codes stay."""
        chosen = self if truncation is None else self.at_truncation(truncation)
        return super(BigGAN, chosen).render(latent, edits=edits, noise=noise, precision=precision)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        rows = latent.data.to(next(self.network.parameters()).dtype)
        inputs = tuple(self.network.inputs(rows, self.truncation))
        x = rows.new_zeros(len(rows), 0, 1, 1, dtype=dtype or rows.dtype)
        return State(0, inputs, x, None, noise)

    def layer(self, state: State) -> Tensor:
        activation: Tensor = self.network.layers[state.index](state.x, state.inputs[state.index])
        return activation

    def finish(self, state: State) -> Tensor:
        return state.x.to(next(self.network.parameters()).dtype).tanh()

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return weights that a code first meets, ``[outputs, dim]``: of the layers that read it.

        In z+ and c+ the columns are those of a row; in z and c those of a whole code.
        """
        if space not in self.spaces:
            return super().affine(space, layers)
        network, width = self.network, self.spaces[space].shape[-1]
        chosen = parse_layers(layers, network.rows) or tuple(range(network.rows))
        readers = [part for part in network.layers if isinstance(part, Dense | Block)]
        weights = []
        for row in chosen:
            weight = _weights(readers[row], network)
            if not space.endswith("+"):
                z, c = weight.split([network.chunk, network.c_dim], dim=1)
                whole = weight.new_zeros(len(z), network.z_dim)
                at = row * network.chunk if network.reads == "chunks" else 0
                whole[:, at : at + network.chunk] = z
                weight = torch.cat([whole, c], dim=1)
            weights.append(weight[:, :width])
        return torch.cat(weights).detach()

    def first_features(self) -> FirstFeatures:
        """Return the dense layer; where it reads a part of the code, the other columns are zero."""
        network = self.network
        dense = cast(Dense, network.layers[0])
        weight, bias = dense.linear.weight.detach(), dense.linear.bias.detach()
        read = min(network.chunk, weight.shape[1])
        whole = weight.new_zeros(len(weight), network.z_dim)
        whole[:, :read] = weight[:, :read]
        if weight.shape[1] > read:
            classes = weight.new_full((1, self.classes), 1 / self.classes)
            bias = bias + weight[:, read:] @ network.embed_classes(classes)[0].detach()
        return FirstFeatures(
            "z", whole.unflatten(0, dense.shape), bias.detach().unflatten(0, dense.shape)
        )

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        return self.network.options()

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> BigGAN:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        blocks = [BlockShape(**shape) for shape in config["blocks"]]
        with torch.device("meta"):
            network = BigGANNetwork(**{**config, "blocks": blocks})
        copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return cls(network, name=name)


def _cut_normal(seed: int, size: int) -> np.ndarray:
    """Return one code of the normal distribution cut at two, ``[1, size]``."""
    from scipy.stats import truncnorm

    draw = np.random.RandomState(seed)
    return np.asarray(truncnorm.rvs(-2.0, 2.0, size=(1, size), random_state=draw))


def _weights(part: Dense | Block, network: BigGANNetwork) -> Tensor:
    """Return the weights of a layer that reads a row, ``[outputs, chunk + c_dim]``."""
    if isinstance(part, Dense):
        weight = part.linear.weight
        missing = weight.new_zeros(len(weight), network.chunk + network.c_dim - weight.shape[1])
        return torch.cat([weight, missing], dim=1)
    norms = [norm for norm in part.norms if isinstance(norm, Norm)]
    weight = torch.cat([w for norm in norms for w in (norm.gain_by, norm.bias_by)])
    missing = weight.new_zeros(len(weight), network.chunk + network.c_dim - weight.shape[1])
    return torch.cat([missing, weight], dim=1)


def _layers(network: BigGANNetwork) -> list[Layer]:
    size, blocks = network.bottom, 0
    layers: list[Layer] = []

    def add(part: str, width: int, row: int | None, *aliases: str) -> None:
        layers.append(Layer(f"b{size}.{part}", len(layers), width, size, size, row, aliases))

    add("dense", network.blocks[0].inputs, 0, "gen_z", "generator.gen_z", "linear")
    parts = list(network.layers)[1:]
    for place, (part, after) in enumerate(pairwise(parts)):
        names = [f"layers.{place}", f"generator.layers.{place}"]
        # Where attention follows a block, the name of both stands for what comes out.
        group = f"blocks.{blocks - isinstance(part, Attention)}"
        names += [] if isinstance(after, Attention) else [group]
        if isinstance(part, Attention):
            add("attention", layers[-1].channels, None, *names, f"{group}.1")
            continue
        shape = network.blocks[blocks]
        blocks += 1
        size *= 2 if shape.up else 1
        here = sum(layer.name.startswith(f"b{size}.block") for layer in layers)
        add(f"block{here}", shape.outputs, blocks, *names, f"{group}.0")
    add("torgb", network.channels, None, "conv_to_rgb", "generator.conv_to_rgb", "output_layer")
    return layers


__all__ = ["BigGAN", "BlockShape"]
