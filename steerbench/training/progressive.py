"""The default generator: a StyleGAN2 that learns from pictures alone, in growing sizes.

No label takes part, and no network that ever saw one: two networks, drawn at random at first, play
one game on a world's pictures. Whether meaning emerges by itself is the question of the tutorial,
and it could not be asked of a generator whose critic had been taught what a bed is.

The game is relativistic. Real pictures x and generated ones G(z) come in pairs, and what counts is
which of the two the critic D finds more real:

    D    minimise  softplus(D(G(z)) - D(x))
    G    minimise  softplus(D(x) - D(G(z)))

In every k-th step the critic learns in a step of its own that its slope be small, at real pictures
(R1) and at generated ones (R2); k makes up for the steps between:

    D    minimise  k gamma / 2 (E |grad D(x)|^2 + E |grad D(G(z))|^2)

**Sizes.** Pictures are small at first. Layout, light, colours and variety are settled at 16 pixels,
at a quarter of what they cost at 64. A `Stage` is a size, the pictures seen at it, and those of one
step. When the next begins, its blocks fade in over `fade` pictures: the share a of both networks'
new blocks, and of what the new size adds to real pictures, rises from 0 to 1:

    G    up(rgb of the sizes before) + a rgb of the new one
    x    a x + (1 - a) up(down(x))

A share of the codes is mixed: the layers from some place on take another picture's style. There is
no noise: the world has no texture that needs it, and every picture is its code alone.

**Closing.** With a `total` the learning rate falls in a line over the last tenth of the pictures,
and the average of the weights, which is what is kept, gets a half-life five times as long.

**Processes.** A step draws its codes and pictures from random numbers of its own, of all processes
together, and process r of R takes every R-th from r on. So the number of processes changes nothing
but the time, groups of the critic's deviation included, and a run that was interrupted is the run
that went through. On CUDA one process sees it all; `batch_size` may then be larger.

A run lives in a folder (`Run`). Its state is written every few minutes, whole or not at all, so
that a kill costs no more than that; SIGTERM, or a file `run/stop`, ends it after the next step
with the state written. It goes on wherever `steerbench.training progressive` is called again.

>>> stages("16:650000:64,32:600000:64")[1]
Stage(size=32, pictures=600000, batch_size=64)

References: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020, arXiv
1912.04958) for the networks and style mixing; Jolicoeur-Martineau, "The relativistic discriminator"
(2018, arXiv 1807.00734); Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline"
(2024, arXiv 2501.05441) for that loss with R1 and R2; Karras et al., "Progressive Growing of GANs"
(2018, arXiv 1710.10196) for the sizes.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from steerbench import image, store
from steerbench.errors import ArgumentError, CheckpointError, unknown
from steerbench.generators import StyleGAN2
from steerbench.generators.fast.precision import fast_dtype
from steerbench.generators.stylegan2.discriminator import Discriminator
from steerbench.generators.stylegan2.network import StyleGAN2Network, SynthesisLayer
from steerbench.training import pictures as cache
from steerbench.training.adversarial import (
    adam,
    average,
    average_gradients,
    codes_of_seeds,
    follow,
    rank_and_size,
    slope,
    widths,
)
from steerbench.training.parallel import launch, on_signals

KIND = "steerbench progressive training"
STAGES = "16:650000:64,32:600000:64,64:100000000:32"
"""Size, pictures and pictures a step of every stage; the last one lasts as long as patience."""
MOMENTS = ("exp_avg", "exp_avg_sq")
SHOWN = 64
"""Rooms on a sheet: seeds 0 to 63, never chosen."""


@dataclass(frozen=True)
class Stage:
    """One size: its pixels, how many pictures are seen at it, and how many in one step."""

    size: int
    pictures: int
    batch_size: int


def stages(text: str, batch_size: int | None = None) -> tuple[Stage, ...]:
    """Read `SIZE:PICTURES:BATCH,...`; a `batch_size` replaces that of every stage.

    Raises:
        ArgumentError: The text is not of this form, or sizes do not double.
    """
    try:
        numbers = [[int(number) for number in part.split(":")] for part in text.split(",")]
        found = tuple(Stage(s, n, batch_size or batch) for s, n, batch in numbers)
    except ValueError as error:
        raise ArgumentError(
            f"Stages {text!r} are not of the form SIZE:PICTURES:BATCH,... such as {STAGES}"
        ) from error
    sizes = [stage.size for stage in found]
    if any(after != 2 * before for before, after in itertools.pairwise(sizes)):
        raise ArgumentError(f"The sizes of stages must double, and here they are {sizes}.")
    return found


@dataclass(frozen=True)
class Architecture:
    """What the two networks are made of; `widths` and `d_widths` are channels by size."""

    z_dim: int
    w_dim: int
    mapping_layers: int
    widths: Mapping[int, int]
    d_widths: Mapping[int, int]

    @classmethod
    def default(cls, size: int) -> Architecture:
        """Return the one that a run which begins from nothing gets."""
        return cls(128, 128, 4, widths(size, 3072, 128), widths(size, 2048, 128))

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> Architecture:
        """Read it off a state's tensors.

        Raises:
            KeyError, ValueError: Parts are missing.
        """
        layers = len(_outputs(tensors, r"ema\.mapping\.fc(\d+)\.weight"))
        drawn = _outputs(tensors, r"ema\.synthesis\.b(\d+)\.conv1\.weight")
        judged = _outputs(tensors, r"d\.b(\d+)\.conv0\.weight")
        judged = {4: tensors["d.fc.weight"].shape[0], **judged}
        if not list(drawn) == list(judged) == [4 * 2**k for k in range(len(drawn))]:
            raise ValueError(f"blocks of the sizes {list(drawn)} and {list(judged)}")
        return cls(
            z_dim=tensors["ema.mapping.fc0.weight"].shape[1],
            w_dim=tensors[f"ema.mapping.fc{layers - 1}.weight"].shape[0],
            mapping_layers=layers,
            widths=drawn,
            d_widths=judged,
        )

    @property
    def size(self) -> int:
        """The largest size that the networks draw and judge."""
        return max(self.widths)

    def generator(self) -> StyleGAN2Network:
        """Make the generator's network, with fresh weights."""
        return StyleGAN2Network(
            z_dim=self.z_dim,
            w_dim=self.w_dim,
            widths=self.widths,
            mapping_layers=self.mapping_layers,
        )

    def critic(self) -> Discriminator:
        """Make the critic, with fresh weights."""
        return Discriminator(widths=self.d_widths)


