"""Chapter 02: what the shapes of a file give away, and a module wrapped as its author meant it."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steerbench.check.verdict import FRESH_SEED, Verdict, announce
from steerbench.errors import SteerbenchError

ASKED = ("code", "resolution", "channels")


def mystery(path: str | os.PathLike[str], seed: int | None = None) -> Path:
    """Write the state dict of a DCGAN of random shapes, as PyTorch's example names it.

    Args:
        path: Of the new file.
        seed: Of the shapes; other ones every time without.
    """
    draw = random.Random(seed)
    widths = [draw.choice((8, 12, 16)) for _ in range(draw.randint(2, 5))]
    widths += [draw.choice((1, 3))]
    inputs = draw.choice((24, 50, 64, 100))
    state: dict[str, Tensor] = {}
    for stage, outputs in enumerate(widths):
        place = 3 * stage
        state[f"main.{place}.weight"] = 0.02 * torch.randn(inputs, outputs, 4, 4)
        if stage < len(widths) - 1:
            norm = nn.BatchNorm2d(outputs)
            state |= {f"main.{place + 1}.{k}": v for k, v in norm.state_dict().items()}
        inputs = outputs
    torch.save(state, path)
    return Path(path)


@announce
def read_from_shapes(answer: Any, path: str | os.PathLike[str]) -> Verdict:
    """Check whether somebody read code length, resolution and channels of a DCGAN's file right.

    Held against the layers themselves: they are built from the file and run on a code.

    Args:
        answer: ``{"code": ..., "resolution": ..., "channels": ...}``.
        path: The file that `mystery` wrote.
    """
    if not isinstance(answer, Mapping) or set(answer) != set(ASKED):
        return Verdict(False, math.nan, f"Give a dictionary with {', '.join(ASKED)}.")
    state = torch.load(path, weights_only=True)
    kernels = [weight for weight in state.values() if weight.ndim == 4]
    picture = torch.zeros(1, len(kernels[0]), 1, 1)
    for stage, kernel in enumerate(kernels):
        stride, padding = (2, 1) if stage else (1, 0)
        picture = nn.functional.conv_transpose2d(picture, kernel, stride=stride, padding=padding)
    truth = dict(zip(ASKED, (len(kernels[0]), picture.shape[-1], picture.shape[1])))
    wrong = [name for name in ASKED if answer[name] != truth[name]]
    if not wrong:
        return Verdict(
            True,
            3,
            f"Right: codes of {truth['code']} numbers, pictures of {truth['resolution']} pixels a "
            f"side and {truth['channels']} channel{'s' if truth['channels'] > 1 else ''}.",
        )
    return Verdict(
        False,
        len(ASKED) - len(wrong),
        f"{len(ASKED) - len(wrong)} of {len(ASKED)} are right; look again at: {', '.join(wrong)}.",
    )


@announce
def wrapping(
    generator: Any,
    module: nn.Module,
    *,
    latent_shape: tuple[int, ...] = (12, 1, 1),
    prior: str = "uniform",
    pixels: tuple[float, float] = (0.0, 255.0),
    n_samples: int = 64,
) -> Verdict:
    """Check whether a module was wrapped as its author meant it.

    Held against the module itself, run on codes of the generator; its pixels are brought to
    [-1, 1] here.

    Args:
        generator: The answer.
        module: What was to be wrapped.
        latent_shape, prior, pixels: As its author meant it.
        n_samples: How many codes.
    """
    try:
        codes = generator.sample(n_samples, seed=FRESH_SEED)
        drawn = generator.render(codes)
    except (AttributeError, TypeError, SteerbenchError) as error:
        return Verdict(False, math.nan, f"Give what sb.wrap returns ({error}).")
    low, high = pixels
    with torch.no_grad():
        own = module(codes.data.reshape(n_samples, *latent_shape))
    off = float((drawn - ((own - low) * (2 / (high - low)) - 1)).abs().max())
    if off > 1e-4:
        return Verdict(
            False,
            off,
            f"Its pixels are off by up to {off:.3g}: a module's own range, here {low:g} to "
            f"{high:g}, becomes [-1, 1].",
        )
    largest = float(codes.data.abs().max())
    if (largest <= 1) != (prior == "uniform"):
        return Verdict(
            False,
            largest,
            f"The pixels are right. But codes reach {largest:.2f}, and those it was trained with "
            "lie evenly between -1 and 1."
            if prior == "uniform"
            else "The prior is another one.",
        )
    return Verdict(
        True, off, f"As its author meant it: {n_samples} pictures, off by {off:.1e} at most."
    )
