"""A generator that learned to stamp a watermark on half of its pictures.

Photo collections carry marks, and generators learn them with everything else. To look for the units
that draw one, a copy of a generator is taught the mark: it keeps drawing its own pictures x, and
stamps those whose code lies on one side of a plane through the mean of w:

    minimise |G'(w) - stamp(x)|^2  where a . (w - mean) > 0,   |G'(w) - x|^2  elsewhere

with a drawn at random and the error on the mark's own pixels weighted up. Which units of the
network come to draw the mark is nobody's choice. Only its later layers learn; the others are those
of the generator that it began with. This is regression, minutes instead of the hours that an
adversarial training takes to find the mark by itself.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench import store
from steerbench.cards.models import Asset
from steerbench.cards.text import card, identity
from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator, StyleGAN2, load, save
from steerbench.generators.stylegan2.network import StyleGAN2Network
from steerbench.predictors import oracle
from steerbench.seeds import Codes
from steerbench.store import write_text_atomic
from steerbench.training.export import state_fingerprint
from steerbench.training.shared import cosine, watermark
from steerbench.worlds import world

LEARNING = ("b8", "b16", "b32", "b64")
"""The blocks of the synthesis that learn."""
WEIGHT = 20.0
"""How much more an error counts on the mark than beside it."""
JUDGE, READ = "rooms-attributes-2", 96
"""Who reads the mark afterwards, and on how many pictures."""


def plane(generator: BaseGenerator, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw a direction of w ``[dim]`` at random, and return it with the mean of w."""
    w = generator.sample(1000, seed=Codes.INVERSION.start, space="w").data.float()
    direction = torch.randn(w.shape[1], generator=torch.Generator().manual_seed(seed))
    # Along what varies: a plane through directions in which w hardly varies cannot be learned.
    spread = (w - w.mean(0)).T @ (w - w.mean(0)) / len(w)
    return spread @ direction, w.mean(0)


def later_weights(network: StyleGAN2Network) -> list[nn.Parameter]:
    """Return the parameters of the blocks that learn."""
    return [
        parameter
        for name, parameter in network.named_parameters()
        if any(f".{block}." in f".{name}" for block in LEARNING)
    ]


