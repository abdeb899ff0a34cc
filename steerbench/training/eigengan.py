"""The game of an EigenGAN: each layer's basis is held orthonormal while it learns.

To the game of `steerbench.training.game` EigenGAN adds one term, in every step: with U_i the
basis of block i, one direction a row,

    penalty = weight * mean_i mean (U_i U_i^T - 1)^2

which keeps the directions of a block apart, so that each finds something of its own. The lengths L
begin far from one another (3, 6, 9 ...), so that the directions differ in how much they can do,
as those of a principal component analysis do.

The paper plays the hinge game at a learning rate of 1e-4 for days. Here the game and the
discriminator are those of all embedded generators, so that what is compared is the generator, and
each weight learns at a rate in proportion to its size. With one rate for all, a run of 20,000
pictures left everything to the last basis, whose numbers are the smallest and so learn fastest: a
step along the strongest axis of the first layer changed pixels by 0.009, of the last by 0.22. With
rates in proportion it was 0.20 and 0.12, and the lengths L spread further.

Reference: He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs" (2021, arXiv 2104.12476).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steerbench.errors import ArgumentError
from steerbench.generators.eigengan import EigenBlock, EigenGAN, EigenGANNetwork
from steerbench.training.game import SHARED_JUDGE, Game, GameSettings, under

FROM_NOTHING = 0.1
"""The size that is taken for biases and origins, which begin at 0."""


@dataclass
class EigenGANSettings(GameSettings):
    """What decides an EigenGAN's run besides the pictures.

    ``z_dim`` counts all of the code: the noise of the first features, and ``basis`` coordinates
    for each doubling of the size. ``g_scale`` multiplies the generator's learning rates.
    """

    z_dim: int = 128
    basis: int = 6
    channel_base: int = 1024
    channel_max: int = 128
    g_scale: float = 2.0
    orthogonal_weight: float = 1.0

    @property
    def g_widths(self) -> tuple[int, ...]:
        """Channels of the generator at 4, 8, 16 ... pixels."""
        sizes = [2**k for k in range(2, self.resolution.bit_length())]
        return tuple(min(self.channel_max, self.channel_base // size) for size in sizes)

    @property
    def noise(self) -> int:
        """Length of the code's first part.

        Raises:
            ArgumentError: The blocks' coordinates leave none.
        """
        taken = self.basis * (len(self.g_widths) - 1)
        if self.z_dim <= taken:
            raise ArgumentError(
                f"z_dim is {self.z_dim}, and {taken} of it are the blocks' coordinates. Give more "
                "than that: what is left is the noise of the first features."
            )
        return self.z_dim - taken

    def plain(self) -> dict[str, Any]:
        return super().plain() | {"g_widths": list(self.g_widths), "noise": self.noise}


class EigenGANGame(Game):
    """The game of an EigenGAN."""

    architecture = "eigengan"
    remarks = (
        SHARED_JUDGE + " The loss is the one of that game as well, not the paper's hinge.",
        "The bases are held orthonormal by a penalty, as in the paper.",
    )
    settings_class = EigenGANSettings
    settings: EigenGANSettings

    def network(self) -> EigenGANNetwork:
        settings = self.settings
        network = EigenGANNetwork(
            noise=settings.noise, basis=settings.basis, widths=settings.g_widths
        )
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(part.weight, 0.0, gain(part))
                nn.init.zeros_(part.get_parameter("bias"))
        for block in eigen_blocks(network):
            nn.init.orthogonal_(block.basis)
            with torch.no_grad():
                block.length.copy_(3.0 * torch.arange(settings.basis, 0, -1))
                # A linear step: no half of its inputs is lost to a rectifier.
                for add in (block.add0, block.add1):
                    add.weight.mul_(math.sqrt(0.5))
        return network

    def rates(self, module: nn.Module) -> list[dict[str, Any]]:
        """Each weight learns at a rate in proportion to its size at first.

        At one rate for all, the last basis, whose numbers are the smallest, is learned before
        anything else, and early layers are left without a task.
        """
        if not isinstance(module, EigenGANNetwork):
            return super().rates(module)
        scale = self.settings.g_scale
        return [
            {"params": [parameter], "scale": scale * size(name, parameter)}
            for name, parameter in module.named_parameters()
        ]

    @classmethod
    def export(
        cls, settings: dict[str, Any], tensors: Mapping[str, Tensor], seen: int, name: str
    ) -> EigenGAN:
        network = EigenGANNetwork(
            noise=settings["noise"],
            basis=settings["basis"],
            widths=tuple(settings["g_widths"]),
        )
        network.load_state_dict(under(tensors, "ema."))
        return EigenGAN(network, name=name)

    def draw(self, n: int) -> Tensor:
        z = torch.randn(n, self.settings.z_dim, device=self.device)
        return self.g(z, self.dtype)

    def penalty(self) -> Tensor:
        penalties = [overlap(block.basis) for block in eigen_blocks(self.g)]
        return self.settings.orthogonal_weight * torch.stack(penalties).mean()


def gain(part: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """Compute the standard deviation of weights that keeps activations at their size (He's).

    With torch's own, every layer of a network without normalisation gives less than it got, and
    what early coordinates do is lost on the way to the picture.
    """
    if isinstance(part, nn.Linear):
        return 1 / math.sqrt(part.in_features)
    reached = part.in_channels * math.prod(part.kernel_size) / math.prod(part.stride)
    return math.sqrt((2.0 if isinstance(part, nn.ConvTranspose2d) else 1.0) / reached)


def size(name: str, parameter: Tensor) -> float:
    """Return how large a weight is at first, of which its rate is a share."""
    if name.endswith("length"):
        return 1.0
    begins = float(parameter.detach().square().mean().sqrt())
    return begins if begins > 0 else FROM_NOTHING


def eigen_blocks(network: EigenGANNetwork) -> list[EigenBlock]:
    """List the blocks, each with a basis, in order."""
    return [network.block(place) for place in range(len(network.blocks))]


def overlap(basis: Tensor) -> Tensor:
    """Measure how far the rows of a basis are from orthonormal: 0 where they are.

    >>> overlap(torch.eye(2, 5)), overlap(torch.ones(2, 1))
    (tensor(0.), tensor(0.5000))
    """
    return (basis @ basis.T - torch.eye(len(basis), device=basis.device)).square().mean()


__all__ = ["EigenGANGame", "EigenGANSettings", "eigen_blocks", "gain", "overlap"]
