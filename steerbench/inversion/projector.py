"""NVIDIA's projector: one w and the noise of every layer, from the mean of w, for one picture.

    w, n = argmin |f(G(w + e, n)) - f(x)|^2 + 1e5 * correlations of n

The sum of squared differences of features f of pictures in [0, 255] (VGG16 in the publication), the
jitter e falling from 0.05 of the deviation of w to nothing over three quarters of the way, learning
rate 0.1, rising over the first twentieth and falling over the last quarter; the noise begins
random. The mean and deviation of w are those of 10,000 codes of ``RandomState(123)``. The engine is
`steerbench.inversion.engine`; what differs from `sb.invert` are these settings, `ProjectorConfig`.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958), appendix D.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import OptimisationConfig
from steerbench.inversion.losses import Features, ProjectorLoss
from steerbench.inversion.optimize import (
    Inversion,
    features_of,
    fit_targets,
    report_inversion,
)
from steerbench.inversion.photographs import PhotoFit
from steerbench.inversion.search import Callback, search
from steerbench.types import Provenance


@dataclass(frozen=True)
class ProjectorConfig(OptimisationConfig):
    """The settings of NVIDIA's projector.

    Attributes:
        jitter: How much w is shaken at first, in its deviation.
        noise: The weight of the noise's correlations; None leaves the noise as it is.
    """

    n_steps: int = 1000
    jitter: float = 0.05
    noise: float | None = 1e5
    patience: int | None = None
    batch_size: int = 1
    unit: float | None = 1.0


def moments_of_w(generator: BaseGenerator, n_samples: int = 10_000) -> tuple[Tensor, float]:
    """Return the mean ``[w_dim]`` of w, and the root of the mean squared distance to it.

    Raises:
        CapabilityError: The generator has no w.
    """
    if "w" not in generator.spaces:
        raise CapabilityError(
            f"{generator.name!r} has no space w, which the projector searches. Use sb.invert."
        )
    z = np.random.RandomState(123).randn(n_samples, *generator.spaces["z"].shape)
    with torch.no_grad():
        parts = [
            generator.to(generator.latent(part.float()), "w").data
            for part in torch.from_numpy(z).split(2048)
        ]
    w = torch.cat(parts)
    mean = w.mean(0)
    return mean, float((w - mean).square().sum(1).mean().sqrt())


def project(
    generator: BaseGenerator,
    images: Any,
    features: Features | str = "auto",
    *,
    n_steps: int | None = None,
    n_samples: int = 10_000,
    config: OptimisationConfig = ProjectorConfig(),
    photo: PhotoFit = PhotoFit(),
    callback: Callback | None = None,
) -> Inversion:
    """Project pictures into w, as NVIDIA's projector does.

    Args:
        generator: With a space w.
        images: As `sb.invert` takes them.
        features: Pictures ``[N, C, H, W]`` **in [0, 255]** to one tensor or several; ``"auto"`` are
            the layers of the judge in the generator's bundle.
        n_steps: How many, by default those of ``config`` (1000).
        n_samples: How many codes the mean and the deviation of w are measured on.
        config: How to go; its jitter is in deviations of w.
        photo, callback: As of `sb.invert`.

    Raises:
        CapabilityError: The generator has no w, or there are no features for it.
    """
    mean, deviation = moments_of_w(generator, n_samples)
    config = config if n_steps is None else replace(config, n_steps=n_steps)
    settings = asdict(config) | {"n_samples": n_samples, "deviation": deviation, "space": "w"}
    targets = fit_targets(generator, images, photo)
    look = features if callable(features) else _features_of_bytes(generator, features)
    start = generator.latent(mean.expand(len(targets), -1), "w")
    result = search(
        generator,
        [start],
        ProjectorLoss(targets, look),
        replace(
            config,
            jitter=config.jitter * deviation,
            noise=config.noise if generator.noise_maps() else None,
        ),
        noise=_random_noise(generator, config.seed),
        callback=callback,
        title="projecting",
    )
    provenance = Provenance(
        method="project",
        hyperparameters=settings | {"init": ["mean"]},
        seed=config.seed,
        n_samples=n_samples,
        reference="Karras et al. 2020, arXiv 1912.04958",
    )
    return report_inversion(generator, result, targets, None, provenance=provenance)


def _random_noise(generator: BaseGenerator, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(part.shape, generator=random).to(part)
        for name, part in generator.noise_maps().items()
    }


def _features_of_bytes(generator: BaseGenerator, name: str) -> Features:
    """Return an oracle's layers, of pictures in [0, 255]."""
    features = features_of(generator, name, "judge")
    if features is None:
        raise CapabilityError(
            f"There are no features for {generator.name!r}: no oracle is known as its judge. Give "
            "a function from pictures in [0, 255] to a tensor, such as a VGG16's layers."
        )
    return lambda pixels: features(pixels / 127.5 - 1)


__all__ = ["ProjectorConfig", "moments_of_w", "project"]
