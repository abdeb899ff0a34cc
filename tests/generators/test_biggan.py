"""BigGAN: its spaces, truncation, statistics and training."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import truncnorm

import steerbench as sb
from steerbench.errors import CapabilityError, ShapeError, SpaceError, SteerbenchError
from steerbench.generators import BigGAN
from steerbench.generators.biggan.network import BlockShape, Norm
from tests.contracts.test_generators import (
    biggan_deep,
    biggan_in_chunks,
    biggan_network,
    biggan_unshared,
)

KINDS = [biggan_deep, biggan_in_chunks, biggan_unshared]


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__)
def generator(request: pytest.FixtureRequest) -> BigGAN:
    return cast(BigGAN, request.param())


def direction(generator: BigGAN, space: str, seed: int = 0) -> sb.Direction:
    shape = generator.spaces[space].shape
    vector = np.random.RandomState(seed).randn(*shape)
    return sb.Direction(f"a step in {space}", space, vector, scale=1.5)


# -- codes and classes --------------------------------------------------------------------------


def test_classes_mix_as_labels_and_as_vectors(generator: BigGAN) -> None:
    one, other = (generator.to(generator.sample(1, label=k), "c") for k in (1, 4))
    half = one.with_data(torch.lerp(one.data, other.data, 0.5))
    weights = torch.zeros(generator.classes)
    weights[[1, 4]] = 0.5
    soft = generator.render(generator.sample(1, label=weights))
    assert torch.allclose(generator.render(half), soft, atol=1e-5)
    of_ones_own = half.data[0, generator.spaces["c"].slices["class"]]
    named = generator.with_class(generator.sample(1, label=0), of_ones_own)
    assert torch.allclose(generator.render(named), soft, atol=1e-5)
    with pytest.raises(ShapeError, match=rf"\[{generator.network.c_dim}\]"):
        generator.with_class(one, torch.zeros(3))


def test_codes_are_truncated_as_the_port_does_and_keep_their_class(generator: BigGAN) -> None:
    drawn = generator.sample(3, seed=5, truncation=0.4)
    for i in range(3):
        port = truncnorm.rvs(-2, 2, size=(1, 12), random_state=np.random.RandomState(5 + i))
        assert np.array_equal(drawn.data[i : i + 1].numpy(), 0.4 * port.astype(np.float32))
    assert torch.equal(drawn.label, generator.sample(3, seed=5).label)
    assert drawn.data.abs().max() <= 0.8
    for wrong in (-0.1, 1.5):
        with pytest.raises(SteerbenchError, match="between 0 and 1"):
            generator.sample(1, truncation=wrong)


def test_codes_are_drawn_towards_zero_and_classes_stay(generator: BigGAN) -> None:
    z = generator.sample(2, label=[1, 4])
    scaled = generator.latent(0.3 * z.data, label=[1, 4])
    for space in generator.spaces:
        drawn = generator.to(z, space, truncation=0.3)
        assert torch.allclose(drawn.data, generator.to(scaled, space).data, atol=1e-6)
        if not space.endswith("+"):
            with pytest.raises(CapabilityError, match="no rows"):
                generator.to(z, space, truncation=0.3, truncation_cutoff=1)
    recipe = sb.Recipe.of(generator, z, truncation=0.3)
    assert torch.allclose(recipe.render(generator), generator.render(scaled), atol=1e-5)


def test_another_row_changes_only_the_layers_that_read_it() -> None:
    for make in (biggan_deep, biggan_in_chunks):
        generator = cast(BigGAN, make())
        rows = generator.to(generator.sample(1), "z+")
        renderer = sb.Renderer(generator, "exact")
        for layer in generator.layers:
            if layer.row is None:
                continue
            renderer.render(rows)
            changed = rows.data.clone()
            changed[:, layer.row] += 1
            other = rows.with_data(changed)
            assert torch.allclose(renderer.render(other), generator.render(other), atol=1e-5)
            assert renderer.last_start == layer.index


def test_a_step_is_the_same_in_every_later_space(generator: BigGAN) -> None:
    exact = cast(BigGAN, generator.double())
    latent = exact.latent(exact.sample(2).data.double(), label=[0, 3])
    for space in exact.spaces:
        step = 0.7 * direction(exact, space)
        expected = exact.render(latent, edits=[step])
        for later in exact.spaces:
            moved = exact.render(exact.to(latent, later), edits=[step])
            assert torch.allclose(moved, expected, atol=1e-6), (space, later)


def test_steps_in_codes_and_classes_commute(generator: BigGAN) -> None:
    exact = cast(BigGAN, generator.double())
    latent = exact.latent(exact.sample(2).data.double(), label=[0, 3])
    steps = [0.5 * direction(exact, "c"), 0.5 * direction(exact, "z", 1)]
    there, back = exact.render(latent, edits=steps), exact.render(latent, edits=steps[::-1])
    assert torch.allclose(there, back, atol=1e-6)
    with pytest.raises(SpaceError, match="no space 'w'"):
        exact.render(latent, edits=[sb.Direction("w", "w", np.ones(12)) * 1.0])


def test_a_step_can_be_limited_to_rows() -> None:
    for make in (biggan_deep, biggan_in_chunks):
        generator = cast(BigGAN, make())
        z = generator.sample(2)
        step = direction(generator, "z")
        rows = generator.to(z, "z+").data.clone()
        whole = (0.5 * step.scale * step.vector).float()
        rows[:, 1] += generator.network.split_code(whole[None])[0, 1]
        expected = generator.render(generator.latent(rows, "z+", label=z.label))
        limited = generator.render(z, edits=[0.5 * step.limited([1])])
        assert torch.allclose(limited, expected, atol=1e-5)


def test_affine_holds_what_the_layers_read(generator: BigGAN) -> None:
    exact = cast(BigGAN, generator.double())
    for space in exact.spaces:
        zero = torch.zeros(1, *exact.spaces[space].shape, dtype=torch.float64)
        zero, probe = exact.latent(zero, space), exact.latent(torch.rand_like(zero), space)
        # Without statistics a layer's input is affine in the code, and so is the first activation.
        exact.network.train()
        before, after = (exact.start(exact.to(x, "c+"), "const") for x in (zero, probe))
        first = exact.layer(after) - exact.layer(before)
        exact.network.eval()
        rows = probe.data[0] if space.endswith("+") else probe.data.expand(2, -1)
        assert torch.allclose(exact.affine(space, 0) @ rows[0], first.flatten())
        layer = next(layer for layer in exact.layers if layer.row == 1)
        change = after.inputs[layer.index] - before.inputs[layer.index]
        assert torch.allclose(exact.affine(space, 1) @ rows[1], change.flatten())
    all_rows = [exact.affine("c", row) for row in range(exact.network.rows)]
    assert torch.equal(exact.affine("c"), torch.cat(all_rows))


# -- statistics ---------------------------------------------------------------------------------


def test_statistics_between_two_steps_are_mixed_with_swapped_weights() -> None:
    steps = torch.arange(51.0)[:, None]
    assert Norm.at(steps, 1.0) == 50
    assert Norm.at(steps, 0.4) == 20
    assert float(Norm.at(steps, 0.55)) == pytest.approx(27.5)
    assert float(Norm.at(steps, 0.51)) == pytest.approx(25.5)
    assert float(Norm.at(steps, 0.505)) == pytest.approx(25.75)  # a quarter of the way: the rest
    assert float(Norm.at(steps, 0.14)) == pytest.approx(8)  # 0.14 / 0.02 lies above 7
    assert Norm.at(steps[:1], 0.3) == 0
    # The last step may seem to lie a little further than the last statistics.
    assert all(torch.isfinite(Norm.at(torch.ones(n, 1), 1.0)) for n in range(2, 200))


def test_truncation_chooses_statistics_and_leaves_the_codes() -> None:
    generator = cast(BigGAN, biggan_deep())
    latent = generator.sample(2)
    whole = generator.render(latent)
    half = generator.render(latent, truncation=0.5)
    assert torch.equal(generator.render(latent, truncation=1.0), whole)
    assert not torch.allclose(half, whole, atol=1e-3)
    assert torch.equal(generator.at_truncation(0.5).render(latent), half)
    renderer = sb.Renderer(generator.at_truncation(0.5), "exact")
    assert torch.allclose(renderer.render(latent), half, atol=1e-5)
    assert torch.equal(generator.render(latent), whole)
    for wrong in (0.0, 1.01, float("nan")):
        with pytest.raises(SteerbenchError, match="at most 1"):
            generator.render(latent, truncation=wrong)


def test_the_network_learns_with_the_statistics_of_its_batches() -> None:
    network = biggan_network(blocks=[BlockShape(12, 8), BlockShape(8, 8)], attention=[1])
    z = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
    weights = F.one_hot(torch.arange(64) % 5, 5).float()
    network.train()
    network(z, weights).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    with torch.no_grad():
        for _ in range(60):
            learned = network(z, weights)
    generator = BigGAN(network, name="learned")
    kept = generator.render(generator.latent(z, label=weights))
    assert torch.allclose(kept, learned, atol=0.05)
    assert torch.allclose(kept, network(z, weights), atol=1e-6)
