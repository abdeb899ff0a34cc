"""NVIDIA's projector: one w and the noise of every layer, from the mean of w, for one picture.

    w, n = argmin |f(G(w + e, n)) - f(x)|^2 + 1e5 * correlations of n

The sum of squared differences of features f of pictures in [0, 255] (VGG16 in the publication), the
shaking e falling from 0.05 of the deviation of w to nothing over three quarters of the way, rate
0.1, rising over the first twentieth and falling over the last quarter; the noise begins random. The
mean and deviation of w are those of 10,000 codes of ``RandomState(123)``. The engine is
`descent`; what differs from `sb.invert` are these settings.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958), appendix D.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import Plan
from steerbench.inversion.optimize import Inversion, features_of, reported, wanted_of
from steerbench.inversion.perceptual import Features, described
from steerbench.inversion.search import Callback, search

RATE, CORRELATIONS, SHAKING = 0.1, 1e5, 0.05
LARGEST = 256
"""The side, in pixels, above which pictures are reduced before features look at them."""


def moments_of_w(generator: BaseGenerator, samples: int = 10_000) -> tuple[Tensor, float]:
    """The mean ``[w_dim]`` of w, and its deviation: the root of the mean squared distance to it.

    Raises:
        CapabilityError: The generator has no w.
    """
    if "w" not in generator.spaces:
        raise CapabilityError(
            f"{generator.name!r} has no space w, which the projector searches. Use sb.invert."
        )
    z = np.random.RandomState(123).randn(samples, *generator.spaces["z"].shape)
    with torch.no_grad():
        parts = [
            generator.to(generator.latent(part.float()), "w").data
            for part in torch.from_numpy(z).split(2048)
        ]
    w = torch.cat(parts)
    mean = w.mean(0)
    return mean, float((w - mean).square().sum(1).mean().sqrt())


class Seen:
    """The loss: the summed squared difference of features of pictures in [0, 255]."""

    def __init__(self, wanted: Tensor, features: Features) -> None:
        self.features = features
        with torch.no_grad():
            self.wanted = self.look(wanted)

    def look(self, images: Tensor) -> list[Tensor]:
        """The features of pictures in [-1, 1]."""
        pixels = (images + 1) * 127.5
        if pixels.shape[2] > LARGEST:
            pixels = torch.nn.functional.interpolate(pixels, size=(LARGEST, LARGEST), mode="area")
        return described(self.features, pixels)

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        parts = zip(self.look(images), self.wanted)
        return torch.stack([(a - b[rows]).square().flatten(1).sum(1) for a, b in parts]).sum(0)


def project(
    generator: BaseGenerator,
    images: Any,
    features: Features | str = "auto",
    *,
    steps: int = 1000,
    noise: bool = True,
    shaking: float = SHAKING,
    samples: int = 10_000,
    batch: int = 1,
    seed: int = 0,
    callback: Callback | None = None,
    progress: bool = True,
    precision: str = "exact",
) -> Inversion:
    """Project pictures into w, as NVIDIA's projector does.

    Args:
        generator: With a space w.
        images: As `sb.invert` takes them.
        features: Pictures ``[N, C, H, W]`` **in [0, 255]** to one tensor or several; ``"auto"`` are
            the layers of the judge in the generator's bundle.
        steps: How many.
        noise: Whether to optimise the noise of the layers too.
        shaking: How much w is shaken at first, in its deviation.
        samples: How many codes the mean and the deviation of w are measured on.
        batch, seed, callback, progress, precision: As of `sb.invert`.

    Raises:
        CapabilityError: The generator has no w, or there are no features for it.
    """
    mean, deviation = moments_of_w(generator, samples)
    wanted = wanted_of(generator, images, "center", None)
    look = features if callable(features) else _in_bytes(generator, features)
    plan = Plan(
        steps=steps,
        rate=RATE,
        jitter=shaking * deviation,
        maps=CORRELATIONS if noise and generator.noise_maps() else None,
        patience=None,
        precision=precision,
        seed=seed,
        unit=1.0,
    )
    start = generator.latent(mean.expand(len(wanted), -1), "w")
    found = search(
        generator,
        [start],
        Seen(wanted, look),
        plan,
        batch=batch,
        maps=_random(generator, seed),
        callback=callback,
        progress="projecting" if progress else None,
    )
    settings = {
        "steps": steps,
        "noise": noise,
        "shaking": shaking,
        "samples": samples,
        "deviation": deviation,
    }
    return reported(generator, found, wanted, None, ["mean"], settings, seed, method="project")


def _random(generator: BaseGenerator, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(part.shape, generator=random).to(part)
        for name, part in generator.noise_maps().items()
    }


def _in_bytes(generator: BaseGenerator, name: str) -> Features:
    """An oracle's layers, of pictures in [0, 255]."""
    found = features_of(generator, name, "judge")
    if found is None:
        raise CapabilityError(
            f"There are no features for {generator.name!r}: no oracle is known as its judge. Give "
            "a function from pictures in [0, 255] to a tensor, such as a VGG16's layers."
        )
    return lambda pixels: found(pixels / 127.5 - 1)


__all__ = ["Seen", "moments_of_w", "project"]
