"""Walks and activation states: taken wherever directions and latents are, and replayed anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import steerbench as sb
from steerbench.errors import (
    CheckpointError,
    LatentError,
    LayerError,
    NotFoundError,
    ShapeError,
    SpaceError,
    SteerbenchError,
)
from steerbench.leaderboard.judging import equalise_change
from steerbench.types import ActivationState, Direction, Latent, Walk, load_traversal
from steerbench.unsupervised.closed_form import GreatCircle


@dataclass(frozen=True, eq=False, kw_only=True)
class Uphill(Walk, kind="uphill of the tests"):
    """A step that depends on where one stands: along the code's own sine."""

    slope: float
    towards: Tensor
    names: tuple[str, ...] = ()

    def step(self, latent: Latent, alpha: float) -> Latent:
        here = latent.data
        return latent.with_data(here + alpha * self.slope * torch.sin(here) * self.towards.to(here))


@dataclass(frozen=True, eq=False, kw_only=True)
class Broken(Walk, kind="broken of the tests"):
    """Returns whatever it is told to."""

    what: str

    def step(self, latent: Latent, alpha: float) -> Latent:
        wrong = {
            "shape": lambda: latent.with_data(latent.data[:, :2]),
            "nan": lambda: latent.with_data(latent.data * torch.nan),
            "tensor": lambda: latent.data,
            "space": lambda: latent.with_data(latent.data, "s"),
        }
        return wrong[self.what]()


@pytest.fixture(scope="module")
def G() -> sb.types.Generator:
    return sb.load("rooms")


def uphill(G: sb.types.Generator, **options: object) -> Uphill:
    space = G.spaces["w"]
    return Uphill(
        name="uphill", space="w", generator=G.fingerprint, slope=0.5, towards=space.std, **options
    )


def test_a_walk_is_stepped_like_a_direction(G: sb.types.Generator) -> None:
    walk, w = uphill(G), G.sample(3, seed=4, space="w")
    moved = w + 2 * walk
    assert torch.equal(moved.data, walk(w, 2.0).data)
    assert torch.equal(moved.data, w.data + 2 * 0.5 * torch.sin(w.data) * G.spaces["w"].std)
    assert torch.equal((w - walk).data, walk(w, -1.0).data)
    assert torch.equal((w + 1.0 * -walk).data, walk(w, -1.0).data)
    assert torch.equal((w + 1.0 * walk.stretched(2.0)).data, moved.data)
    # It depends on where one stands: two steps of one are no step of two.
    assert not torch.allclose(walk(walk(w, 1.0), 1.0).data, moved.data)
    assert walk.named("x").name == "x"
    assert torch.equal(G.render(G.sample(3, seed=4), edits=[2 * walk]), G.render(moved))


def test_a_walk_may_be_limited_to_layers(G: sb.types.Generator) -> None:
    walk, w = uphill(G), G.sample(2, seed=4, space="w")
    rows = (w + 2 * walk.limited([1, 2])).data
    whole = walk(w, 2.0).data
    assert rows.shape == (2, 10, 128)
    for row in range(10):
        assert torch.equal(rows[:, row], whole if row in (1, 2) else w.data)
    z = GreatCircle(name="round", space="z", direction=Direction("up", "z", torch.eye(128)[0]))
    with pytest.raises(SpaceError, match="not layer-wise"):
        G.sample(1) + z.limited([0])


def test_a_walk_is_drawn_through_with_gradients(G: sb.types.Generator) -> None:
    w = G.sample(1, seed=4, space="w").requires_grad_()
    G.render(w, edits=[1.5 * uphill(G)]).sum().backward()
    assert w.grad is not None
    assert w.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("what", "error", "word"),
    [
        ("shape", ShapeError, "same shape"),
        ("nan", LatentError, "smaller steps"),
        ("tensor", ShapeError, "returned Tensor"),
        ("space", SpaceError, "Stay in one space"),
    ],
)
def test_a_walk_that_goes_wrong_says_so(
    G: sb.types.Generator, what: str, error: type[SteerbenchError], word: str
) -> None:
    walk = Broken(name="wrong", space="w", what=what)
    with pytest.raises(error, match=word) as caught:
        G.sample(2, space="w") + 0.5 * walk
    assert "'wrong'" in str(caught.value)
    with pytest.raises(SteerbenchError, match="'wrong'"):
        sb.widgets.LatentSliders(G, [walk])


def test_a_walk_of_another_generator_is_refused(G: sb.types.Generator) -> None:
    walk = uphill(sb.load("rooms")).stretched(1.0)
    other = sb.load("rooms-watermarked")
    if other.fingerprint != G.fingerprint:
        with pytest.raises(SpaceError, match="was found in generator"):
            other.sample(1, space="w") + walk


