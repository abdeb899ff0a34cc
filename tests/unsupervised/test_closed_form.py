"""Closed-form steering where the first layer can do exactly what it is asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import steerbench as sb
from steerbench.unsupervised.closed_form import (
    PLACES,
    ClosedForm,
    great_circle,
    prescribe,
    small_circle,
    spatial,
)
from tests.contracts.test_generators import EXAMPLES

SIZE = 2 * 16


class Free(nn.Module):
    """As many numbers in a code as in the first features: every change of these can be made."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.dense, self.lay = nn.Linear(SIZE, SIZE), nn.Unflatten(1, (2, 4, 4))
            self.conv = nn.Conv2d(2, 3, 1)
            self.dense.weight.data.copy_(torch.linalg.qr(torch.randn(SIZE, SIZE))[0] * 2)
            self.dense.bias.data.normal_()

    def forward(self, z: Tensor) -> Tensor:
        return self.conv(self.lay(self.dense(z)))


def free() -> tuple[sb.generators.BaseGenerator, Free]:
    module = Free()
    return sb.wrap(module, latent_shape=(SIZE,)), module


def changed(what: str, features: Tensor, amount: float) -> tuple[Tensor, Tensor]:
    matrix, known = spatial(what, amount, 4, 4)
    moved = features.double().flatten(2) @ matrix.T
    return moved.unflatten(2, (4, 4)), known.reshape(4, 4) > 0


@pytest.mark.parametrize("what", PLACES)
def test_steps_do_what_was_asked_where_it_is_known(what: str) -> None:
    generator, module = free()
    amount = 2.0 if what == "zoom" else -1.0
    found = prescribe(generator, what, amount)
    assert found.explained == pytest.approx(1, abs=1e-6)
    assert found.direction is not None
    bias = module.dense.bias.detach().reshape(1, 2, 4, 4)
    want, known = changed(what, bias, amount)
    step = found.length * found.direction.scale * found.direction.vector
    got = bias + (module.dense.weight @ step.float()).reshape(1, 2, 4, 4)
    assert torch.allclose(got[..., known].double(), want[..., known], atol=1e-5)
    latent = generator.sample(3)
    frames = found.walk(latent, 2)
    for before, after in pairwise(frames):
        was, became = (module.lay(module.dense(frame.data)).detach() for frame in (before, after))
        want, known = changed(what, was, amount)
        assert torch.allclose(became[..., known].double(), want[..., known], atol=1e-4)


def test_a_shift_moves_to_the_right_and_down_and_a_zoom_enlarges() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    right, known = changed("shift x", image, 1)
    assert torch.equal(right[0, 0, :, 1:], image[0, 0, :, :-1].double())
    assert not known[:, 0].any()
    assert known[:, 1:].all()
    down, _ = changed("shift y", image, 2)
    assert torch.equal(down[0, 0, 2:], image[0, 0, :-2].double())
    zoomed, known = changed("zoom", image, 2)
    large = F.interpolate(image.double(), scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(zoomed, large[..., 2:6, 2:6])
    assert known.all()
    known = changed("zoom", image, 0.5)[1]
    assert known.sum() == 4


def test_brightness_is_reached_in_a_linear_generator() -> None:
    generator, _ = free()
    found = prescribe(generator, "brightness", 0.3)
    latent = generator.sample(4)
    brighter = generator.render(latent + found.length * found.direction)
    risen = (brighter - generator.render(latent)).mean((1, 2, 3))
    assert torch.allclose(risen, torch.full((4,), 0.3), atol=1e-5)
    assert torch.allclose(
        found.walk(latent, 1)[1].data, (latent + found.length * found.direction).data
    )


def test_principal_directions_are_the_singular_vectors() -> None:
    generator, module = free()
    module.dense.weight.data[0] *= 5
    finder = ClosedForm(n_directions=3).fit(generator)
    left, values, right = torch.linalg.svd(module.dense.weight.detach().double())
    assert torch.allclose(finder.singular_values_, values[:3])
    assert abs(float(finder.directions_[0].vector @ right[0])) == pytest.approx(1)
    weakest = module.dense.weight.double() @ finder.weakest_.vector
    assert float(weakest.norm()) == pytest.approx(float(values[-1]), rel=1e-6)
    assert left.shape == (SIZE, SIZE)


def test_of_a_style_based_generator_rows_can_be_chosen() -> None:
    generator = EXAMPLES["stylegan2"]()
    finder = ClosedForm(n_directions=2, layers="0-1").fit(generator)
    assert finder.directions_[0].layers == (0, 1)
    with pytest.raises(sb.errors.CapabilityError, match="same for every code"):
        prescribe(generator, "zoom")
    assert prescribe(generator, "brightness").direction.space == "w"


def test_offsets_that_are_the_same_everywhere_leave_walks_alone() -> None:
    """A batch normalisation has one offset a channel: nothing to move but what the code draws."""
    generator = EXAMPLES["dcgan"]()
    found = prescribe(generator, "shift x")
    assert found.direction is None
    assert found.length == 0
    latent = generator.sample(2)
    first, second = found.walk(latent, 1)
    assert not torch.equal(generator.render(first), generator.render(second))


def test_circles_keep_the_length_and_small_ones_all_else() -> None:
    generator, _ = free()
    finder = ClosedForm(n_directions=2).fit(generator)
    up, weakest = finder.directions_[0], finder.weakest_
    latent = generator.sample(5)
    norms = latent.data.norm(dim=1)
    for alpha in (-1.5, 0.0, 0.7):
        great, small = great_circle(latent, up, alpha), small_circle(latent, up, weakest, alpha)
        for moved in (great, small):
            assert torch.allclose(moved.data.norm(dim=1), norms, rtol=1e-6)
        plane = torch.stack([up.vector, weakest.vector]).float()
        rest = (small.data - latent.data) - (small.data - latent.data) @ plane.T @ plane
        assert rest.abs().max() < 1e-5
        rises = (great.data - latent.data) @ up.vector.float()
        assert (rises * alpha >= -1e-5).all()
    assert torch.allclose(great_circle(latent, up, 0.0).data, latent.data, atol=1e-6)
    tiny = great_circle(latent, up, 1e-3).data - latent.data
    assert torch.allclose(tiny.norm(dim=1), torch.full((5,), 1e-3), rtol=0.05)


def test_bad_requests_are_refused() -> None:
    generator, _ = free()
    with pytest.raises(sb.errors.SteerbenchError, match="zoom"):
        prescribe(generator, "zoomed")
    for amount in (0, -1):
        with pytest.raises(sb.errors.SteerbenchError, match="amount"):
            prescribe(generator, "zoom", amount)
    with pytest.raises(sb.errors.SteerbenchError, match="leaves nothing"):
        prescribe(generator, "shift x", 9)
    direction = ClosedForm(n_directions=1).fit(generator).directions_[0]
    with pytest.raises(sb.errors.LatentError, match="no plane"):
        small_circle(generator.sample(1), direction, direction, 1.0)
    with pytest.raises(sb.errors.LatentError, match="no circle"):
        great_circle(generator.latent(torch.zeros(1, SIZE)), direction, 1.0)
    with pytest.raises(sb.errors.SpaceError):
        great_circle(EXAMPLES["stylegan2"]().sample(1, space="w"), direction, 1.0)