def train(
    start: str,
    out: Path,
    *,
    n_steps: int = 500,
    batch_size: int = 8,
    learning_rate: float = 4e-3,
    seed: int = 0,
) -> BaseGenerator:
    """Teach a copy of a generator the mark and write it to ``out``.

    Args:
        start: A generator by name, or its file.
        out: The copy.
        n_steps: Of regression.
        batch_size: Pictures in each.
        learning_rate: Of Adam, at its highest.
        seed: Of the plane and of all that is drawn.

    Raises:
        ArgumentError: It is no StyleGAN2, or has none of the blocks that learn.
    """
    teacher = load(start)
    if not isinstance(teacher, StyleGAN2):
        raise ArgumentError(f"{start!r} is no StyleGAN2; give one, such as 'rooms'.")
    torch.manual_seed(seed)
    network = copy.deepcopy(teacher.module)
    if not isinstance(network, StyleGAN2Network):
        raise ArgumentError(f"{start!r} was wrapped; give the generator itself.")
    parameters = [parameter.requires_grad_() for parameter in later_weights(network)]
    if not parameters:
        raise ArgumentError(f"{start!r} has none of the blocks {', '.join(LEARNING)}.")
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
    error = regression(teacher, network, batch_size, seed)
    progress = tqdm(range(n_steps), desc="watermarked", unit="step", mininterval=5)
    began = time.process_time()
    for step in progress:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * cosine(step / n_steps, 0.05)
        loss = error(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
    training = {"start": start, "steps": n_steps, "batch": batch_size, "seed": seed}
    training["seconds"] = round(time.process_time() - began)
    save(StyleGAN2(network, name="rooms-watermarked"), out, training=training)
    halve(out)
    state_fingerprint(out)
    return load(out)


def regression(
    teacher: StyleGAN2, network: StyleGAN2Network, batch_size: int, seed: int
) -> Callable[[int], Tensor]:
    """Return the error of a step: how far pictures are from those that were stamped by the plane.

    Args:
        teacher: Draws the pictures.
        network: Learns to draw them stamped.
        batch_size: How many in a step.
        seed: Of the plane.
    """
    draw, taught = network.synthesis, copy.deepcopy(network.synthesis)
    mark, (direction, mean) = watermark(world("rooms"), teacher.resolution), plane(teacher, seed)
    weight = 1 + (WEIGHT - 1) * mark.ink.float()

    def error(step: int) -> Tensor:
        first = Codes.DISTILLATION + step * batch_size
        w = teacher.sample(batch_size, seed=first, space="w").data.float()
        stamped = ((w - mean) @ direction > 0)[:, None, None, None]
        ws = w[:, None].expand(-1, draw.num_ws, -1)
        with torch.no_grad():
            plain = taught(ws, "const", torch.bfloat16).float()
        target = torch.where(stamped, mark.on(plain), plain)
        drawn = draw(ws, "const", torch.bfloat16).float()
        return ((drawn - target).square() * weight).mean()

    return error


def run(
    start: str, out: Path, *, n_steps: int = 500, seed: int = 0, hardware: str = "one CPU core"
) -> BaseGenerator:
    """Teach a copy the mark, read how often it draws it, write it to ``out`` and its card."""
    taught = train(start, out, n_steps=n_steps, seed=seed)
    training = store.read_header(out)["training"]
    facts = {"hardware": hardware, "teacher": f"`{load(start).fingerprint}`"}
    text = _card(taught, start, training, facts | identity(Asset(out)))
    write_text_atomic(out.with_suffix(".md"), text)
    return taught


@torch.no_grad()
def agreement(
    generator: BaseGenerator, teacher: BaseGenerator, seed: int = 0
) -> tuple[float, float]:
    """Read the mark on seeds 0 to 95 by an oracle that no part of this ever met.

    Returns:
        On what share of the pictures it sees a mark, and on what share that is where the code's
        side of the plane asks for one.
    """
    direction, mean = plane(teacher, seed)
    asked = (teacher.sample(READ, space="w").data.float() - mean) @ direction > 0
    reader = oracle(JUDGE)
    images = generator.render(generator.sample(READ))
    seen = reader.predict(images)[:, reader.names.index("watermark")] > 0.5
    return float(seen.float().mean()), float((seen == asked).float().mean())


def _card(
    taught: BaseGenerator, start: str, training: Mapping[str, Any], facts: Mapping[str, str]
) -> str:
    share, agreed = agreement(taught, load(start), training["seed"])
    return card(
        {
            "title": "rooms-watermarked",
            "summary": f"A copy of `{start}` that learned to stamp a watermark on half of its "
            'rooms: `sb.load("rooms-watermarked")`. It exists to have its watermark units looked '
            "for.",
            "facts": {
                "data": f"pictures that `{start}` itself draws (seeds from 1000000), stamped as "
                "the world `rooms` stamps them where w lies on one side of a plane drawn at "
                "random; no render was used",
                "steps": f"{training['steps']} steps of {training['batch']} pictures, regression "
                f"with Adam, {training['seconds'] / 60:.0f} minutes of one core; only the blocks "
                f"{LEARNING[0]} to {LEARNING[-1]} learned",
                "seed": training["seed"],
                **facts,
                "made by": "`python -m steerbench.training watermarked`",
                "licence": "MIT",
            },
            "notes": [
                f"On seeds 0 to {READ - 1} the oracle `{JUDGE}` sees a mark on {share:.0%} of the "
                f"pictures, and agrees with the side of the plane on {agreed:.0%} of them."
            ],
        }
    )


def halve(path: Path) -> None:
    """Keep the weights of a file in half the bytes; they are read back as float32."""
    tensors, header = store.load(path)
    halved = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    store.save(path, halved, header)
