"""StyleGAN3 as a Generator: its spaces z, w, w+, s, p, p+ and the walk through its layers.

A latent z (joined to its embedded label) is mapped to a style code w. The first layer reads row 0
of w+ and turns and shifts a set of waves; every later one reads its own row, convolves, and
rectifies without aliasing (`stylegan3_network`). Layers keep their published names, which
give index, size and channels, and may be called by their index alone (``"L5"``):

    input  L0_36_512  L1_36_512  ...  L13_256_128  L14_256_3

Canvases are larger than the picture by a margin on each side. The features are a function of
continuous coordinates, so the picture can be turned and moved: `StyleGAN3.with_transform`,
or the style ``input`` (cosine, sine and translation) of s.

Configuration T is equivariant to translation; configuration R, with 1x1 kernels and radial
filters, to rotation too. Files of both are read alike.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import ShapeError
from steerbench.generators.style_based import (
    StyleBased,
    join_discriminator,
    split_discriminator,
)
from steerbench.generators.stylegan2.discriminator import PublishedDiscriminator
from steerbench.generators.stylegan3.filters import InputPlan, LayerPlan
from steerbench.generators.stylegan3.network import FourierInput, StyleGAN3Network
from steerbench.types import Latent, Layer, State, parse_layers


class StyleGAN3(StyleBased):
    """A StyleGAN3 generator, perhaps with the discriminator it was trained against."""

    architecture = "stylegan3"
    has_noise = False

    def __init__(
        self,
        network: StyleGAN3Network,
        *,
        name: str,
        discriminator: PublishedDiscriminator | None = None,
    ) -> None:
        parts = network.synthesis.parts()
        self.parts = tuple(parts.values())
        self.transform = network.synthesis.input.transform
        super().__init__(
            network,
            name=name,
            layers=_make_layers(network),
            widths={name: part.affine.weight.shape[0] for name, part in parts.items()},
            rows=network.synthesis.num_ws,
            resolution=network.synthesis.plans[-1].out_size,
            discriminator=discriminator,
        )
        self._relatives = {self.fingerprint}

    def _rebind(self) -> None:
        super()._rebind()
        self.parts = tuple(self.network.synthesis.parts().values())
        self.transform = self.transform.to(self.network.synthesis.input.transform)

    def with_transform(
        self,
        angle: float = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        *,
        inverse: Any = None,
    ) -> StyleGAN3:
        """Return the same generator with its picture turned, then moved; weights are shared.

        Codes of this generator are codes of the new one too. The new transform replaces one
        that was there.

        Args:
            angle: In degrees, counter-clockwise.
            translate: To the right and down, in widths of the picture.
            inverse: Instead of both, the 3x3 matrix that published files keep: from places in the
                new picture to places in the old one, both measured from the centre.

        Raises:
            ShapeError: The matrix is not 3x3 or not finite.
        """
        matrix = _inverse(angle, translate) if inverse is None else torch.as_tensor(inverse)
        if matrix.shape != (3, 3) or not torch.isfinite(matrix).all():
            raise ShapeError(
                f"A transform of shape {list(matrix.shape)} was given. Give the inverse of a 3x3 "
                "matrix of finite numbers, or an angle and a translation."
            )
        other = copy.copy(self)
        other.transform = matrix.to(self.transform)
        other.fingerprint = store.fingerprint(other.module.state_dict() | other._own_transform())
        other._relatives = self._relatives | {other.fingerprint}
        return other

    def _own_transform(self) -> dict[str, Tensor]:
        return {"synthesis.input.transform": self.transform}

    def _check(self, latent: Latent) -> None:
        if latent.generator in self._relatives:
            latent = replace(latent, generator=self.fingerprint)
        super()._check(latent)

    def styles_of(self, rows: Tensor) -> Tensor:
        return torch.cat([part.affine(rows[:, i]) for i, part in enumerate(self.parts)], dim=1)

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        styles = tuple(latent.data[:, part] for part in self.slices.values())
        # The first layer reads its style only; it asks how many there are, and of which type.
        return State(0, styles, latent.data[:, :0].to(dtype or latent.data.dtype), None, noise)

    def layer(self, state: State) -> Tensor:
        part, style = self.parts[state.index], state.inputs[state.index]
        if isinstance(part, FourierInput):
            features: Tensor = part(style, self.transform).to(state.x.dtype)
            return features
        activation: Tensor = part(state.x, style)
        return activation

    def finish(self, state: State) -> Tensor:
        image = state.x.to(self.network.mapping.w_avg.dtype) * self.network.synthesis.output_scale
        return image.contiguous()

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return the affine weights ``[outputs, w_dim]``; row ``i`` of w+ is layer ``i``."""
        if space not in ("w", "w+"):
            return super().affine(space, layers)
        chosen = parse_layers(layers, len(self.parts)) or range(len(self.parts))
        return torch.cat([self.parts[row].affine.effective()[0] for row in chosen]).detach()

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network, mapping, synthesis = self.network, self.network.mapping, self.network.synthesis
        config = {
            "z_dim": network.z_dim,
            "w_dim": network.w_dim,
            "c_dim": network.c_dim,
            "mapping_layers": mapping.num_layers,
            "mapping_width": mapping.width,
            "embed_dim": mapping.embed_dim,
            "first": asdict(synthesis.first),
            "layers": [asdict(plan) for plan in synthesis.plans],
            "output_scale": synthesis.output_scale,
        }
        if self._discriminator is not None:
            config["discriminator"] = self._discriminator.config
        return config

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, with those of the discriminator under their prefix."""
        own = self.module.state_dict() | self._own_transform()
        return join_discriminator(own, self._discriminator)

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> StyleGAN3:
        """Make a generator of what `config` and `tensors` gave.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        own, rest = split_discriminator(tensors)
        options = {k: v for k, v in config.items() if k != "discriminator"}
        options["first"] = InputPlan(**config["first"])
        options["layers"] = [LayerPlan(**plan) for plan in config["layers"]]
        # On the meta device nothing is drawn and no memory taken before all shapes are compared.
        with torch.device("meta"):
            network = StyleGAN3Network(**options)
            judge = PublishedDiscriminator(**config["discriminator"]) if rest else None
        network.load_state_dict(own, assign=True)
        if judge is not None:
            judge.load_state_dict(rest, assign=True)
        return cls(network, name=name, discriminator=judge)


def _inverse(angle: float, translate: tuple[float, float]) -> Tensor:
    """Undo a translation, then a rotation, of pictures whose second coordinate points down."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = translate
    rows = [[c, -s, s * y - c * x], [s, c, -s * x - c * y], [0, 0, 1]]
    # Adding zero makes minus zero, which has other bytes, zero.
    return torch.tensor(rows, dtype=torch.float64) + 0.0


def _make_layers(network: StyleGAN3Network) -> list[Layer]:
    first = network.synthesis.first
    sizes = {"input": (first.channels, first.size)}
    sizes |= {plan.name: (plan.outputs, plan.out_size) for plan in network.synthesis.plans}
    return [
        Layer(
            name=name,
            index=row,
            channels=channels,
            height=size,
            width=size,
            row=row,
            aliases=(f"synthesis.{name}", *([] if name == "input" else [name.split("_")[0]])),
        )
        for row, (name, (channels, size)) in enumerate(sizes.items())
    ]


__all__ = ["StyleGAN3"]
