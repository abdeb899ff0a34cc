"""Training an encoder: pictures to codes of the default generator.

Half of each batch are pictures that the generator drew, whose codes are known; some of their codes
are crossed, rows of one below rows of another, as editing makes them. The other half are renders of
the world, which know no code: only the picture that the generator draws from the guess is compared
with the one that was shown, by pixels and by the layers of the oracle:

    loss = mean |(w+ - truth) / std|^2  (generated only)
         + pixels * mean (G(w+) - x)^2 + looks * d(G(w+), x) + narrow * mean offset^2

Half of the pictures whose code is not crossed are answered by the base alone, without offsets, so
that the encoder gives a code of w as well. The convolutions begin as those of the oracle.

A run keeps a checkpoint and goes on from it with ``resume``; each stretch draws its own random
numbers, so an interrupted run equals an uninterrupted one in kind, not in bits.

References: those of `steerbench.inversion.encoders`; Loshchilov, Hutter, "Decoupled Weight Decay
Regularization" (2019, arXiv 1711.05101) for AdamW.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.cards.text import card
from steerbench.generators import BaseGenerator, load
from steerbench.inversion.encoders import Encoder, EncoderNetwork, save
from steerbench.inversion.losses import (
    feature_distance,
    perceptual_distance,
    perceptual_features,
)
from steerbench.metrics import mse, psnr, ssim
from steerbench.predictors import oracle
from steerbench.seeds import Codes
from steerbench.store import write_text_atomic
from steerbench.training import pictures as cache
from steerbench.training.shared import (
    check_held_out,
    cosine,
    epochs,
    optimiser_tensors,
    restore_optimiser,
    under,
)

SAVE_EVERY = 250
"""Steps between two checkpoints, about a minute."""
JUDGE = "rooms-attributes-2"
"""By whose layers guesses are judged."""
JUDGED, GENERATED_SEED = 256, Codes.ENCODER.start
"""How many pictures of each kind judge it, and the first seed of the generated ones."""


@dataclass
class Settings:
    """Everything that decides a run besides the pictures."""

    generator: str = "rooms"
    oracle: str = "rooms-attributes"
    seed: int = 0
    steps: int = 3500
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.03
    pixels: float = 10.0
    looks: float = 0.3
    narrow: float = 0.02
    crossed: float = 0.4
    precision: str = "bfloat16"


class Trainer:
    """Holds the network, its optimiser and how far they are."""

    def __init__(self, pictures: cache.Pictures, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.pictures, self.settings = pictures, settings
        self.generator: BaseGenerator = load(settings.generator)
        space = self.generator.spaces["w"]
        self.rows, dim = self.generator.spaces["w+"].shape
        self.mean, self.std = _known(space.mean), _known(space.std)
        teacher = oracle(settings.oracle).network
        self.network = EncoderNetwork(self.rows, dim, teacher.widths)
        self.network.trunk.load_state_dict(teacher.trunk.state_dict())
        torch.nn.init.zeros_(self.network.offsets.weight)
        torch.nn.init.zeros_(self.network.offsets.bias)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.looks = perceptual_features(settings.oracle)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=settings.weight_decay, foreach=True
        )
        self.step_count, self.seconds = 0, 0.0

    def generated(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codes ``[n, rows, dim]`` in deviations, whether they are crossed ``[n]``, and pictures.

        Which row the crossing is at is drawn for each.
        """
        generator = self.generator
        seed = int(torch.randint(2**31, ()))
        w = (generator.sample(2 * n, seed=seed, space="w").data - self.mean) / self.std
        crossed = torch.rand(n) < self.settings.crossed
        at = torch.where(crossed, torch.randint(1, self.rows, (n,)), self.rows)
        below = torch.arange(self.rows) < at[:, None]
        codes = torch.where(below[:, :, None], w[:n, None], w[n:, None])
        return codes, crossed, self.draw(codes).detach()

    def draw(self, codes: Tensor) -> Tensor:
        """Codes in deviations to pictures, with a gradient where they have one."""
        latent = self.generator.latent(self.mean + self.std * codes, "w+")
        return self.generator.render(latent, precision="fast")

    def step(self, indices: np.ndarray) -> dict[str, float]:
        """Learn from one batch: as many generated pictures as renders."""
        settings = self.settings
        rate = cosine(self.step_count / settings.steps, settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate
        truth, crossed, drawn = self.generated(len(indices))
        shown = torch.cat([drawn, self.pictures.images(indices)]).clamp(-1, 1)
        free = torch.cat([crossed, torch.zeros(len(indices), dtype=torch.bool)])
        free |= torch.rand(len(free)) < 0.5
        base, offsets = self.guess(shown)
        codes = base[:, None] + offsets * free[:, None, None]
        again = self.draw(codes)
        losses = {
            "latent": (codes[: len(truth)] - truth).square().mean(),
            "pixels": (again - shown).square().mean(),
            "looks": feature_distance(self.looks(again), self.looks(shown)).mean(),
            "narrow": offsets.square().mean(),
        }
        loss = losses["latent"] + sum(getattr(settings, k) * losses[k] for k in list(losses)[1:])
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step_count += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def guess(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Base and offsets, the convolutions in half precision."""
        images = images.contiguous(memory_format=torch.channels_last)
        half = self.settings.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps = self.network.trunk(images)
        return self.network.read(maps.float())

    def train(self, checkpoint: Path | None = None) -> Encoder:
        """Train to the end, with a checkpoint now and then; returns the encoder."""
        settings = self.settings
        rng = np.random.default_rng(np.random.SeedSequence([settings.seed, self.step_count]))
        torch.manual_seed(int(rng.integers(2**31)))
        batches = epochs(rng, len(self.pictures), settings.batch // 2)
        progress = tqdm(
            total=settings.steps, initial=self.step_count, desc="encoder", mininterval=5
        )
        began, before = time.process_time(), self.seconds
        while self.step_count < settings.steps:
            losses = self.step(next(batches))
            self.seconds = before + time.process_time() - began
            progress.update()
            if self.step_count % 20 == 0:
                progress.set_postfix({k: f"{v:.4f}" for k, v in losses.items()})
            if checkpoint is not None and self.step_count % SAVE_EVERY == 0:
                self.save(checkpoint)
        progress.close()
        if checkpoint is not None:
            self.save(checkpoint)
        return self.encoder()

    def encoder(self) -> Encoder:
        """What was learned so far."""
        copy = EncoderNetwork(self.rows, self.network.dim, self.network.widths)
        copy.load_state_dict(self.network.state_dict())
        fingerprint = self.generator.fingerprint
        return Encoder(copy, self.mean, self.std, generator=fingerprint, name="rooms-encoder")

    def save(self, path: Path) -> None:
        """Write everything that a later run needs to go on from here."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        header = {"settings": asdict(self.settings), "step": self.step_count}
        store.save(path, tensors, header | {"seconds": self.seconds})

    def restore(self, path: Path) -> None:
        """Go on from a file written by `save`."""
        tensors, header = store.load(path)
        self.network.load_state_dict(under(tensors, "network."))
        restore_optimiser(self.optimiser, under(tensors, "optimiser."))
        self.step_count, self.seconds = header["step"], header["seconds"]


@torch.no_grad()
def judged(encoder: Encoder, generator: BaseGenerator, held_out: Path) -> list[dict[str, Any]]:
    """How like the picture is what the generator draws from the guess: a row a set and space."""
    sets = {
        "held-out renders": cache.Pictures(held_out, limit=JUDGED).images(np.arange(JUDGED)),
        "generated": generator.render(generator.sample(JUDGED, seed=GENERATED_SEED)),
    }
    look, rows = perceptual_features(JUDGE), []
    for name, shown in sets.items():
        for space in ("w", "w+"):
            again = generator.render(encoder.encode(shown, space))
            measures = {"MSE": mse(again, shown), "PSNR": psnr(again, shown)}
            measures |= {"SSIM": ssim(again, shown)}
            measures |= {"perceptual": perceptual_distance(look, again, shown)}
            means = {key: round(float(value.mean()), 4) for key, value in measures.items()}
            rows.append({"pictures": name, "space": space} | means)
    return rows


def run(
    settings: Settings, data: Path, held_out: Path, out: Path, work: Path, resume: bool
) -> Encoder:
    """Train an encoder on a cache, judge it, write it as an asset and the card beside it.

    Resuming a run that has ended trains nothing and judges again. Checkpoints go to ``work``.
    """
    for folder in (out.parent, work):
        folder.mkdir(parents=True, exist_ok=True)
    check_held_out(held_out)
    pictures, checkpoint = cache.Pictures(data), work / "latest.safetensors"
    trainer = Trainer(pictures, settings)
    if resume:
        trainer.restore(checkpoint)
    encoder = trainer.train(checkpoint)
    rows = judged(encoder, trainer.generator, held_out)
    training = {
        "data": f"{len(pictures):,} renders of the world rooms, seeds from {cache.TRAIN_SEED}, and "
        "as many generated pictures as renders were shown",
        "settings": asdict(settings),
        "seconds": round(trainer.seconds),
    }
    save(encoder, out, training=training, scores=rows, licence="MIT")
    write_text_atomic(out.with_suffix(".md"), encoder_card(encoder, settings, training, rows))
    return encoder


def encoder_card(
    encoder: Encoder, settings: Settings, training: dict[str, Any], rows: list[dict[str, Any]]
) -> str:
    """The card of an encoder, in Markdown."""
    weights = sum(part.numel() for part in encoder.network.state_dict().values())
    return card(
        {
            "title": "rooms-encoder",
            "summary": f"Guesses the code, in w+ or w, of a picture of `{settings.generator}`: "
            '`steerbench.inversion.encoder("rooms-encoder")`, and the start `"encoder"` of '
            "`sb.invert`.",
            "facts": {
                "architecture": f"convolutional network, widths {list(encoder.network.widths)}, "
                f"{weights:,} weights at half precision; its convolutions began as those of "
                f"`{settings.oracle}`",
                "data": training["data"],
                "training": f"{settings.steps:,} steps of {settings.batch} pictures, "
                f"{training['seconds'] / 60:.0f} minutes of one CPU core",
                "seed": settings.seed,
                "generator": f"`{encoder.generator}`",
                "licence": "MIT",
            },
            "tables": {f"Reconstruction: means over {JUDGED} pictures each": rows},
            "notes": [
                f"The perceptual distance is measured by the layers of `{JUDGE}`, which took no "
                f"part; those of `{settings.oracle}` were part of the loss. The codes are those "
                "of one generator, whose fingerprint is above.",
            ],
        }
    )


def _known(moment: Tensor | None) -> Tensor:
    return torch.empty(0) if moment is None else moment
