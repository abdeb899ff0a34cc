"""The file of a run: when it is written, and whose it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from steerbench.errors import ArgumentError, CheckpointError, FileError
from steerbench.runs import RunFile

SETTINGS = {"seed": 0, "layers": (1, 2), "scale": np.float32(0.5), "space": None}


def test_it_is_written_when_it_is_time_to_and_whole(tmp_path: Path) -> None:
    path, asked = tmp_path / "run.safetensors", []

    def tensors() -> dict[str, torch.Tensor]:
        asked.append(1)
        return {"done": torch.tensor(len(asked)), "sum": torch.ones(3, dtype=torch.float64)}

    patient, eager = RunFile(path, "test", SETTINGS, 1e6), RunFile(path, "test", SETTINGS, 0.0)
    assert not patient.write(tensors)
    assert not asked
    assert not path.exists()
    assert patient.write(tensors, now=True)
    assert eager.write(tensors)
    known = RunFile(path, "test", SETTINGS).read()
    assert int(known["done"]) == 2
    assert torch.equal(known["sum"], torch.ones(3, dtype=torch.float64))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_without_a_path_nothing_is_kept() -> None:
    file = RunFile(None, "test", SETTINGS, 0.0)
    assert not file.write({"done": torch.tensor(1)}, now=True)
    assert file.read() == {}


@pytest.mark.parametrize(
    ("kind", "change", "differing"),
    [
        ("other", {}, "its kind"),
        ("test", {"seed": 1}, "seed"),
        ("test", {"seed": 1, "layers": [1]}, "seed, layers"),
        ("test", {"more": 1}, "more"),
    ],
)
def test_another_run_is_refused_and_left_alone(
    tmp_path: Path, kind: str, change: dict, differing: str
) -> None:
    path = tmp_path / "run.safetensors"
    RunFile(path, "test", SETTINGS).write({"done": torch.tensor(1)}, now=True)
    content = path.read_bytes()
    mine = RunFile(path, kind, SETTINGS | change)
    with pytest.raises(ArgumentError, match=f"another run: it differs in {differing}\\."):
        mine.read()
    assert path.read_bytes() == content
    mine.write({"done": torch.tensor(2)}, now=True)
    with pytest.raises(ArgumentError, match=f"another run: it differs in {differing}\\."):
        RunFile(path, "test", SETTINGS).read()
    path.write_bytes(content[:-3])
    with pytest.raises(CheckpointError):
        RunFile(path, "test", SETTINGS).read()


def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "nowhere" / "run.safetensors", "test", SETTINGS)
    with pytest.raises(FileError, match="Cannot write"):
        file.write({"done": torch.tensor(1)}, now=True)
