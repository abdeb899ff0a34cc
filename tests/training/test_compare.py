"""What training does for disentanglement: the options, the runs, the rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from steerbench import store
from steerbench.errors import NotFoundError, SteerbenchError
from steerbench.training import compare, pictures
from steerbench.training.eigengan import EigenGANGame, EigenGANSettings, eigen_blocks, overlap
from steerbench.training.game import discriminator
from steerbench.training.pictures import Pictures
from steerbench.training.stylegan2 import StyleGAN2Game, StyleGAN2Settings
from steerbench.unsupervised.hessian_penalty import hessian_penalty

TINY: dict[str, Any] = {
    "channel_max": 8,
    "d_channel_max": 8,
    "z_dim": 8,
    "batch": 4,
    "precision": "float32",
    "judge": "",
}


def trainer(small: Pictures, **changes: Any) -> StyleGAN2Game:
    return StyleGAN2Game(
        StyleGAN2Settings(**{**TINY, "resolution": 32, "w_dim": 8, **changes}), small
    )


def eigengan(small: Pictures, **changes: Any) -> EigenGANGame:
    options = {**TINY, "resolution": 32, "basis": 2, **changes}
    return EigenGANGame(EigenGANSettings(**options), small)


def test_bases_begin_orthonormal_and_are_held_so(small: Pictures) -> None:
    game = eigengan(small, orthogonal_weight=1.0)
    blocks = eigen_blocks(game.g)
    assert len(blocks) == 3
    assert max(overlap(block.basis).item() for block in blocks) < 1e-12
    with torch.no_grad():
        for block in blocks:
            block.basis[1] = block.basis[0] * 2
    # The rows of U are a unit vector and twice it: U U^T - 1 = [[0, 2], [2, 3]].
    assert game.penalty().item() == pytest.approx((4 + 4 + 9) / 4)
    before = game.penalty().item()
    for _ in range(5):
        game.step()
    assert game.penalty().item() < before


def test_a_code_is_noise_and_the_coordinates_of_every_block(small: Pictures) -> None:
    game = eigengan(small, z_dim=11)
    assert game.settings.noise == 5
    network = game.g
    with torch.no_grad():
        z = torch.randn(2, 11)
        moved = z.clone()
        moved[:, 5 + 2 * 2 :] += 1
        first = network.block(1).convolve
        assert not torch.equal(network(z), network(moved))
        x = torch.randn(2, 8, 8, 8)
        assert torch.equal(first(x, z[:, 7:9], False), first(x, moved[:, 7:9], False))


def test_a_code_too_short_for_its_coordinates_is_refused(small: Pictures) -> None:
    with pytest.raises(SteerbenchError, match="z_dim is 6, and 6 of it"):
        eigengan(small, z_dim=6)


def test_an_interfering_mapping_is_penalised_and_learns_not_to(small: Pictures) -> None:
    game = trainer(small, hessian_weight=1.0, hessian_every=1, hessian_ramp=0, learning_rate=0.01)
    z = torch.randn(4, 8)
    signs = torch.randn(16, 4, 8).sign()
    value = lambda: float(  # noqa: E731
        hessian_penalty(game.activations, z, vectors=signs, reduction="mean").detach()
    )
    before = value()
    assert before > 0
    for _ in range(25):
        loss = game.penalty()
        game.g_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        game.g_optimiser.step()
    assert value() < before / 2


def test_the_hessian_penalty_is_lazy_and_grows_in(small: Pictures) -> None:
    game = trainer(small, hessian_weight=1.0, hessian_every=2, hessian_ramp=8)
    assert [game.step()["penalty"] > 0 for _ in range(4)] == [False, False, True, False]
    assert all(trainer(small).step()["penalty"] == 0 for _ in range(2))


def test_path_length_can_be_left_out(small: Pictures) -> None:
    assert "path" in trainer(small).step()
    assert "path" not in trainer(small, path_weight=0.0).step()


def test_a_predictor_looks_at_smaller_pictures_enlarged(small: Pictures) -> None:
    settings = StyleGAN2Settings(
        **{**TINY, "resolution": 32, "judge": "rooms-attributes", "judge_width": 8}
    )
    judge = discriminator(settings)
    logits = judge(torch.rand(4, 3, 32, 32) * 2 - 1)
    assert logits.shape[0] == 4
    assert logits.shape[1] > 1
    assert all(head.out.weight.shape[1] == 8 for head in judge.heads)


@pytest.mark.parametrize("name", sorted(compare.RUNS))
def test_a_run_in_rounds_is_the_run_that_was_prolonged(
    name: str, cache: Path, small: Pictures, tmp_path: Path
) -> None:
    """What is left of both is the same to the bit."""
    options = {"round_of": 8, **TINY, "z_dim": 20}
    whole = compare.run(name, cache, tmp_path / "whole", images=16, **options)
    compare.run(name, cache, tmp_path / "parts", images=8, **options)
    parts = compare.run(name, cache, tmp_path / "parts", images=16, resume=True, **options)
    (first, header), (second, _) = store.load(whole), store.load(parts)
    assert header["seen"] == 16
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_unknown_run_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="hessian"):
        compare.run("hesian", tmp_path, tmp_path, images=8)


def test_a_cache_shrinks(cache: Path, small: Pictures, tmp_path: Path) -> None:
    pictures.shrink(cache, tmp_path, resolution=8)
    less = Pictures(tmp_path, with_masks=True)
    assert less.pixels[0].shape[1:] == (3, 8, 8)
    assert less.masks[0].shape[1:] == (8, 8)
    assert torch.equal(less.factors, small.factors)
    mean = small.pixels[1][3, 0, 4:8, 8:12].astype(float).mean()
    assert abs(less.pixels[1][3, 0, 1, 2] - mean) <= 0.5
    with pytest.raises(SteerbenchError, match="divides 32"):
        pictures.shrink(cache, tmp_path / "no", resolution=12)


def test_what_early_coordinates_do_reaches_the_picture(small: Pictures) -> None:
    """With the usual first weights a layer passes on a fraction, and the last block does it all."""
    game = eigengan(small, channel_max=32, z_dim=20, basis=4)
    z = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, changes = game.g(z), []
        for start in range(8, 20, 4):
            moved = z.clone()
            moved[:, start : start + 4] = moved[:, start : start + 4].roll(1, 0)
            changes.append(float((game.g(moved) - before).square().mean().sqrt()))
    assert min(changes) > 0.3 * max(changes)


def test_every_weight_of_an_eigengan_learns_in_proportion_to_its_size(small: Pictures) -> None:
    game = eigengan(small, g_scale=2.0, basis=4, z_dim=20)
    before = {name: p.detach().clone() for name, p in game.g.named_parameters()}
    game.step()
    moved = {name: (p - before[name]).detach().abs().max() for name, p in game.g.named_parameters()}
    for name in ("blocks.0.basis", "blocks.2.basis", "blocks.1.conv0.weight"):
        # Adam's first step has the size of its rate, whatever the gradient.
        size = before[name].square().mean().sqrt()
        assert float(moved[name] / size) == pytest.approx(2 * game.settings.learning_rate, rel=1e-2)
