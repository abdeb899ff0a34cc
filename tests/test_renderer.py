"""The Renderer gives what the generator gives, whatever was asked before, and starts late."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steerbench import renderer as module
from steerbench.errors import LatentError, SpaceError, SteerbenchError
from steerbench.generators import StyleGAN2, wrap
from steerbench.image import to_uint8
from steerbench.renderer import Renderer, fastest_dtype, lock_of
from steerbench.types import Direction, Edit, UnitEdit


def direction(G: StyleGAN2, layers: tuple[int, ...] | None = None) -> Direction:
    vector = torch.linspace(-1, 1, *G.spaces["w"].shape)
    return Direction("slope", "w", vector, layers=layers)


def wrapped_toy():
    torch.manual_seed(0)
    parts = [nn.ConvTranspose2d(8, 6, 4), nn.ReLU(inplace=True), nn.ConvTranspose2d(6, 3, 4, 2, 1)]
    return wrap(nn.Sequential(*parts), latent_shape=(8, 1, 1))


MASK = torch.tensor([[1.0, 0.0], [0.5, 0.0]])
requests = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1),
        "n": st.integers(1, 2),
        "noise": st.sampled_from(["const", "const", "none", "random"]),
        "rows": st.sampled_from([None, (0,), (3,), (4, 5), (5,)]),
        "alpha": st.sampled_from([0.0, 1.0, -2.0]),
        "units": st.lists(
            st.tuples(
                st.sampled_from(["b4.conv1", "b8.torgb", "b8.conv1", "b16.conv1"]),
                st.sampled_from(["set", "add", "scale"]),
                st.booleans(),
            ),
            max_size=2,
        ),
    }
)


def edits_of(G: StyleGAN2, asked: dict) -> list[Edit]:
    moves: list[Edit] = [asked["alpha"] * direction(G, asked["rows"])]
    for layer, op, masked in asked["units"]:
        moves.append(UnitEdit(layer, (0, 2), op, 0.5, MASK if masked else None))
    return moves


@settings(max_examples=25, deadline=None)
@given(asked=st.lists(requests, min_size=2, max_size=6))
def test_any_sequence_of_requests_gives_what_the_generator_gives(toy_generator, asked) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    for one in asked:
        latent, edits = G.sample(one["n"], seed=one["seed"], space="w"), edits_of(G, one)
        torch.manual_seed(7)
        expected = G.render(latent, edits=edits, noise=one["noise"])
        torch.manual_seed(7)
        given = renderer.render(latent, edits, one["noise"])
        torch.testing.assert_close(given, expected, atol=1e-5, rtol=0)


@settings(max_examples=10, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([None, "0", "2"])), min_size=2, max_size=5
    )
)
def test_a_module_that_cannot_be_entered_in_the_middle_is_run_whole(asked) -> None:
    G = wrapped_toy()
    renderer = Renderer(G, precision="exact")
    for seed, layer in asked:
        edits = [] if layer is None else [UnitEdit(layer, (1,))]
        given = renderer.render(G.sample(2, seed=seed), edits)
        torch.testing.assert_close(given, G.render(G.sample(2, seed=seed), edits=edits))
        assert renderer.last_start in (0, len(G.layers))


def test_the_walk_starts_at_the_first_layer_that_is_fed_something_else(toy_generator) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    w = G.sample(1, seed=0, space="w")
    names = [layer.name for layer in G.layers]

    def start_of(*edits: Edit, latent=w, noise="const") -> int:
        renderer.render(latent, edits, noise)
        return renderer.last_start

    assert start_of() == 0
    assert start_of() == len(names), "the same picture again needs no walk"
    assert start_of(1.0 * direction(G, (5,))) == names.index("b16.torgb")
    assert start_of(2.0 * direction(G, (5,))) == names.index("b16.torgb")
    assert start_of(1.0 * direction(G, (2,))) == names.index("b8.conv1")
    assert start_of(UnitEdit("b16.conv0", (1,))) == names.index("b8.conv1")
    assert start_of(UnitEdit("b16.conv0", (2,))) == names.index("b16.conv0")
    assert start_of() == names.index("b16.conv0"), "an edit taken back counts too"
    assert start_of(noise="none") == 0
    assert start_of(latent=G.sample(1, seed=1, space="w"), noise="none") == 0
    assert start_of(latent=G.sample(2, seed=1, space="w"), noise="none") == 0


def test_random_noise_is_drawn_anew(toy_generator) -> None:
    renderer = Renderer(toy_generator)
    latent = toy_generator.sample(1)
    first, second = (renderer.render(latent, noise="random") for _ in range(2))
    assert not torch.equal(first, second)
    assert renderer.last_start == 0


def test_what_the_caller_writes_into_is_not_what_was_kept(toy_generator) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    latent, mask = G.sample(1, space="s"), torch.zeros(4, 4)
    edit = UnitEdit("b4.conv1", (0, 1), "add", 5.0, mask)
    picture = renderer.render(latent, [edit])
    picture.zero_()
    torch.testing.assert_close(renderer.render(latent, [edit]), G.render(latent, edits=[edit]))
    mask.fill_(1.0)
    torch.testing.assert_close(renderer.render(latent, [edit]), G.render(latent, edits=[edit]))
    values = torch.ones(2, 4, 4)
    edit = UnitEdit("b4.conv1", (0, 1), "add", values)
    torch.testing.assert_close(renderer.render(latent, [edit]), G.render(latent, edits=[edit]))
    values[0, 1] = -3.0
    torch.testing.assert_close(renderer.render(latent, [edit]), G.render(latent, edits=[edit]))
    assert renderer.last_start == 0
    renderer.render(latent, [replace(edit, value=values.clone())])
    assert renderer.last_start == len(G.layers), "the same values were drawn again"
    latent.data.mul_(0.5)
    torch.testing.assert_close(renderer.render(latent, [edit]), G.render(latent, edits=[edit]))


def test_gradients_neither_enter_nor_suffer(toy_generator) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    latent = G.sample(1, space="w").requires_grad_()
    assert not renderer.render(latent).requires_grad
    assert torch.is_grad_enabled()
    G.render(latent).square().mean().backward()
    assert latent.grad is not None
    assert latent.grad.abs().max() > 0


def test_a_wrong_request_raises_and_loses_nothing(toy_generator, other_toy_generator) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    latent = G.sample(1, space="w")
    good = renderer.render(latent)
    with pytest.raises(SpaceError, match="belongs to generator"):
        renderer.render(other_toy_generator.sample(1))
    with pytest.raises(LatentError, match="NaN"):
        renderer.render(latent.with_data(latent.data * float("nan")))
    with pytest.raises(SteerbenchError, match="No noise mode is called 'cons'"):
        renderer.render(latent, noise="cons")
    with pytest.raises(SteerbenchError, match="'exact'"):
        Renderer(G, precision="exakt")  # type: ignore[arg-type]
    torch.testing.assert_close(renderer.render(latent), good)


def test_an_interrupted_walk_leaves_the_last_one_in_place(toy_generator, monkeypatch) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    latent = G.sample(1, space="w")
    good = renderer.render(latent)
    layer = type(G).layer

    def interrupt(self, state):
        if state.index == 4:
            raise KeyboardInterrupt
        return layer(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(type(G), "layer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            renderer.render(latent, [1.0 * direction(G)])
    torch.testing.assert_close(renderer.render(latent), good)
    edits = [1.0 * direction(G)]
    torch.testing.assert_close(renderer.render(latent, edits), G.render(latent, edits=edits))


def test_forgetting_starts_anew(toy_generator) -> None:
    renderer = Renderer(toy_generator)
    latent = toy_generator.sample(1)
    renderer.render(latent)
    renderer.forget()
    renderer.render(latent)
    assert renderer.last_start == 0


def test_the_newest_request_wins(toy_generator) -> None:
    """While the lock is taken three requests come in; only the last of them is drawn."""
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    latents = [G.sample(1, seed=seed) for seed in range(3)]
    results: dict[int, torch.Tensor | None] = {}
    waiting = [threading.Event() for _ in latents]

    def ask(i: int) -> None:
        results[i] = renderer.request(latents[i])

    class Counting:
        """The counter's lock, telling when a request has its number."""

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            waiting[renderer._newest - 1].set()

    renderer._counting = Counting()  # type: ignore[assignment]
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    with renderer.lock:
        for thread, numbered in zip(threads, waiting, strict=True):
            thread.start()
            assert numbered.wait(10)
    for thread in threads:
        thread.join(10)
    assert results[0] is None
    assert results[1] is None
    torch.testing.assert_close(results[2], G.render(latents[2]))


