"""StyleCLIP where the answer is known: a CLIP that sees colours, and a toy StyleGAN2."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from steerbench.embedding.styleclip import (
    GlobalDirections,
    LatentMapper,
    LatentOptimiser,
    channel_features,
    channel_step,
)
from steerbench.embedding.styleclip.mapper import groups_of
from steerbench.embedding.styleclip.target import (
    TextLossConfig,
    TextTarget,
    cutouts,
    identity_distance,
)
from steerbench.errors import (
    CapabilityError,
    CheckpointError,
    LatentError,
    NotFittedError,
    SteerbenchError,
)
from steerbench.generators import wrap
from tests.embedding.planted import colour_clip, redness

FREE = TextLossConfig(identity=0.0, l2=0.0)


@pytest.fixture(scope="module")
def clip():
    return colour_clip()


@pytest.fixture(scope="module")
def codes(toy_generator):
    return toy_generator.sample(4, seed=20)


@pytest.fixture(scope="module")
def exact(toy_generator, clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("channels") / "exact.safetensors"
    found = GlobalDirections(clip, "exact", n_samples=4, alpha=2.0)
    return found.fit(toy_generator, state=path)


def test_optimisation_makes_pictures_red(toy_generator, clip, codes) -> None:
    before = redness(toy_generator.render(codes))
    optimiser = LatentOptimiser(clip, "red", n_steps=25, learning_rate=0.1, loss=FREE).fit(
        toy_generator
    )
    done = optimiser.optimise(codes)
    assert (redness(done.images) > before + 0.02).all()
    assert done.is_done
    assert done.latent.space == "w+"
    assert torch.allclose(toy_generator.render(done.latent), done.images, atol=1e-4)


def test_the_best_step_is_kept_and_a_walk_can_be_left(toy_generator, clip, codes) -> None:
    walk = LatentOptimiser(clip, "grey", n_steps=12, learning_rate=3.0, loss=FREE).fit(
        toy_generator
    )
    seen = list(walk.steps(codes[0]))
    costs = [loss["all"] for loss in seen[-1].losses]
    assert costs != sorted(costs, reverse=True)  # a rate this large overshoots
    kept = TextTarget(clip, "grey").distance(seen[-1].images, clip.encode_text("grey"))
    assert float(kept) == pytest.approx(min(costs), abs=1e-5)
    left = list(islice(walk.steps(codes[0]), 4))[-1]
    assert left.step == 3
    assert not left.is_done
    assert left.losses == seen[3].losses


def test_the_same_seed_walks_the_same_way_and_starts_are_left_alone(
    toy_generator, clip, codes
) -> None:
    given = codes.data.clone()
    runs = [
        LatentOptimiser(clip, "blue", n_steps=3, seed=seed, loss=FREE)
        .fit(toy_generator)
        .edit(codes)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0].data, runs[1].data)
    assert not torch.equal(runs[0].data, runs[2].data)  # other cutouts
    assert torch.equal(codes.data, given)


def test_pictures_of_a_batch_are_optimised_as_if_alone(toy_generator, clip, codes) -> None:
    walk = LatentOptimiser(clip, "red", n_steps=4, loss=replace(FREE, n_cutouts=0)).fit(
        toy_generator
    )
    together = walk.edit(codes).data
    alone = walk.edit(codes[2]).data
    assert torch.allclose(together[2:3], alone, atol=2e-3)


def test_what_is_to_stay_holds_the_walk_back(toy_generator, clip, codes) -> None:
    def flat(images):
        return images.flatten(1)

    free, held = (
        LatentOptimiser(clip, "red", n_steps=15, loss=TextLossConfig(0.0, weight, flat))
        for weight in (0.0, 100.0)
    )
    before = flat(toy_generator.render(codes))
    moved = [
        identity_distance(flat(x.fit(toy_generator).optimise(codes).images), before).mean()
        for x in (free, held)
    ]
    assert moved[1] < 0.5 * moved[0]


def test_a_walk_is_a_direction_whose_alpha_1_is_where_it_ended(toy_generator, clip, codes) -> None:
    done = LatentOptimiser(clip, "red", n_steps=6, loss=FREE).fit(toy_generator).optimise(codes[1])
    found = done.direction("redder")
    again = toy_generator.render(codes[1], edits=[1.0 * found])
    assert torch.allclose(again, done.images, atol=1e-3)
    assert found.provenance.hyperparameters["prompt"] == "red"
    short = LatentOptimiser(clip, "red", n_steps=1, loss=FREE)
    with pytest.raises(NotFittedError, match="call fit"):
        short.edit(codes[1])
    first = next(short.fit(toy_generator).steps(codes[1]))
    with pytest.raises(LatentError, match="Make more steps"):
        first.direction()


def test_an_interrupt_keeps_the_best_so_far(toy_generator, clip, codes) -> None:
    calls = []

    def impatient(images):
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return images.flatten(1)

    walk = LatentOptimiser(
        clip, "red", n_steps=50, loss=TextLossConfig(identity=1e-6, embedding=impatient)
    )
    done = walk.fit(toy_generator).optimise(codes[0])
    assert 0 < done.step < 50
    assert not done.is_done


def test_a_neutral_text_moves_a_picture_by_the_difference(toy_generator, clip, codes) -> None:
    pictures = toy_generator.render(codes)
    aims = TextTarget(clip, "red", "green").goals(pictures)
    own = clip.encode_image(pictures)
    way = aims * (1 / (aims * own).sum(1, keepdim=True)) - own
    assert (way[:, 0] > 0).all()
    assert (way[:, 1] < 0).all()
    with pytest.raises(SteerbenchError, match="say the same"):
        TextTarget(clip, "red", "red")


def test_cutouts_have_the_size_of_the_picture_and_differ() -> None:
    images = torch.rand(3, 3, 20, 24)
    random = torch.Generator().manual_seed(0)
    first, second = cutouts(images, random), cutouts(images, random)
    assert first.shape == images.shape
    assert not torch.equal(first, second)


def test_the_mapper_makes_pictures_red_that_it_never_saw(
    toy_generator, clip, codes, tmp_path
) -> None:
    mapper = LatentMapper(clip, "red", n_steps=40, batch_size=4, learning_rate=1e-2, loss=FREE).fit(
        toy_generator
    )
    after = redness(toy_generator.render(mapper.edit(codes)))
    assert (after - redness(toy_generator.render(codes))).mean() > 0.02
    mapper.save(tmp_path / "red.safetensors")
    again = LatentMapper(clip, "red").restore(tmp_path / "red.safetensors", toy_generator)
    assert torch.equal(again.edit(codes).data, mapper.edit(codes).data)
    none = mapper.edit(codes, alpha=0.0).data
    assert torch.equal(none, toy_generator.to(codes, "w+").data)
    with pytest.raises(CheckpointError, match="expected"):
        LatentMapper(clip, "blue").restore(tmp_path / "red.safetensors", toy_generator)


def test_a_mapper_is_deterministic_and_can_be_stopped(toy_generator, clip, codes) -> None:
    state = torch.get_rng_state()
    edits = []
    for _ in range(2):
        mapper = LatentMapper(clip, "red", n_steps=9, batch_size=2, loss=FREE)
        for now in mapper.steps(toy_generator):
            if now.step == 3:
                break
        assert len(mapper.losses_) == 3
        edits.append(mapper.edit(codes).data)
    assert torch.equal(*edits)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_mapper_goes_on_where_it_was_broken_off(toy_generator, clip, codes, tmp_path) -> None:
    path, options = tmp_path / "run.safetensors", {"n_steps": 6, "batch_size": 2, "loss": FREE}
    whole = LatentMapper(clip, "red", **options).fit(toy_generator)
    for now in LatentMapper(clip, "red", **options).steps(toy_generator, path, save_every=0.0):
        if now.step == 4:
            break
    rest = LatentMapper(clip, "red", **options)
    assert [now.step for now in rest.steps(toy_generator, path)] == [5, 6]
    assert torch.equal(rest.edit(codes).data, whole.edit(codes).data)
    assert rest.losses_ == whole.losses_
    assert LatentMapper(clip, "red", **options).fit(toy_generator, path).losses_ == whole.losses_
    with pytest.raises(SteerbenchError, match=r"another run.*prompt"):
        LatentMapper(clip, "blue", **options).fit(toy_generator, state=path)


def test_rows_are_parted_by_the_resolution_that_reads_them(toy_generator, rooms) -> None:
    assert groups_of(rooms) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert groups_of(toy_generator) == [[0, 1, 2, 3], [4, 5], []]


def test_a_text_is_a_direction_that_does_what_it_says(toy_generator, clip, exact, codes) -> None:
    found = exact.direction("red", "green", beta=0.05)
    edited = exact.edit(codes, "red", 1.0, neutral="green", beta=0.05)
    assert torch.equal(edited.data, (toy_generator.to(codes, "s") + 1.0 * found).data)
    shades = [redness(toy_generator.render(codes, edits=[a * found])).mean() for a in (-1, 0, 1)]
    assert shades[0] < shades[1] < shades[2]
    assert found.space == "s"
    moved = found.vector * found.scale
    assert (moved.abs() <= exact.std_ * 1.0001).all()
    toys = [part for n, part in toy_generator.spaces["s"].slices.items() if n.endswith("torgb")]
    assert all((moved[part] == 0).all() for part in toys)


def test_a_larger_threshold_moves_fewer_channels(exact) -> None:
    counts = [
        exact.direction("red", "green", beta=b).provenance.hyperparameters["channels"]
        for b in (0.0, 0.3, 0.6)
    ]
    assert counts[0] > counts[1] > counts[2] > 0
    with pytest.raises(SteerbenchError, match="smaller beta"):
        exact.direction("red", "green", beta=2.0)
    with pytest.raises(SteerbenchError, match="say the same"):
        exact.direction("red", "red")
    low, high = exact.betas("red", "green")
    assert low == 0.0
    assert exact.direction("red", "green", beta=high).scale > 0


def test_exact_measurements_are_those_of_the_definition(toy_generator, clip, exact) -> None:
    codes = toy_generator.sample(4, seed=0, space="s")
    channel = int(exact.channels_[5])
    ends = []
    for sign in (-1, 1):
        data = codes.data.clone()
        data[:, channel] += sign * 2.0 * exact.std_[channel].float()
        ends.append(clip.encode_image(toy_generator.render(codes.with_data(data))))
    want = channel_features(torch.stack(ends, 1)[None])[0]
    assert torch.allclose(exact.features_[channel], want, atol=1e-4)


def test_the_estimate_is_the_exact_procedure_of_small_steps(toy_generator, clip) -> None:
    options = {"n_samples": 4, "n_derivatives": 4, "alpha": 0.02}
    small = GlobalDirections(clip, "exact", **options).fit(toy_generator, state="")
    fast = GlobalDirections(clip, "fast", n_refined=0, **options).fit(toy_generator, state="")
    rows = small.channels_[small.std_[small.channels_] > 1e-3]
    guess = fast._guess[rows]
    agree = (guess * small.features_[rows]).sum(1)
    assert agree.median() > 0.999
    assert (agree > 0.98).float().mean() > 0.9
    assert fast.agreement_ > 0.9
    assert min(fast.agreement("red", "green")) > 0.9
    with pytest.raises(SteerbenchError, match="Nothing was estimated"):
        small.agreement("red", "green")


def test_refining_a_prompt_measures_the_channels_that_matter(toy_generator, clip, exact) -> None:
    options = {"n_samples": 4, "n_derivatives": 2, "alpha": 2.0}
    fast = GlobalDirections(clip, "fast", n_refined=10**6, **options).fit(toy_generator, state="")
    found = fast.direction("red", "green", beta=0.05)
    true = exact.direction("red", "green", beta=0.05)
    assert found.cosine(true) == pytest.approx(1.0, abs=1e-6)
    assert fast.exact_[fast.channels_].all()


def test_measuring_goes_on_where_it_was_left(toy_generator, clip, exact, tmp_path) -> None:
    path = tmp_path / "state.safetensors"
    options = {"n_samples": 4, "alpha": 2.0}
    left = GlobalDirections(clip, "exact", **options)
    for now in left.steps(toy_generator, path, save_every=0.0):
        if now.step == 7:
            break
    assert not left.fitted
    with pytest.raises(SteerbenchError, match="call fit"):
        left.direction("red")
    again = GlobalDirections(clip, "exact", **options)
    steps = list(again.steps(toy_generator, path))
    assert steps[-1].total == len(exact.channels_) - 7
    assert torch.allclose(again.features_, exact.features_, atol=1e-6)
    other = GlobalDirections(clip, "exact", n_samples=3, alpha=2.0)
    with pytest.raises(SteerbenchError, match="another run: it differs in n_samples"):
        other.fit(toy_generator, state=path)


def test_measurements_are_remembered_by_fingerprint(
    toy_generator, other_toy_generator, clip
) -> None:
    options = {"n_samples": 2, "alpha": 3.0}
    GlobalDirections(clip, "exact", **options).fit(toy_generator)
    again = GlobalDirections(clip, "exact", **options)
    assert list(again.steps(toy_generator)) == []
    other = GlobalDirections(clip, "exact", **options)
    assert len(list(islice(other.steps(other_toy_generator), 2))) == 2


def test_only_chosen_layers_move(toy_generator, clip) -> None:
    found = GlobalDirections(clip, "exact", n_samples=2, layers=["b8.conv1"], alpha=2.0)
    found.fit(toy_generator, state="")
    part = toy_generator.spaces["s"].slices["b8.conv1"]
    step = found.direction("red", "green", beta=0.0).vector
    outside = np.ones(len(step), bool)
    outside[part] = False
    assert (step[outside] == 0).all()
    assert (step[part] != 0).any()


def test_generators_without_the_space_are_refused_with_the_reason(clip) -> None:
    plain = wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 16)), (8, 1, 1))
    with pytest.raises(CapabilityError, match="StyleSpace"):
        GlobalDirections(clip).fit(plain)
    with pytest.raises(CapabilityError, match="layer-wise"):
        LatentMapper(clip, "red").fit(plain)
    optimiser = LatentOptimiser(clip, "red", n_steps=5, learning_rate=0.3, loss=FREE).fit(plain)
    done = optimiser.optimise(plain.sample(1))
    assert done.latent.space == "z"
    assert done.losses[-1]["clip"] < done.losses[0]["clip"]


def test_impossible_numbers_are_refused(clip) -> None:
    with pytest.raises(SteerbenchError, match="at least one"):
        LatentOptimiser(clip, "red", n_steps=0)
    with pytest.raises(SteerbenchError, match="at least 0"):
        TextLossConfig(n_cutouts=-1)
    with pytest.raises(SteerbenchError, match="at least one"):
        LatentMapper(clip, "red", batch_size=0)
    with pytest.raises(SteerbenchError, match="method"):
        GlobalDirections(clip, "quick")
    with pytest.raises(SteerbenchError, match="at least one"):
        GlobalDirections(clip, n_samples=0)
    with pytest.raises(SteerbenchError, match="from 0 on"):
        channel_step(torch.ones(3), torch.ones(3), -1.0)
