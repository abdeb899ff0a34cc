"""Adversarial training of the default generator, a StyleGAN2, on a world's pictures.

Generator and discriminator play the non-saturating game with lazy R1 on real pictures, style
mixing, path-length regularisation and an exponential moving average of the generator's weights,
which is what is kept. One batch of generated pictures serves both players' steps.

Where computing time is short, ``judge`` names a predictor whose frozen features the discriminator
looks through as well (:mod:`steerbench.training.projected`).

Reference: Karras et al. 2020 (arXiv 1912.04958) for the architecture, lazy regularisation and
path length; Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?"
(2018, arXiv 1801.04406) for R1; Karras, Laine, Aila 2019 (arXiv 1812.04948) for style mixing.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from tqdm.auto import tqdm

from steerbench import image, store
from steerbench.errors import SteerbenchError
from steerbench.generators.stylegan2_network import Discriminator, StyleGAN2Network
from steerbench.training.pictures import Pictures, wait_for_pictures
from steerbench.training.projected import ProjectedDiscriminator, feature_trunk

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass
class Settings:
    """Everything that decides a run besides the pictures."""

    resolution: int = 64
    channel_base: int = 2048
    channel_max: int = 128
    d_channel_base: int = 1024
    d_channel_max: int = 96
    z_dim: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    batch: int = 32
    learning_rate: float = 2e-3
    r1_gamma: float = 0.05
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 16
    mixing: float = 0.5
    judge: str = ""
    ema_images: int = 10_000
    warm_up: int = 2_000
    precision: str = "bfloat16"
    seed: int = 0

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the generator at each resolution."""
        return _widths(self.resolution, self.channel_base, self.channel_max)

    @property
    def d_widths(self) -> dict[int, int]:
        """Channels of the discriminator at each resolution."""
        return _widths(self.resolution, self.d_channel_base, self.d_channel_max)


