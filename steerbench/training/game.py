"""The adversarial game: what the training of the default generator's siblings shares.

Generator and discriminator play the non-saturating game with lazy R1 on real pictures, and an
exponential moving average of the generator's weights is what is kept. One batch of generated
pictures serves both players' steps:

    discriminator   min  softplus(D(G(z))) + softplus(-D(x)) + (gamma / 2) |grad D(x)|^2
    generator       min  softplus(-D(G(z)))

An architecture adds its network, how it draws a batch, and what regularises it (`Game`).
Where computing time is short, ``judge`` names a predictor whose frozen features the discriminator
looks through as well (`steerbench.training.projected_critic`). The default generator plays another
game, in which no label takes part: `steerbench.training.progressive`. What both need is in
`steerbench.training.adversarial`.

Reference: Goodfellow et al., "Generative Adversarial Nets" (2014, arXiv 1406.2661), and those of
`steerbench.training.adversarial`.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench import image, store
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.generators.stylegan2.discriminator import Discriminator
from steerbench.training.adversarial import (
    adam,
    average_gradients,
    codes_of_seeds,
    follow,
    rank_and_size,
    slope,
    widths,
)
from steerbench.training.pictures import Pictures, wait_for_pictures
from steerbench.training.projected_critic import ProjectedDiscriminator, feature_trunk
from steerbench.training.shared import optimiser_tensors, restore_optimiser, under

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
SHARED_JUDGE = (
    "The discriminator is the one that all siblings learned against, so that they can be compared; "
    "it is not the one of the paper."
)


@dataclass
class GameSettings:
    """Everything that decides a run besides the pictures and the generator's shape."""

    resolution: int = 64
    d_channel_base: int = 1024
    d_channel_max: int = 96
    z_dim: int = 128
    batch: int = 32
    learning_rate: float = 2e-3
    r1_gamma: float = 0.05
    r1_every: int = 16
    judge: str = ""
    judge_width: int = 64
    ema_images: int = 10_000
    precision: str = "bfloat16"
    seed: int = 0

    @property
    def d_widths(self) -> dict[int, int]:
        """Channels of the discriminator at each resolution."""
        return widths(self.resolution, self.d_channel_base, self.d_channel_max)

    def plain(self) -> dict[str, Any]:
        """The settings as a checkpoint's header keeps them."""
        return asdict(self) | {"d_widths": {str(k): v for k, v in self.d_widths.items()}}


def discriminator(settings: GameSettings) -> nn.Module:
    """A plain discriminator, or one that looks through a predictor's features as well."""
    if not settings.judge:
        return Discriminator(widths=settings.d_widths)
    trunk, scales = feature_trunk(settings.judge)
    width = settings.judge_width
    return ProjectedDiscriminator(trunk, scales, widths=settings.d_widths, head_width=width)


