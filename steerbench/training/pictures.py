"""A cache of a world's pictures, rendered once and read many times.

Rendering a picture costs several times more than a training step spends on it, so pictures are
kept in shards of raw pixels with their factors and masks. Shards are written whole or not at all
and picture ``i`` of the cache is the picture of seed ``first_seed + i``: a cache can be filled by
several processes, interrupted, and extended while a run already reads it (`rendering`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import seeds, store
from steerbench.errors import ArgumentError, MissingFileError
from steerbench.worlds import world

SHARD = 2048
TRAIN_SEED = seeds.Pictures.TRAINING.start
HELD_OUT_SEED = seeds.Pictures.HELD_OUT.start


def render(
    folder: Path,
    count: int,
    *,
    resolution: int,
    world_name: str,
    watermark: float = 0.0,
    first_seed: int = TRAIN_SEED,
    workers: int = 1,
) -> None:
    """Fill a cache with at least so many pictures; shards that exist are kept.

    Args:
        folder: Of the cache; it is made.
        count: How many pictures, at least.
        resolution: Their side, in pixels.
        world_name: Whose pictures.
        watermark: On what share of them the world stamps one.
        first_seed: Of the first picture; one more for each.
        workers: How many processes render.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(-(-count // SHARD)) if not _shard(folder, i).exists()]
    task = partial(
        _render_shard,
        folder,
        resolution=resolution,
        world_name=world_name,
        watermark=watermark,
        first_seed=first_seed,
    )
    progress = tqdm(total=len(missing), desc=f"rendering {folder.name}", unit="shard")
    if workers == 1:
        for index in missing:
            task(index)
            progress.update()
        return
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(task, missing):
            progress.update()


def _shard(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.safetensors"


def _render_shard(
    folder: Path, index: int, *, resolution: int, world_name: str, watermark: float, first_seed: int
) -> None:
    torch.set_num_threads(1)
    source = world(world_name, **({"watermark": watermark} if watermark else {}))
    batch = source.sample(SHARD, seed=first_seed + index * SHARD, resolution=resolution)
    pixels = ((batch.images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    factors = torch.stack([batch.factors[name] for name in source.factor_names], dim=1)
    tensors = {"pixels": pixels, "factors": factors, "masks": batch.masks.to(torch.uint8)}
    header = {"world": world_name, "factors": list(source.factor_names), "resolution": resolution}
    store.save(_shard(folder, index), tensors, header)


def shrink(source: Path, folder: Path, *, resolution: int) -> None:
    """Fill ``folder`` with the pictures of another cache, each block of pixels averaged to one.

    Masks keep the class of the pixel nearest to the middle of a block. Shards that exist are kept.

    Raises:
        NotFoundError: There is no such cache.
        ArgumentError: Its resolution is no multiple of the one wanted.
    """
    Pictures(source, limit=1)
    folder.mkdir(parents=True, exist_ok=True)
    for path in tqdm(sorted(source.glob("*.safetensors")), desc=f"shrinking {source.name}"):
        if (folder / path.name).exists():
            continue
        tensors, header = store.load(path)
        factor, rest = divmod(header["resolution"], resolution)
        if rest or factor < 1:
            raise ArgumentError(
                f"{source} holds pictures of {header['resolution']} pixels, {resolution} were "
                f"asked for. Give a resolution that divides {header['resolution']}."
            )
        pixels = F.avg_pool2d(tensors["pixels"].float(), factor).round().to(torch.uint8)
        masks = tensors["masks"][..., factor // 2 :: factor, factor // 2 :: factor].contiguous()
        small = {"pixels": pixels, "factors": tensors["factors"], "masks": masks}
        store.save(folder / path.name, small, header | {"resolution": resolution})


@contextlib.contextmanager
def rendering(folder: Path, count: int, **options: Any) -> Iterator[None]:
    """Fill a cache in a process of its own for the length of a ``with`` block."""
    process = multiprocessing.get_context("spawn").Process(
        target=render, args=(folder, count), kwargs=options, daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def wait_for_pictures(folder: Path, *, seconds: float = 600) -> Pictures:
    """Wait for the pictures of a cache that is being filled, until its first shard is there.

    Raises:
        NotFoundError: There was none after so many seconds.
    """
    until = time.monotonic() + seconds
    while not _shard(folder, 0).exists() and time.monotonic() < until:
        time.sleep(0.5)
    return Pictures(folder)


class Pictures:
    """The pictures of a cache folder, in memory as bytes; `refresh` finds new shards.

    Attributes:
        world: The name of the world that they show.
        factors: ``[N, factors]``, in the order of ``factor_names``.
    """

    def __init__(self, folder: Path, *, with_masks: bool = False, limit: int | None = None) -> None:
        self.folder, self.with_masks, self.limit = folder, with_masks, limit
        self.pixels: list[np.ndarray] = []
        self.masks: list[np.ndarray] = []
        self.factors = torch.empty(0, 0)
        self.factor_names: list[str] = []
        self.world = ""
        self.refresh()
        if not self.pixels:
            raise MissingFileError(
                f"{folder} holds no rendered pictures. Make some with: "
                f"python -m steerbench.training pictures --out {folder} --count 20000"
            )

    def __len__(self) -> int:
        return len(self.pixels) * SHARD

    @property
    def resolution(self) -> int:
        """The side of a picture, in pixels."""
        return int(self.pixels[0].shape[-1])

    def refresh(self) -> None:
        """Read the shards that were finished since the last call."""
        shards = sorted(self.folder.glob("*.safetensors"))
        if self.limit is not None:
            shards = shards[: -(-self.limit // SHARD)]
        for path in shards[len(self.pixels) :]:
            tensors, header = store.load(path)
            self.pixels.append(tensors["pixels"].numpy())
            self.factor_names, self.world = header["factors"], header["world"]
            known = self.factors if self.factors.numel() else tensors["factors"][:0]
            self.factors = torch.cat([known, tensors["factors"]])
            if self.with_masks:
                self.masks.append(tensors["masks"].numpy())

    def images(self, indices: np.ndarray) -> Tensor:
        """Return pictures ``[N, 3, H, W]``, float32 in [-1, 1]."""
        rows = np.stack([self.pixels[i // SHARD][i % SHARD] for i in indices])
        return torch.from_numpy(rows).float() / 127.5 - 1

    def labels(self, indices: np.ndarray) -> Tensor:
        """Return class masks ``[N, H, W]``, int64."""
        rows = np.stack([self.masks[i // SHARD][i % SHARD] for i in indices])
        return torch.from_numpy(rows).long()
