"""Films: a tour through latents, or one picture along a direction or a walk, as mp4 or gif.

>>> import tempfile, torch
>>> from steerbench.generators import wrap
>>> G = wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 4), torch.nn.Tanh()), (8, 1, 1))
>>> path = film(G, G.sample(3, seed=0), Path(tempfile.mkdtemp()) / "tour.gif", frames_per_leg=4)
>>> path.name
'tour.gif'

Between two codes of a normal prior the way goes along the sphere on which nearly all codes lie
(`steerbench.stats.slerp`), in every other space along a straight line. A walk is a tour through
codes drawn one after the other.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, FileError, closest
from steerbench.generators.base import BaseGenerator
from steerbench.image import resize, to_uint8
from steerbench.stats import slerp
from steerbench.types import ActivationState, Latent, Traversal

SUFFIXES = (".mp4", ".gif")


def film(
    generator: BaseGenerator,
    latents: Latent | ActivationState | Sequence[Latent] | int | None = None,
    path: str | os.PathLike[str] = "film.mp4",
    *,
    along: Traversal | None = None,
    alphas: Sequence[float] = (-3.0, 3.0),
    n_samples: int = 8,
    frames_per_leg: int = 24,
    frames_per_second: int = 24,
    loop: bool = False,
    space: str | None = None,
    size: int | None = None,
) -> Path:
    """Render a film and write it, atomically.

    Args:
        generator: The generator.
        latents: The codes to pass through, at least two: a batch, or several. A seed, or None for
            seed 0, stands for a tour through ``n_samples`` codes of the prior. With ``along``, the
            one code, or the activations, that are edited; or its seed.
        path: Where; ``.mp4`` (H.264) or ``.gif``. An existing file is replaced at the end.
        along: A direction or a walk; the film then shows one picture edited along it.
        alphas: From where to where along it, in its steps, through any number of stops.
        n_samples: How many codes a tour of a seed passes through.
        frames_per_leg: Frames from one code to the next.
        frames_per_second: At which the film is played, 1 to 60.
        loop: Go back from the last code to the first, so that the end meets the beginning.
        space: Where the way is taken, ``"w"`` for instance; by default where the codes are.
        size: The side of a frame in pixels, rounded up to an even number; by default the
            generator's own, or a few times that where it is small.

    Returns:
        The path.

    Raises:
        ArgumentError: There are fewer than two codes (or, along something, more than one), or a
            number makes no sense.
        SpaceError: The codes belong to another generator, or there is no way to the space.
        FileError: The suffix is another one, or the file cannot be written.
    """
    target = target_of(path)
    _check_numbers(n_samples, frames_per_leg, frames_per_second, size)
    side = _side(generator.resolution if size is None else size, enlarge=size is None)
    if along is not None:
        pictures = _along(generator, latents, along, _alphas(alphas, frames_per_leg, loop))
        stops = len(alphas)
    else:
        if latents is None or isinstance(latents, int):
            latents = generator.sample(n_samples, seed=latents or 0)
        codes = _stops(generator, latents, space)
        pictures = _draw(generator, tour(generator, codes, frames_per_leg, loop))
        stops = len(codes)
    total = frames_per_leg * (stops - (not loop)) + (not loop)
    frames = _frames(pictures, side)
    write(target, tqdm(frames, total=total, desc=target.name, delay=1.0), frames_per_second)
    return target


def tour(
    generator: BaseGenerator, stops: Latent, frames_per_leg: int, loop: bool = False
) -> Iterator[Latent]:
    """Give the codes of a film one by one, each stop included; a loop leaves the last one out.

    Args:
        generator: Says what its codes are like.
        stops: The codes to pass through.
        frames_per_leg: Frames from one to the next.
        loop: Go back to the first one.

    >>> from steerbench.generators import wrap
    >>> G = wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 4)), (8, 1, 1))
    >>> len(list(tour(G, G.sample(3, seed=0), frames_per_leg=4)))
    9
    """
    round_ = generator.prior == "normal" and stops.space == generator.latent_space
    between = slerp if round_ else torch.lerp
    last = len(stops) if loop else len(stops) - 1
    for leg in range(last):
        here, there = stops[leg], stops[(leg + 1) % len(stops)]
        for frame in range(frames_per_leg):
            data = between(here.data.flatten(1), there.data.flatten(1), frame / frames_per_leg)
            yield here.with_data(data.view_as(here.data))
    if not loop:
        yield stops[last]


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the path of a film to be.

    Raises:
        FileError: The suffix is none of a film, or the folder does not exist.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(
            f"A film was to be written to {str(target)!r}. Give a name that ends in .mp4 or .gif. "
            f"{closest(suffix, SUFFIXES)}"
        )
    if not target.parent.is_dir():
        raise FileError(f"There is no folder {str(target.parent)!r}. Make it, or choose another.")
    return target


def _check_numbers(n_samples: int, frames_per_leg: int, fps: int, size: int | None) -> None:
    if n_samples < 2:
        raise ArgumentError(f"n_samples={n_samples}, expected at least 2 codes to walk through.")
    if frames_per_leg < 1:
        raise ArgumentError(f"frames_per_leg={frames_per_leg}, expected at least 1.")
    if not 1 <= fps <= 60:
        raise ArgumentError(f"frames_per_second={fps}, expected 1 to 60.")
    if size is not None and not 16 <= size <= 4096:
        raise ArgumentError(f"size={size}, expected a side of 16 to 4096 pixels.")


def _alphas(stops: Sequence[float], frames_per_leg: int, loop: bool) -> list[float]:
    """Return how far along each frame stands."""
    if len(stops) < 2 or not all(map(math.isfinite, stops)):
        raise ArgumentError(f"alphas={list(stops)[:8]}; give at least two finite numbers.")
    legs = [*pairwise(stops), *([(stops[-1], stops[0])] if loop else [])]
    shares = [frame / frames_per_leg for frame in range(frames_per_leg)]
    passed = [here + share * (there - here) for here, there in legs for share in shares]
    return passed if loop else [*passed, stops[-1]]


def _along(
    generator: BaseGenerator, start: Any, along: Traversal, alphas: Sequence[float]
) -> Iterator[Tensor]:
    """Draw one picture along a direction or a walk, frame by frame."""
    if start is None or isinstance(start, int):
        start = generator.sample(1, seed=start or 0)
    if not isinstance(start, Latent | ActivationState) or len(start) != 1:
        raise ArgumentError(
            f"A film along {along.name!r} was asked for from "
            f"{len(start) if hasattr(start, '__len__') else type(start).__name__} codes. Give one: "
            "G.sample(1, seed=3), or a seed."
        )
    for alpha in alphas:
        yield generator.render(start.detach(), edits=[alpha * along])


def _stops(generator: BaseGenerator, latents: Any, space: str | None) -> Latent:
    """Join codes to one batch in the space of the way."""
    parts = [latents] if isinstance(latents, Latent) else list(latents)
    wrong = [part for part in parts if not isinstance(part, Latent)]
    if wrong:
        raise ArgumentError(
            f"A film was asked for through a {type(wrong[0]).__name__}. Give Latents, as "
            "G.sample and G.latent make them, or a seed."
        )
    if sum(map(len, parts)) < 2:
        raise ArgumentError(
            f"A film was asked for through {sum(map(len, parts))} code. Give at least two, "
            "G.sample(4, seed=0) for instance, or a seed for a walk."
        )
    wanted = parts[0].space if space is None else space
    return Latent.cat([generator.to(part.detach(), wanted) for part in parts])


def _side(pixels: int, enlarge: bool, least: int = 256) -> int:
    """Return an even side, for H.264 halves the colours' resolution; enlarge small pictures."""
    if enlarge and pixels < least:
        pixels *= math.ceil(least / pixels)
    return pixels + pixels % 2


