"""The checks of chapter 02 pass for right answers and fail for each way of being wrong."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import check


@pytest.mark.parametrize("seed", range(6))
def test_a_mystery_is_a_checkpoint_whose_shapes_are_read_right(seed, tmp_path):
    path = check.mystery(tmp_path / "mystery.pth", seed)
    opened = sb.load(path)
    truth = {
        "code": opened.spaces["z"].shape[0],
        "resolution": opened.resolution,
        "channels": opened.layers[-1].channels,
    }
    assert check.read_from_shapes(truth, path)
    for name in truth:
        verdict = check.read_from_shapes(truth | {name: truth[name] + 1}, path)
        assert not verdict
        assert verdict.says.endswith(f"look again at: {name}.")


def test_no_two_mysteries_are_sure_to_be_the_same(tmp_path):
    shapes = {
        tuple(tuple(t.shape) for t in torch.load(check.mystery(tmp_path / "m.pth", seed)).values())
        for seed in range(20)
    }
    assert len(shapes) > 15


def test_an_answer_of_another_form_is_told_so(tmp_path):
    path = check.mystery(tmp_path / "mystery.pth", 0)
    assert "dictionary" in check.read_from_shapes(64, path).says
    assert "dictionary" in check.read_from_shapes({"code": 100}, path).says


@pytest.fixture
def module():
    torch.manual_seed(0)
    first, second = torch.nn.ConvTranspose2d(12, 6, 4), torch.nn.ConvTranspose2d(6, 3, 4, 2, 1)
    return torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.Hardtanh(0, 255))


def wrap(module, **options):
    return sb.wrap(module, latent_shape=(12, 1, 1), **options)


def test_a_module_is_wrapped_as_it_was_meant_or_it_is_not(module):
    assert check.wrapping(wrap(module, prior="uniform", pixels=(0, 255)), module)
    assert "pixels are off" in check.wrapping(wrap(module, prior="uniform"), module).says
    assert "pixels are off" in check.wrapping(wrap(module, pixels=(0, 1)), module).says
    assert "evenly" in check.wrapping(wrap(module, pixels=(0, 255)), module).says
    assert "sb.wrap" in check.wrapping(module, module).says


def test_another_prior_may_be_the_right_one(module):
    answer = wrap(module, pixels=(0, 255))
    assert check.wrapping(answer, module, prior="normal")
    other = wrap(module, prior="uniform", pixels=(0, 255))
    assert "prior" in check.wrapping(other, module, prior="normal").says
