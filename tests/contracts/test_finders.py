"""Laws that every finder obeys."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench import store
from steerbench.errors import CapabilityError, SteerbenchError
from steerbench.generators import BaseGenerator
from steerbench.methods import FINDERS
from tests.contracts.test_generators import EXAMPLES
from tests.linear_generator import LinearGenerator

QUICK = {"n_steps": 4, "n_samples": 6, "batch_size": 2}
"""What every finder is given here, if it takes it, so that a fit takes little time."""
OWN: dict[str, dict[str, Any]] = {
    "ganspace": {"n_samples": 500, "batch_size": 100},
    "hessian_penalty": {"n_learned": 4},
    "jacobian": {"n_steps": 20},
    "stylespace": {"size": 2},
}
"""What some need beside that: a covariance many samples, an iteration all its steps."""
CLOSE: dict[str, float] = {}
"""How near a finder comes to the planted factor (absolute cosine), where it is not exact."""
OWN_LAW = {"latent_discovery", "random_directions"}
"""Finders that do not look for what changes the picture most; their own tests say what they do."""
SAME_HERE = {"hessian_penalty", "jacobian"}
"""Finders whose result does not depend on the draw where the generator is linear."""
UNBOUNDED = {"random_directions"}
"""Finders that may give more directions than a space has dimensions."""

EXACT = 1 - 1e-6


class Opaque(nn.Module):
    """Nothing about it is known: no weights that the code meets, no layers."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (z.cumsum(1)[:, :, None, None] * torch.ones(1, 1, 4, 4))[:, :3]


GENERATORS = EXAMPLES | {
    "linear": LinearGenerator,
    "opaque": lambda: sb.wrap(Opaque(), latent_shape=(5,)),
}


