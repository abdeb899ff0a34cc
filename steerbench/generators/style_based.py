"""The spaces that all style-based generators share: z, w, w+, s, p and p+.

A mapping network turns z (and a label) into w; every layer reads a row of w+ (w repeated once a
row) and turns it by a learned affine into its style; all styles joined are StyleSpace, s. P is w
with the last rectifier of the mapping undone, w through a leaky rectifier of slope 5; there a
whitened Gaussian fits. P+ is its layer-wise form.

An architecture hands its network, its layers and the widths of their styles to `StyleBased`, and
supplies `StyleBased.styles_of`. What a discriminator needs is here too.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948); s: Wu, Lischinski, Shechtman, "StyleSpace Analysis" (2021,
arXiv 2011.12799); p: Zhu, Abdal, Qin, Femiani, Wonka, "Improved StyleGAN Embedding" (2020,
arXiv 2012.09036).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.types import FirstFeatures, Latent, Layer, Space

DISCRIMINATOR = "discriminator."
"""Before the names of a discriminator's weights, in files and in parts of a generator."""


class StyleBased(BaseGenerator):
    """A generator whose layers are steered by styles; rendered from s.

    Args:
        network: With ``mapping``, ``z_dim``, ``w_dim`` and ``c_dim``.
        name: Of the generator.
        layers: In the order in which they run.
        widths: The length of a layer's style by the layer's name, in the order of s.
        rows: Of w+.
        resolution: Of the pictures, in pixels.
        discriminator: That it was trained against, where it is there.
    """

    render_space = "s"
    has_noise = True
    independent = True
    p_slope = 5.0

    def __init__(
        self,
        network: Any,
        *,
        name: str,
        layers: Sequence[Layer],
        widths: Mapping[str, int],
        rows: int,
        resolution: int,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.network = network
        self.classes = network.c_dim
        self.slices = _slices(widths)
        spaces = _spaces(network.z_dim, network.w_dim, rows, self.slices)
        super().__init__(network, name=name, spaces=spaces, layers=layers)
        self.resolution = resolution
        self._discriminator: Any = discriminator
        if discriminator is not None:
            discriminator.eval().requires_grad_(False)

    def _rebind(self) -> None:
        self.network = self.module

    def map_code(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Map codes z ``[N, z_dim]`` and labels to w ``[N, w_dim]``."""
        w: Tensor = self.network.mapping(z, self.label_weights(label, z))
        return w

    def styles_of(self, rows: Tensor) -> Tensor:
        """Compute the styles of all layers, joined, ``[N, S]``, of w+ ``[N, rows, w_dim]``."""
        raise CapabilityError(f"Generator {self.name!r} has no styles.")

    @property
    def mean_code(self) -> Tensor:
        """The mean of w ``[w_dim]`` that truncation draws towards."""
        mean: Tensor = self.network.mapping.w_avg
        return mean

    def discriminator(self, images: Tensor, label: Any = None) -> Tensor:
        """Compute realness logits ``[N]``; conditional ones look at the label too."""
        if self._discriminator is None:
            return super().discriminator(images)
        label = self.label_weights(self._label(label, len(images)), images)
        logits: Tensor = self._discriminator(images, label)
        return logits

    def first_features(self) -> FirstFeatures:
        raise CapabilityError(
            f"{self.name!r} begins with features that are the same for every code; a code only "
            "sets styles, which are the same at every place. No code moves these features."
        )

    def _convert(self, data: Tensor, source: str, target: str, label: Tensor | None) -> Tensor:
        data = data.to(next(self.module.parameters()).dtype)
        if (source, target) == ("z", "w"):
            return self.map_code(data, label)
        if (source, target) == ("w", "w+"):
            return data[:, None].expand(-1, self.spaces["w+"].shape[0], -1)
        if (source, target) == ("w+", "s"):
            return self.styles_of(data)
        if target in ("p", "p+"):
            return F.leaky_relu(data, self.p_slope)
        if source in ("p", "p+"):
            return F.leaky_relu(data, 1 / self.p_slope)
        return super()._convert(data, source, target, label)

    def _truncate(self, latent: Latent, psi: float, cutoff: int | None) -> Latent:
        if latent.space not in ("w", "w+"):
            return super()._truncate(latent, psi, cutoff)
        if cutoff is not None and latent.space == "w":
            raise CapabilityError(
                "A truncation cutoff was given for space 'w', which has no rows. Convert to 'w+'."
            )
        drawn = torch.lerp(self.mean_code.to(latent.data), latent.data, psi)
        if cutoff is not None:
            rows = torch.arange(latent.data.shape[1], device=drawn.device)[:, None]
            drawn = torch.where(rows < cutoff, drawn, latent.data)
        return latent.with_data(drawn)


def _slices(widths: Mapping[str, int]) -> dict[str, slice]:
    """Return where the style of each layer lies in s."""
    ends = list(accumulate(widths.values()))
    return {name: slice(end - widths[name], end) for name, end in zip(widths, ends)}


def _spaces(z_dim: int, w_dim: int, rows: int, slices: Mapping[str, slice]) -> list[Space]:
    """Return the six spaces.

    Args:
        z_dim: Length of a code z.
        w_dim: Length of a code w.
        rows: Of w+.
        slices: Of s, by layer.
    """
    styles = (max(part.stop for part in slices.values()),)
    return [
        Space("z", (z_dim,), None),
        Space("w", (w_dim,), "z"),
        Space("w+", (rows, w_dim), "w"),
        Space("s", styles, "w+", slices=slices),
        Space("p", (w_dim,), "w", invertible=True),
        Space("p+", (rows, w_dim), "w+", invertible=True),
    ]


def split_discriminator(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of a generator and those of its discriminator.

    They are copies in float32, each in memory of its own.
    """
    copies = {k: v.to(torch.float32, copy=True).contiguous() for k, v in tensors.items()}
    own = {k: v for k, v in copies.items() if not k.startswith(DISCRIMINATOR)}
    rest = {k.removeprefix(DISCRIMINATOR): v for k, v in copies.items() if k not in own}
    return own, rest


def join_discriminator(
    tensors: Mapping[str, Tensor], discriminator: nn.Module | None
) -> dict[str, Tensor]:
    """Return the weights of a generator with those of its discriminator, where there is one."""
    state = {} if discriminator is None else discriminator.state_dict()
    return {**tensors, **{f"{DISCRIMINATOR}{name}": value for name, value in state.items()}}


__all__ = ["DISCRIMINATOR", "StyleBased", "join_discriminator", "split_discriminator"]
