"""StyleCLIP's channel relevance against what its authors' code recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from steerbench.embedding.styleclip import channel_features, channel_step

FOLDERS = ["fixtures/method_styleclip_global"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_channels_and_directions_are_those_of_the_authors(shared_path, folder) -> None:
    path = shared_path(folder)
    config = json.loads((path / "meta.json").read_text())["config"]
    tolerance = json.loads((path / "meta.json").read_text())["tolerance"]["atol"]
    with np.load(path / "expected.npz") as arrays:
        given = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    features = channel_features(given["clip_features"])
    assert torch.allclose(features, given["fs3"], rtol=0, atol=tolerance)

    sizes, movable = config["sizes"], config["mindexs"]
    starts = np.cumsum([0, *sizes])
    std = torch.cat([given[f"code_std/{i}"].reshape(-1) for i in range(len(sizes))])
    relevance = torch.zeros(len(std), dtype=torch.float64)
    rows = torch.cat([torch.arange(starts[i], starts[i + 1]) for i in movable])
    relevance[rows] = features @ given["dt"]
    betas = sorted(name.split("/")[1] for name in given if name.startswith("num/"))
    assert betas
    for beta in betas:
        step, moved = channel_step(relevance, std, float(beta))
        assert moved == int(given[f"num/{beta}"])
        for i in range(len(sizes)):
            want = given[f"boundary/{beta}/{i}"].reshape(-1)
            assert torch.allclose(step[starts[i] : starts[i + 1]], want, rtol=0, atol=tolerance)