@pytest.fixture(params=sorted(FINDERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def keeps(name: str) -> str:
    """A finder that keeps how far it is."""
    if "state" not in inspect.signature(FINDERS[name].fit).parameters:
        pytest.skip("takes no time, so keeps no state")
    return name


def build(name: str, n: int = 3, **options: Any) -> Any:
    finder, usual = FINDERS[name], QUICK | {"n_directions": n}
    known = inspect.signature(finder).parameters
    given = {key: value for key, value in usual.items() if key in known}
    return finder(**given | OWN.get(name, {}) | options)


def vectors(finder: Any) -> list[torch.Tensor]:
    return [direction.vector for direction in finder.directions_]


def same(one: Any, two: Any) -> bool:
    return len(vectors(one)) == len(vectors(two)) and all(
        torch.equal(a, b) for a, b in zip(vectors(one), vectors(two))
    )


def outside() -> list[Any]:
    """All that a run could change without being asked to: the random numbers of everybody."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return [random.getstate(), kind, keys.tolist(), rest, torch.get_rng_state().tolist()]


def inside(generator: BaseGenerator) -> list[Any]:
    """All that a run could change in a generator: weights, modes, hooks, gradients."""
    parts = [
        (part.training, *(len(hooks) for key, hooks in vars(part).items() if "hooks" in key))
        for part in generator.module.modules()
    ]
    wants = [
        (parameter.requires_grad, parameter.grad) for parameter in generator.module.parameters()
    ]
    return [store.fingerprint(generator.module.state_dict()), parts, wants]


# -- what it is ----------------------------------------------------------------------------------


def test_hyperparameters_are_kept_as_given(name: str) -> None:
    finder = FINDERS[name]
    parameters = inspect.signature(finder).parameters
    built = finder()
    for parameter in parameters:
        assert getattr(built, parameter) == parameters[parameter].default
    quick = build(name)
    before = dict(vars(quick))
    quick.fit(LinearGenerator())
    assert {key: getattr(quick, key) for key in before} == before
    assert all(key.endswith("_") for key in vars(quick).keys() - before.keys())


@pytest.mark.parametrize("example", sorted(GENERATORS))
def test_it_works_or_says_why_not(name: str, example: str) -> None:
    """``refuses`` and ``fit`` agree; a finder without ``refuses`` works on any generator."""
    generator = GENERATORS[example]()
    reason = FINDERS[name].refuses(generator) if hasattr(FINDERS[name], "refuses") else None
    finder = build(name, 2)
    if reason is not None:
        with pytest.raises(CapabilityError) as caught:
            finder.fit(generator)
        assert str(caught.value) == reason
        assert generator.name in reason
        assert not hasattr(finder, "directions_")
        return
    numbers, before = outside(), inside(generator)
    latent = generator.sample(2)
    picture = generator.render(latent)
    assert finder.fit(generator) is finder
    assert outside() == numbers
    assert inside(generator) == before
    assert torch.equal(generator.render(latent), picture)
    for direction in finder.directions_:
        assert_complete(direction, generator)


def assert_complete(direction: sb.Direction, generator: BaseGenerator) -> None:
    """A unit vector that knows where it came from and changes the picture."""
    assert direction.vector.dtype == torch.float64
    assert direction.vector.shape == generator.spaces[direction.space].shape
    assert direction.vector.norm() == pytest.approx(1, abs=1e-12)
    assert direction.scale > 0
    assert direction.name
    assert direction.generator == direction.provenance.fingerprint == generator.fingerprint
    assert direction.provenance.method
    assert direction.provenance.reference
    latent = generator.sample(2, space=direction.space)
    moved = generator.render(latent + 2.0 * direction)
    assert not torch.equal(moved, generator.render(latent))
    through_edits = generator.render(generator.sample(2), edits=[2.0 * direction])
    assert torch.isfinite(through_edits).all()


def test_a_direction_survives_its_file(name: str, tmp_path: Path) -> None:
    direction = build(name, 1).fit(LinearGenerator()).directions_[0]
    direction.save(tmp_path / "d.safetensors")
    again = sb.Direction.load(tmp_path / "d.safetensors")
    assert torch.equal(again.vector, direction.vector)
    for field in ("name", "space", "scale", "layers", "generator", "provenance"):
        assert getattr(again, field) == getattr(direction, field)


def test_the_same_seed_gives_the_same_directions(name: str) -> None:
    torch.manual_seed(1)
    one = build(name).fit(LinearGenerator())
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert same(one, build(name).fit(LinearGenerator()))
    assert same(one, one.fit(LinearGenerator())), "a second fit is not a first one"


def test_another_seed_is_another_draw(name: str) -> None:
    if "seed" not in inspect.signature(FINDERS[name]).parameters:
        pytest.skip("draws nothing")
    if name in SAME_HERE:
        pytest.skip("of a linear generator it finds the same, whatever it draws")
    one, two = (build(name, seed=seed).fit(LinearGenerator()) for seed in (0, 1000))
    assert not same(one, two)


def test_it_recovers_a_planted_factor(name: str) -> None:
    if name in OWN_LAW:
        pytest.skip("has a law of its own")
    generator = LinearGenerator()
    found = build(name, 1).fit(generator).directions_[0]
    cosine = abs(float(found.vector.flatten() @ generator.planted(found.space)))
    assert cosine > CLOSE.get(name, EXACT)


def test_as_many_directions_as_were_asked_for(name: str) -> None:
    if "n_directions" not in inspect.signature(FINDERS[name]).parameters:
        pytest.skip("finds a fixed number")
    generator = LinearGenerator()
    assert [len(build(name, n).fit(generator).directions_) for n in (1, 4)] == [1, 4]
    for nonsense in (0, -1):
        with pytest.raises(SteerbenchError, match="directions were asked for"):
            build(name, nonsense).fit(generator)
    if name in UNBOUNDED:
        return
    with pytest.raises(SteerbenchError, match=r"999 directions were asked for.*Ask for 1 to"):
        build(name, 999).fit(generator)


# -- breaking off and going on -------------------------------------------------------------------


def test_breaking_off_leaves_everything_as_it_was(name: str, tmp_path: Path) -> None:
    """Wherever in the run: in the first call to the generator, in the midst, in the last one."""
    build(name).fit(LinearGenerator())  # what it knows of its spaces is measured once for all
    whole = LinearGenerator()
    finder = build(name).fit(whole)
    if not whole.calls:
        pytest.skip("asks nothing of the generator")
    kept, numbers = dict(vars(finder)), outside()
    takes_state = "state" in inspect.signature(finder.fit).parameters
    for limit in sorted({0, whole.calls // 3, whole.calls // 2, whole.calls - 1}):
        path = tmp_path / f"{limit}.safetensors"
        options = {"state": path, "save_every": 0.0} if takes_state else {}
        generator = LinearGenerator()
        before = inside(generator)
        generator.limit = limit
        with pytest.raises(KeyboardInterrupt):
            finder.fit(generator, **options)
        assert vars(finder).keys() == kept.keys()
        assert all(vars(finder)[key] is kept[key] for key in kept)
        assert inside(generator) == before
        assert outside() == numbers
        if path.exists():
            store.load(path)
        fresh, generator = build(name), LinearGenerator()
        generator.limit = limit
        with pytest.raises(KeyboardInterrupt):
            fresh.fit(generator)
        assert not hasattr(fresh, "directions_")
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".safetensors"]


def test_a_run_that_was_broken_off_goes_on_to_the_same_result(keeps: str, tmp_path: Path) -> None:
    whole = LinearGenerator()
    expected = build(keeps).fit(whole)
    path = tmp_path / "run.safetensors"
    broken = LinearGenerator()
    broken.limit = whole.calls * 2 // 3
    with pytest.raises(KeyboardInterrupt):
        build(keeps).fit(broken, state=path, save_every=0.0)
    rest = LinearGenerator()
    resumed = build(keeps).fit(rest, state=path, save_every=0.0)
    assert same(resumed, expected)
    assert rest.calls < whole.calls, "the run began anew"
    again = LinearGenerator()
    assert same(build(keeps).fit(again, state=path), expected)
    assert again.calls <= rest.calls, "a finished run is not made again"


def test_a_file_of_another_run_is_refused_and_left_alone(keeps: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    build(keeps).fit(LinearGenerator(), state=path, save_every=0.0)
    content = path.read_bytes()
    with pytest.raises(SteerbenchError, match=r"another run.*n_directions"):
        build(keeps, 2).fit(LinearGenerator(), state=path)
    other = LinearGenerator()
    other.fingerprint = "another"
    with pytest.raises(SteerbenchError, match=r"another run.*generator"):
        build(keeps).fit(other, state=path)
    assert path.read_bytes() == content
    path.write_bytes(content[:-9])
    with pytest.raises(sb.errors.CheckpointError):
        build(keeps).fit(LinearGenerator(), state=path)