def _outputs(tensors: Mapping[str, Tensor], pattern: str) -> dict[int, int]:
    """The outputs of the layers whose weight's name matches, by the number in it, in order."""
    matches = {name: re.fullmatch(pattern, name) for name in tensors}
    return dict(sorted((int(m[1]), tensors[name].shape[0]) for name, m in matches.items() if m))


@dataclass
class Progress:
    """How far a run is: pictures seen, steps, the stage by its place, pictures seen in that."""

    seen: int = 0
    steps: int = 0
    stage: int = 0
    in_stage: int = 0


def read_state(path: Path) -> tuple[dict[str, Tensor], Progress, dict[str, Any]]:
    """Read a state: its tensors, how far it is, and the settings that it was written with.

    States of the recipe's first script, which are plain safetensors and say no settings, are read
    as well.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is no state of this training, or a broken one.
    """
    tensors, header = store.load(path)
    try:
        progress = Progress(**(header["at"] if header else _position(path)))
        Architecture.read(tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} is no state of a progressive training ({type(error).__name__}: "
            f"{error}). Give a file that `python -m steerbench.training progressive` wrote."
        ) from error
    return tensors, progress, header.get("settings", {})


def _position(path: Path) -> Any:
    """How far a plain safetensors file says that it is."""
    with safetensors.safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {})["at"])


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run besides the pictures and what it begins with.

    `fade` and `half_life` are pictures; `penalty` is gamma, taken every `penalty_every`
    steps; `mixing` is the share of mixed codes; `total` the pictures to close at, 0 for never.
    `precision` is that of the convolutions, `"float32"` or `"bfloat16"` (`fast_precision`).
    """

    stages: tuple[Stage, ...] = stages(STAGES)
    learning_rate: float = 2e-3
    penalty: float = 0.3
    penalty_every: int = 16
    fade: int = 20_000
    half_life: int = 10_000
    mixing: float = 0.5
    total: int = 0
    precision: str = "float32"
    seed: int = 0

    def plain(self) -> dict[str, Any]:
        """Return the settings as a state's header keeps them."""
        return asdict(self) | {"stages": [asdict(stage) for stage in self.stages]}


PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


def fast_precision(device: str) -> str:
    """Return the precision that was measured to be the faster one on a kind of device.

    Raises:
        ArgumentError: This machine, or its torch, has no such device.
    """
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ArgumentError(
            f"The device {device!r} is not here. Give cpu, or cuda with a torch that was built "
            "for it."
        )
    # Gradients vanish in float16, even where it is the fast one.
    return "bfloat16" if fast_dtype(device) is torch.bfloat16 else "float32"


@dataclass(frozen=True)
class Draw:
    """What one process draws for one step.

    Codes `z [2, n, z_dim]`, from which row of w+ on the second one holds `crossing [n]`, and
    the `indices [n]` of real pictures.
    """

    z: Tensor
    crossing: Tensor
    indices: np.ndarray


class AdversarialTrainer:
    """The two players, the average of the generator's weights, and how far they are.

    Args:
        settings: Of the game.
        pictures: The real ones.
        start: A state to begin with, whose networks are taken as they are; from nothing without.
        device: `"cpu"` or `"cuda"`.

    Raises:
        ArgumentError: The sizes of settings, pictures and state do not go together.
    """

    def __init__(
        self,
        settings: Settings,
        pictures: cache.Pictures,
        *,
        start: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self.settings, self.pictures, self.device = settings, pictures, torch.device(device)
        if settings.precision not in PRECISIONS:
            raise ArgumentError(unknown("precision", settings.precision, PRECISIONS))
        self.dtype = PRECISIONS[settings.precision]
        self.rank, self.ranks = rank_and_size()
        self.progress = Progress()
        state = None if start is None else read_state(start)
        largest = settings.stages[-1].size
        self.architecture = Architecture.read(state[0]) if state else Architecture.default(largest)
        self._check_sizes()
        torch.manual_seed(settings.seed)
        self.g, self.d = self.architecture.generator(), self.architecture.critic()
        for network in (self.g, self.d):
            network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.g).eval().requires_grad_(False)
        self.g_adam, self.d_adam = self._adam(self.g, 0), self._adam(self.d, settings.penalty_every)
        groups = [*self.g_adam.param_groups, *self.d_adam.param_groups]
        self.rates = [(group, group["lr"]) for group in groups]
        if state:
            self._take(state[0], state[1])

    def _check_sizes(self) -> None:
        settings, largest = self.settings, self.settings.stages[-1].size
        for what, size in (
            ("pictures of the cache", self.pictures.pixels[0].shape[-1]),
            ("networks of the state", self.architecture.size),
        ):
            if size < largest:
                raise ArgumentError(
                    f"The last stage is of {largest} pixels, and the {what} end at {size}. Leave "
                    "out the stages above it, or begin with others."
                )
        for stage in settings.stages:
            if stage.batch_size % self.ranks:
                raise ArgumentError(
                    f"{stage.batch_size} pictures a step cannot be shared by {self.ranks} "
                    "processes. Give a batch size that they divide."
                )

    def _adam(self, network: nn.Module, every: int) -> torch.optim.Adam:
        groups = [{"params": list(network.parameters())}]
        rate = self.settings.learning_rate
        return adam(groups, learning_rate=rate, betas=(0.0, 0.99), every=every)

    # Where the run is.

    @property
    def stage(self) -> Stage:
        """The stage of the next step."""
        return self.settings.stages[self.progress.stage]

    @property
    def share(self) -> float:
        """How much of the newest block the next step fades in, in (0, 1]."""
        fade = self.settings.fade if self.progress.stage else 0
        return min(1.0, (self.progress.in_stage + self.stage.batch_size) / fade) if fade else 1.0

    @property
    def closing(self) -> float:
        """How much of the last tenth is behind, in [0, 1]."""
        total = self.settings.total
        return min(1.0, max(0.0, 10 * self.progress.seen / total - 9)) if total else 0.0

    @property
    def is_over(self) -> bool:
        """Whether all stages, or the total, were seen."""
        at, settings = self.progress, self.settings
        last = at.stage + 1 == len(settings.stages) and at.in_stage >= self.stage.pictures
        return last or bool(settings.total and at.seen >= settings.total)

    def _enter_stage(self) -> None:
        at = self.progress
        while at.in_stage >= self.stage.pictures and at.stage + 1 < len(self.settings.stages):
            at.stage, at.in_stage = at.stage + 1, 0

    # One step.

    def step(self) -> dict[str, Tensor]:
        """Let both players take a step; return their losses."""
        self._enter_stage()
        self._set_rates()
        draw = self.draw()
        fake, real = self.generate(draw), self.real(draw.indices)
        shown = fake.detach().contiguous(memory_format=torch.channels_last)
        losses = {"D": self.critic_step(real, shown)}
        if self.progress.steps % self.settings.penalty_every == 0:
            losses["slope"] = self.slope_step(real, shown)
        losses["G"] = self.generator_step(real, fake)
        self._count(self.stage.batch_size)
        return losses

    def draw(self) -> Draw:
        """Draw this process' part of the step's random numbers."""
        settings, n, rows = self.settings, self.stage.batch_size, self.g.synthesis.num_ws
        rng = np.random.default_rng([settings.seed, self.progress.steps])
        z = torch.from_numpy(rng.standard_normal((2, n, self.architecture.z_dim), np.float32))
        crossing = rng.integers(1, rows, n)
        crossing[rng.random(n) >= settings.mixing] = rows
        indices = rng.integers(0, len(self.pictures), n)
        mine = slice(self.rank, None, self.ranks)
        return Draw(z[:, mine], torch.from_numpy(crossing[mine]), indices[mine])

    def generate(self, draw: Draw) -> Tensor:
        """Draw pictures `[n, 3, size, size]`, with the gradient of the generator's weights."""
        mapping, rows = self.g.mapping, self.g.synthesis.num_ws
        first, second = (mapping(z) for z in draw.z.to(self.device))
        mapping.w_avg.lerp_(average(first.detach().mean(0)), 0.005)
        late = torch.arange(rows) >= draw.crossing[:, None]
        ws = torch.where(late[:, :, None].to(self.device), second[:, None], first[:, None])
        return synthesis(self.g, ws, self.stage.size, self.share, self.dtype)

    def real(self, indices: np.ndarray) -> Tensor:
        """Return the cache's pictures at the stage's size, the newest detail by its share."""
        x = self.pictures.images(indices).to(self.device)
        x = F.avg_pool2d(x, x.shape[-1] // self.stage.size)
        if self.share < 1:
            coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
            x = torch.lerp(coarse, x, self.share)
        return x.contiguous(memory_format=torch.channels_last)

    def judge(self, images: Tensor) -> Tensor:
        """Return the critic's logits `[n]`, large for real."""
        return self.d(images, self.dtype, self.share)

    def critic_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Teach the critic which picture of a pair is real; return its loss."""
        loss = F.softplus(self.judge(fake) - self.judge(real)).mean()
        self._learn(self.d_adam, self.d, loss)
        return loss.detach()

    def slope_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Teach the critic to have a small slope at both kinds of pictures; return the slopes."""
        slopes = slope(self.judge, real) + slope(self.judge, fake)
        weight = self.settings.penalty / 2 * self.settings.penalty_every
        self._learn(self.d_adam, self.d, weight * slopes)
        return slopes.detach()

    def generator_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Teach the generator to be found more real than its pair; return its loss."""
        self.d.requires_grad_(False)
        with torch.no_grad():
            target = self.judge(real)
        loss = F.softplus(target - self.judge(fake)).mean()
        self._learn(self.g_adam, self.g, loss)
        self.d.requires_grad_(True)
        return loss.detach()

    def _learn(self, optimiser: torch.optim.Adam, network: nn.Module, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(network.parameters())
        optimiser.step()

    def _set_rates(self) -> None:
        for group, rate in self.rates:
            group["lr"] = rate * (1 - self.closing)

    def _count(self, n: int) -> None:
        """Note that `n` more pictures were seen, and move the average."""
        at = self.progress
        at.seen, at.in_stage, at.steps = at.seen + n, at.in_stage + n, at.steps + 1
        longest = self.settings.half_life * (1 + 4 * self.closing)
        follow(self.ema, self.g, n, min(longest, max(0.05 * at.seen, 1)))

    # What it draws, and what it leaves.

    @torch.no_grad()
    def samples(self, n: int = SHOWN) -> Tensor:
        """Return pictures `[n, 3, size, size]` of seeds 0 to n - 1, by the averaged weights."""
        w = self.ema.mapping(codes_of_seeds(n, self.architecture.z_dim).to(self.device))
        ws = w[:, None].expand(-1, self.ema.synthesis.num_ws, -1)
        return synthesis(self.ema, ws, self.stage.size, self.share).cpu()

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for name, network in self._networks().items():
            tensors |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
        for name, (optimiser, network) in self._optimisers().items():
            for key, parameter in network.named_parameters():
                for what, value in optimiser.state.get(parameter, {}).items():
                    tensors[f"{name}.{key}.{what}"] = torch.as_tensor(value)
        header = {"kind": KIND, "at": asdict(self.progress), "settings": self.settings.plain()}
        store.save(path, tensors, header)

    def restore(self, path: Path) -> None:
        """Go on from a state of the same networks."""
        tensors, progress, _ = read_state(path)
        self._take(tensors, progress)

    def _take(self, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        if progress.stage >= len(self.settings.stages):
            raise ArgumentError(
                f"The state is in stage {progress.stage + 1}, and {len(self.settings.stages)} are "
                f"named. Name all that it went through, as in {STAGES}"
            )
        for name, network in self._networks().items():
            try:
                network.load_state_dict(store.under(tensors, f"{name}."))
            except RuntimeError as error:
                raise CheckpointError(
                    f"The state does not fit the network {name!r}. Begin with one that was written "
                    f"for it. {error}"
                ) from error
        for name, (optimiser, network) in self._optimisers().items():
            for key, parameter in network.named_parameters():
                kept = store.under(tensors, f"{name}.{key}.")
                if kept:
                    moments = {k: torch.empty_like(parameter).copy_(kept[k]) for k in MOMENTS}
                    optimiser.state[parameter] = {"step": kept["step"], **moments}
        self.progress = progress

    def _networks(self) -> dict[str, nn.Module]:
        return {"g": self.g, "d": self.d, "ema": self.ema}

    def _optimisers(self) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
        return {"g_adam": (self.g_adam, self.g), "d_adam": (self.d_adam, self.d)}


def synthesis(
    network: StyleGAN2Network,
    ws: Tensor,
    size: int,
    share: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Sum the pictures of all sizes up to one, the last by its share; no noise.

    Args:
        network: The generator's.
        ws: Styles `[n, num_ws, w_dim]`.
        size: Of the picture, in pixels.
        share: Of what the last size adds, in (0, 1].
        dtype: Of the convolutions; that of the weights by default.

    Returns:
        Pictures `[n, 3, size, size]`, nominally in [-1, 1].
    """
    x = network.synthesis.start(len(ws))
    x = x.to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)
    picture: Tensor | None = None
    for site in network.synthesis.sites():
        if site.resolution > size or site.affine is None:
            break
        style = site.affine(ws[:, site.row])
        if isinstance(site.module, SynthesisLayer):
            x = site.module(x, style, "none")
        else:
            rgb = site.module(x, style)
            rgb = rgb * share if site.resolution == size else rgb
            picture = network.synthesis.add(picture, rgb)
    return x if picture is None else picture