def test_a_walk_comes_back_from_its_file(G: sb.types.Generator, tmp_path: Path) -> None:
    walk = uphill(G, names=("a", "b"), layers=(0, 3))
    walk.save(tmp_path / "walk.safetensors")
    again = Walk.load(tmp_path / "walk.safetensors")
    assert isinstance(again, Uphill)
    w = G.sample(1, seed=1, space="w")
    assert torch.equal((w + 2 * again).data, (w + 2 * walk).data)
    assert (again.layers, list(again.names), again.slope) == ((0, 3), ["a", "b"], 0.5)
    Direction("d", "w", [1.0]).save(tmp_path / "d.safetensors")
    with pytest.raises(CheckpointError, match="not a walk"):
        Walk.load(tmp_path / "d.safetensors")


def test_parts_of_another_version_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(NotFoundError, match="Import the module that defines it"):
        Walk.from_parts("uphill of the test", {}, {}, name="x", space="w")
    with pytest.raises(CheckpointError, match="made of"):
        Walk.from_parts("uphill of the tests", {"slope": 1.0}, {}, name="x", space="w")


REPLAY = """
import sys, torch, steerbench as sb
sys.path.insert(0, {tests!r})
{imports}
torch.set_num_threads(1)
G = sb.load("rooms")
recipe = sb.Recipe.load({path!r})
torch.save(recipe.render(G), {out!r})
"""


def replay(recipe: sb.Recipe, tmp_path: Path, imports: str = "") -> Tensor:
    """The picture of a recipe, drawn by another process from its files."""
    path, out = recipe.save(tmp_path / "kept"), tmp_path / "drawn.pt"
    tests = str(Path(__file__).parent)
    program = REPLAY.format(tests=tests, imports=imports, path=str(path), out=str(out))
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    drawn: Tensor = torch.load(out)
    return drawn


def test_recipes_of_walks_replay_in_another_process(G: sb.types.Generator, tmp_path: Path) -> None:
    up = Direction("up", "z", torch.eye(128)[3], generator=G.fingerprint)
    circle = GreatCircle(name="round", space="z", direction=up, generator=G.fingerprint)
    steps = [1.5 * circle, 2.0 * uphill(G, names=("a",)).limited([0, 1])]
    recipe = sb.Recipe.of(G, G.sample(2, seed=8), steps)
    drawn = replay(recipe, tmp_path, "import test_walks")
    assert torch.equal(drawn, recipe.render(G))
    again = sb.Recipe.load(tmp_path / "kept.json")
    assert recipe.diff(again) == []
    assert "round +1.5" in " ".join(recipe.diff(sb.Recipe.of(G, G.sample(2, seed=8))))
    # What steerbench defines itself needs no import.
    shipped = sb.Recipe.of(G, G.sample(1, seed=8), [1.5 * circle])
    assert torch.equal(replay(shipped, tmp_path), shipped.render(G))


def test_scorecards_doses_grids_and_films_take_walks(G: sb.types.Generator, tmp_path: Path) -> None:
    up = Direction("up", "z", torch.eye(128)[3], generator=G.fingerprint)
    circle = GreatCircle(name="round", space="z", direction=up, generator=G.fingerprint)
    walks = [circle, uphill(G), up]
    read = sb.predictor(
        lambda x: torch.stack([x.mean((1, 2, 3)), x[:, 0].std((1, 2))], 1), ["a", "b"]
    )
    card = sb.scorecard(walks, G, read, n_samples=6, n_null=4, n_null_samples=2, alphas=(1.0, 2.0))
    assert list(card.table.index) == ["round", "uphill", "up"]
    assert card.table["pixel_change"].gt(0).all()
    assert card.table["p_effect"].between(0, 1).all()
    scaled = [each for each, _ in equalise_change(walks, G, n_samples=2)]
    z = G.sample(2, seed=1)
    w = G.to(z, "w")
    for before, after in zip([z, w, z], scaled, strict=True):
        change = G.render(before + after) - G.render(before)
        assert 0.02 < change.square().mean().sqrt() < 0.4, after.name
    grid = sb.widgets.BoundaryGrid(G, walks, alphas=(-1, 0, 1), n_samples=1)
    assert grid.notice.error == ""
    state = G.capture_state(G.sample(1, seed=5, space="w"), "b16.conv0")
    later = uphill(G).limited([8, 9])
    for start, along in ((3, circle), (G.sample(1, seed=3), uphill(G)), (state, later)):
        path = tmp_path / "way.gif"
        sb.film(G, start, path, along=along, alphas=(-2, 0, 2), frames_per_leg=3, loop=True)
        with Image.open(path) as film:
            assert film.n_frames == 9
    with pytest.raises(SteerbenchError, match="Give one"):
        sb.film(G, G.sample(2), path, along=circle)
    for walk in walks:
        walk.save(tmp_path / "any.safetensors")
        assert type(load_traversal(tmp_path / "any.safetensors")) is type(walk)


# Activation states.


def test_a_captured_state_draws_the_same_picture_from_every_layer(G: sb.types.Generator) -> None:
    w = G.sample(2, seed=5, space="w")
    whole = G.render(w)
    for layer in G.layers:
        state = G.capture_state(w, layer.name)
        assert torch.allclose(G.render(state), whole, atol=1e-6), layer.name


