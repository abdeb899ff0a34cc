"""Progressive GAN: blocks that double the picture, each code and each pixel brought to unit length.

A code is normalised (and joined to its label), spread over 4x4 pixels by a dense layer, and passes
blocks of two 3x3 convolutions. Before every convolution each pixel's features are divided by their
root mean square; between blocks the nearest pixel is repeated. Layers are walked in order,

    b4.dense  b4.conv  b8.conv0  b8.conv1  ...  b64.conv1  b64.torgb

A level of detail above zero stops earlier (`progressive`, `PGGAN.at_level`).

Reference: Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation" (2017, arXiv 1710.10196).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.generators.detail_levels import blend, check_level, enlarge, shares
from steerbench.types import FirstFeatures, Latent, Layer, Space, State


def pixel_norm(x: Tensor) -> Tensor:
    """Divide the features ``[N, C, ...]`` of each pixel by their root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class PGGANBlock(nn.Module):
    """The layers of one resolution; run-time gains are part of the weights."""

    def __init__(self, inputs: int, outputs: int, channels: int, *, first: bool) -> None:
        super().__init__()
        if first:
            self.dense = nn.Linear(inputs, 16 * outputs)
            self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        else:
            self.conv0 = nn.Conv2d(inputs, outputs, 3, padding=1)
            self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.torgb = nn.Conv2d(outputs, channels, 1)