def generator_of(path: Path, name: str) -> tuple[StyleGAN2, dict[str, Any]]:
    """Make the generator that a state holds, and say how it came about.

    The averaged weights become the generator, at the size of the state's stage, and the critic goes
    along. Both are read off the state; noise has no strength.

    Raises:
        ArgumentError: A size is just fading in.
    """
    tensors, progress, settings = read_state(path)
    sizes = [stage["size"] for stage in settings.get("stages", [])]
    size = sizes[progress.stage] if sizes else stages(STAGES)[progress.stage].size
    fade = settings.get("fade", Settings.fade)
    if progress.stage and progress.in_stage < fade:
        raise ArgumentError(
            f"{path} fades in {size} pixels. Go on with it for {fade - progress.in_stage:,} "
            "pictures first."
        )
    tensors = {k: v for k, v in tensors.items() if not _is_above(k, size)}
    architecture = Architecture.read(tensors)
    network, critic = architecture.generator(), architecture.critic()
    network.load_state_dict(store.under(tensors, "ema."))
    for part in network.modules():
        if isinstance(part, SynthesisLayer):
            nn.init.zeros_(part.noise_strength)
    # An asset keeps the critic at half precision: it judges, and continues no training.
    critic.load_state_dict({k: v.half().float() for k, v in store.under(tensors, "d.").items()})
    training = {"recipe": "progressive", "images": progress.seen, "steps": progress.steps}
    training["settings"] = {"resolution": size} | settings
    return StyleGAN2(network, name=name, discriminator=critic), training


