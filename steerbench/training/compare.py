"""Does training help? The same small run four times, with one thing changed each time.

At 32x32 pixels, each run sees as many pictures of the same cache as the others, in the same order
of drawing, against the same discriminator:

- ``baseline``: StyleGAN2 with path-length regularisation.
- ``hessian``: with the Hessian Penalty on z as well.
- ``path-off``: without path-length regularisation.
- ``eigengan``: an EigenGAN with as many numbers in its code z.

A run goes in rounds. After each its checkpoint is kept and its random numbers start anew, so that
a run that was interrupted between rounds, or prolonged later, is the run that went through.

The Hessian Penalty's weight is far below the paper's 0.1, which belongs to another game: after
2,560 pictures its gradient at weight 1 was measured to be some 150 times the game's here. At
0.003 they are of one order.

Reference: those of `steerbench.training.stylegan2` and `steerbench.training.eigengan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerbench.errors import NotFoundError, unknown
from steerbench.training.eigengan import EigenGANGame
from steerbench.training.game import Game, train
from steerbench.training.pictures import Pictures
from steerbench.training.stylegan2 import StyleGAN2Game

COMMON: dict[str, Any] = {
    "resolution": 32,
    "z_dim": 32,
    "batch": 16,
    "learning_rate": 2.5e-3,
    "channel_base": 1024,
    "channel_max": 64,
    "d_channel_base": 512,
    "d_channel_max": 64,
    "judge": "rooms-attributes",
    "judge_width": 32,
}
"""What all runs have in common. The code is short, so that an axis of z can mean something."""


@dataclass(frozen=True)
class Contestant:
    """One of the runs: its game, and what is changed of the common settings."""

    game: type[Game]
    changes: Mapping[str, Any] = field(default_factory=dict)


RUNS: dict[str, Contestant] = {
    "eigengan": Contestant(EigenGANGame),
    "baseline": Contestant(StyleGAN2Game, {"w_dim": 64}),
    "hessian": Contestant(StyleGAN2Game, {"w_dim": 64, "hessian_weight": 0.003}),
    "path-off": Contestant(StyleGAN2Game, {"w_dim": 64, "path_weight": 0.0}),
}


def find(name: str) -> Contestant:
    """Find a run by its name.

    Raises:
        NotFoundError: There is none; the closest names are offered.
    """
    if name not in RUNS:
        raise NotFoundError(unknown("run", name, RUNS))
    return RUNS[name]


def folder_of(out: Path, name: str, seed: int) -> Path:
    """Return the folder of a run."""
    return out / f"{name}-{seed}"


def checkpoint_of(folder: Path, images: int) -> Path:
    """Return the path of the checkpoint at the end of a round."""
    return folder / f"after-{images:06d}.safetensors"


def run(
    name: str,
    data: Path,
    out: Path,
    *,
    images: int,
    round_of: int = 10_000,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    **changes: Any,
) -> Path:
    """Train one of the runs and return its last checkpoint.

    Args:
        name: Which, of ``RUNS``.
        data: A cache of 32x32 pictures.
        out: The folder of all runs; this one writes to its own within.
        images: How many pictures it sees, in rounds of ``round_of``.
        seed: Of the weights and of all that is drawn.
        device: Where to train.
        resume: Begin after the last whole round that the folder holds.
        changes: Settings other than the comparison's.

    Raises:
        NotFoundError: There is no such run, or no picture in ``data``.
    """
    contestant, folder = find(name), folder_of(out, name, seed)
    options = {**COMMON, **contestant.changes, **changes}
    settings = contestant.game.settings_class(**options, seed=seed)
    game = contestant.game(settings, Pictures(data), device)
    ends = [*range(round_of, images, round_of), images]
    done = [end for end in ends if resume and checkpoint_of(folder, end).exists()]
    if done:
        game.restore(checkpoint_of(folder, done[-1]))
    for end in ends[len(done) :]:
        train(game, images=end, out=folder, save_every=images + 1, grid_every=round_of)
        game.save(checkpoint_of(folder, end))
        game.reseed()
    return checkpoint_of(folder, images)
