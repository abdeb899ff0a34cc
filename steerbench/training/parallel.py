"""The same work in several processes on one machine, one thread each, gradients averaged."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, multiprocessing


def launch(work: Callable[..., None], workers: int, *arguments: Any) -> None:
    """Call ``work(*arguments)`` here, or in ``workers`` processes that know of one another."""
    if workers == 1:
        work(*arguments)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_join, (workers, port, work, arguments), nprocs=workers)


def _join(
    rank: int, workers: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=workers)
    try:
        work(*arguments)
    finally:
        distributed.destroy_process_group()