def _is_above(name: str, size: int) -> bool:
    block = re.search(r"\.b(\d+)\.", name)
    return block is not None and int(block[1]) > size


# A run.


@dataclass(frozen=True)
class Run:
    """Where a run lives, what it begins with, and how long it lasts.

    `folder` holds `run/` (the state `latest.safetensors`, sheets of 64 unchosen rooms, a log,
    and `stop`, which ends it), `pictures/`, and `pids` of the processes at work. `world` is whose
    pictures are rendered, where none are named.
    """

    folder: Path
    pictures: Path | None = None
    start: Path | None = None
    device: str = "cpu"
    minutes: float = float("inf")
    write_minutes: float = 5.0
    world: str = ""

    @property
    def out(self) -> Path:
        """The folder of what it leaves."""
        return self.folder / "run"

    @property
    def state(self) -> Path:
        """The file that it goes on from."""
        return self.out / "latest.safetensors"

    @property
    def stop(self) -> Path:
        """The file that ends it."""
        return self.out / "stop"

    @property
    def pids(self) -> Path:
        """The file that names its processes."""
        return self.folder / "pids"

    @property
    def cache(self) -> Path:
        """The folder of its pictures."""
        return self.pictures or self.folder / "pictures"

    @property
    def beginning(self) -> Path | None:
        """What it begins with: its own state, else the one named, else nothing."""
        return self.state if self.state.exists() else self.start


