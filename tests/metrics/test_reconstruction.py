"""Our MSE, PSNR and SSIM against scikit-image's."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench.metrics import mse, psnr, ssim


@pytest.fixture
def pair():
    original = sb.world("rooms").sample(3, seed=0).images
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    return (original + 0.15 * noise).clamp(-1, 1), original


def test_against_scikit_image(pair):
    metrics = pytest.importorskip("skimage.metrics")
    ours = mse(*pair), psnr(*pair), ssim(*pair)
    for row, (a, b) in enumerate(zip(*(part.double().numpy() for part in pair))):
        assert float(ours[0][row]) == pytest.approx(metrics.mean_squared_error(a, b), rel=1e-5)
        ratio = metrics.peak_signal_noise_ratio(b, a, data_range=2)
        assert float(ours[1][row]) == pytest.approx(ratio, rel=1e-5)
        alike = metrics.structural_similarity(
            a,
            b,
            data_range=2,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert float(ours[2][row]) == pytest.approx(alike, abs=1e-5)


def test_a_picture_is_like_itself_and_less_like_another(pair):
    noisy, original = pair
    assert torch.equal(mse(original, original), torch.zeros(3))
    assert torch.allclose(ssim(original, original), torch.ones(3))
    assert psnr(original, original).isinf().all()
    assert (ssim(noisy, original) < 0.95).all()


def test_what_lies_outside_the_range_is_not_counted(pair):
    _, original = pair
    assert torch.equal(mse(original * 3, original), mse((original * 3).clamp(-1, 1), original))


def test_small_and_grey_pictures():
    one = torch.linspace(-1, 1, 35).view(1, 1, 5, 7)
    assert ssim(one, one).item() == pytest.approx(1)
    assert ssim(one, -one).item() < 0.5


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(sb.errors.ShapeError, match="one size"):
        mse(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 9, 8))
