"""Direction variation: does a direction change something by which natural pictures differ?

A direction may be recognised by a flaw that it adds. The score of latent discovery's authors asks
whether what tells its two ends apart also tells pictures apart that were never edited:

1. train a classifier to tell ``G(z + alpha n)`` from ``G(z - alpha n)``;
2. let it label natural pictures, some as the one end and some as the other;
3. train a second classifier, from scratch, on these pictures and labels alone;
4. the score is its accuracy on the edited pictures: 1 where the direction varies as natural
   pictures do, 1/2 where it does something that they know nothing of.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> first = sb.SeFa(n_directions=1).fit(G).directions_[0]
>>> 0 <= direction_variation(first, G, n_samples=8, n_steps=2) <= 1
True

Reference: Voynov, Babenko, "Unsupervised Discovery of Interpretable Directions in the GAN Latent
Space" (2020, arXiv 2002.03754).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import ArgumentError
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator, Latent, Move


def direction_variation(
    direction: Direction,
    generator: Generator,
    images: Tensor | None = None,
    *,
    alpha: float = 2.0,
    n_samples: int = 128,
    n_steps: int = 100,
    precision: str = "exact",
    seed: int = 0,
) -> float:
    """Compute the score of one direction, between 0 and 1.

    Args:
        direction: Of the generator.
        generator: Draws the edited pictures, and the natural ones where none are given.
        images: Natural pictures ``[N, C, H, W]`` in [-1, 1]; by default twice as many
            unedited samples.
        alpha: How far the ends are from the middle, in standard deviations of the prior.
        n_samples: How many codes are moved, to both ends.
        n_steps: Of each classifier (Adam, 32 pictures a step at a rate of 0.001).
        precision: Of pictures, ``"exact"`` or ``"fast"``.
        seed: Of codes and classifiers.

    Raises:
        ArgumentError: Too few codes or steps, or no way to go.
    """
    if n_samples < 2 or n_steps < 1 or not alpha:
        raise ArgumentError(
            f"n_samples={n_samples}, n_steps={n_steps} and alpha={alpha} were given. Take at least "
            "two codes and one step, and an alpha that is not 0."
        )
    codes = generator.sample(n_samples, seed=seed, space=direction.space)
    ends = [_small(generator, codes, sign * alpha * direction, precision) for sign in (1, -1)]
    edited = torch.cat(ends)
    labels = torch.arange(2, device=edited.device).repeat_interleave(n_samples)
    if images is None:
        fresh = generator.sample(2 * n_samples, seed=Codes.HELD_BACK + seed)
        images = generator.render(fresh, precision=precision)
    natural = _shrink(images.to(edited))
    first = _train(edited, labels, n_steps, seed)
    second = _train(natural, _classify(first, natural), n_steps, seed + 1)
    return float((_classify(second, edited) == labels).double().mean())


def _small(generator: Generator, codes: Latent, move: Move, precision: str) -> Tensor:
    return _shrink(generator.render(codes, edits=[move], precision=precision))


def _shrink(images: Tensor) -> Tensor:
    return F.interpolate(images.detach().float(), size=(32, 32), mode="area")


def _train(images: Tensor, labels: Tensor, n_steps: int, seed: int) -> nn.Module:
    """Train a classifier of two classes on pictures and labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _classifier(images.shape[1]).to(images.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        some = torch.randint(len(images), (32,), generator=random)
        loss = F.cross_entropy(network(images[some]), labels[some])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return network


@torch.no_grad()
def _classify(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network.eval()(part).argmax(1) for part in images.split(256)])


def _classifier(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 2))
