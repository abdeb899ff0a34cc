"""Good seeds to open a generator with: pictures that look real, and unlike one another.

A picture is real where it lies near a render r of the world in the features f of the judge::

    distance(x) = min over r of |f(x) - f(r)|

Of many seeds the quarter of the least distance is kept. Of these some are taken one by one: first
the most typical, nearest to the mean of all, then each time the one that is farthest from all
that were taken before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench import assets
from steerbench.bundles import require
from steerbench.generators import load
from steerbench.predictors import oracle
from steerbench.training.pictures import HELD_OUT_SEED


def choose(generated: Tensor, rendered: Tensor, n_seeds: int) -> list[int]:
    """Return which of some pictures are real and unlike one another, the most typical first.

    Args:
        generated: Features of the pictures, ``[N, F]``.
        rendered: Of renders, ``[M, F]``.
        n_seeds: How many, at most a quarter of N.
    """
    near = torch.cdist(generated, rendered).amin(1).argsort()[: len(generated) // 4]
    some = generated[near]
    taken, apart = [int((some - some.mean(0)).norm(dim=1).argmin())], torch.cdist(some, some)
    while len(taken) < min(n_seeds, len(near)):
        taken.append(int(apart[taken].amin(0).argmax()))
    return near[taken].tolist()


def state_seeds(name: str, n_seeds: int = 12, n_samples: int = 512) -> list[int]:
    """Choose seeds of an embedded generator, and write them to its bundle.json.

    Args:
        name: Of the generator.
        n_seeds: How many seeds.
        n_samples: How many to choose from, the first ones.
    """
    generator = load(name)
    judge = oracle(require(generator, "judge", "tells what looks real", "a judge"))
    world = require(generator, "world", "shows what looks real", "a world")
    renders = world.sample(1024, seed=HELD_OUT_SEED, resolution=generator.resolution).images
    pictures = generator.render(generator.sample(n_samples, seed=0))
    seeds = choose(judge.features(pictures), judge.features(renders), n_seeds)
    for folder in assets.folders().values():
        if name in folder.generators:
            assets.state(folder.generators[name].path.parent, {name: {"seeds": seeds}})
    return seeds
