"""The README's pictures, made from what the package ships: python notebooks/pictures/make.py

Writes, beside this file,

- light.png: three rooms along the direction that the quickstart finds, from one and a half standard
  deviations darker to as much brighter;
- generator.png: 64 generated rooms, seeds 0 to 63, as they come (no truncation, none left out);
- world.png: 64 rendered rooms, seeds 0 to 63.
"""

from __future__ import annotations

from pathlib import Path

import torch

import steerbench as sb
from steerbench import image
from steerbench.generators import BaseGenerator
from steerbench.types import Direction

HERE = Path(__file__).parent


def light(generator: BaseGenerator) -> Direction:
    """From the mean code of the darkest rooms to that of the brightest, as in the quickstart."""
    codes = generator.sample(256, seed=1000, space="w")
    pictures = torch.cat([generator.render(codes[i : i + 32]) for i in range(0, 256, 32)])
    order = pictures.clamp(-1, 1).mean(dim=(1, 2, 3)).argsort()
    step = codes.data[order[-32:]].mean(dim=0) - codes.data[order[:32]].mean(dim=0)
    scale = generator.prior_std("w", step / step.norm())
    return Direction("light", "w", step, scale=scale, generator=generator.fingerprint)


def main() -> None:
    """Write the three pictures."""
    generator = sb.load("rooms")
    direction = light(generator)
    strips = [
        generator.render(generator.sample(1, seed=seed, space="w") + alpha * direction)
        for seed in (0, 3, 7)
        for alpha in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5)
    ]
    sb.show(strips, columns=7, scale=2).save(HERE / "light.png", optimize=True)
    pictures = generator.render(generator.sample(64, seed=0))
    image.to_pil(image.grid(pictures, columns=8)).save(HERE / "generator.png", optimize=True)
    rendered = sb.world("rooms").sample(64, seed=0, resolution=64).images
    image.to_pil(image.grid(rendered, columns=8)).save(HERE / "world.png", optimize=True)


if __name__ == "__main__":
    main()