def run(settings: Settings, place: Run, *, processes: int = 2, count: int = 65_536) -> None:
    """Begin a run or go on with it, in processes of its own.

    Args:
        settings: Of the game.
        place: Where it lives.
        processes: Of one thread each; 1 for this one, as on CUDA.
        count: Pictures to render where the folder has fewer and no others are named.

    Raises:
        ArgumentError: It is running already, a process died, or settings do not go together.
    """
    running = at_work(place.pids)
    if running:
        raise ArgumentError(
            f"{place.folder} is being trained by the processes {running}. End them with: touch "
            f"{place.stop}"
        )
    if place.device != "cpu" and processes > 1:
        raise ArgumentError(
            f"{processes} processes on {place.device}: one sees it all. Give --processes 1."
        )
    place.out.mkdir(parents=True, exist_ok=True)
    if place.pictures is None:
        size = settings.stages[-1].size
        cache.render(place.cache, count, resolution=size, world_name=place.world, workers=processes)
    place.stop.unlink(missing_ok=True)

    def note_pids(pids: Any) -> None:
        store.write_text_atomic(place.pids, "".join(f"{pid}\n" for pid in (os.getpid(), *pids)))

    try:
        launch(work, processes, settings, place, started=note_pids)
    except (ProcessExitedException, ProcessRaisedException) as error:
        raise ArgumentError(
            f"A process of the training in {place.folder} ended too early, and so did the others. "
            f"Its state is whole; the same command goes on from it. {error}"
        ) from error
    finally:
        place.pids.unlink(missing_ok=True)


