"""The checks of chapter 12 pass for a right answer and fail for each way of being wrong."""

from __future__ import annotations

import pytest
import torch

from steerbench import check
from steerbench.generators.eigengan import EigenGAN, EigenGANNetwork
from steerbench.types import Direction


def right(basis: torch.Tensor) -> torch.Tensor:
    return (basis @ basis.T - torch.eye(len(basis))).square().sum()


def test_the_penalty_passes_and_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.orthogonality_penalty(right)
    assert not check.orthogonality_penalty(
        lambda u: (u.T @ u - torch.eye(u.shape[1])).square().sum()
    )
    assert "the directions are the rows" in capsys.readouterr().out
    assert not check.orthogonality_penalty(lambda u: right(u) / len(u) ** 2)
    assert "the mean of the squares" in capsys.readouterr().out
    off = lambda u: (u @ u.T * (1 - torch.eye(len(u)))).square().sum()  # noqa: E731
    assert not check.orthogonality_penalty(off)
    assert "unit length as well" in capsys.readouterr().out
    assert not check.orthogonality_penalty(lambda u: right(u).sqrt())
    assert not check.orthogonality_penalty(lambda u: float("nan"))
    assert not check.orthogonality_penalty(lambda u: u.missing)
    assert "It failed: AttributeError" in capsys.readouterr().out


class Light:
    names = ("light",)

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None]


@pytest.fixture
def generator() -> EigenGAN:
    """One coordinate of the last block makes pictures lighter; all others do little."""
    torch.manual_seed(0)
    network = EigenGANNetwork(noise=4, basis=3, widths=(4, 4, 4), kernel=1)
    with torch.no_grad():
        for block in (network.block(0), network.block(1)):
            block.basis.mul_(0.01)
        block.basis[1] = 1.0
        for part in (block.add0, block.add1, block.conv0, block.conv1, network.torgb):
            part.weight.abs_()
    return EigenGAN(network, name="lamp")


def axis(*places: int) -> Direction:
    vector = torch.zeros(10)
    vector[list(places)] = 1.0
    return Direction("mine", "z", vector)


def test_a_direction_of_one_layer_that_moves_the_factor(
    generator: EigenGAN, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.one_layer(axis(8), "light", generator, Light())
    assert not check.one_layer(axis(7), "light", generator, Light()), (
        "the right layer, not the axis"
    )
    assert not check.one_layer(axis(5, 8), "light", generator, Light())
    assert "coordinates of 2 layers (b8, b16)" in capsys.readouterr().out
    assert not check.one_layer(axis(1), "light", generator, Light())
    assert "the noise" in capsys.readouterr().out
    assert not check.one_layer("mine", "light", generator, Light())
