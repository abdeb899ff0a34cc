"""From a training's state to an asset: what was kept of the generator, and its fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerbench import assets, store
from steerbench.generators import BaseGenerator, load, save
from steerbench.training import progressive
from steerbench.training.game import Game
from steerbench.training.siblings import SIBLINGS
from steerbench.training.stylegan2 import StyleGAN2Game

GAMES: dict[str, type[Game]] = {"stylegan2": StyleGAN2Game, **SIBLINGS}
"""The games whose checkpoints name an architecture; a progressive training's does not."""


def export_generator(
    checkpoint: Path, target: Path, *, name: str = "rooms", note: str = ""
) -> BaseGenerator:
    """Write the averaged generator of a training's state as an asset, with how it came about.

    Args:
        checkpoint: A state of `steerbench.training.progressive`, or a checkpoint of a game.
        target: The asset's file.
        name: What `sb.load` calls it.
        note: Goes to its card, after what is said of every generator of its architecture.
    """
    generator, training = _read(checkpoint, name)
    training["remarks"] = [*training.get("remarks", []), *([note] if note else [])]
    save(generator, target, training=training)
    state_fingerprint(target)
    return generator


def _read(checkpoint: Path, name: str) -> tuple[BaseGenerator, dict[str, Any]]:
    """The generator, and how it came about."""
    architecture = store.read_header(checkpoint).get("architecture")
    if architecture is None:
        return progressive.generator_of(checkpoint, name)
    tensors, header = store.load(checkpoint)
    game = GAMES[architecture]
    generator = game.export(header["settings"], tensors, header["seen"], name)
    training = {
        "settings": header["settings"],
        "images": header["seen"],
        "cpu_seconds": header.get("cpu_seconds"),
        "remarks": list(game.remarks),
    }
    return generator, training


def state_fingerprint(path: Path) -> None:
    """Write the fingerprint of a generator's file to the bundle.json beside it that names it.

    Raises:
        CheckpointError: The file holds no generator.
    """
    if not (path.parent / assets.DOCUMENT).is_file():
        return
    named = assets.read(path.parent).models("generators")
    ours = [name for name, place in named.items() if place.samefile(path)]
    assets.state(path.parent, {name: {"fingerprint": load(path).fingerprint} for name in ours})
