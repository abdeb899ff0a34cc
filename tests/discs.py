"""A world of coloured discs, and a generator that draws them: everything that `rooms` is not.

Three factors: the hue (red to yellow), the size and the horizontal place of a disc on blue. The
generator draws from a code of six numbers, mixed by an orthogonal matrix, of which three become
the factors and one the light of the background; its units are the parts of a picture. Two readers,
two segmenters, and no CLIP.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import steerbench as sb
from steerbench.errors import NotFoundError, unknown
from steerbench.worlds import WorldBatch

SIDE = 24
FACTORS = ("hue", "size", "place")
CLASSES = ("background", "disc")
RED, YELLOW, BLUE = (0.9, -0.7, -0.6), (0.9, 0.8, -0.6), (-0.6, -0.6, 0.3)
COPIES = (4, 3, 2, 1)
"""How many outputs of the first layer say the hue, the size, the place and the light: SeFa, which
gives every row the same length, ranks directions by it."""


def grid(side: int) -> tuple[Tensor, Tensor]:
    """The coordinates x and y of the pixels, ``[side, side]`` each, from -1 to 1."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    return line.expand(side, side), line[:, None].expand(side, side)


def disc(size: Tensor, place: Tensor, side: int) -> Tensor:
    """A soft disc, ``[N, side, side]`` in [0, 1]; size and place are ``[N]``, from 0 to 1."""
    x, y = grid(side)
    radius, middle = 0.25 + 0.3 * size[:, None, None], 1.2 * place[:, None, None] - 0.6
    return ((radius - ((x - middle).square() + y.square() + 1e-6).sqrt()) * 16).sigmoid()


def colours(hue: Tensor, mask: Tensor) -> Tensor:
    """The parts of a picture, ``[N, 3, H, W]``: what is yellow, red and blue in it."""
    hue = hue[:, None, None]
    return torch.stack([mask * hue, mask * (1 - hue), 1 - mask], dim=1)


# -- the world ------------------------------------------------------------------------------------


class DiscWorld:
    """Coloured discs; factors are drawn evenly from [0, 1]."""

    name = "discs"
    factor_names = FACTORS
    class_names = CLASSES

    def sample(self, n: int, *, seed: int = 0, resolution: int = SIDE) -> WorldBatch:
        rows = [torch.rand(3, generator=torch.Generator().manual_seed(seed + i)) for i in range(n)]
        return self._render(dict(zip(FACTORS, torch.stack(rows).T)), resolution)

    def counterfactual(
        self, factors: Mapping[str, Tensor], *, resolution: int = SIDE, **changes: float | Tensor
    ) -> WorldBatch:
        given = dict(factors)
        for name, value in changes.items():
            if name not in given:
                raise NotFoundError(unknown("factor", name, FACTORS))
            given[name] = torch.as_tensor(value).expand_as(given[name])
        return self._render(given, resolution)

    def _render(self, factors: dict[str, Tensor], side: int) -> WorldBatch:
        mask = disc(factors["size"], factors["place"], side)
        images = torch.einsum("nkhw,kc->nchw", colours(factors["hue"], mask), palette())
        return WorldBatch(images, factors, (mask > 0.5).long())


def palette() -> Tensor:
    """The colour of each part, ``[3, 3]``."""
    return torch.tensor([YELLOW, RED, BLUE])


# -- the generator --------------------------------------------------------------------------------


class DiscNetwork(nn.Module):
    """Codes ``[N, 6]`` to pictures ``[N, 3, 24, 24]``.

    Units 0 to 2 of the layer ``units`` are what is yellow, red and blue in the picture, unit 3 is
    the light of the background, and 4 and 5 are gradients that nothing reads.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        turn = torch.linalg.qr(torch.randn(6, 6, generator=random))[0]
        self.mix = nn.Linear(6, sum(COPIES), bias=False)
        self.units, self.picture = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 3, 1)
        with torch.no_grad():
            self.mix.weight.copy_(turn[:4].repeat_interleave(torch.tensor(COPIES), dim=0))
            self.units.weight.copy_(torch.eye(6)[:, :, None, None])
            self.units.bias.zero_()
            self.picture.weight.zero_()
            self.picture.weight[:, :3, 0, 0] = palette().T
            self.picture.weight[:, 3] = 0.1
            self.picture.bias.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        said = self.mix(codes).split(COPIES, dim=1)
        hue, size, place, light = (part.mean(1).sigmoid() for part in said)
        mask = disc(size, place, SIDE)
        others = torch.stack([axis.expand_as(mask) for axis in grid(SIDE)], dim=1)
        lit = ((light[:, None, None] - 0.5) * (1 - mask))[:, None]
        return self.picture(self.units(torch.cat([colours(hue, mask), lit, others], dim=1)))


def generator(seed: int = 0) -> sb.generators.BaseGenerator:
    """Draws discs."""
    return sb.wrap(DiscNetwork(seed), latent_shape=(6,), name="discs")


# -- who reads them -------------------------------------------------------------------------------


def factors(hue: Tensor, mask: Tensor) -> Tensor:
    """Hue, and the size and place of what a mask ``[N, H, W]`` covers: ``[N, 3]``."""
    x, _ = grid(mask.shape[-1])
    radius = (4 * mask.mean((1, 2)) / torch.pi + 1e-6).sqrt()
    place = (x * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1e-3)
    return torch.stack([hue, (radius - 0.25) / 0.3, (place + 0.6) / 1.2], dim=1)


def soft(images: Tensor) -> Tensor:
    """How much of a disc each pixel is, by its red, ``[N, H, W]``."""
    return ((images[:, 0] + 0.6) / 1.5).clamp(0, 1)


def read(images: Tensor) -> Tensor:
    """Factors ``[N, 3]``, by how much of a disc each pixel is."""
    mask = soft(images)
    green = (images[:, 1] + 0.6 * (1 - mask)).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1e-3)
    return factors((green + 0.7) / 1.5, mask)


def judge(images: Tensor) -> Tensor:
    """As `read`, by whole pixels, and by how little blue they are."""
    inner = (images[:, 2] < -0.55).float()
    green = (images[:, 1] * inner).sum((1, 2)) / inner.sum((1, 2)).clamp(min=1)
    return factors((green + 0.7) / 1.5, (images[:, 2] < -0.15).float())


def segment(images: Tensor) -> Tensor:
    return (soft(images) > 0.5).long()


def segment_again(images: Tensor) -> Tensor:
    return ((images[:, 0] - images[:, 2]) > 0.3).long()


def bundle(G: sb.generators.BaseGenerator) -> sb.Bundle:
    """All that goes with it."""
    return sb.Bundle(
        G,
        name="discs",
        reader=sb.predictor(read, names=FACTORS),
        judge=sb.predictor(judge, names=FACTORS),
        segmenter=sb.predictor(segment, names=CLASSES),
        second_segmenter=sb.predictor(segment_again, names=CLASSES),
        world=DiscWorld(),
        layout=("size", "place"),
        seeds=(3, 5),
    )
