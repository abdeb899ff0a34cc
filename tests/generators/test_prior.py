"""Statistics of spaces: right, in little memory, and measured once for the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from steerbench import store
from steerbench.errors import CapabilityError
from steerbench.generators import prior
from tests.conftest import make_toy
from tests.contracts.test_generators import biggan_deep


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, in memory and on disk."""
    monkeypatch.setattr(prior, "_MEASURED", {})
    monkeypatch.setenv("STEERBENCH_CACHE", str(tmp_path))
    return tmp_path / "statistics"


@pytest.fixture
def unmeasurable(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing is measured anew."""

    def codes(self: prior.PriorStatistics, space: str) -> None:
        raise AssertionError(f"{space} was measured again")

    monkeypatch.setattr(prior.PriorStatistics, "codes", codes)


def test_they_are_those_of_the_codes() -> None:
    G = make_toy()
    for name in ("w", "w+", "s", "p"):
        codes = torch.cat([*G.statistics.codes(name)])
        assert codes.shape == (prior.SAMPLES, *G.spaces[name].shape)
        flat = codes.flatten(1).double().numpy()
        space = G.spaces[name]
        assert np.allclose(space.mean.flatten(), flat.mean(axis=0), atol=1e-6)
        assert np.allclose(space.std.flatten(), flat.std(axis=0, ddof=1), atol=1e-6)
        assert np.allclose(space.covariance, np.cov(flat.T), atol=1e-6)


def test_of_the_first_space_they_are_known(folder: Path) -> None:
    space = make_toy().spaces["z"]
    assert torch.equal(space.mean, torch.zeros(16))
    assert torch.equal(space.std, torch.ones(16))
    assert torch.equal(space.covariance, torch.eye(16))
    assert not folder.exists()


@pytest.mark.parametrize("make", [make_toy, biggan_deep])
def test_large_sets_of_codes_are_made_in_batches_and_not_kept(make, monkeypatch) -> None:
    usual, frugal = make(), make()
    last = list(usual.spaces)[-1]
    vector = torch.nn.functional.normalize(torch.ones(usual.spaces[last].shape), dim=None)
    whole, expected = torch.cat([*usual.statistics.codes(last)]), usual.prior_std(last, vector)
    monkeypatch.setattr(prior, "KEPT", 0)
    monkeypatch.setattr(prior, "BATCH", 300 * usual.spaces[last].std.numel())
    batches = [*frugal.statistics.codes(last)]
    assert [len(batch) for batch in batches] == [300] * 13 + [196]
    assert torch.allclose(torch.cat(batches), whole, atol=1e-5)
    assert frugal.prior_std(last, vector) == pytest.approx(expected, rel=1e-5)
    assert frugal.statistics._codes == {}
    # Between the two the nearest space that is small is kept.
    monkeypatch.setattr(prior, "KEPT", 4 * prior.SAMPLES * 20)
    assert torch.allclose(torch.cat([*frugal.statistics.codes(last)]), whole, atol=1e-5)
    assert len(frugal.statistics._codes) == 1
    assert last not in frugal.statistics._codes


def test_the_same_weights_are_measured_once(folder: Path, request) -> None:
    first = make_toy()
    found = {name: first.spaces["w"].measure(name) for name in ("mean", "std", "covariance")}
    names = [f"{first.fingerprint}-w-{kind}.safetensors" for kind in ("covariance", "moments")]
    assert sorted(path.name for path in folder.iterdir()) == names
    request.getfixturevalue("unmeasurable")
    for from_files in (False, True):
        if from_files:
            prior._MEASURED.clear()
        again = make_toy().spaces["w"]
        assert all(torch.equal(again.measure(name), value) for name, value in found.items())
    assert torch.equal(first.double().spaces["w"].mean, found["mean"])
    with pytest.raises(AssertionError, match="measured again"):
        make_toy(seed=1).spaces["w"].mean  # noqa: B018


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: store.save(path, {"mean": torch.ones(16)}),
        lambda path: store.save(path, store.load(path)[0], {"kind": "something else"}),
        lambda path: store.save(
            path,
            {"count": torch.tensor(4096), "mean": torch.zeros(3), "scatter": torch.ones(3)},
            store.read_header(path),
        ),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_file_that_is_not_right_is_measured_again(spoil, folder: Path) -> None:
    space = make_toy().spaces["w"]
    mean = space.mean
    [path] = folder.iterdir()
    spoil(path)
    prior._MEASURED.clear()
    assert torch.equal(space.mean, mean)


def test_a_folder_that_cannot_be_written_costs_only_the_file(
    tmp_path: Path, monkeypatch, request
) -> None:
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("STEERBENCH_CACHE", str(tmp_path / "a file"))
    mean = make_toy().spaces["w"].mean
    request.getfixturevalue("unmeasurable")
    assert torch.equal(make_toy().spaces["w"].mean, mean)


def test_memory_holds_the_last_measurements(monkeypatch) -> None:
    monkeypatch.setattr(prior, "REMEMBERED", 2)
    G = make_toy()
    for name in ("w", "w+", "s"):
        assert G.spaces[name].std.isfinite().all()
    assert [key.split("-")[1] for key in prior._MEASURED] == ["w+", "s"]
    monkeypatch.setattr(prior, "LARGEST", 10)
    with pytest.raises(CapabilityError, match="Up to 10 are measured"):
        G.spaces["s"].covariance  # noqa: B018
