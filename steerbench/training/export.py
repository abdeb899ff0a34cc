"""From a training checkpoint to an asset: what was kept of the generator."""

from __future__ import annotations

from pathlib import Path

from steerbench import store
from steerbench.generators import BaseGenerator, save
from steerbench.training.game import Game
from steerbench.training.generator import Trainer
from steerbench.training.siblings import SIBLINGS

GAMES: dict[str, type[Game]] = {"stylegan2": Trainer, **SIBLINGS}


def export_generator(
    checkpoint: Path, target: Path, *, name: str = "rooms", note: str = ""
) -> BaseGenerator:
    """Write the averaged generator of a checkpoint as an asset, with how it came about.

    A ``note`` goes to its card, after what is said of every generator of its architecture.
    """
    tensors, header = store.load(checkpoint)
    settings = header["settings"]
    game = GAMES[header.get("architecture", "stylegan2")]
    generator = game.exported(settings, tensors, header["seen"], name)
    training = {
        "settings": settings,
        "images": header["seen"],
        "cpu_seconds": header.get("cpu_seconds"),
        "remarks": [*game.remarks, *([note] if note else [])],
    }
    save(generator, target, training=training)
    return generator
