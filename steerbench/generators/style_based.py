"""The spaces that all style-based generators share: z, w, w+, s, p and p+.

A mapping network turns z (and a label) into w; every layer reads a row of w+ (w repeated once a
row) and turns it by a learned affine into its style; all styles joined are StyleSpace, s. P is w
with the last rectifier of the mapping undone, w through a leaky rectifier of slope 5; there a
whitened Gaussian fits. P+ is its layer-wise form.

An architecture calls `StyleBased.style_spaces` and supplies `StyleBased.mapped`,
`StyleBased.styled_rows` and `StyleBased.mean_code`.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948); s: Wu, Lischinski, Shechtman, "StyleSpace Analysis" (2021,
arXiv 2011.12799); p: Zhu, Abdal, Qin, Femiani, Wonka, "Improved StyleGAN Embedding" (2020,
arXiv 2012.09036).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.types import FirstFeatures, Latent, Space

SLOPE_TO_P = 5.0


class StyleBased(BaseGenerator):
    """A generator whose layers are steered by styles; rendered from s."""

    render_space = "s"
    has_noise = True
    independent = True
    slices: Mapping[str, slice]

    def mapped(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Codes z ``[N, z_dim]`` and labels to w ``[N, w_dim]``."""
        raise CapabilityError(f"Generator {self.name!r} has no mapping network.")

    def styled_rows(self, rows: Tensor) -> Tensor:
        """w+ ``[N, rows, w_dim]`` to the styles of all layers, joined: ``[N, S]``."""
        raise CapabilityError(f"Generator {self.name!r} has no styles.")

    def first_features(self) -> FirstFeatures:
        raise CapabilityError(
            f"{self.name!r} begins with features that are the same for every code; a code only "
            "sets styles, which are the same at every place. No code moves these features."
        )

    @property
    def mean_code(self) -> Tensor:
        """The mean of w ``[w_dim]`` that truncation draws towards."""
        raise CapabilityError(f"{self.name!r} came without the mean of w. Leave truncation at 1.")

    def style_spaces(self, z_dim: int, w_dim: int, rows: int) -> list[Space]:
        """The six spaces, for codes of these lengths and as many rows of w+."""
        styles = (max(part.stop for part in self.slices.values()),)
        shapes: list[tuple[str, tuple[int, ...], str | None, bool]] = [
            ("z", (z_dim,), None, False),
            ("w", (w_dim,), "z", False),
            ("w+", (rows, w_dim), "w", False),
            ("s", styles, "w+", False),
            ("p", (w_dim,), "w", True),
            ("p+", (rows, w_dim), "w+", True),
        ]
        return [
            Space(
                name,
                shape,
                parent,
                slices=self.slices if name == "s" else None,
                invertible=invertible,
            )
            for name, shape, parent, invertible in shapes
        ]

    def _convert(self, data: Tensor, source: str, target: str, label: Tensor | None) -> Tensor:
        data = data.to(next(self.module.parameters()).dtype)
        if (source, target) == ("z", "w"):
            return self.mapped(data, label)
        if (source, target) == ("w", "w+"):
            return data[:, None].expand(-1, self.spaces["w+"].shape[0], -1)
        if (source, target) == ("w+", "s"):
            return self.styled_rows(data)
        if target in ("p", "p+"):
            return F.leaky_relu(data, SLOPE_TO_P)
        if source in ("p", "p+"):
            return F.leaky_relu(data, 1 / SLOPE_TO_P)
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


__all__ = ["SLOPE_TO_P", "StyleBased"]
