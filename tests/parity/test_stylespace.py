"""StyleSpace's measures against what the authors' functions recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from steerbench.unsupervised.stylespace.channels import locate, overlap, signal_to_noise, top_rate

Recorded = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def recorded(shared_path: Callable[[str], Path]) -> Recorded:
    with np.load(shared_path("fixtures/method_stylespace/expected.npz")) as file:
        return {name: np.array(file[name]) for name in file.files}


def counted(recorded: Recorded) -> np.ndarray:
    """Maps are the mean over colours; a picture's label map gives a region for each label."""
    concepts = range(recorded["overlap_n_u_o"].shape[2])
    return np.stack(
        [
            overlap(np.abs(maps).mean(1), np.stack([labels[0] == k for k in concepts]))
            for maps, labels in zip(recorded["gradient_masks"], recorded["semantic"])
        ]
    )


def test_overlaps_are_counted_alike(recorded: Recorded) -> None:
    theirs = recorded["overlap_n_u_o"]
    assert np.array_equal(np.nan_to_num(counted(recorded), nan=-1), np.nan_to_num(theirs, nan=-1))


def test_the_rates_are_those_of_the_authors(recorded: Recorded) -> None:
    assert np.allclose(top_rate(counted(recorded)), recorded["top_rate"], rtol=1e-12)


def test_signal_to_noise_and_its_order(recorded: Recorded) -> None:
    given = (recorded[name] for name in ("positive_codes", "code_mean", "code_std"))
    ours = signal_to_noise(*map(torch.from_numpy, given))
    assert np.allclose(ours.numpy(), recorded["s2n"], rtol=1e-6)
    assert np.array_equal(ours.argsort(descending=True).numpy(), recorded["s2n_order"])


def test_channels_lie_where_the_authors_say(recorded: Recorded) -> None:
    ends = np.cumsum(recorded["fmaps"]).tolist()
    slices = {str(i): slice(a, b) for i, (a, b) in enumerate(zip([0, *ends], ends))}
    ours = [locate(slices, int(channel)) for channel in recorded["s2n_order"]]
    assert [[int(layer), unit] for layer, unit in ours] == recorded["layer_channel"].tolist()
