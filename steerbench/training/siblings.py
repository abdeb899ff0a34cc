"""The default generator's siblings: older architectures, trained on the same pictures.

All play the game of `steerbench.training.game` against the same discriminator, so that what
tells their pictures apart is the generator, and the pictures seen.

**dcgan.** Batch normalisation makes a picture depend on its batch. While learning it does; what is
kept draws each picture for itself, with the statistics of many codes. Averaged weights have other
statistics than those that were learned last: they are taken anew (`settle`).

**pggan.** The network grows. It draws 8x8 pixels first; then each next block fades in over
``phase`` pictures and learns over as many more (`level_after`). Real pictures are shown
as coarse as it draws and the discriminator's own blocks fade in alongside. Adam moves every weight
by about its learning rate whatever the gradient's size, so that the run-time gain c on a weight
(equalised learning rate) is the same as a learning rate c times as large on a weight that is kept
with its gain (`PGGANGame.rates`).

References: `steerbench.generators.dcgan` and `steerbench.generators.pggan`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from steerbench.errors import NotFoundError, unknown
from steerbench.generators import DCGAN, PGGAN
from steerbench.generators.dcgan import DCGANNetwork
from steerbench.generators.pggan import PGGANNetwork
from steerbench.training.adversarial import widths
from steerbench.training.eigengan import EigenGANGame
from steerbench.training.game import SHARED_JUDGE, Game, GameSettings, under
from steerbench.training.shared import with_options

SETTLING = 4096
"""Codes whose statistics a kept generator normalises with."""


@dataclass
class DCGANSettings(GameSettings):
    """What decides a DCGAN's run besides the pictures."""

    g_learning_rate: float = 5e-4
    g_widths: tuple[int, ...] = (256, 128, 96, 64, 3)
    judge: str = "rooms-attributes"


