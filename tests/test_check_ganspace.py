"""The check of chapter 09 fails for each way of being wrong."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import check
from steerbench.errors import SteerbenchError


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    scales = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5])
    far = torch.tensor([0.0, 0.0, 0.0, 0.0, 30.0])
    return torch.randn(400, 5, generator=random) * scales + far


@pytest.fixture(scope="module")
def axes(codes: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svd(codes - codes.mean(0), full_matrices=False)[2].T


def test_the_axes_pass_with_either_sign(codes, axes) -> None:
    assert sb.check("09.1", axes[:, :3], codes)
    assert check.principal_axes(-axes[:, :3].numpy(), codes.numpy())


def test_codes_that_were_not_centred_give_other_axes(codes, capsys) -> None:
    wrong = torch.linalg.svd(codes, full_matrices=False)[2].T
    assert not check.principal_axes(wrong[:, :3], codes)
    assert "mean" in capsys.readouterr().out


def test_the_same_span_is_not_enough(codes, axes, capsys) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    assert not check.principal_axes(axes[:, :3] @ turn, codes)
    assert "correlated" in capsys.readouterr().out


def test_order_count_and_length_matter(codes, axes) -> None:
    assert not check.principal_axes(axes[:, [1, 0, 2]], codes)
    assert not check.principal_axes(axes[:, 1:4], codes)
    assert not check.principal_axes(2 * axes[:, :3], codes)
    assert not check.principal_axes(axes[:3, :2], codes)
    assert not check.principal_axes(None, codes)
    with pytest.raises(SteerbenchError, match="N, dim"):
        check.principal_axes(axes, codes[0])
