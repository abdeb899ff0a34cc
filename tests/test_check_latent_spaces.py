"""Chapter 14's checks pass for right answers and fail for each way of being wrong."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench.metrics import dci_scores


class Cloud:
    """A generator whose p is a stretched and turned Gaussian, off its origin."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.axes = torch.linalg.qr(torch.randn(5, 5, generator=random, dtype=torch.float64))[0]
        self.spread = torch.tensor([0.5, 1, 2, 3, 4], dtype=torch.float64)
        self.mean = torch.arange(5.0, dtype=torch.float64)

    def sample(self, n, *, seed=0, space="p"):
        random = torch.Generator().manual_seed(seed)
        round_ = torch.randn(n, 5, generator=random, dtype=torch.float64)
        return sb.Latent("p", round_ * self.spread @ self.axes.T + self.mean)


def test_whitening_and_each_step_of_it_left_out(capsys):
    cloud = Cloud()

    def right(codes):
        return (codes - cloud.mean) @ cloud.axes / cloud.spread

    assert sb.check("14.1", right, cloud)
    assert sb.check("14.1", lambda codes: -right(codes).flip(1), cloud)
    wrong = {
        "Subtract the mean": lambda codes: codes @ cloud.axes / cloud.spread,
        "vary together": lambda codes: (codes - cloud.mean) / codes.std(0),
        "Divide each": lambda codes: (codes - cloud.mean) @ cloud.axes,
        "It failed": lambda codes: codes @ torch.eye(3, dtype=torch.float64),
        "finite": lambda codes: codes[:, :3],
    }
    for hint, answer in wrong.items():
        assert not sb.check("14.1", answer, cloud)
        assert hint in capsys.readouterr().out.splitlines()[-1]


def disentanglement(r, weighted=True, base=None):
    totals = r.sum(1)
    shares = r / totals.clamp_min(1e-12)[:, None]
    entropy = -torch.xlogy(shares, shares).sum(1)
    each = 1 - entropy / torch.log(torch.tensor(float(base or r.shape[1])))
    each = torch.where(totals > 0, each, 0.0)
    return (each * totals / totals.sum()).sum() if weighted else each.mean()


def test_disentanglement_and_its_likenesses(capsys):
    assert sb.check("14.2", disentanglement)
    assert sb.check("14.2", lambda r: dci_scores(r).disentanglement)
    wrong = {
        "plain mean": lambda r: disentanglement(r, weighted=False),
        "base of the entropy": lambda r: disentanglement(r, base=2),
        "Zeros need care": lambda r: torch.tensor(torch.nan),
        "It failed": lambda r: r @ r,
    }
    for hint, answer in wrong.items():
        assert not sb.check("14.2", answer)
        assert hint in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(sb.errors.NotFoundError):
        sb.check("14.3")
