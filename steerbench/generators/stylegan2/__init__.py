"""StyleGAN2 as a Generator: its spaces z, w, w+, s, p, p+ and the walk through its layers.

A latent z is normalised and mapped by a perceptron to a style code w. Every convolution of the
synthesis network reads its own row of w+ (w repeated once a layer), turns it by a learned affine
into one number a channel (its style; all of them joined are StyleSpace, s), and convolves with
weights scaled by it. Layers are walked in order,

    b4.conv1  b4.torgb  b8.conv0  b8.conv1  b8.torgb  b16.conv0 ...

and every ToRGB adds its picture to the upsampled sum of the earlier ones; a ToRGB reads the same
row as the first convolution of the next block. In the residual variant each block ends in a layer
``b8.skip``, the sum of its two paths, and only the last block paints. The spaces are those of
`style_based`.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from steerbench.generators.style_based import (
    DISCRIMINATOR,
    StyleBased,
    join_discriminator,
    split_discriminator,
)
from steerbench.generators.stylegan2.discriminator import Discriminator, PublishedDiscriminator
from steerbench.generators.stylegan2.layers import Dense
from steerbench.generators.stylegan2.network import Shortcut, Site, StyleGAN2Network, SynthesisLayer
from steerbench.types import Latent, Layer, State, parse_layers


class StyleGAN2(StyleBased):
    """A StyleGAN2 generator, perhaps with the discriminator it was trained against."""

    architecture = "stylegan2"

    def __init__(
        self,
        network: StyleGAN2Network,
        *,
        name: str,
        discriminator: Discriminator | PublishedDiscriminator | None = None,
    ) -> None:
        self.sites = tuple(network.synthesis.sites())
        super().__init__(
            network,
            name=name,
            layers=_make_layers(self.sites),
            widths={site.name: affine.weight.shape[0] for site, affine in self.style_sites()},
            rows=network.synthesis.num_ws,
            resolution=max(network.synthesis.widths),
            discriminator=discriminator,
        )

    def style_sites(self) -> list[tuple[Site, Dense]]:
        """Return the layers that read a style, each with the affine that gives it."""
        return [(site, site.affine) for site in self.sites if site.affine is not None]

    def _rebind(self) -> None:
        super()._rebind()
        self.sites = tuple(self.network.synthesis.sites())

    def styles_of(self, rows: Tensor) -> Tensor:
        return torch.cat([affine(rows[:, site.row]) for site, affine in self.style_sites()], dim=1)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        x = self.network.synthesis.start(len(latent)).to(dtype or latent.data.dtype)
        nothing = slice(0, 0)
        styles = tuple(latent.data[:, self.slices.get(site.name, nothing)] for site in self.sites)
        return State(0, styles, x.contiguous(memory_format=torch.channels_last), None, noise)

    def layer(self, state: State) -> Tensor:
        module, style = self.sites[state.index].module, state.inputs[state.index]
        if isinstance(module, SynthesisLayer):
            return module(state.x, style, state.noise_of(self.sites[state.index].name))
        if isinstance(module, Shortcut):
            return state.x if state.shortcut is None else state.x + state.shortcut
        return module(state.x, style)

    def advance(self, state: State, activation: Tensor) -> State:
        site, index = self.sites[state.index], state.index + 1
        if isinstance(site.module, Shortcut):
            return replace(state, index=index, x=activation, shortcut=None)
        if isinstance(site.module, SynthesisLayer):
            kept = state.shortcut if site.shortcut is None else site.shortcut(state.x)
            return replace(state, index=index, x=activation, shortcut=kept)
        image = self.network.synthesis.add(state.image, activation)
        return replace(state, index=index, image=image)

    def finish(self, state: State) -> Tensor:
        image = state.x if state.image is None else state.image
        return image.contiguous()

    def noise_maps(self) -> dict[str, Tensor]:
        parts = ((site.name, site.module) for site in self.sites)
        return {name: m.noise_const for name, m in parts if isinstance(m, SynthesisLayer)}

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return the affine weights that w meets, ``[outputs, w_dim]``.

        Row ``i`` of w+ stands for the convolution that reads it; the last row for the last ToRGB.
        """
        if space not in ("w", "w+"):
            return super().affine(space, layers)
        rows = self.network.synthesis.num_ws
        chosen = parse_layers(layers, rows) or tuple(range(rows))
        readers = {
            site.row: affine
            for site, affine in self.style_sites()
            if isinstance(site.module, SynthesisLayer) or site.row == rows - 1
        }
        weights = [readers[row].effective()[0] for row in chosen]
        return torch.cat(weights).detach()

    def discriminator(self, images: Tensor, label: Any = None) -> Tensor:
        """Compute realness logits ``[N]``; conditional ones look at the label too."""
        if isinstance(self._discriminator, Discriminator):
            return self._discriminator(images)
        return super().discriminator(images, label)

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network, mapping, synthesis = self.network, self.network.mapping, self.network.synthesis
        config: dict[str, Any] = {
            "z_dim": network.z_dim,
            "w_dim": network.w_dim,
            "c_dim": network.c_dim,
            "mapping_layers": mapping.num_layers,
            "widths": {str(k): v for k, v in synthesis.widths.items()},
        }
        options = {
            "channels": synthesis.channels,
            "mapping_width": mapping.width,
            "embed_dim": mapping.embed_dim,
            "joint": mapping.joint,
            "architecture": synthesis.architecture,
            "clamp": synthesis.clamp,
        }
        if isinstance(self._discriminator, Discriminator):
            config["d_widths"] = {str(k): v for k, v in self._discriminator.widths.items()}
        if isinstance(self._discriminator, PublishedDiscriminator):
            config["discriminator"] = self._discriminator.config
        return config | options

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, those of our own discriminator at half precision."""
        tensors = join_discriminator(self.module.state_dict(), self._discriminator)
        own = isinstance(self._discriminator, Discriminator)
        return {
            k: v.half() if own and k.startswith(DISCRIMINATOR) else v for k, v in tensors.items()
        }

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> StyleGAN2:
        """Make a generator of what `config` and `tensors` gave.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        own, rest = split_discriminator(tensors)
        names = ("channels", "mapping_width", "embed_dim", "joint", "architecture", "clamp")
        options = {name: config[name] for name in names if name in config}
        # On the meta device nothing is drawn and no memory taken before all shapes are compared.
        with torch.device("meta"):
            network = StyleGAN2Network(
                z_dim=config["z_dim"],
                w_dim=config["w_dim"],
                c_dim=config["c_dim"],
                mapping_layers=config["mapping_layers"],
                widths={int(k): v for k, v in config["widths"].items()},
                **options,
            )
            discriminator = _make_discriminator(config)
        network.load_state_dict(own, assign=True)
        network.synthesis.adopt_filter()
        if discriminator is not None:
            discriminator.load_state_dict(rest, assign=True)
        return cls(network, name=name, discriminator=discriminator)


def _make_layers(sites: Sequence[Site]) -> list[Layer]:
    return [
        Layer(
            name=site.name,
            index=index,
            channels=site.module.weight.shape[0],
            height=site.resolution,
            width=site.resolution,
            row=None if isinstance(site.module, Shortcut) else site.row,
            aliases=(f"synthesis.{site.name}", *_block_alias(site)),
        )
        for index, site in enumerate(sites)
    ]


def _make_discriminator(
    config: Mapping[str, Any],
) -> Discriminator | PublishedDiscriminator | None:
    if "d_widths" in config:
        return Discriminator(widths={int(k): v for k, v in config["d_widths"].items()})
    if "discriminator" in config:
        return PublishedDiscriminator(**config["discriminator"])
    return None


def _block_alias(site: Site) -> tuple[str, ...]:
    """Return NVIDIA's name of a block's features stands for the layer that gives them."""
    block, _, part = site.name.partition(".")
    return (block,) if part == "skip" or (part == "conv1" and not site.residual) else ()