def at_work(pids: Path) -> list[int]:
    """Return which processes of a file `pids` are still trainings, as far as /proc tells."""
    if not pids.exists():
        return []
    lines = {int(pid): Path("/proc", pid, "cmdline") for pid in pids.read_text().split()}
    commands = {pid: path.read_bytes() for pid, path in lines.items() if path.exists()}
    return [p for p, line in commands.items() if b"progressive" in line or b"spawn_main" in line]


def work(settings: Settings, place: Run) -> None:
    """Train in this process, alone or with others: what `run` starts."""
    ending = threading.Event()
    with on_signals(ending.set):
        pictures = cache.Pictures(place.cache)
        trainer = AdversarialTrainer(settings, pictures, start=place.beginning, device=place.device)
        train(trainer, place, ended=ending.is_set)


def train(trainer: AdversarialTrainer, place: Run, *, ended: Callable[[], bool]) -> None:
    """Train until the schedule, the minutes, `run/stop` or `ended()` in any process end it."""
    begin = written = time.monotonic()
    journal = Journal(trainer, place.out)

    def over() -> bool:
        return ended() or place.stop.exists() or time.monotonic() - begin >= 60 * place.minutes

    while not trainer.is_over and not any_process(over()):
        losses = trainer.step()
        if trainer.rank:
            continue
        journal.note(losses)
        if time.monotonic() - written >= 60 * place.write_minutes:
            write(trainer, place)
            written = time.monotonic()
    if trainer.rank == 0:
        write(trainer, place)


def any_process(flag: bool) -> bool:
    """Return whether any process says so, the same in all."""
    votes = torch.tensor(float(flag))
    if rank_and_size()[1] > 1:
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
    return bool(votes)


def write(trainer: AdversarialTrainer, place: Run) -> None:
    """Write the state, and a sheet of unchosen rooms, enlarged to the last stage's size."""
    trainer.save(place.state)
    rooms = F.interpolate(trainer.samples().clamp(-1, 1), trainer.settings.stages[-1].size)
    name = f"sheet-{trainer.progress.seen // 1000:06d}k.png"
    image.save(image.grid(rooms, columns=8)[None], place.out / name)


class Journal:
    """Prints a line, and appends it to `log.jsonl`, every `seconds`."""

    def __init__(self, trainer: AdversarialTrainer, out: Path, seconds: float = 30.0) -> None:
        self.trainer, self.path, self.seconds = trainer, out / "log.jsonl", seconds
        self.shown, self.seen = time.monotonic(), trainer.progress.seen

    def note(self, losses: Mapping[str, Tensor]) -> None:
        """Say how far the run is, if it is time to."""
        passed = time.monotonic() - self.shown
        if passed < self.seconds:
            return
        seen, size = self.trainer.progress.seen, self.trainer.stage.size
        row = {"size": size, "seen": seen, "rate": round((seen - self.seen) / passed, 1)}
        row |= {name: round(loss.item(), 4) for name, loss in losses.items()}
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.shown, self.seen = time.monotonic(), seen
