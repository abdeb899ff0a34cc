"""How like a picture is what the generator draws from an encoder's guess.

Held-out renders of the world, and the generator's own samples, each in w and w+: mean squared
error, PSNR, SSIM, and the perceptual distance in the layers of an oracle that took no part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from steerbench import store
from steerbench.cards.models import Asset
from steerbench.cards.text import card, identity
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator, load
from steerbench.inversion.encoders import Encoder, encoder
from steerbench.inversion.losses import perceptual_distance, perceptual_features
from steerbench.metrics import mse, psnr, ssim
from steerbench.seeds import Codes
from steerbench.training import pictures as cache
from steerbench.training.shared import check_held_out


@torch.no_grad()
def measure(
    guess: Encoder, generator: BaseGenerator, held_out: Path, judge: str, n_samples: int = 256
) -> list[dict[str, Any]]:
    """Measure how like the picture is what is drawn from the guess: a row a set and space.

    Args:
        guess: The encoder.
        generator: Its own.
        held_out: A cache of held-out renders.
        judge: An oracle whose layers measure the perceptual distance.
        n_samples: Pictures of each set.
    """
    sets = {
        "held-out renders": cache.Pictures(held_out, limit=n_samples).images(np.arange(n_samples)),
        "generated": generator.render(generator.sample(n_samples, seed=Codes.ENCODER.start)),
    }
    features, rows = perceptual_features(judge), []
    for name, images in sets.items():
        for space in ("w", "w+"):
            again = generator.render(guess.encode(images, space))
            measures = {"MSE": mse(again, images), "PSNR": psnr(again, images)}
            measures |= {"SSIM": ssim(again, images)}
            measures |= {"perceptual": perceptual_distance(features, again, images)}
            means = {key: round(float(value.mean()), 4) for key, value in measures.items()}
            rows.append({"pictures": name, "space": space} | means)
    return rows


def encoder_card(
    asset: Asset, guess: Encoder, rows: list[dict[str, Any]], judge: str, n_samples: int
) -> str:
    """Write the card of an encoder, in Markdown.

    Args:
        asset: Its file.
        guess: What it holds.
        rows: What `measure` gives.
        judge: Whose layers measured.
        n_samples: Pictures of each set.
    """
    training = asset.header["training"]
    settings = training["settings"]
    weights = sum(part.numel() for part in guess.network.state_dict().values())
    # Files of before the settings had the names of the glossary say "batch" and "steps".
    batch = settings.get("batch_size", settings.get("batch"))
    steps = settings["steps"] if "steps" in settings else settings["images"] // batch
    return card(
        {
            "title": asset.name,
            "summary": f"Guesses the code, in w+ or w, of a picture of `{settings['generator']}`: "
            f'`steerbench.inversion.encoder("{asset.name}")`, and the start `"encoder"` of '
            "`sb.invert`.",
            "facts": {
                "architecture": f"convolutional network, widths {list(guess.network.widths)}, "
                f"{weights:,} weights at half precision; its convolutions began as those of "
                f"`{settings['oracle']}`",
                "data": training["data"],
                "training": f"{steps:,} steps of {batch} pictures, "
                f"{training['seconds'] / 60:.0f} minutes of one CPU core",
                "seed": settings["seed"],
                "generator": f"`{guess.generator}`",
                **identity(asset),
                "licence": "MIT",
            },
            "tables": {f"Reconstruction: means over {n_samples} pictures each": rows},
            "notes": [
                f"The perceptual distance is measured by the layers of `{judge}`, which took no "
                f"part; those of `{settings['oracle']}` were part of the loss. The codes are those "
                "of one generator, whose fingerprint is above.",
            ],
        }
    )


def run(path: Path, *, held_out: Path, judge: str, n_samples: int = 256) -> list[dict[str, Any]]:
    """Measure an encoder's file and write its card beside it.

    Args:
        path: The file.
        held_out: A cache of held-out renders.
        judge: An oracle that took no part.
        n_samples: Pictures of each set.

    Raises:
        NotFoundError: There are no held-out pictures, or no such file.
        ArgumentError: The encoder belongs to other weights than its generator has now.
    """
    check_held_out(held_out)
    asset, guess = Asset(path), encoder(path)
    name = asset.header["training"]["settings"]["generator"]
    generator = load(name)
    if generator.fingerprint != guess.generator:
        raise ArgumentError(
            f"{path} guesses codes of {guess.generator}, and {name!r} is now "
            f"{generator.fingerprint}. Train it anew: python -m steerbench.training encoder"
        )
    rows = measure(guess, generator, held_out, judge, n_samples)
    store.write_text_atomic(asset.card, encoder_card(asset, guess, rows, judge, n_samples))
    return rows