def test_threads_share_one_lock_a_generator(toy_generator, other_toy_generator) -> None:
    assert Renderer(toy_generator).lock is Renderer(toy_generator).lock is lock_of(toy_generator)
    assert lock_of(toy_generator) is not lock_of(other_toy_generator)


def test_threads_at_once_get_the_pictures_they_asked_for(toy_generator) -> None:
    G = toy_generator
    renderer = Renderer(G, precision="exact")
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(10):
            latent = G.sample(1, seed=seed * 100 + i)
            if not torch.allclose(renderer.render(latent), G.render(latent), atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("fast", "levels", "taken"),
    [(1.0, 0, None), (0.5, 1, torch.bfloat16), (0.5, 9, None), (0.9, 0, None)],
)
def test_bfloat16_is_taken_where_it_is_faster_and_looks_the_same(
    toy_generator, monkeypatch, fast, levels, taken
) -> None:
    def timed(generator, latent, precision):
        pixels = module.np.full((1, 4, 4, 3), 100 + (levels if precision == "fast" else 0))
        return (fast if precision == "fast" else 1.0), pixels.astype("uint8")

    monkeypatch.setattr(module, "_time", timed)
    monkeypatch.setattr(module, "fast_dtype", lambda device: torch.bfloat16)
    assert fastest_dtype(toy_generator) is taken