class Game:
    """Holds the networks, their optimisers and the count of pictures seen.

    Several processes may train together (``torch.distributed`` set up before): each draws its own
    pictures and latents, and gradients are averaged. One thread a process suffers less from other
    work on the machine than several threads in one.
    """

    architecture = ""
    remarks: tuple[str, ...] = ()
    """What the card says besides what it says of every generator."""
    settings_class: type[GameSettings] = GameSettings
    betas = (0.0, 0.99)

    def __init__(self, settings: Any, pictures: Pictures, device: str = "cpu") -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.pictures, self.device = settings, pictures, torch.device(device)
        self.dtype = PRECISIONS[settings.precision]
        self.g: Any = self.network()
        self.d = discriminator(settings)
        for module in (self.g, self.d):
            module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.g).requires_grad_(False).eval()
        self.g_optimiser = self._adam(self.g, self.extra_steps())
        self.d_optimiser = self._adam(self.d, settings.r1_every)
        self.seen, self.step_count, self.cpu_seconds = 0, 0, 0.0
        self.rank, self.ranks = rank_and_size()
        self.reseed()

    # What an architecture supplies.

    def network(self) -> nn.Module:
        """A generator's network of the settings' shape, with fresh weights."""
        raise ArgumentError("A game needs a network; use one of the architectures' games.")

    def draw(self, n: int) -> Tensor:
        """Pictures of random codes, with the gradient of the generator's weights."""
        raise ArgumentError("A game draws pictures; use one of the architectures' games.")

    def picture(self, codes: Tensor) -> Tensor:
        """Pictures ``[N, C, H, W]`` of the averaged generator at codes ``[N, z_dim]``."""
        return self.ema(codes)

    def logits(self, images: Tensor) -> Tensor:
        """The discriminator's logits, large for real."""
        return self.d(images, self.dtype)

    def penalty(self) -> Tensor:
        """What is added to the generator's loss in each of its steps, a scalar."""
        return torch.zeros((), device=self.device)

    def regularise(self) -> dict[str, float]:
        """Whatever else teaches the generator in steps of its own; called after each step."""
        return {}

    def extra_steps(self) -> int:
        """Every how many steps the regulariser takes one; 0 for never."""
        return 0

    def rates(self, module: nn.Module) -> list[dict[str, Any]]:
        """Groups of parameters, each with its factor ``scale`` on the learning rate."""
        return [{"params": list(module.parameters()), "scale": 1.0}]

    def state(self) -> dict[str, Tensor]:
        """Tensors to keep besides networks and optimisers."""
        return {}

    @classmethod
    def export(
        cls, settings: dict[str, Any], tensors: Mapping[str, Tensor], seen: int, name: str
    ) -> BaseGenerator:
        """The generator that a checkpoint's tensors make."""
        raise ArgumentError("A game exports a network; use one of the architectures' games.")

    # The game.

    def _adam(self, module: nn.Module, every: int) -> torch.optim.Adam:
        return adam(
            self.rates(module),
            learning_rate=self.settings.learning_rate,
            betas=self.betas,
            every=every,
        )

    def reseed(self) -> None:
        """Give every process, and every stretch of a resumed run, its own random numbers."""
        seed = np.random.SeedSequence([self.settings.seed, self.rank, self.seen])
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(int(self.rng.integers(2**31)))

    def update(self, optimiser: torch.optim.Optimizer) -> None:
        """Average the gradients over the processes and take the step."""
        average_gradients(p for group in optimiser.param_groups for p in group["params"])
        optimiser.step()

    def real(self) -> Tensor:
        """A batch of the world's pictures."""
        indices = self.rng.integers(0, len(self.pictures), self.settings.batch)
        return self.pictures.images(indices).to(self.device)

    def step(self) -> dict[str, float]:
        """One step of both players; returns what to watch."""
        fake = self.draw(self.settings.batch)
        watch = self.discriminator_step(fake.detach())
        watch |= self.generator_step(fake)
        watch |= self.regularise()
        self.seen += self.settings.batch * self.ranks
        self.step_count += 1
        self.update_average()
        return watch

    def discriminator_step(self, fake: Tensor) -> dict[str, float]:
        real = self.real()
        real_logits, fake_logits = self.logits(real), self.logits(fake)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        self.d_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.update(self.d_optimiser)
        watch = {"real": real_logits.mean().item(), "fake": fake_logits.mean().item()}
        if self.step_count % self.settings.r1_every == 0:
            watch["r1"] = self.r1_step(real)
        return watch

    def r1_step(self, real: Tensor) -> float:
        """Penalise the gradient of the logit at real pictures."""
        penalty = slope(self.logits, real)
        self.d_optimiser.zero_grad(set_to_none=True)
        (penalty * self.settings.r1_gamma / 2 * self.settings.r1_every).backward()
        self.update(self.d_optimiser)
        return penalty.item()

    def generator_step(self, fake: Tensor) -> dict[str, float]:
        self.d.requires_grad_(False)
        loss, penalty = F.softplus(-self.logits(fake)).mean(), self.penalty()
        self.g_optimiser.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        self.d.requires_grad_(True)
        self.update(self.g_optimiser)
        return {"g": loss.item(), "penalty": penalty.item()}

    def update_average(self) -> None:
        """Move the averaged generator; its half-life grows with the run at first."""
        half_life = min(self.settings.ema_images, max(self.seen * 0.05, 1))
        follow(self.ema, self.g, self.settings.batch * self.ranks, half_life)

    @torch.no_grad()
    def samples(self, n: int = 64, seed: int = 0) -> Tensor:
        """Pictures of the averaged generator at the latents of seeds ``seed .. seed + n - 1``."""
        codes = codes_of_seeds(n, self.settings.z_dim, seed)
        return self.picture(codes.to(self.device)).float().cpu()

    # Checkpoints.

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = self.state()
        for name, module in self._modules().items():
            tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            tensors |= {f"{name}.{k}": v for k, v in optimiser_tensors(optimiser).items()}
        header = {
            "architecture": self.architecture,
            "settings": self.settings.plain(),
            "seen": self.seen,
            "steps": self.step_count,
            "cpu_seconds": round(self.cpu_seconds, 1),
        }
        store.save(path, {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, header)

    def restore(self, path: Path) -> None:
        """Go on from a file written by `save`."""
        tensors, header = store.load(path)
        for name, module in self._modules().items():
            module.load_state_dict(under(tensors, f"{name}."))
        for name, optimiser in self._optimisers().items():
            restore_optimiser(optimiser, under(tensors, f"{name}."))
        for name, mine in self.state().items():
            mine.copy_(tensors[name])
        self.seen, self.step_count = header["seen"], header["steps"]
        self.cpu_seconds = header.get("cpu_seconds", 0.0)
        self.reseed()

    def _modules(self) -> dict[str, nn.Module]:
        return {"g": self.g, "d": self.d, "ema": self.ema}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"g_optimiser": self.g_optimiser, "d_optimiser": self.d_optimiser}


def train(
    game: Game,
    *,
    images: int,
    out: Path,
    save_every: int = 4_000,
    grid_every: int = 8_000,
) -> None:
    """Train until ``images`` pictures were seen, with grids, checkpoints and a log in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    leader = game.rank == 0
    progress = tqdm(total=images, initial=game.seen, unit="img", smoothing=0.05, disable=not leader)
    started, first = time.time(), game.seen
    while game.seen < images:
        before, clock = game.seen, time.process_time()
        watch = game.step()
        game.cpu_seconds += time.process_time() - clock
        progress.update(game.seen - before)
        if game.step_count % 50 == 0:
            game.pictures.refresh()
        if not leader:
            continue
        if game.step_count % 50 == 0:
            progress.set_postfix({k: f"{v:.3f}" for k, v in watch.items()})
            rate = (game.seen - first) / (time.time() - started)
            _append(out / "log.jsonl", {"seen": game.seen, "images_per_second": rate, **watch})
        if game.seen // grid_every != before // grid_every:
            grid = image.grid(game.samples(64), columns=8)
            image.save(grid[None], out / f"grid-{game.seen // 1000:05d}k.png")
        if game.seen // save_every != before // save_every or game.seen >= images:
            game.save(out / "latest.safetensors")


def _append(path: Path, row: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")


def run(
    kind: type[Game],
    settings: GameSettings,
    data: Path,
    out: Path,
    images: int,
    device: str,
    resume: bool,
) -> None:
    """Build or restore a game and train; what each process of a joint run calls."""
    game = kind(settings, wait_for_pictures(data), device)
    if resume:
        game.restore(out / "latest.safetensors")
    train(game, images=images, out=out)
