"""A run that can be broken off and taken up again: how far it is, in one file.

Whoever works for long gives the tensors that are needed to go on from here, as often as it likes;
the file is written when enough time has passed, replaced whole or not at all. What the run *is*
(which generator, which hyperparameters) stands beside them, so that a file of another run is
refused and left alone. Numbers are kept as tensors too.

>>> import pathlib, tempfile, torch
>>> path = pathlib.Path(tempfile.mkdtemp()) / "run.safetensors"
>>> file = RunFile(path, "example run", {"seed": 0, "n_samples": 8}, every=30.0)
>>> file.read()
{}
>>> file.write({"done": torch.tensor(3)}), file.write({"done": torch.tensor(4)}, now=True)
(False, True)
>>> int(RunFile(path, "example run", {"seed": 0, "n_samples": 8}).read()["done"])
4
>>> RunFile(path, "example run", {"seed": 1, "n_samples": 8}).read()
Traceback (most recent call last):
    ...
steerbench.errors.ArgumentError: '...run.safetensors' belongs to another run: it differs in seed...
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from steerbench import store
from steerbench.errors import ArgumentError

Tensors = Mapping[str, Tensor]


class RunFile:
    """The file of a run.

    Args:
        path: Where; None for a run that is not kept.
        kind: What sort of run, so that files of different sorts cannot be mistaken.
        settings: All that decides its result, by name; anything that JSON can hold.
        every: Seconds between two writings.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        kind: str,
        settings: Mapping[str, Any],
        every: float = 30.0,
    ) -> None:
        self.path, self.kind, self.every = None if path is None else Path(path), kind, every
        # As they come back from a file: tuples are lists there.
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings), default=_plain))
        self._written = time.monotonic()

    def read(self) -> dict[str, Tensor]:
        """Return what was last written, or nothing where there is no file yet.

        Raises:
            ArgumentError: The file belongs to another run; it is left alone.
            CheckpointError: It is damaged.
        """
        if self.path is None or not self.path.exists():
            return {}
        tensors, header = store.load(self.path)
        differing = self._compare(header)
        if differing:
            raise ArgumentError(
                f"{str(self.path)!r} belongs to another run: it differs in "
                f"{', '.join(differing)}. Give another file, or remove this one."
            )
        return tensors

    def write(self, tensors: Tensors | Callable[[], Tensors], now: bool = False) -> bool:
        """Replace the file by all that is needed to go on from here, if it is time to.

        Args:
            tensors: By name; or a function that gives them, called only where they are written.
            now: Whether to write in any case.

        Returns:
            Whether it was written.

        Raises:
            FileError: The folder cannot be written.
        """
        if self.path is None or not (now or time.monotonic() - self._written >= self.every):
            return False
        self._written = time.monotonic()  # of the attempt: a full disk is not tried at every step
        content = tensors() if callable(tensors) else tensors
        store.save(self.path, content, {"kind": self.kind, "settings": self.settings})
        return True

    def _compare(self, header: Mapping[str, Any]) -> list[str]:
        """Return in what a file's run differs from this one."""
        theirs = header.get("settings")
        if header.get("kind") != self.kind or not isinstance(theirs, dict):
            return ["its kind"]
        names = [*self.settings, *(name for name in theirs if name not in self.settings)]
        return [name for name in names if theirs.get(name, ...) != self.settings.get(name, ...)]


def _plain(value: Any) -> Any:
    """Return something that JSON can hold: the numbers of an array, the words of all else."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


__all__ = ["RunFile"]
