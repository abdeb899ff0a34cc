"""Each check passes for a right answer and fails for each way of being wrong."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

import steerbench as sb
from steerbench import check
from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.types import Direction

SIZE = 24
"""Of a code: in so many dimensions no random direction comes near an axis by luck."""


class Painter:
    """A generator whose pictures have the first two numbers of z as brightness and warmth."""

    name, fingerprint, resolution = "painter", "painter", 8
    layers = ()

    @property
    def spaces(self):
        return {"z": None}

    def sample(self, n, *, seed=0, space=None, truncation=1.0, label=None):
        data = torch.stack(
            [torch.from_numpy(np.random.RandomState(seed + i).randn(SIZE)) for i in range(n)]
        )
        return sb.Latent("z", data, "painter", seed)

    def render(self, latent, **_):
        bright, warm = 0.1 * latent.data[:, 0], 0.1 * latent.data[:, 1]
        channels = torch.stack([bright + warm, bright, bright - warm], dim=1)
        return channels[:, :, None, None].expand(-1, -1, 8, 8).float()

    def prior_std(self, space, vector):
        return 1.0


class Reader:
    """An oracle that reads brightness and warmth."""

    names = ("light", "warmth")

    def predict(self, images):
        return torch.stack([check.brightness(images), check.warmth(images)], dim=1)


def axis(index: int) -> Direction:
    return Direction(f"axis {index}", "z", torch.eye(SIZE)[index], generator="painter")


@pytest.fixture
def painter() -> Painter:
    return Painter()


def test_brighter_and_warmer_judge_by_the_pixels(painter, capsys):
    assert check.brighter(axis(0), painter)
    assert check.warmer(axis(1), painter)
    assert not check.brighter(axis(1), painter)
    assert not check.warmer(axis(0), painter)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].startswith("✓ Yes: on 32 fresh rooms")
    assert "+0.100 brighter" in printed[0]


def test_a_direction_the_wrong_way_round_is_told_so(painter):
    verdict = check.brighter(-axis(0), painter)
    assert not verdict
    assert verdict.measured == pytest.approx(-0.1, abs=1e-6)
    assert "-direction" in verdict.says


def test_brightness_is_what_a_screen_shows():
    burnt = torch.full((1, 3, 4, 4), 5.0)
    assert check.brightness(burnt).item() == 1.0
    assert check.warmth(burnt).item() == 0.0


def test_something_that_is_no_direction_is_told_so(painter):
    assert "give an sb.Direction" in check.brighter(np.ones(SIZE), painter).says


def test_orthonormal_fails_for_length_angle_and_rubbish():
    basis = torch.linalg.qr(torch.randn(9, 4, dtype=torch.float64))[0]
    assert check.orthonormal(basis)
    assert not check.orthonormal(2 * basis)
    assert not check.orthonormal(basis[:, [0, 0, 1]])
    assert not check.orthonormal(basis.T)
    assert not check.orthonormal([1.0, 2.0])
    assert not check.orthonormal("vectors")
    assert not check.orthonormal(basis * torch.nan)


@pytest.fixture
def weights() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(0).randn(40, 8) * np.arange(8, 0, -1))


def strongest(weights: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svd(weights)[2].T


def test_eigenvectors_accepts_the_right_answer_of_either_sign(weights):
    vectors = strongest(weights)[:, :5]
    assert check.eigenvectors(vectors, weights)
    assert check.eigenvectors(-vectors.numpy(), weights.numpy())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda v: v.flip(1)[:, :5], "not the strongest"),
        (lambda v: v[:, [1, 0, 2]], "another order"),
        (lambda v: v[:5], "shape"),
        (lambda v: torch.eye(8, dtype=v.dtype)[:, :5], "no eigenvector"),
        (lambda v: 3 * v[:, :5], "not orthonormal"),
        (lambda v: v[:, :5] * torch.inf, "finite"),
    ],
)
def test_eigenvectors_says_what_is_wrong(weights, wrong, says):
    verdict = check.eigenvectors(wrong(strongest(weights)), weights)
    assert not verdict
    assert says in verdict.says


def test_eigenvectors_refuses_weights_that_are_no_matrix():
    with pytest.raises(SteerbenchError, match="outputs, dim"):
        check.eigenvectors(torch.eye(3), torch.ones(3))


def test_steers_needs_more_than_chance_does(painter):
    assert check.steers(axis(0), "light", painter, Reader())
    assert check.steers(-axis(1), "warmth", painter, Reader())
    assert not check.steers(axis(3), "light", painter, Reader())
    with pytest.raises(NotFoundError, match="'light'"):
        check.steers(axis(0), "lihgt", painter, Reader())


def test_the_module_is_called_by_exercise_number(weights):
    assert isinstance(sb.check, ModuleType)
    assert sb.check("08.1", strongest(weights)[:, :3], weights)
    assert not sb.check("08.1", strongest(weights).flip(1)[:, :3], weights)
    with pytest.raises(NotFoundError, match=r"08\.1"):
        sb.check("8.1", weights)


def test_a_notebook_shows_a_verdict_once(painter, capsys):
    verdict = check.brighter(axis(0), painter)
    verdict._ipython_display_()
    assert capsys.readouterr().out.count("✓") == 1
