"""Files of directions as their authors publish them, made from known vectors."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

ROWS, DIM = 4, 12


def vectors(*shape: int, seed: int = 0) -> np.ndarray:
    """Vectors of unit norm."""
    drawn = np.random.RandomState(seed).randn(*shape)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def npy(value: Any, protocol: int | None = None) -> bytes:
    """An array as NumPy keeps it; objects by any of the pickle protocols."""
    file = io.BytesIO()
    if protocol is None:
        np.save(file, value, allow_pickle=True)
        return file.getvalue()
    box = np.empty((), dtype=object)
    box[()] = value
    head = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue() + pickle.dumps(box, protocol)


def npz(compressed: bool = True, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def pt(value: Any, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def interfacegan() -> bytes:
    return npy(vectors(1, DIM))


def higan(layers: Any = "1-2", protocol: int = 3, key: str = "manipulate_layers") -> bytes:
    meta = {"type": "attribute", key: layers}
    return npy({"boundary": vectors(1, DIM), "meta_data": meta}, protocol)


def idinvert() -> bytes:
    boundary = vectors(1, ROWS, DIM).astype(np.float32)
    return npy({"boundary": boundary, "meta_data": {"manipulate_layers": [0, 1]}}, 2)


def encoder4editing(layered: bool = False) -> bytes:
    shape = (1, ROWS, DIM) if layered else (1, DIM)
    return pt(torch.from_numpy(vectors(*shape)).float())


def components(count: int = 5) -> bytes:
    parts = {
        "comp": torch.from_numpy(vectors(count, 1, DIM)).float(),
        "mean": torch.zeros(1, DIM),
        "std": torch.linspace(3, 1, count),
    }
    return pt(parts)


def ganspace(count: int = 5, deviations: float | None = None, compressed: bool = True) -> bytes:
    steps = np.linspace(3, 1, count) if deviations is None else np.full(count, deviations)
    arrays = {
        "act_comp": vectors(count, 1, DIM),
        "act_mean": vectors(1, DIM),
        "act_stdev": np.linspace(3, 1, count),
        "lat_comp": vectors(count, 1, DIM),
        "lat_mean": vectors(1, DIM),
        "lat_stdev": steps,
        "var_ratio": np.linspace(0.5, 0.1, count),
        "random_stdevs": np.ones(count),
    }
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    return npz(compressed, **single)


def sefa() -> bytes:
    return pt({"ckpt": "model.pt", "eigvec": torch.from_numpy(vectors(DIM, DIM)).T.float()})


def styleclip(sizes: tuple[int, ...] = (5, 5, 4)) -> bytes:
    whole = vectors(sum(sizes))
    return pickle.dumps(np.split(whole, np.cumsum(sizes)[:-1]), 4)


def stylespace() -> bytes:
    return json.dumps({"smiling": [[1, 5]], "bangs": [[0, 2], [2, 3]], "sky": [3, 1]}).encode()


MADE: dict[str, Callable[[], bytes]] = {
    "x_age_w_boundary.npy": interfacegan,
    "higan.npy": higan,
    "idinvert.npy": idinvert,
    "encoder4editing.pt": encoder4editing,
    "encoder4editing-rows.pt": lambda: encoder4editing(layered=True),
    "components.pt": components,
    "ganspace.npz": ganspace,
    "ganspace-stored.npz": lambda: ganspace(compressed=False),
    "sefa.pt": sefa,
    "styleclip.pkl": styleclip,
    "stylespace.json": stylespace,
}
"""File name to what makes such a file."""
