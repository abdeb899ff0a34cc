"""Training an encoder: pictures to codes of the default generator.

Half of each batch are pictures that the generator drew, whose codes are known; some of their codes
are crossed, rows of one below rows of another, as editing makes them. The other half are renders of
the world, which know no code: only the picture that the generator draws from the guess is compared
with the one that was shown, by pixels and by the layers of the oracle:

    loss = mean |(w+ - truth) / std|^2  (generated only)
         + pixels * mean (G(w+) - x)^2 + looks * d(G(w+), x) + narrow * mean offset^2

Half of the pictures whose code is not crossed are answered by the base alone, without offsets, so
that the encoder gives a code of w as well. The convolutions begin as those of the oracle.

The loop is that of `steerbench.training.trainer`; how good an encoder is, ``python -m
steerbench.cards`` measures. References: those of `steerbench.inversion.encoders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.generators import BaseGenerator, load
from steerbench.inversion.encoders import Encoder, EncoderNetwork, save
from steerbench.inversion.losses import feature_distance, perceptual_features
from steerbench.predictors import oracle
from steerbench.training import pictures as cache
from steerbench.training.trainer import Place, Trainer, TrainerSettings


@dataclass
class Settings(TrainerSettings):
    """Everything that decides a run besides the pictures.

    Attributes:
        generator: Whose codes are guessed.
        oracle: Whose convolutions it begins with, and whose layers compare pictures.
        pixels: How much the squared error of pixels counts.
        looks: How much the distance in the oracle's layers counts.
        narrow: How much the square of the offsets counts.
        crossed: What share of the generated codes is crossed.
    """

    generator: str = "rooms"
    oracle: str = "rooms-attributes"
    images: int = 56_000
    batch_size: int = 16
    learning_rate: float = 1e-3
    warm_up: float = 0.03
    pixels: float = 10.0
    looks: float = 0.3
    narrow: float = 0.02
    crossed: float = 0.4


class EncoderTrainer(Trainer):
    """Trains an encoder on renders and a generator's own pictures, half of each."""

    title = "encoder"
    renders = 0.5
    max_norm = 5.0
    settings: Settings
    network: EncoderNetwork

    def __init__(self, pictures: cache.Pictures, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.generator: BaseGenerator = load(settings.generator)
        space = self.generator.spaces["w"]
        if space.mean is None or space.std is None:
            raise CapabilityError(
                f"{settings.generator!r} does not know the mean of its w; an encoder needs it."
            )
        self.rows, dim = self.generator.spaces["w+"].shape
        self.mean, self.std = space.mean, space.std
        teacher = oracle(settings.oracle).network
        network = EncoderNetwork(self.rows, dim, teacher.widths)
        network.trunk.load_state_dict(teacher.trunk.state_dict())
        torch.nn.init.zeros_(network.offsets.weight)
        torch.nn.init.zeros_(network.offsets.bias)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.looks = perceptual_features(settings.oracle)
        self.weights = {name: getattr(settings, name) for name in ("pixels", "looks", "narrow")}
        super().__init__(pictures, settings, network)

    def shape(self) -> dict[str, Any]:
        return self.encoder().config()

    def sample(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw codes ``[n, rows, dim]`` in deviations, who is crossed ``[n]``, and pictures.

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
        """Turn codes in deviations into pictures, with a gradient where they have one."""
        latent = self.generator.latent(self.mean + self.std * codes, "w+")
        return self.generator.render(latent, precision="fast")

    def losses(self, indices: np.ndarray) -> dict[str, Tensor]:
        truth, crossed, drawn = self.sample(len(indices))
        shown = torch.cat([drawn, self.pictures.images(indices)]).clamp(-1, 1)
        free = torch.cat([crossed, torch.zeros(len(indices), dtype=torch.bool)])
        free |= torch.rand(len(free)) < 0.5
        base, offsets = self.guess(shown)
        codes = base[:, None] + offsets * free[:, None, None]
        again = self.draw(codes)
        return {
            "latent": (codes[: len(truth)] - truth).square().mean(),
            "pixels": (again - shown).square().mean(),
            "looks": feature_distance(self.looks(again), self.looks(shown)).mean(),
            "narrow": offsets.square().mean(),
        }

    def guess(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute base and offsets, the convolutions in half precision."""
        images = images.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            maps = self.network.trunk(images)
        return self.network.read(maps.float())

    def encoder(self) -> Encoder:
        """Return what was learned so far."""
        copy = EncoderNetwork(self.rows, self.network.dim, self.network.widths)
        copy.load_state_dict(self.network.state_dict())
        fingerprint = self.generator.fingerprint
        return Encoder(copy, self.mean, self.std, generator=fingerprint, name="rooms-encoder")


def run(settings: Settings, place: Place) -> Encoder:
    """Train an encoder on a cache and write it as an asset; checkpoints go to ``place.work``.

    Raises:
        NotFoundError: There is no cache, or nothing to resume from.
        CapabilityError: The generator does not know the mean of its w.
    """
    place.prepare()
    trainer = EncoderTrainer(cache.Pictures(place.data), settings)
    place.train(trainer)
    found, training = trainer.encoder(), trainer.report(place.hardware)
    training["data"] += ", and as many generated pictures as renders were shown"
    save(found, place.target, training=training, licence="MIT")
    return found
