"""Arrays that the authors' code gave for a checkpoint, and the tolerance that came with them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.generators import BaseGenerator, load
from steerbench.generators.checkpoints import FORMATS, assemble, read, state_dicts


def network(path: Path, key: str) -> BaseGenerator:
    """One of several networks in a file, by the key that leads to it, and not the averaged one."""
    state = next(s for s in state_dicts(read(path).value) if s.keys == (key,))
    form = next(form for form in FORMATS.values() if not form.lacks(state))
    return assemble(form, state, dict(form.options), key)


class Recorded:
    """A checkpoint with its recorded arrays; remembers which of them were compared."""

    def __init__(self, folder: Path, settings: Collection[str] = ()) -> None:
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.path = folder / self.meta["checkpoint"]
        config = self.meta["config"]
        told = {name: config[name] for name in settings if name in config}
        self.generator: BaseGenerator = load(self.path, **told)
        with np.load(folder / "expected.npz") as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.compared: set[str] = set()

    def given(self, name: str) -> np.ndarray:
        """An array that is an input and not a result."""
        self.compared.add(name)
        return self.arrays[name]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.given(name))

    def named(self, prefix: str) -> list[str]:
        return [name for name in self.arrays if name.startswith(prefix)]

    def check(self, name: str, got: Tensor) -> None:
        """Hold a result to the recorded one, within the recorded tolerance."""
        want = self.given(name).astype(np.float64)
        ours = got.detach().double().numpy()
        assert ours.shape == want.shape, name
        limit = self.meta["tolerance"]["atol"] + self.meta["tolerance"]["rtol"] * np.abs(want)
        if name.startswith("grad"):
            limit = 1e-4 * np.abs(want).max() + 1e-3 * np.abs(want)
        worst = np.abs(ours - want)
        assert (worst <= limit).all(), f"{name}: off by {worst.max():.3g}"

    def all_but(self, *left_out: str) -> None:
        """Every array was compared, except those that say something else than the generator."""
        rest = [name for name in self.arrays if name not in self.compared]
        assert [name for name in rest if not name.startswith(left_out or ("-",))] == []