class DCGANGame(Game):
    """The game of a DCGAN."""

    architecture = "dcgan"
    remarks = (
        SHARED_JUDGE,
        f"Batch normalisation uses the statistics of {SETTLING:,} codes, taken with the averaged "
        "weights: a picture does not depend on the others of its batch.",
    )
    settings_class = DCGANSettings
    settings: DCGANSettings

    def network(self) -> DCGANNetwork:
        return DCGANNetwork(z_dim=self.settings.z_dim, widths=tuple(self.settings.g_widths))

    def rates(self, module: nn.Module) -> list[dict[str, Any]]:
        """The generator's weights lack the run-time gains that the discriminator's rate is for."""
        own = isinstance(module, DCGANNetwork)
        scale = self.settings.g_learning_rate / self.settings.learning_rate if own else 1.0
        return [{"params": list(module.parameters()), "scale": scale}]

    @classmethod
    def export(
        cls, settings: dict[str, Any], tensors: Mapping[str, Tensor], seen: int, name: str
    ) -> DCGAN:
        network = DCGANNetwork(z_dim=settings["z_dim"], widths=tuple(settings["g_widths"]))
        network.load_state_dict(under(tensors, "ema."))
        settle(network)
        return DCGAN(network, name=name)

    def draw(self, n: int) -> Tensor:
        z = torch.randn(n, self.settings.z_dim, device=self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.g(z).float()

    def picture(self, codes: Tensor) -> Tensor:
        settle(self.ema)
        return self.ema(codes)


@torch.no_grad()
def settle(network: Any, n: int = SETTLING, batch: int = 256) -> None:
    """Give a network the statistics of its own activations, over ``n`` codes of the prior."""
    device = next(network.parameters()).device
    draws = torch.Generator().manual_seed(0)
    codes = torch.randn(n, network.z_dim, generator=draws).to(device)
    update_bn(codes.split(batch), network)


@dataclass
class PGGANSettings(GameSettings):
    """What decides a progressive GAN's run besides the pictures."""

    batch: int = 16
    learning_rate: float = 2e-3
    channel_base: int = 2048
    channel_max: int = 128
    phase: int = 8_000
    judge: str = "rooms-attributes"

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the generator at each resolution."""
        return widths(self.resolution, self.channel_base, self.channel_max)

    def plain(self) -> dict[str, Any]:
        return super().plain() | {"widths": {str(k): v for k, v in self.widths.items()}}


class PGGANGame(Game):
    """The game of a progressive GAN."""

    architecture = "pggan"
    remarks = (
        SHARED_JUDGE + " Like the generator it grew, from 8x8 pixels up.",
        "Weights are kept with their run-time gain, as learning rates a gain as large teach them "
        "the same.",
    )
    settings_class = PGGANSettings
    settings: PGGANSettings

    @property
    def level(self) -> float:
        """The level of detail now."""
        return level_after(self.seen, self.settings.phase, len(self.settings.widths))

    @classmethod
    def export(
        cls, settings: dict[str, Any], tensors: Mapping[str, Tensor], seen: int, name: str
    ) -> PGGAN:
        network = PGGANNetwork(
            z_dim=settings["z_dim"],
            widths={int(k): v for k, v in settings["widths"].items()},
            level=level_after(seen, settings["phase"], len(settings["widths"])),
        )
        network.load_state_dict(under(tensors, "ema."))
        return PGGAN(network, name=name)

    def network(self) -> PGGANNetwork:
        network = PGGANNetwork(z_dim=self.settings.z_dim, widths=self.settings.widths)
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.normal_(part.weight, 0.0, gain(part))
                nn.init.zeros_(part.get_parameter("bias"))
        return network

    def rates(self, module: nn.Module) -> list[dict[str, Any]]:
        if not isinstance(module, PGGANNetwork):
            return super().rates(module)
        parts = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        weights = [{"params": [part.weight], "scale": gain(part)} for part in parts]
        return [*weights, {"params": [part.bias for part in parts], "scale": 1.0}]

    def draw(self, n: int) -> Tensor:
        z = torch.randn(n, self.settings.z_dim, device=self.device)
        return self.g(z, self.level, self.dtype)

    def picture(self, codes: Tensor) -> Tensor:
        return F.interpolate(self.ema(codes, self.level), self.settings.resolution, mode="nearest")

    def real(self) -> Tensor:
        whole, share = math.floor(self.level), self.share
        x = F.avg_pool2d(super().real(), 2**whole)
        if share == 1:
            return x
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="nearest")
        return torch.lerp(coarse, x, share)

    @property
    def share(self) -> float:
        """How much of the finest block that runs is faded in."""
        return 1 - (self.level - math.floor(self.level))

    def logits(self, images: Tensor) -> Tensor:
        return self.d(images, self.dtype, self.share)


def level_after(seen: int, phase: int, blocks: int) -> float:
    """The level of detail after so many pictures: it falls by one while a block fades in.

    >>> [level_after(seen, phase=100, blocks=5) for seen in (0, 100, 150, 200, 325, 600, 900)]
    [3.0, 3.0, 2.5, 2.0, 1.75, 0.0, 0.0]
    """
    stage, rest = divmod(seen / phase, 2)
    return max(0.0, blocks - 2 - stage - max(0.0, rest - 1))


def gain(part: nn.Conv2d | nn.Linear) -> float:
    """The standard deviation that keeps activations at unit size: He's, and 1 towards pixels."""
    before = math.sqrt(part.weight[0].numel())
    towards_pixels = isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)
    return (1.0 if towards_pixels else math.sqrt(2.0)) / before


SIBLINGS: dict[str, type[Game]] = {
    "dcgan": DCGANGame,
    "pggan": PGGANGame,
    "eigengan": EigenGANGame,
}


def find(architecture: str) -> type[Game]:
    """The game of an architecture.

    Raises:
        NotFoundError: There is none; the closest names are offered.
    """
    if architecture not in SIBLINGS:
        raise NotFoundError(unknown("sibling", architecture, SIBLINGS))
    return SIBLINGS[architecture]


def settings_of(game: type[Game], options: Sequence[str]) -> GameSettings:
    """Return a game's settings with `NAME=VALUE` changes, as `with_options` makes them."""
    return with_options(game.settings_class(), options)
