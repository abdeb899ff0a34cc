"""Laws that every finder obeys."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.unsupervised import FINDERS
from tests.conftest import make_toy
from tests.contracts.test_generators import EXAMPLES


@pytest.fixture(params=sorted(FINDERS))
def finder(request: pytest.FixtureRequest) -> type:
    return FINDERS[request.param]


def test_hyperparameters_are_kept_as_given(finder: type) -> None:
    names = [name for name in inspect.signature(finder).parameters if name != "self"]
    built = finder()
    for name in names:
        assert getattr(built, name) == inspect.signature(finder).parameters[name].default


def test_fit_returns_itself_and_leaves_the_generator_alone(finder: type) -> None:
    generator = make_toy()
    latent = generator.sample(1)
    before = generator.render(latent)
    built = finder(n_directions=3)
    assert built.fit(generator) is built
    assert torch.equal(generator.render(latent), before)


def test_directions_are_unit_vectors_that_know_where_they_came_from(finder: type) -> None:
    generator = make_toy()
    directions = finder(n_directions=3).fit(generator).directions_
    assert len(directions) == 3
    for direction in directions:
        assert direction.vector.dtype == torch.float64
        assert direction.vector.norm() == pytest.approx(1, abs=1e-12)
        assert direction.scale > 0
        assert direction.generator == generator.fingerprint
        assert direction.provenance.reference
        latent = generator.sample(2, space=direction.space)
        moved = generator.render(latent + 2.0 * direction)
        assert not torch.equal(moved, generator.render(latent))


def test_it_is_deterministic(finder: type) -> None:
    one, two = (finder(n_directions=3).fit(make_toy()).directions_ for _ in range(2))
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(one, two))


def test_a_direction_survives_its_file(finder: type, tmp_path) -> None:
    direction = finder(n_directions=1).fit(make_toy()).directions_[0]
    direction.save(tmp_path / "d.safetensors")
    again = sb.Direction.load(tmp_path / "d.safetensors")
    assert torch.equal(again.vector, direction.vector)
    for name in ("name", "space", "scale", "layers", "generator", "provenance"):
        assert getattr(again, name) == getattr(direction, name)


def test_it_recovers_a_planted_factor(finder: type) -> None:
    """A generator whose first layer listens to one direction of z far more than to others."""
    torch.manual_seed(0)
    planted = torch.nn.functional.normalize(torch.randn(12), dim=0)
    first = nn.Linear(12, 48)
    first.weight.data = torch.randn(48, 12) * 0.05 + 3 * torch.randn(48, 1) @ planted[None]
    module = nn.Sequential(first, nn.Unflatten(1, (3, 4, 4)), nn.Upsample(scale_factor=4))
    generator = sb.wrap(module, latent_shape=(12,))
    found = finder(n_directions=1).fit(generator).directions_[0]
    assert abs(float(found.vector @ planted.double())) > 0.99


def test_too_many_directions_are_refused(finder: type) -> None:
    with pytest.raises(sb.errors.SteerbenchError, match="dimensions"):
        finder(n_directions=999).fit(make_toy())


def test_a_generator_without_what_it_needs_is_refused_with_the_reason(finder: type) -> None:
    class Opaque(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return (z.cumsum(1)[:, :, None, None] * torch.ones(1, 1, 4, 4))[:, :3]

    with pytest.raises(sb.errors.CapabilityError, match="first affine layer"):
        finder().fit(sb.wrap(Opaque(), latent_shape=(5,)))


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_it_says_beforehand_whether_it_can_work(finder: type, example: str) -> None:
    """``refuses`` and ``fit`` agree; a finder without ``refuses`` works on any generator."""
    generator = EXAMPLES[example]()
    reason = finder.refuses(generator) if hasattr(finder, "refuses") else None
    if reason is None:
        assert finder(n_directions=2).fit(generator).directions_
        return
    with pytest.raises(sb.errors.CapabilityError) as caught:
        finder(n_directions=2).fit(generator)
    assert str(caught.value) == reason
