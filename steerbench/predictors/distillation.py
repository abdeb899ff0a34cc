"""A predictor from scores that somebody recorded for a generator's own codes.

Published generators often come with tables of scores (the age and the gender that a large network
read from the picture of each seed) and without that network. A small one that learns the same
scores from the same pictures stands in for it: three convolutions that halve the picture, and a
linear layer. How well it reads is measured on codes that it did not learn from
(`DistilledPredictor.held_out`); with another ``seed`` it is another network, so that one may
choose and another one judge.

>>> import steerbench as sb
>>> G = sb.wrap(nn.Sequential(nn.Linear(4, 3 * 16 * 16), nn.Unflatten(1, (3, 16, 16))), (4,))
>>> z = G.sample(40, seed=0)
>>> read = distill(G, z, {"first": z.data[:, 0]}, epochs=1)
>>> read.predict(G.render(z)).shape, read.names
(torch.Size([40, 1]), ('first',))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench.errors import PredictorError
from steerbench.predictors.base import BasePredictor
from steerbench.types import Generator, Latent

WIDTHS = (24, 48, 64)
BATCH = 64


class DistilledPredictor(BasePredictor):
    """A predictor that learned recorded scores.

    Attributes:
        held_out: Name to the correlation of what it reads with what was recorded, on codes that it
            did not learn from.
    """

    held_out: Mapping[str, float]


def distill(
    generator: Generator,
    latents: Latent,
    scores: Mapping[str, Tensor | Sequence[float]],
    *,
    units: str | Sequence[str] = "",
    held_out: float = 0.25,
    epochs: int = 10,
    seed: int = 0,
) -> DistilledPredictor:
    """Learn to read from pictures what was recorded for their codes.

    Args:
        generator: Draws the pictures.
        latents: The codes, N of them.
        scores: Name to N numbers.
        units: Of all scores, or one for each.
        held_out: The share of the codes, the last ones, that are kept to see how well it reads.
        epochs: How often each picture is seen, half of the time mirrored.
        seed: Of weights and batches.

    Raises:
        PredictorError: Scores do not fit the codes, are not finite, or never vary; or fewer than
            ten codes are left to learn from.
    """
    truth = _check_scores(latents, scores)
    count = len(latents) - round(held_out * len(latents))
    if count < 10:
        raise PredictorError(
            f"Of {len(latents)} codes {count} are left to learn from; give at least 10, and "
            f"thousands for a predictor that is worth something (held_out={held_out})."
        )
    pictures = _render(generator, latents)
    mean, spread = truth[:count].mean(0), truth[:count].std(0).clamp_min(1e-12)
    network = _train(pictures[:count], (truth[:count] - mean) / spread, epochs, seed)
    learned = DistilledPredictor(
        lambda images: network(images) * spread + mean,
        tuple(scores),
        units=units,
        resolution=(pictures.shape[2], pictures.shape[3]),
        name="learned scores",
    )
    learned.held_out = _correlations(learned, pictures[count:], truth[count:])
    return learned


def _check_scores(latents: Latent, scores: Mapping[str, Tensor | Sequence[float]]) -> Tensor:
    if not scores:
        raise PredictorError("No scores were given. Give name to one number a code.")
    columns = {name: torch.as_tensor(np.asarray(values)).float() for name, values in scores.items()}
    for name, column in columns.items():
        if tuple(column.shape) != (len(latents),):
            raise PredictorError(
                f"Scores {name!r} have the shape {list(column.shape)}; expected "
                f"[{len(latents)}], one for each code."
            )
        if not bool(torch.isfinite(column).all()) or float(column.std()) == 0:
            raise PredictorError(
                f"Scores {name!r} hold NaN or infinity, or never vary. Leave such codes, or this "
                "attribute, out."
            )
    return torch.stack(list(columns.values()), dim=1)


def _render(generator: Generator, latents: Latent) -> Tensor:
    parts = range(0, len(latents), 100)
    with torch.no_grad():
        return torch.cat(
            [
                generator.render(latents[start : start + 100]).clamp(-1, 1)
                for start in tqdm(parts, "drawing", delay=1, leave=False)
            ]
        )


def _train(pictures: Tensor, targets: Tensor, epochs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(pictures, targets.shape[1])
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
        steps = epochs * -(-len(pictures) // BATCH)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for _ in tqdm(range(epochs), "learning", delay=1, leave=False):
            for rows in torch.randperm(len(pictures)).split(BATCH):
                mirrored = torch.rand(len(rows), 1, 1, 1) < 0.5
                x = torch.where(mirrored, pictures[rows].flip(3), pictures[rows])
                loss = (network(x) - targets[rows]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                rate.step()
    return network.eval().requires_grad_(False)


def _network(pictures: Tensor, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((pictures.shape[1], *WIDTHS)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    places = int(np.prod([-(-side // 2 ** len(WIDTHS)) for side in pictures.shape[2:]]))
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(WIDTHS[-1] * places, outputs)
    )


def _correlations(read: DistilledPredictor, pictures: Tensor, truth: Tensor) -> dict[str, float]:
    if len(pictures) < 2:
        return dict.fromkeys(read.names, float("nan"))
    told = read.predict(pictures)
    return {
        name: float(np.corrcoef(told[:, i].numpy(), truth[:, i].numpy())[0, 1])
        for i, name in enumerate(read.names)
    }
