"""Films: a tour through latents, or a walk through the prior, as mp4 or gif.

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, FileError, closest
from steerbench.generators.base import BaseGenerator
from steerbench.image import resize, to_uint8
from steerbench.stats import slerp
from steerbench.types import Latent

SUFFIXES = (".mp4", ".gif")


def film(
    generator: BaseGenerator,
    latents: Latent | Sequence[Latent] | int | None = None,
    path: str | os.PathLike[str] = "film.mp4",
    *,
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
            seed 0, stands for a walk through ``n_samples`` codes of the prior.
        path: Where; ``.mp4`` (H.264) or ``.gif``. An existing file is replaced at the end.
        n_samples: How many codes a walk passes through.
        frames_per_leg: Frames from one code to the next.
        frames_per_second: At which the film is played, 1 to 60.
        loop: Go back from the last code to the first, so that the end meets the beginning.
        space: Where the way is taken, ``"w"`` for instance; by default where the codes are.
        size: The side of a frame in pixels, rounded up to an even number; by default the
            generator's own, or a few times that where it is small.

    Returns:
        The path.

    Raises:
        ArgumentError: There are fewer than two codes, or a number makes no sense.
        SpaceError: The codes belong to another generator, or there is no way to the space.
        FileError: The suffix is another one, or the file cannot be written.
    """
    target = target_of(path)
    _check_numbers(n_samples, frames_per_leg, frames_per_second, size)
    if latents is None or isinstance(latents, int):
        latents = generator.sample(n_samples, seed=latents or 0)
    stops = _stops(generator, latents, space)
    side = _side(generator.resolution if size is None else size, enlarge=size is None)
    total = frames_per_leg * (len(stops) - (not loop)) + (not loop)
    frames = _frames(generator, tour(generator, stops, frames_per_leg, loop), side)
    shown = tqdm(frames, total=total, desc=target.name, unit="frame", delay=1.0)
    write(target, shown, frames_per_second)
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


def _stops(
    generator: BaseGenerator, latents: Latent | Sequence[Latent], space: str | None
) -> Latent:
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


def _frames(generator: BaseGenerator, codes: Iterator[Latent], side: int) -> Iterator[np.ndarray]:
    """Render frames, uint8 ``[H, W, 3]``, a few at a time."""
    while batch := [code for _, code in zip(range(8), codes, strict=False)]:
        with torch.no_grad():
            pictures = generator.render(Latent.cat(batch))
            height, width = pictures.shape[-2:]
            pictures = resize(pictures, (_even(side * height / width), side))
        yield from to_uint8(pictures.expand(-1, 3, -1, -1))


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
