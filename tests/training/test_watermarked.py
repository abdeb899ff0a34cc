"""A generator is taught a watermark by regression on its own pictures."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import store
from steerbench.errors import SteerbenchError
from steerbench.generators import save
from steerbench.training.watermark import plane, train
from tests.conftest import make_toy


def test_only_later_layers_learn_and_the_file_is_read_back_as_it_was_drawn(tmp_path):
    toy = make_toy(widths={4: 16, 8: 12, 16: 8, 32: 8})
    save(toy, tmp_path / "toy.safetensors")
    out = tmp_path / "marked.safetensors"
    marked = train(str(tmp_path / "toy.safetensors"), out, n_steps=3, batch_size=2)
    before, after = toy.module.state_dict(), marked.module.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v.half().float(), after[k].float())}
    assert changed
    assert not [name for name in changed if "mapping" in name or ".b4." in name]
    tensors, header = store.load(out)
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert header["training"]["steps"] == 3
    latent = marked.sample(2)
    assert torch.equal(sb.load(out).render(latent), marked.render(latent))


def test_the_plane_halves_the_codes():
    toy = make_toy()
    direction, mean = plane(toy)
    w = toy.sample(400, seed=9000, space="w").data.float()
    share = ((w - mean) @ direction > 0).float().mean()
    assert 0.3 < share < 0.7


def test_what_cannot_learn_is_refused(tmp_path):
    toy = make_toy(widths={4: 8})
    save(toy, tmp_path / "toy.safetensors")
    with pytest.raises(SteerbenchError, match="blocks"):
        train(str(tmp_path / "toy.safetensors"), tmp_path / "out.safetensors", n_steps=1)