def test_a_machine_that_is_slow_in_half_precision_does_not_try_it(
    toy_generator, monkeypatch
) -> None:
    monkeypatch.setattr(module, "fast_dtype", lambda device: None)
    monkeypatch.setattr(module, "_time", lambda *_: pytest.fail("it was tried"))
    assert fastest_dtype(toy_generator) is None
    assert Renderer(toy_generator, precision="fast")._dtype() is None


def test_a_slow_generator_is_tried_only_once(toy_generator, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0001)
    monkeypatch.setattr(module, "fast_dtype", lambda device: torch.bfloat16)
    rendered: list[str] = []
    render = type(toy_generator).render

    def counting(self, latent, *, precision):
        rendered.append(precision)
        return render(self, latent, precision=precision)

    monkeypatch.setattr(type(toy_generator), "render", counting)
    fastest_dtype(toy_generator)
    assert rendered == ["fast", "exact"]


def test_the_measured_choice_is_made_once(toy_generator, monkeypatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(module, "_FASTEST", module.WeakKeyDictionary())
    monkeypatch.setattr(module, "fastest_dtype", calls.append)
    for _ in range(2):
        Renderer(toy_generator).render(toy_generator.sample(1))
    assert len(calls) == 1


def test_fast_pictures_look_like_exact_ones(rooms, monkeypatch) -> None:
    """At most two levels of 255 apart on average, in bfloat16 whatever this machine is quick in."""
    monkeypatch.setattr(module, "fast_dtype", lambda device: torch.bfloat16)
    latent = rooms.sample(64, seed=0)
    exact = Renderer(rooms, precision="exact").render(latent)
    fast = Renderer(rooms, precision="fast").render(latent)
    assert fast.dtype == torch.float32
    assert not torch.equal(fast, exact)
    levels = [to_uint8(images).astype(float) for images in (exact, fast)]
    assert np.abs(levels[0] - levels[1]).mean() <= 2


def test_jpeg(toy_generator) -> None:
    assert Renderer(toy_generator).jpeg(toy_generator.sample(1))[:2] == b"\xff\xd8"
