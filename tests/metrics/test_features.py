"""Any extractor, and the Inception network of a file."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from steerbench.compat import ensure_torchvision
from steerbench.errors import CheckpointError, NotFoundError, PredictorError
from steerbench.metrics import extract_features, frechet_distance, inception

PICTURES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_module_is_an_extractor():
    module = nn.Sequential(nn.Conv2d(3, 5, 3, stride=8), nn.Flatten())
    features = extract_features(module, PICTURES, batch_size=2)
    assert torch.allclose(features, module(PICTURES), atol=1e-6)
    assert not features.requires_grad
    assert frechet_distance(features, extract_features(module, [PICTURES[:1], PICTURES[1:]])) < 1e-6


def test_what_is_no_feature_is_refused():
    with pytest.raises(PredictorError, match="one row a picture"):
        extract_features(lambda x: x, PICTURES)
    with pytest.raises(PredictorError, match="NaN"):
        extract_features(lambda x: x.mean((2, 3)) / 0, torch.zeros(2, 3, 4, 4))
    with pytest.raises(PredictorError, match="No picture"):
        extract_features(lambda x: x, [])


def test_weights_that_are_not_there_are_not_fetched(tmp_path):
    with pytest.raises(NotFoundError, match="not downloaded"):
        inception(tmp_path / "inception.pth")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"fc.bias": torch.zeros(1000)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no Inception network"):
        inception(tmp_path / "other.pth")


@pytest.fixture(scope="module")
def network():
    """torchvision's Inception with small random weights."""
    ensure_torchvision()
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    with torch.random.fork_rng():
        return inception_v3(weights=None, init_weights=False, aux_logits=False).eval()


def test_torchvisions_network_as_torchvision_runs_it(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "inception_v3.pth")
    ours = inception(tmp_path / "inception_v3.pth")(PICTURES[:1])
    small = torch.nn.functional.interpolate(PICTURES[:1] / 2 + 0.5, (299, 299), mode="bilinear")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen: list[torch.Tensor] = []
    handle = network.avgpool.register_forward_hook(lambda *a: seen.append(a[2].flatten(1)))
    with torch.no_grad():
        network((small - mean[:, None, None]) / std[:, None, None])
    handle.remove()
    assert ours.shape == (1, 2048)
    assert torch.allclose(ours, seen[0], atol=1e-4)


def test_the_network_of_2015_pools_in_its_own_way(network, tmp_path):
    tensors = dict(network.state_dict())
    tensors["fc.weight"], tensors["fc.bias"] = torch.zeros(1008, 2048), torch.zeros(1008)
    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "pt_inception.pth")
    extractor = inception(tmp_path / "pt_inception.pth")
    features = extract_features(extractor, PICTURES[:1])
    assert features.shape == (1, 2048)
    assert features.isfinite().all()
    ones = torch.ones(1, 192, 5, 5)
    block = extractor.network.Mixed_5b
    seen: list[torch.Tensor] = []
    handle = block.branch_pool.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    block(ones)
    handle.remove()
    # The border counts in torchvision's average and not in this one; the last call is ours.
    assert seen[0][0, 0, 0, 0] == pytest.approx(4 / 9)
    assert (seen[-1] == 1).all()
    del tensors["Mixed_6a.branch3x3.conv.weight"]
    torch.save(tensors, tmp_path / "short.pth")
    with pytest.raises(CheckpointError, match="Mixed_6a"):
        inception(tmp_path / "short.pth")