def test_moves_and_edits_of_later_layers_apply(G: sb.types.Generator) -> None:
    w = G.sample(1, seed=5, space="w")
    state = G.capture_state(w, "b16.conv0")
    direction = Direction("d", "w+", torch.randn(10, 128), scale=3.0, layers=(8, 9))
    assert torch.allclose(G.render(state, edits=[direction * 1.0]), G.render(w + direction))
    assert torch.equal(G.render(state + direction), G.render(state, edits=[1.0 * direction]))
    edit = sb.UnitEdit("b32.conv0", (1, 2, 3), "scale", 0.0)
    assert torch.allclose(G.render(state, edits=[edit]), G.render(w, edits=[edit]), atol=1e-6)
    renderer = sb.Renderer(G, "exact")
    for edits in ([], [edit], [1.0 * direction], [edit]):
        assert torch.allclose(renderer.render(state, edits), G.render(state, edits=edits))
    assert renderer.last_start > 0


def test_weights_scale_channels_and_gradients_reach_all(G: sb.types.Generator) -> None:
    state = G.capture_state(G.sample(1, seed=5), "b8.conv1")
    off = sb.UnitEdit("b8.conv1", (0, 4), "set", 0.0)
    weights = torch.ones(state.activations.shape[1])
    weights[[0, 4]] = 0
    muted = ActivationState("b8.conv1", state.activations, weights, state.latent, state.image)
    assert torch.allclose(G.render(muted), G.render(G.sample(1, seed=5), edits=[off]), atol=1e-6)
    free = ActivationState(
        "b8.conv1", state.activations.requires_grad_(), weights.requires_grad_(), state.latent
    )
    G.render(free).sum().backward()
    assert state.activations.grad.abs().sum() > 0
    assert weights.grad.abs().sum() > 0


def test_a_module_of_ones_own_is_entered_too() -> None:
    module = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(8, 6, 4), torch.nn.ReLU(), torch.nn.ConvTranspose2d(6, 3, 4, 2, 1)
    )
    own = sb.wrap(module, (8, 1, 1))
    z = own.sample(2, seed=1)
    state = own.capture_state(z, "0")
    bare = ActivationState("0", state.activations)
    for each in (state, bare):
        assert torch.equal(own.render(each), own.render(z))
    changed = ActivationState("0", torch.zeros_like(state.activations))
    assert not torch.allclose(own.render(changed), own.render(z))


def test_activation_states_replay_in_another_process(G: sb.types.Generator, tmp_path: Path) -> None:
    composed = G.capture_state(G.sample(1, seed=5), "b16.conv0")
    other = G.capture_state(G.sample(1, seed=6), "b16.conv0")
    state = ActivationState(
        "b16.conv0",
        0.5 * (composed.activations + other.activations),
        torch.linspace(0, 1, composed.activations.shape[1]),
        composed.latent,
        composed.image,
    )
    later = Direction("d", "w+", torch.ones(10, 128), scale=2.0, layers=(9,))
    edits = [sb.UnitEdit("b32.conv0", (1,), "set", 0.0), 1.0 * later]
    recipe = sb.Recipe.of(G, state, edits)
    assert torch.equal(replay(recipe, tmp_path), recipe.render(G))
    again = sb.Recipe.load(tmp_path / "kept.json")
    assert recipe.diff(again) == []
    assert "from b16.conv0" in recipe.diff(sb.Recipe.of(G, G.sample(1)))[0]
    sliders = sb.widgets.LatentSliders(G, [later], latent=state)
    assert sliders.error == ""
    sliders.values = [1.0]
    assert torch.allclose(sliders.recipe.render(G), G.render(state, edits=[1.0 * later]))


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        (lambda a: ActivationState("b16.conv0", a[0]), ShapeError, "N, C, H, W"),
        (lambda a: ActivationState("b16.conv0", a, torch.ones(3)), ShapeError, "Weights"),
        (lambda a: ActivationState("b16.conv0", a / 0), LatentError, "NaN"),
        (lambda a: ActivationState("b16.conv", a), LayerError, "Did you mean"),
        (lambda a: ActivationState("b32.conv0", a), ShapeError, "which has"),
        (lambda a: ActivationState("b16.conv0", a), SpaceError, "latent=codes"),
        (lambda a: ActivationState("b16.conv0", a, generator="x"), SpaceError, "belong to"),
    ],
)
def test_states_that_do_not_fit_say_so(
    G: sb.types.Generator, make: Callable[[Tensor], ActivationState], error: type, word: str
) -> None:
    activations = G.capture(G.sample(1, seed=5), ["b16.conv0"])["b16.conv0"]
    with pytest.raises(error, match=word):
        G.render(make(activations))


def test_what_has_run_cannot_be_edited(G: sb.types.Generator) -> None:
    state = G.capture_state(G.sample(1, seed=5), "b16.conv0")
    for layer in ("b8.conv1", "b16.conv0"):
        with pytest.raises(LayerError, match="has run already"):
            G.render(state, edits=[sb.UnitEdit(layer, (0,))])
    with pytest.raises(LayerError, match="has run already"):
        G.capture(state, ["b8.conv1"])