class PGGANNetwork(nn.Module):
    """The trainable part.

    Args:
        z_dim: Length of a code.
        widths: Channels by resolution.
        channels: Of the picture.
        level: Of detail; 0 for the whole network.
        c_dim: Length of a label, which is joined to the code; 0 without.
        joint: Join it before the code is normalised and not after.
        tanh: End the picture in a hyperbolic tangent.
    """

    def __init__(
        self,
        *,
        z_dim: int,
        widths: Mapping[int, int],
        channels: int = 3,
        level: float = 0.0,
        c_dim: int = 0,
        joint: bool = False,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.channels, self.level = z_dim, channels, level
        self.c_dim, self.joint, self.tanh = c_dim, joint, tanh
        self.widths = {int(r): int(width) for r, width in sorted(widths.items())}
        previous = z_dim + c_dim
        for resolution, width in self.widths.items():
            block = PGGANBlock(previous, width, channels, first=resolution == 4)
            setattr(self, f"b{resolution}", block)
            previous = width

    def layer(self, site: Site, x: Tensor) -> Tensor:
        """Return what one layer makes of the activations ``[N, C, H, W]`` before it."""
        part = self.get_submodule(site.name)
        weight, bias = (part.get_parameter(name).to(x.dtype) for name in ("weight", "bias"))
        x = pixel_norm(x)
        if site.blend is not None:
            return F.conv2d(x, weight, bias)
        if site.name == "b4.dense":
            return F.leaky_relu(F.linear(x[:, :, 0, 0], weight, bias), 0.2).unflatten(1, (-1, 4, 4))
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if site.up else x
        return F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2)

    def enter(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return normalised code and its label ``[N, c_dim]``, as one pixel ``[N, C, 1, 1]``."""
        x = z if self.joint else pixel_norm(z)
        x = x if label is None else torch.cat([x, label.to(x)], dim=1)
        return (pixel_norm(x) if self.joint else x)[:, :, None, None]

    def forward(
        self,
        z: Tensor,
        level: float | None = None,
        dtype: torch.dtype | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """Map z ``[N, z_dim]`` to pictures, as large as a level of detail has."""
        x = self.enter(z, label).to(dtype or z.dtype)
        image: Tensor | None = None
        for site in _sites(self.widths, self.level if level is None else level):
            activation = self.layer(site, x)
            if site.blend is None:
                x = activation
            else:
                image = blend(image, activation, site.blend)
        return x if image is None else self.finish(image.to(z.dtype))

    def finish(self, image: Tensor) -> Tensor:
        """Return the picture as it leaves the network."""
        return torch.tanh(image) if self.tanh else image


@dataclass(frozen=True)
class Site:
    """One layer in the walk; ``blend`` is a ToRGB's share in the picture."""

    name: str
    resolution: int
    up: bool = False
    blend: float | None = None


class PGGAN(BaseGenerator):
    """A progressive GAN; its one space is z."""

    architecture = "pggan"

    def __init__(self, network: PGGANNetwork, *, name: str) -> None:
        self.network = network
        self.classes = network.c_dim
        self.sites = _sites(network.widths, network.level)
        code = Space("z", (network.z_dim,))
        super().__init__(network, name=name, spaces=[code], layers=self._make_layers())
        self.resolution = max(network.widths)

    def _make_layers(self) -> list[Layer]:
        network = self.network
        return [
            Layer(
                name=site.name,
                index=index,
                channels=network.channels if site.blend else network.widths[site.resolution],
                height=site.resolution,
                width=site.resolution,
                aliases=(_published_name(site.name),),
            )
            for index, site in enumerate(self.sites)
        ]

    def _rebind(self) -> None:
        if isinstance(self.module, PGGANNetwork):
            self.network = self.module

    def at_level(self, level: float) -> PGGAN:
        """Return the same weights at a level of detail: 0 is all, 1 leaves out a block."""
        check_level(level, len(self.network.widths), self.name)
        config = self.config() | {"level": float(level)}
        return PGGAN.build(config, self.tensors(), name=self.name)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        z = latent.data.to(next(self.network.parameters()).dtype)
        x = self.network.enter(z, self.label_weights(latent.label, z))
        return State(0, (), x.to(dtype or z.dtype), None, noise)

    def layer(self, state: State) -> Tensor:
        return self.network.layer(self.sites[state.index], state.x)

    def advance(self, state: State, activation: Tensor) -> State:
        site, index = self.sites[state.index], state.index + 1
        if site.blend is None:
            return replace(state, index=index, x=activation)
        return replace(state, index=index, image=blend(state.image, activation, site.blend))

    def finish(self, state: State) -> Tensor:
        image = state.x if state.image is None else state.image
        image = enlarge(image.to(next(self.network.parameters()).dtype), self.resolution)
        return self.network.finish(image)

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return the weights that z first meets, ``[outputs, z_dim]``."""
        if space != "z":
            return super().affine(space, layers)
        if layers not in ("all", None):
            raise CapabilityError(
                f"{self.name!r} takes its code at the first layer only; layers must be 'all', "
                f"not {layers!r}."
            )
        return self.network.get_parameter("b4.dense.weight")[:, : self.network.z_dim].detach()

    def first_features(self) -> FirstFeatures:
        """Return the dense layer, on normalised codes; its rectifier comes after."""
        network = self.network
        z, c = network.z_dim, network.c_dim
        weight, bias = (network.get_parameter(f"b4.dense.{p}").detach() for p in ("weight", "bias"))
        if c:  # equal shares of all classes; the code and they are normalised together
            scale = math.sqrt((z + c) / (z + 1 / c))
            bias = bias + scale * weight[:, z:].mean(dim=1)
            weight = scale * weight[:, :z]
        return FirstFeatures("z", weight.unflatten(0, (-1, 4, 4)), bias.unflatten(0, (-1, 4, 4)))

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network = self.network
        return {
            "z_dim": network.z_dim,
            "widths": {str(k): v for k, v in network.widths.items()},
            "channels": network.channels,
            "level": network.level,
            "c_dim": network.c_dim,
            "joint": network.joint,
            "tanh": network.tanh,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str) -> PGGAN:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        with torch.device("meta"):
            network = PGGANNetwork(
                z_dim=config["z_dim"],
                widths={int(k): v for k, v in config["widths"].items()},
                channels=config["channels"],
                level=config["level"],
                c_dim=config.get("c_dim", 0),
                joint=config.get("joint", False),
                tanh=config.get("tanh", False),
            )
        copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return cls(network, name=name)


def _sites(widths: Mapping[int, int], level: float) -> tuple[Site, ...]:
    """Return the layers that run at a level of detail, in their order."""
    sites: list[Site] = []
    for resolution, share in shares(widths, level).items():
        block = f"b{resolution}"
        if resolution == 4:
            sites += [Site("b4.dense", 4), Site("b4.conv", 4)]
        else:
            sites += [
                Site(f"{block}.conv0", resolution, up=True),
                Site(f"{block}.conv1", resolution),
            ]
        if share is not None:
            sites.append(Site(f"{block}.torgb", resolution, blend=share))
    return tuple(sites)


def _published_name(name: str) -> str:
    block, _, part = name.partition(".")
    place = int(math.log2(int(block[1:]))) - 2
    if part == "torgb":
        return f"output{place}"
    return f"layer{2 * place + (part in ('conv', 'conv1'))}"


__all__ = ["PGGAN", "PGGANNetwork"]
