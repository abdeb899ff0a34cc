"""StyleGAN as a Generator: its spaces z, w, w+, s, p, p+ and the walk through its layers.

A latent z (joined to its embedded label) is normalised and mapped by a perceptron to a style code
w. Every layer reads its own row of w+, turns it by a learned affine into its style, a scale and a
shift for each of its channels (all of them joined are s), and gives its normalised features these
statistics. Layers are walked in order,

    b4.const  b4.conv  b8.conv0  b8.conv1  b16.conv0  ...  b64.conv1  b64.torgb

each with its style; the ToRGB has none. A style is stored as the affine gives it: scales are
``1 + s``. Levels of detail above zero stop earlier (`progressive`,
`StyleGAN1.at_level`). The spaces are those of `style_based`.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.detail_levels import blend, check_level, enlarge
from steerbench.generators.style_based import StyleBased
from steerbench.generators.stylegan1.network import Site, StyledLayer, StyleGAN1Network
from steerbench.types import Latent, Layer, State, parse_layers


class StyleGAN1(StyleBased):
    """A StyleGAN generator."""

    architecture = "stylegan1"

    def __init__(self, network: StyleGAN1Network, *, name: str) -> None:
        self.sites = tuple(network.sites())
        super().__init__(
            network,
            name=name,
            layers=_make_layers(network),
            widths={name: 2 * layer.outputs for name, layer in network.style_layers().items()},
            rows=network.num_ws,
            resolution=max(network.widths),
        )

    def _rebind(self) -> None:
        super()._rebind()
        self.sites = tuple(self.network.sites())

    def at_level(self, level: float) -> StyleGAN1:
        """Return the same weights at a level of detail: 0 is all, 1 leaves out a block."""
        check_level(level, len(self.network.widths), self.name)
        config = self.config() | {"level": float(level)}
        return StyleGAN1.build(config, self.tensors(), name=self.name)

    def styles_of(self, rows: Tensor) -> Tensor:
        layers = self.network.style_layers().values()
        return torch.cat([part.affine(rows[:, i]) for i, part in enumerate(layers)], dim=1)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        nothing = slice(0, 0)
        styles = tuple(latent.data[:, self.slices.get(site.name, nothing)] for site in self.sites)
        # The first layer brings its own constant and asks only for how many, and of which type.
        return State(0, styles, latent.data[:, nothing].to(dtype or latent.data.dtype), None, noise)

    def layer(self, state: State) -> Tensor:
        module, style = self.sites[state.index].module, state.inputs[state.index]
        if isinstance(module, StyledLayer):
            activation: Tensor = module(
                state.x, style, state.noise_of(self.sites[state.index].name)
            )
            return activation
        # Pictures are summed up in full precision: there is little of them, and it is seen.
        weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
        return F.conv2d(state.x.to(weight.dtype), weight, bias)

    def advance(self, state: State, activation: Tensor) -> State:
        site, index = self.sites[state.index], state.index + 1
        if site.row is not None:
            return replace(state, index=index, x=activation)
        return replace(state, index=index, image=blend(state.image, activation, site.share))

    def finish(self, state: State) -> Tensor:
        image = state.x if state.image is None else state.image
        image = enlarge(image, self.resolution)
        return (torch.tanh(image) if self.network.tanh else image).contiguous()

    def noise_maps(self) -> dict[str, Tensor]:
        parts = ((site.name, site.module) for site in self.sites)
        return {name: m.noise_const for name, m in parts if isinstance(m, StyledLayer)}

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return the affine weights ``[outputs, w_dim]``; row ``i`` of w+ is layer ``i``."""
        if space not in ("w", "w+"):
            return super().affine(space, layers)
        weights = [part.affine.weight for part in self.network.style_layers().values()]
        chosen = parse_layers(layers, len(weights)) or range(len(weights))
        return torch.cat([weights[row] for row in chosen]).detach()

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network, mapping = self.network, self.network.mapping
        return {
            "z_dim": network.z_dim,
            "w_dim": network.w_dim,
            "c_dim": network.c_dim,
            "widths": {str(k): v for k, v in network.widths.items()},
            "channels": network.channels,
            "mapping_layers": mapping.num_layers,
            "mapping_width": mapping.width,
            "embed_dim": mapping.embed_dim,
            "level": network.level,
            "taps": network.taps,
            "eps": network.eps,
            "tanh": network.tanh,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> StyleGAN1:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        options = {**config, "widths": {int(k): v for k, v in config["widths"].items()}}
        with torch.device("meta"):
            network = StyleGAN1Network(**options)
        copies = {k: v.to(torch.float32, copy=True).contiguous() for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return cls(network, name=name)


def _make_layers(network: StyleGAN1Network) -> list[Layer]:
    return [
        Layer(
            name=site.name,
            index=index,
            channels=network.channels if site.row is None else network.widths[site.resolution],
            height=site.resolution,
            width=site.resolution,
            row=site.row,
            aliases=_published_names(site),
        )
        for index, site in enumerate(network.sites())
    ]


def _published_names(site: Site) -> tuple[str, ...]:
    place = int(math.log2(site.resolution)) - 2
    name = f"output{place}" if site.row is None else f"layer{site.row}"
    return (name, f"synthesis.{name}")


__all__ = ["StyleGAN1"]
