"""The Hessian Penalty where its value is known, and as a term of a loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.unsupervised.hessian_penalty import hessian_penalty, random_signs
from tests.linear_generator import LinearGenerator


def test_one_output_and_several_agree() -> None:
    z = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    signs = random_signs(z, 3, torch.Generator().manual_seed(1))

    def one(z: torch.Tensor) -> torch.Tensor:
        return z.prod(dim=1, keepdim=True)

    def two(z: torch.Tensor) -> torch.Tensor:
        return z[:, :1] * z[:, 1:2]

    parts = hessian_penalty(lambda z: (one(z), two(z)), z, vectors=signs, separately=True)
    assert torch.equal(parts[0], hessian_penalty(one, z, vectors=signs))
    assert torch.equal(parts[1], hessian_penalty(two, z, vectors=signs))
    assert torch.equal(hessian_penalty(lambda z: [one(z), two(z)], z, vectors=signs), sum(parts))


def test_a_known_value_is_not_computed_again() -> None:
    calls = []

    def function(z: torch.Tensor) -> torch.Tensor:
        calls.append(len(z))
        return z.sum(dim=1, keepdim=True) ** 2

    z = torch.ones(2, 3)
    value = function(z)
    hessian_penalty(function, z, k=4, value=value)
    assert len(calls) == 1 + 2 * 4


def test_as_a_loss_it_takes_interference_away() -> None:
    """z^T A z: descent on A leaves a diagonal, whatever it began with."""
    source = torch.Generator().manual_seed(0)
    form = torch.randn(5, 5, generator=source, dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.Adam([form], lr=0.02)
    z = torch.randn(8, 5, generator=source, dtype=torch.float64)
    for _ in range(600):
        optimiser.zero_grad()
        hessian_penalty(
            lambda z: torch.einsum("ni,ij,nj->n", z, form, z)[:, None], z, k=4, generator=source
        ).backward()
        optimiser.step()
    symmetric = form.detach() + form.detach().T
    off = symmetric - symmetric.diag().diag()
    assert off.abs().max() < 0.05 < 0.5 < symmetric.diag().abs().max()


def test_the_signs_are_signs_and_follow_their_source() -> None:
    z = torch.zeros(500, 4)
    one, two = (random_signs(z, 4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert set(one.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(one.mean())) < 0.05


def test_what_cannot_be_estimated_is_refused() -> None:
    z = torch.zeros(2, 3)
    with pytest.raises(sb.errors.SteerbenchError, match="two or more"):
        hessian_penalty(lambda z: z, z, k=1)
    with pytest.raises(sb.errors.ShapeError, match=r"\[k, 2, 3\]"):
        hessian_penalty(lambda z: z, z, vectors=torch.ones(2, 3, 3))
    with pytest.raises(sb.errors.SteerbenchError, match="positive"):
        hessian_penalty(lambda z: z, z, epsilon=0.0)
    with pytest.raises(sb.errors.SteerbenchError, match="reduction"):
        hessian_penalty(lambda z: z, z, reduction="maximum")


class Squares(nn.Module):
    """Each pixel is a line and a square along directions of its own: these alone do not interfere.

    The lines are mixed, so that the strongest steps (singular vectors) are others.
    """

    def __init__(self) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.own = torch.linalg.qr(torch.randn(3, 3, generator=source))[0]
        mixed = torch.linalg.qr(torch.randn(3, 3, generator=source))[0]
        self.lines = torch.diag(torch.tensor([6.0, 4.0, 3.0])) @ mixed

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        pixels = z @ self.lines.T + (z @ self.own.T) ** 2
        return pixels[:, :, None, None].expand(-1, -1, 4, 4)


def test_the_finder_turns_to_directions_that_do_not_interfere() -> None:
    module = Squares()
    generator = sb.wrap(module, latent_shape=(3,))
    finder = sb.HessianPenalty(n_directions=3, n_steps=150, learning_rate=0.03, batch_size=2)
    finder.fit(generator)
    before = sb.Jacobian(n_directions=3, n_samples=8).fit(generator)

    def nearest(directions: list[sb.Direction]) -> torch.Tensor:
        found = torch.stack([direction.vector for direction in directions]).float()
        return (found @ module.own.T).abs().amax(1)

    assert nearest(before.directions_).min() < 0.95
    assert nearest(finder.directions_).min() > 0.99
    assert finder.penalty_ < 0.05 * finder.penalty_before_
    assert (finder.effects_.diff() <= 0).all()


def test_where_nothing_interferes_the_strongest_directions_stay() -> None:
    generator = LinearGenerator()
    finder = sb.HessianPenalty(n_directions=3, n_steps=3, n_samples=2).fit(generator)
    strongest = sb.Jacobian(n_directions=3, n_samples=2).fit(generator)
    for one, two in zip(finder.directions_, strongest.directions_):
        assert abs(one.cosine(two)) > 1 - 1e-6
