"""The Hessian Penalty against the values that its authors' code recorded, and against its limit.

The random signs were recorded too, so that the estimates themselves must agree; the recorded step
of 0.01 loses digits in float32, theirs and ours alike, and has the tolerance that came with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from steerbench.unsupervised.hessian_penalty import hessian_penalty

RELATIVE = {0.1: 1e-3, 0.01: 5e-2}


@pytest.fixture(scope="module")
def recorded(shared_path: Callable[[str], Path]) -> dict[str, Tensor]:
    with np.load(shared_path("fixtures/method_hessian_penalty") / "expected.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def functions(arrays: dict[str, Tensor]) -> dict[str, Callable[[Tensor], Tensor | Sequence]]:
    W, V, A = arrays["W"], arrays["V"], arrays["A"]
    return {
        "mlp": lambda z: torch.tanh(z @ W.T) @ V.T,
        "quadratic": lambda z: 0.5 * torch.einsum("ni,kij,nj->nk", z, A.to(z), z),
        "pair": lambda z: [z[:, :1] * z[:, 1:2], z[:, :1] ** 2 * z[:, 1:2]],
    }


def test_every_recorded_estimate(recorded: dict[str, Tensor]) -> None:
    compared = 0
    for name, want in recorded.items():
        found = re.fullmatch(r"(\w+)/k(\d+)_eps([\d.]+)_(max|mean_sum)", name)
        if found is None:
            continue
        kind, k, epsilon, how = found[1], found[2], float(found[3]), found[4]
        options = {"epsilon": epsilon, "vectors": recorded[f"rademacher/k{k}"]}
        function = functions(recorded)[kind]
        if how == "max":
            got = torch.stack(hessian_penalty(function, recorded["z"], separately=True, **options))
        else:
            got = hessian_penalty(function, recorded["z"], reduction="mean", **options)
        assert got.shape == want.shape
        assert torch.allclose(got, want, rtol=RELATIVE[epsilon], atol=0), name
        compared += 1
    assert compared >= 18


def test_the_gradient_reaches_the_weights(recorded: dict[str, Tensor]) -> None:
    (name,) = (name for name in recorded if name.startswith("mlp/grad_W"))
    arrays = dict(recorded, W=recorded["W"].clone().requires_grad_())
    k = re.search(r"k\d+", name)[0]
    hessian_penalty(
        functions(arrays)["mlp"], arrays["z"], vectors=recorded[f"rademacher/{k}"]
    ).backward()
    want = recorded[name]
    assert torch.allclose(arrays["W"].grad, want, rtol=1e-2, atol=1e-3 * float(want.abs().max()))


def test_many_vectors_approach_the_exact_sum_of_squares(recorded: dict[str, Tensor]) -> None:
    """Unbiased: the mean over draws lies on the truth, within what their number allows."""
    z = recorded["z"][:1].double().expand(400, -1)
    want = recorded["quadratic/exact_per_output"].double()
    kept: list[Tensor] = []

    def keep(variances: Tensor) -> Tensor:
        kept.append(variances)
        return variances.mean()

    source = torch.Generator().manual_seed(0)
    hessian_penalty(functions(recorded)["quadratic"], z, k=8, reduction=keep, generator=source)
    error = kept[0].std(dim=0) / len(z) ** 0.5
    assert ((kept[0].mean(dim=0) - want).abs() < 4 * error).all()
    assert (error < 0.1 * want).all()
