"""Laws that every finder which learns from a predictor obeys; those of SeFa and its kin are beside.

The toy draws four flat numbers of z in four quarters of a picture, so everything is known.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.methods import SUPERVISED
from tests.conftest import make_toy

SCALE = 0.15
"""So small that no quarter is ever white or black."""
SMALL = {"n_samples": 200, "n_fresh_samples": 20, "n_random": 2, "batch_size": 16}


@pytest.fixture(params=sorted(SUPERVISED))
def finder(request: pytest.FixtureRequest) -> type[Any]:
    return SUPERVISED[request.param]


class Quarters(nn.Module):
    """Brightness of each quarter of an 8x8 picture: a direction of z each, planted."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(12, 4)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.mix.bias.data.zero_()
            self.mix.weight.data = torch.linalg.qr(torch.randn(12, 12))[0][:4] * SCALE

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        quarters = self.mix(z).view(-1, 1, 2, 2)
        return nn.functional.interpolate(quarters, size=(8, 8))


def planted() -> tuple[Any, torch.Tensor]:
    module = Quarters()
    return sb.wrap(module, latent_shape=(12,)), module.mix.weight.data.clone() / SCALE


def quarters(images: torch.Tensor) -> torch.Tensor:
    return nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)


def reading(names: tuple[str, ...] = ("a", "b", "c", "d"), model: Any = quarters) -> Any:
    return sb.predictor(model, names=names)


def test_hyperparameters_are_kept_as_given(finder) -> None:
    read = reading()
    given = {"n_samples": 123, "seed": 4, "attributes": ["a"]}
    built = finder(read, **given)
    for name, parameter in inspect.signature(finder).parameters.items():
        expected = given.get(name, read if name == "reader" else parameter.default)
        assert getattr(built, name) is expected or getattr(built, name) == expected


def test_fit_returns_itself_and_changes_neither_options_nor_generator(finder) -> None:
    generator = make_toy()
    before = generator.render(generator.sample(1))
    built = finder(reading(), **SMALL)
    options = {k: v for k, v in vars(built).items() if not k.endswith("_")}
    state = torch.random.get_rng_state()
    assert built.fit(generator) is built
    assert {k: v for k, v in vars(built).items() if not k.endswith("_")} == options
    assert torch.equal(generator.render(generator.sample(1)), before)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
def test_directions_know_where_they_came_from(finder, space) -> None:
    generator = make_toy()
    found = finder(reading(), space=space, **SMALL).fit(generator)
    assert found.directions_
    for direction in found.directions_:
        assert direction.vector.dtype == torch.float64
        assert direction.vector.norm() == pytest.approx(1, abs=1e-12)
        assert direction.scale > 0
        assert direction.generator == generator.fingerprint
        assert direction.provenance.reference
        assert direction.provenance.seed == 0
        latent = generator.sample(1, space=direction.space)
        assert not torch.equal(generator.render(latent + 2.0 * direction), generator.render(latent))


def test_it_is_deterministic_by_seed(finder) -> None:
    one, two, other = (
        finder(reading(), space="z", seed=seed, **SMALL).fit(make_toy()) for seed in (0, 0, 7)
    )
    for a, b in zip(one.directions_, two.directions_):
        assert a.name == b.name
        assert torch.equal(a.vector, b.vector)
    assert one.table_.equals(two.table_)
    assert not torch.equal(one.direction("a").vector, other.direction("a").vector)


def test_a_direction_survives_its_file(finder, tmp_path) -> None:
    direction = finder(reading(), space="z", **SMALL).fit(planted()[0]).directions_[0]
    direction.save(tmp_path / "d.safetensors")
    again = sb.Direction.load(tmp_path / "d.safetensors")
    assert torch.equal(again.vector, direction.vector)
    for name in ("name", "space", "scale", "layers", "generator"):
        assert getattr(again, name) == getattr(direction, name)
    assert again.provenance.scores == direction.provenance.scores


def test_it_recovers_planted_factors(finder) -> None:
    generator, normals = planted()
    found = finder(reading(), space="z", n_samples=1500, n_fresh_samples=50).fit(generator)
    for name, normal in zip("abcd", normals):
        cosine = float(found.direction(name).vector.flatten() @ normal.double())
        assert cosine > 0.97, name
    assert found.table_.verified.all()


def test_cancelling_leaves_everything_as_it_was_and_a_file_to_go_on_from(
    finder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("steerbench.supervised.boundaries.higan.BLOCK", 64)
    generator, _ = planted()
    path = tmp_path / "run.safetensors"
    options = SMALL | {"n_samples": 400}
    whole = finder(reading(), space="z", **options).fit(generator)
    calls = 0

    def impatient(images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return quarters(images)

    built = finder(reading(model=impatient), space="z", **options)
    built.reader.name = whole.reader.name
    built.directions_ = "as before"
    with pytest.raises(KeyboardInterrupt):
        built.fit(generator, state=path, save_every=0)
    assert built.directions_ == "as before"
    assert list(tmp_path.iterdir()) == [path]
    seen = calls
    # A new kernel, and a new object, goes on where the file stopped.
    again = finder(built.reader, space="z", **options).fit(generator, state=path)
    assert torch.equal(again.directions_[0].vector, whole.directions_[0].vector)
    assert again.table_.equals(whole.table_)
    assert 8 < calls - seen < 20 + 20 - 16


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda x: quarters(x) * torch.nan, "NaN"),
        (lambda x: quarters(x)[:, :3], "returned"),
        (lambda x: quarters(x)[:1], "returned"),
    ],
)
def test_a_predictor_that_fails_is_named(finder, model, says) -> None:
    class Bare:
        names = ("a", "b", "c", "d")

        def predict(self, images: torch.Tensor) -> torch.Tensor:
            return model(images)

    for predictor in (reading(model=model), Bare()):
        with pytest.raises(sb.errors.PredictorError, match=says):
            finder(predictor, space="z", **SMALL).fit(planted()[0])


def test_an_unknown_attribute_is_helped(finder) -> None:
    with pytest.raises(sb.errors.NotFoundError, match="Did you mean 'night'"):
        finder(reading(("night", "b", "c", "d")), attributes=["nigth"]).fit(make_toy())


def test_an_unknown_space_is_helped(finder) -> None:
    with pytest.raises(sb.errors.SpaceError, match="no space 'v'"):
        finder(reading(), space="v").fit(make_toy())
