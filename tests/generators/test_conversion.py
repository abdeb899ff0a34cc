"""Converting a checkpoint: the same pictures, the same fingerprint, and never half a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import steerbench as sb
from steerbench.cli import app
from steerbench.errors import CapabilityError, CheckpointError, FileError
from steerbench.generators import conversion, load, save
from steerbench.generators.conversion import convert
from tests.conftest import make_toy
from tests.contracts.test_generators import EXAMPLES, wrapped_dcgan
from tests.test_inspection import FIXTURES, checkpoint

run = CliRunner().invoke


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    save(make_toy(), tmp_path / "toy.safetensors")
    return tmp_path / "toy.safetensors"


@pytest.mark.parametrize("name", FIXTURES)
def test_every_format_can_be_converted(
    name: str, shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    source = checkpoint(shared_path(f"fixtures/{name}"))
    done = convert(source, tmp_path / "new.safetensors")
    before, after = load(source), load(tmp_path / "new.safetensors")
    assert done.format == before.format == FIXTURES[name]
    assert (after.fingerprint, after.classes) == (before.fingerprint, before.classes)
    assert torch.equal(
        before.render(before.sample(3, seed=7)), after.render(after.sample(3, seed=7))
    )
    assert done.difference == 0
    header = sb.generators.store.load(done.path)[1]
    assert header["made_from"]["format"] == FIXTURES[name]
    assert os.listdir(tmp_path) == ["new.safetensors"]


def test_a_direction_of_the_original_fits_the_new_file(
    shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    source = checkpoint(shared_path("fixtures/sg2ada_skip64"))
    direction = sb.SeFa(1).fit(load(source)).directions_[0]
    convert(source, tmp_path / "new.safetensors")
    after = load(tmp_path / "new.safetensors")
    assert after.render(after.sample(1, space="w") + direction).isfinite().all()


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"wrapped"}))
def test_every_architecture_can_be_converted(name: str, tmp_path: Path) -> None:
    generator = EXAMPLES[name]()
    save(generator, tmp_path / "one.safetensors")
    assert convert(tmp_path / "one.safetensors", tmp_path / "two.safetensors").difference == 0


def test_what_is_there_stays_unless_forced(toy: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    target.write_text("mine")
    with pytest.raises(FileError, match="--force"):
        convert(toy, target)
    assert target.read_text() == "mine"
    convert(toy, target, force=True)
    assert load(target).fingerprint == load(toy).fingerprint


def test_only_a_safetensors_name_is_taken(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"new\.safetensors"):
        convert(toy, tmp_path / "new.pkl")


def test_a_file_that_draws_other_pictures_is_not_kept(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is made to fail: another generator comes out of the file than went in."""
    monkeypatch.setattr(
        conversion, "save", lambda generator, path, **header: save(make_toy(seed=1), path)
    )
    target = tmp_path / "new.safetensors"
    target.write_text("mine")
    with pytest.raises(CheckpointError, match="Nothing was written"):
        convert(toy, target, force=True)
    assert target.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["new.safetensors", "toy.safetensors"]


def test_a_missing_folder_and_a_module_that_is_not_ours(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileError):
        convert(toy, tmp_path / "no" / "such" / "new.safetensors")
    monkeypatch.setattr(conversion, "load", lambda source: wrapped_dcgan())
    with pytest.raises(CapabilityError):
        convert(toy, tmp_path / "new.safetensors")


def test_the_command(toy: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    shown = run(app, ["convert", str(toy), str(target)])
    assert shown.exit_code == 0
    assert "same pictures" in shown.stdout
    again = run(app, ["convert", str(toy), str(target)])
    assert again.exit_code == 1
    assert "there already" in again.stderr
    assert run(app, ["convert", str(toy), str(target), "--force"]).exit_code == 0
    (tmp_path / "broken.pkl").write_bytes(b"")
    assert run(app, ["convert", str(tmp_path / "broken.pkl"), "x.safetensors"]).exit_code == 1
