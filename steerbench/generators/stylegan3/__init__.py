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
from steerbench.generators.style_based import StyleBased
from steerbench.generators.stylegan2.discriminator import PublishedDiscriminator
from steerbench.generators.stylegan3.filters import InputPlan, LayerPlan
from steerbench.generators.stylegan3.network import FourierInput, StyleGAN3Network
from steerbench.types import Latent, Layer, State, parse_layers

TRANSFORM = "synthesis.input.transform"


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
        self.network = network
        self.classes = network.c_dim
        self.slices = _style_slices(network)
        self.transform = network.synthesis.input.transform
        super().__init__(
            network,
            name=name,
            spaces=self.style_spaces(network.z_dim, network.w_dim, network.synthesis.num_ws),
            layers=_make_layers(network),
        )
        self.parts = tuple(network.synthesis.parts().values())
        self.resolution = network.synthesis.plans[-1].out_size
        self._discriminator = discriminator
        self._relatives = {self.fingerprint}
        if discriminator is not None:
            discriminator.eval().requires_grad_(False)

    def _rebind(self) -> None:
        if isinstance(self.module, StyleGAN3Network):
            self.network = self.module
        self.parts = tuple(self.network.synthesis.parts().values())
        self.transform = self.transform.to(self.network.synthesis.input.transform)

    def with_transform(
        self,
        angle: float = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        *,
        inverse: Any = None,
    ) -> StyleGAN3:
        """The same generator with its picture turned, then moved; weights are shared.

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
        return {TRANSFORM: self.transform}

    def _check(self, latent: Latent) -> None:
        if latent.generator in self._relatives:
            latent = replace(latent, generator=self.fingerprint)
        super()._check(latent)

    def mapped(self, z: Tensor, label: Tensor | None) -> Tensor:
        return self.network.mapping(z, self.label_weights(label, z))

    def styled_rows(self, rows: Tensor) -> Tensor:
        return torch.cat([part.affine(rows[:, i]) for i, part in enumerate(self.parts)], dim=1)

    @property
    def mean_code(self) -> Tensor:
        return self.network.mapping.w_avg

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
        """The affine weights that w meets, ``[outputs, w_dim]``; row ``i`` of w+ is layer ``i``."""
        if space not in ("w", "w+"):
            return super().affine(space, layers)
        chosen = parse_layers(layers, len(self.parts)) or range(len(self.parts))
        return torch.cat([self.parts[row].affine.effective()[0] for row in chosen]).detach()

    def discriminator(self, images: Tensor, label: Any = None) -> Tensor:
        """Realness logits ``[N]``; conditional ones look at the label too."""
        if self._discriminator is None:
            return super().discriminator(images)
        label = self.label_weights(self._label(label, len(images)), images)
        logits: Tensor = self._discriminator(images, label)
        return logits

    # Files.

    def config(self) -> dict[str, Any]:
        """What `build` needs besides the weights."""
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
        """The weights, with those of the discriminator under their prefix."""
        tensors = dict(self.module.state_dict()) | self._own_transform()
        if self._discriminator is not None:
            state = self._discriminator.state_dict()
            tensors |= {f"discriminator.{name}": value for name, value in state.items()}
        return tensors

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> StyleGAN3:
        """The inverse of `config` and `tensors`."""
        prefix = "discriminator."
        own = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
        rest = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        options = {k: v for k, v in config.items() if k != "discriminator"}
        options["first"] = InputPlan(**config["first"])
        options["layers"] = [LayerPlan(**plan) for plan in config["layers"]]
        # On the meta device nothing is drawn and no memory taken before all shapes are compared.
        with torch.device("meta"):
            network = StyleGAN3Network(**options)
            judge = PublishedDiscriminator(**config["discriminator"]) if rest else None
        network.load_state_dict(_floats(own), assign=True)
        if judge is not None:
            judge.load_state_dict(_floats(rest), assign=True)
        return cls(network, name=name, discriminator=judge)


def _inverse(angle: float, translate: tuple[float, float]) -> Tensor:
    """Undo a translation, then a rotation, of pictures whose second coordinate points down."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = translate
    rows = [[c, -s, s * y - c * x], [s, c, -s * x - c * y], [0, 0, 1]]
    # Adding zero makes minus zero, which has other bytes, zero.
    return torch.tensor(rows, dtype=torch.float64) + 0.0


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in float32, each in memory of its own."""
    return {k: v.to(torch.float32, copy=True).contiguous() for k, v in tensors.items()}


def _style_slices(network: StyleGAN3Network) -> dict[str, slice]:
    slices: dict[str, slice] = {}
    start = 0
    for name, part in network.synthesis.parts().items():
        width = part.affine.weight.shape[0]
        slices[name] = slice(start, start + width)
        start += width
    return slices


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