def _widths(resolution: int, base: int, most: int) -> dict[int, int]:
    sizes = [2**k for k in range(2, resolution.bit_length())]
    if not sizes or sizes[-1] != resolution:
        raise SteerbenchError(
            f"A resolution of {resolution} was asked for. Use a power of two from 8 up."
        )
    return {size: min(most, base // size) for size in sizes}


def discriminator(settings: Settings) -> nn.Module:
    """A plain discriminator, or one that looks through a predictor's features as well."""
    if not settings.judge:
        return Discriminator(widths=settings.d_widths)
    trunk, scales = feature_trunk(settings.judge)
    return ProjectedDiscriminator(trunk, scales, widths=settings.d_widths)


class Trainer:
    """Holds the networks, their optimisers and the count of pictures seen.

    Several processes may train together (``torch.distributed`` set up before): each draws its own
    pictures and latents, and gradients are averaged. One thread a process suffers less from other
    work on the machine than several threads in one.
    """

    def __init__(self, settings: Settings, pictures: Pictures, device: str = "cpu") -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.pictures, self.device = settings, pictures, torch.device(device)
        self.dtype = PRECISIONS[settings.precision]
        self.g = StyleGAN2Network(
            z_dim=settings.z_dim,
            w_dim=settings.w_dim,
            widths=settings.widths,
            mapping_layers=settings.mapping_layers,
        )
        self.d = discriminator(settings)
        for module in (self.g, self.d):
            module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.g).requires_grad_(False)
        self.g_optimiser = self._adam(self.g, settings.path_every if settings.path_weight else 0)
        self.d_optimiser = self._adam(self.d, settings.r1_every)
        self.path_mean = torch.zeros((), device=self.device)
        self.seen, self.step_count, self.holds_until = 0, 0, 0
        self.ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.reseed()

    def _adam(self, module: nn.Module, every: int) -> torch.optim.Adam:
        """Adam whose rates make up for the regulariser's extra steps (Karras et al. 2020)."""
        ratio = every / (every + 1) if every else 1.0
        rate = self.settings.learning_rate * ratio
        return torch.optim.Adam(
            module.parameters(), lr=rate, betas=(0.0, 0.99**ratio), foreach=True
        )

    def reseed(self) -> None:
        """Give every process, and every stretch of a resumed run, its own random numbers."""
        seed = np.random.SeedSequence([self.settings.seed, self.rank, self.seen])
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(int(self.rng.integers(2**31)))

    def update(self, optimiser: torch.optim.Optimizer) -> None:
        """Average the gradients over the processes and take the step."""
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.ranks > 1:
            flat = torch.cat([g.reshape(-1) for g in gradients]) / self.ranks
            distributed.all_reduce(flat)
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
                gradient.copy_(part.view_as(gradient))
        optimiser.step()

    def real(self) -> Tensor:
        """A batch of the world's pictures."""
        indices = self.rng.integers(0, len(self.pictures), self.settings.batch)
        return self.pictures.images(indices).to(self.device)

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

    def step(self) -> dict[str, float]:
        """One step of both players; returns what to watch."""
        settings = self.settings
        fake = self.g.synthesis(self.latents(settings.batch), "random", self.dtype)
        watch = self.discriminator_step(fake.detach())
        holds = self.seen < self.holds_until
        if not holds:
            watch |= self.generator_step(fake)
        if not holds and settings.path_weight and self.step_count % settings.path_every == 0:
            watch["path"] = self.path_step()
        self.seen += settings.batch * self.ranks
        self.step_count += 1
        self.update_average()
        return watch

    def discriminator_step(self, fake: Tensor) -> dict[str, float]:
        real = self.real()
        real_logits, fake_logits = self.d(real, self.dtype), self.d(fake, self.dtype)
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
        images = real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(
            self.d(images, self.dtype).sum(), images, create_graph=True
        )
        penalty = gradient.float().square().sum(dim=(1, 2, 3)).mean()
        self.d_optimiser.zero_grad(set_to_none=True)
        (penalty * self.settings.r1_gamma / 2 * self.settings.r1_every).backward()
        self.update(self.d_optimiser)
        return penalty.item()

    def generator_step(self, fake: Tensor) -> dict[str, float]:
        self.d.requires_grad_(False)
        loss = F.softplus(-self.d(fake, self.dtype)).mean()
        self.g_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.d.requires_grad_(True)
        self.update(self.g_optimiser)
        return {"g": loss.item()}

    def path_step(self) -> float:
        """Penalise how much the length of a picture's response to w varies."""
        ws = self.latents(max(2, self.settings.batch // 4))
        fake = self.g.synthesis(ws, "random", self.dtype)
        probe = torch.randn_like(fake) / math.sqrt(fake.shape[2] * fake.shape[3])
        (gradient,) = torch.autograd.grad((fake * probe).sum(), ws, create_graph=True)
        lengths = gradient.float().square().sum(dim=2).mean(dim=1).sqrt()
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        penalty = (lengths - self.path_mean).square().mean()
        self.g_optimiser.zero_grad(set_to_none=True)
        (penalty * self.settings.path_weight * self.settings.path_every).backward()
        self.update(self.g_optimiser)
        return lengths.mean().item()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged generator; its half-life grows with the run at first."""
        half_life = min(self.settings.ema_images, max(self.seen * 0.05, 1))
        weight = 1 - 0.5 ** (self.settings.batch * self.ranks / half_life)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.g.parameters()), weight)
        for mine, theirs in zip(self.ema.buffers(), self.g.buffers()):
            mine.copy_(theirs)

    @torch.no_grad()
    def samples(self, n: int = 64, seed: int = 0) -> Tensor:
        """Pictures of the averaged generator at the latents of seeds ``seed .. seed + n - 1``."""
        z = [np.random.RandomState(seed + i).randn(1, self.settings.z_dim) for i in range(n)]
        codes = torch.from_numpy(np.concatenate(z)).float().to(self.device)
        return self.ema(codes, noise="const").float().cpu()

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = {"path_mean": self.path_mean}
        for name, module in self._modules().items():
            tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        header = {"settings": _plain(self.settings), "seen": self.seen, "steps": self.step_count}
        store.save(path, {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, header)

    def restore(self, path: Path) -> None:
        """Go on from a file written by :meth:`save`."""
        tensors, header = store.load(path)
        for name, module in self._modules().items():
            module.load_state_dict(_under(tensors, f"{name}."))
        for name, optimiser in self._optimisers().items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(tensors, f"{name}.").items():
                index, field_name = key.split(".", 1)
                state.setdefault(int(index), {})[field_name] = value
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.path_mean = tensors["path_mean"].to(self.device)
        self.seen, self.step_count = header["seen"], header["steps"]
        self.reseed()

    def adopt(self, path: Path) -> None:
        """Begin with the weights of an asset instead of random ones.

        An asset holds the averaged generator and the plain discriminator. Optimisers and the heads
        on frozen features start anew, so the generator holds still for the first ``warm_up``
        pictures, until its judges have caught up.
        """
        tensors, header = store.load(path)
        for module in (self.g, self.ema):
            state = {k: v for k, v in tensors.items() if not k.startswith("discriminator.")}
            module.load_state_dict(state)
        plain = self.d.plain if isinstance(self.d, ProjectedDiscriminator) else self.d
        plain.load_state_dict(_under(tensors, "discriminator."))
        self.seen = int(header["training"]["images"])
        self.holds_until = self.seen + self.settings.warm_up
        self.reseed()

    def _modules(self) -> dict[str, nn.Module]:
        return {"g": self.g, "d": self.d, "ema": self.ema}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"g_optimiser": self.g_optimiser, "d_optimiser": self.d_optimiser}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _plain(settings: Settings) -> dict[str, object]:
    widths = {str(size): width for size, width in settings.widths.items()}
    d_widths = {str(size): width for size, width in settings.d_widths.items()}
    return asdict(settings) | {"widths": widths, "d_widths": d_widths}


def train(
    trainer: Trainer,
    *,
    images: int,
    out: Path,
    save_every: int = 4_000,
    grid_every: int = 8_000,
) -> None:
    """Train until ``images`` pictures were seen, with grids, checkpoints and a log in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    leader = trainer.rank == 0
    progress = tqdm(
        total=images, initial=trainer.seen, unit="img", smoothing=0.05, disable=not leader
    )
    started, first = time.time(), trainer.seen
    while trainer.seen < images:
        before = trainer.seen
        watch = trainer.step()
        progress.update(trainer.seen - before)
        if trainer.step_count % 50 == 0:
            trainer.pictures.refresh()
        if not leader:
            continue
        if trainer.step_count % 50 == 0:
            progress.set_postfix({k: f"{v:.3f}" for k, v in watch.items()})
            rate = (trainer.seen - first) / (time.time() - started)
            _append(out / "log.jsonl", {"seen": trainer.seen, "images_per_second": rate, **watch})
        if trainer.seen // grid_every != before // grid_every:
            grid = image.grid(trainer.samples(64), columns=8)
            image.save(grid[None], out / f"grid-{trainer.seen // 1000:05d}k.png")
        if trainer.seen // save_every != before // save_every or trainer.seen >= images:
            trainer.save(out / "latest.safetensors")


def _append(path: Path, row: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")


def run(
    settings: Settings,
    data: Path,
    out: Path,
    images: int,
    device: str,
    resume: bool,
    start: Path | None = None,
) -> None:
    """Build or restore a trainer and train; what each process of a joint run calls."""
    trainer = Trainer(settings, wait_for_pictures(data), device)
    if resume:
        trainer.restore(out / "latest.safetensors")
    elif start is not None:
        trainer.adopt(start)
    train(trainer, images=images, out=out)