def _draw(generator: BaseGenerator, codes: Iterator[Latent]) -> Iterator[Tensor]:
    """Draw codes, a few at a time."""
    while batch := [code for _, code in zip(range(8), codes, strict=False)]:
        yield generator.render(Latent.cat(batch))


def _frames(pictures: Iterator[Tensor], side: int) -> Iterator[np.ndarray]:
    """Bring pictures to frames, uint8 ``[H, W, 3]``."""
    with torch.no_grad():
        for batch in pictures:
            height, width = batch.shape[-2:]
            sized = resize(batch, (_even(side * height / width), side))
            yield from to_uint8(sized.expand(-1, 3, -1, -1))


def _even(length: float) -> int:
    return 2 * round(length / 2)


def write(target: Path, frames: Any, fps: int) -> None:
    """Write frames, uint8 ``[H, W, 3]`` with even sides, as a film.

    They go beside the target first: an interrupted film leaves what was there before.

    Args:
        target: Where.
        frames: One by one.
        fps: Frames a second.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix.lower()}")
    try:
        if target.suffix.lower() == ".gif":
            _write_gif(temporary, frames, fps)
        else:
            _write_mp4(temporary, frames, fps)
        os.replace(temporary, target)
    except OSError as error:
        raise FileError(
            f"The film {str(target)!r} cannot be written: {error}. Choose a folder that you may "
            "write to, with space left."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_gif(path: Path, frames: Any, fps: int) -> None:
    with open(path, "xb") as file:
        pictures = (Image.fromarray(frame) for frame in frames)
        next(pictures).save(
            file,
            "GIF",
            save_all=True,
            append_images=pictures,
            duration=max(20, round(1000 / fps)),  # viewers slow down what is shown for less
            loop=0,
        )


def _write_mp4(path: Path, frames: Any, fps: int) -> None:
    import imageio.v2 as imageio

    with open(path, "xb"):  # fails here, in plain words, where the folder cannot be written
        pass
    options: dict[str, Any] = {"macro_block_size": 2, "ffmpeg_log_level": "error"}
    writer: Any = imageio.get_writer(
        path, format="FFMPEG", fps=fps, codec="libx264", pixelformat="yuv420p", **options
    )
    with writer:
        for frame in frames:
            writer.append_data(frame)
