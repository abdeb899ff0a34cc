"""The game of a StyleGAN2: style mixing, path lengths, and the Hessian Penalty.

To the game of `steerbench.training.game` StyleGAN2 adds style mixing and path-length
regularisation, taken lazily (``path_weight=0`` switches it off).

With a ``hessian_weight`` the numbers of z are asked not to interfere: every ``hessian_every`` steps
the Hessian Penalty of all convolutions' activations, at fixed noise and in float32 (second
differences of half-precision numbers are noise), joins the generator's loss for a quarter of a
batch. Its weight grows from 0 over the first ``hessian_ramp`` pictures.

Reference: Karras et al. 2020 (arXiv 1912.04958) for the architecture, lazy regularisation and
path length; Karras, Laine, Aila 2019 (arXiv 1812.04948) for style mixing; Peebles et al. 2020
(arXiv 2008.10599) for the Hessian Penalty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steerbench.generators import StyleGAN2
from steerbench.generators.stylegan2.discriminator import Discriminator
from steerbench.generators.stylegan2.network import StyleGAN2Network, SynthesisLayer
from steerbench.hooks import Trace
from steerbench.training.adversarial import widths
from steerbench.training.game import Game, GameSettings, under
from steerbench.training.pictures import Pictures
from steerbench.unsupervised.hessian_penalty import hessian_penalty


@dataclass
class StyleGAN2Settings(GameSettings):
    """What decides a StyleGAN2's run besides the pictures."""

    channel_base: int = 2048
    channel_max: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    path_weight: float = 2.0
    path_every: int = 16
    mixing: float = 0.5
    hessian_weight: float = 0.0
    hessian_every: int = 4
    hessian_ramp: int = 10_000

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the generator at each resolution."""
        return widths(self.resolution, self.channel_base, self.channel_max)

    def plain(self) -> dict[str, Any]:
        return super().plain() | {"widths": {str(k): v for k, v in self.widths.items()}}


class StyleGAN2Game(Game):
    """The game of a StyleGAN2."""

    architecture = "stylegan2"
    settings_class = StyleGAN2Settings

    def __init__(
        self, settings: StyleGAN2Settings, pictures: Pictures, device: str = "cpu"
    ) -> None:
        super().__init__(settings, pictures, device)
        self.path_mean = torch.zeros((), device=self.device)

    def network(self) -> StyleGAN2Network:
        settings = self.settings
        return StyleGAN2Network(
            z_dim=settings.z_dim,
            w_dim=settings.w_dim,
            widths=settings.widths,
            mapping_layers=settings.mapping_layers,
        )

    @classmethod
    def export(
        cls, settings: dict[str, Any], tensors: Mapping[str, Tensor], seen: int, name: str
    ) -> StyleGAN2:
        """The averaged generator, with the plain discriminator.

        The discriminator's weights are kept at half precision: it judges and continues training,
        and neither needs more. The generator keeps every bit.
        """
        network = StyleGAN2Network(
            z_dim=settings["z_dim"],
            w_dim=settings["w_dim"],
            mapping_layers=settings["mapping_layers"],
            widths={int(k): v for k, v in settings["widths"].items()},
        )
        network.load_state_dict(under(tensors, "ema."))
        judge = Discriminator(widths={int(k): v for k, v in settings["d_widths"].items()})
        state = under(tensors, "d.plain.") if settings["judge"] else under(tensors, "d.")
        judge.load_state_dict({k: v.half().float() for k, v in state.items()})
        return StyleGAN2(network, name=name, discriminator=judge)

    def draw(self, n: int) -> Tensor:
        return self.g.synthesis(self.latents(n), "random", self.dtype)

    def picture(self, codes: Tensor) -> Tensor:
        return self.ema(codes, noise="const")

    def state(self) -> dict[str, Tensor]:
        return {"path_mean": self.path_mean}

    def extra_steps(self) -> int:
        return self.settings.path_every if self.settings.path_weight else 0

    def latents(self, n: int) -> Tensor:
        """w+ codes of random latents, some of them mixed from two at a random layer."""
        rows = self.g.synthesis.num_ws
        z = torch.randn(2, n, self.settings.z_dim, device=self.device)
        w = self.g.mapping(z[0])
        self.g.mapping.w_avg.lerp_(w.detach().mean(0), 0.005)
        ws = w[:, None].expand(-1, rows, -1)
        if not self.settings.mixing:
            return ws
        other = self.g.mapping(z[1])[:, None]
        cut = torch.randint(1, rows, (n, 1, 1), device=self.device)
        mixed = torch.rand(n, 1, 1, device=self.device) < self.settings.mixing
        after = torch.arange(rows, device=self.device)[None, :, None] >= cut
        return torch.where(mixed & after, other, ws)

    def penalty(self) -> Tensor:
        settings = self.settings
        if not settings.hessian_weight or self.step_count % settings.hessian_every:
            return super().penalty()
        z = torch.randn(self.share_of_batch, settings.z_dim, device=self.device)
        grown = min(1.0, self.seen / settings.hessian_ramp) if settings.hessian_ramp else 1.0
        weight = settings.hessian_weight * settings.hessian_every * grown
        return weight * hessian_penalty(self.activations, z)

    def activations(self, z: Tensor) -> list[Tensor]:
        """What every convolution gives for codes ``[N, z_dim]`` at fixed noise."""
        synthesis = self.g.synthesis
        names = [site.name for site in synthesis.sites() if isinstance(site.module, SynthesisLayer)]
        rows = self.g.mapping(z)[:, None].expand(-1, synthesis.num_ws, -1)
        with Trace(synthesis, names) as trace:
            synthesis(rows, "const")
        return [trace[name] for name in names]

    @property
    def share_of_batch(self) -> int:
        """Pictures for a regulariser."""
        return max(2, self.settings.batch // 4)

    def regularise(self) -> dict[str, float]:
        every = self.extra_steps()
        return {"path": self.path_step()} if every and self.step_count % every == 0 else {}

    def path_step(self) -> float:
        """Penalise how much the length of a picture's response to w varies."""
        ws = self.latents(self.share_of_batch)
        fake = self.g.synthesis(ws, "random", self.dtype)
        probe = torch.randn_like(fake) / math.sqrt(fake.shape[2] * fake.shape[3])
        (gradient,) = torch.autograd.grad((fake * probe).sum(), ws, create_graph=True)
        lengths = gradient.float().square().sum(dim=2).mean(dim=1).sqrt()
        self.path_mean.lerp_(lengths.detach().mean(), 0.01)
        penalty = (lengths - self.path_mean).square().mean()
        self.g_optimiser.zero_grad(set_to_none=True)
        (penalty * self.settings.path_weight * self.settings.path_every).backward()
        self.update(self.g_optimiser)
        return lengths.mean().item()
