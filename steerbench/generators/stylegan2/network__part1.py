"""The mapping network of StyleGAN2: a perceptron from z (and a label) to w."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steerbench.generators.stylegan2.network import Dense, normalise


class MappingNetwork(nn.Module):
    """z ``[N, z_dim]`` (and a label ``[N, c_dim]``) to w ``[N, w_dim]``.

    Args:
        z_dim: Of the code; 0 for a network of the label alone.
        w_dim: Of the result.
        c_dim: Of the label; 0 without.
        num_layers: How many dense layers.
        width: Of the layers between; ``w_dim`` by default.
        embed_dim: Of the embedded label; ``w_dim`` by default.
        joint: Normalise z and the embedded label together and not each by itself.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        *,
        c_dim: int = 0,
        num_layers: int = 8,
        width: int | None = None,
        embed_dim: int | None = None,
        joint: bool = False,
    ) -> None:
        super().__init__()
        width = w_dim if width is None else width
        embed_dim = w_dim if embed_dim is None else embed_dim
        inputs = z_dim + (embed_dim if c_dim else 0)
        sizes = [inputs, *[width] * (num_layers - 1), w_dim]
        self.z_dim, self.num_layers, self.c_dim, self.joint = z_dim, num_layers, c_dim, joint
        self.width, self.embed_dim = width, embed_dim
        if c_dim:
            self.embed = Dense(c_dim, embed_dim)
        for i in range(num_layers):
            layer = Dense(sizes[i], sizes[i + 1], activate=True, lr_multiplier=0.01)
            setattr(self, f"fc{i}", layer)
        if z_dim:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, label: Tensor | None = None) -> Tensor:
        parts = [z] if z is not None and self.z_dim else []
        if self.c_dim:
            parts.append(self.embed(label))
        if not self.joint:
            parts = [normalise(part) for part in parts]
        x = torch.cat(parts, dim=1)
        if self.joint:
            x = normalise(x)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x
