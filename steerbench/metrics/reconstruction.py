"""How like its original a picture is, pixel by pixel.

With x and y in [-1, 1], whose range is R = 2:

    MSE  = mean (x - y)^2                       in units of half the range, squared
    PSNR = 10 log10(R^2 / MSE)                  in decibels
    SSIM = mean (2 m_x m_y + c1) (2 s_xy + c2) / ((m_x^2 + m_y^2 + c1) (s_x^2 + s_y^2 + c2))

where means m, variances s^2 and the covariance s_xy are taken under a Gaussian window of standard
deviation 1.5, 11 pixels wide, everywhere it fits, c1 = (0.01 R)^2 and c2 = (0.03 R)^2; colours are
averaged. Pictures smaller than the window get one as large as they are.

Reference: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
Structural Similarity" (IEEE Transactions on Image Processing, 2004).

>>> picture = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
>>> mse(picture, picture), ssim(picture, picture), psnr(picture, (picture - 0.1).clamp(-1, 1))
(tensor([0.]), tensor([1.]), tensor([26.17...]))
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ShapeError
from steerbench.image.pixels import batch_of

RANGE = 2.0


def mse(images: Tensor, originals: Tensor) -> Tensor:
    """Compute the mean squared difference ``[N]`` of pictures ``[N, C, H, W]`` in [-1, 1].

    Raises:
        ShapeError: They are no pictures, or not of one shape.
    """
    x, y = _pair(images, originals)
    return (x - y).square().flatten(1).mean(1).to(images.dtype)


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio ``[N]`` in decibels; infinite for equal pictures."""
    return 10 * (RANGE**2 / mse(images, originals)).log10()


def ssim(images: Tensor, originals: Tensor, *, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Compute the structural similarity ``[N]``, 1 for equal pictures.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1].
        originals: What they should be like.
        window: Pixels over which means and variances are taken.
        sigma: The standard deviation of the Gaussian that weighs them, in pixels.
    """
    x, y = _pair(images, originals)
    kernels = [_window(min(window, side), sigma, x) for side in x.shape[2:]]

    def mean(values: Tensor) -> Tensor:
        flat = values.flatten(0, 1)[:, None]
        flat = F.conv2d(flat, kernels[0].view(1, 1, -1, 1))
        flat = F.conv2d(flat, kernels[1].view(1, 1, 1, -1))
        return flat.view(*values.shape[:2], *flat.shape[2:])

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x.square(), mean(y * y) - mean_y.square()
    both = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    up = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    down = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    return (up / down).flatten(1).mean(1).to(images.dtype)


def _window(size: int, sigma: float, like: Tensor) -> Tensor:
    places = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-places.square() / (2 * sigma**2))
    return weights / weights.sum()


def _pair(images: Tensor, originals: Tensor) -> tuple[Tensor, Tensor]:
    """Bring both to float64, where small variances keep their digits (else to float32)."""
    x, y = batch_of(images), batch_of(originals)
    if x.shape != y.shape:
        raise ShapeError(
            f"Got pictures {list(x.shape)} and originals {list(y.shape)}; give as many of one "
            "size. steerbench.image.resize brings them to it."
        )
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    return x.clamp(-1, 1).to(exact), y.to(x.device).clamp(-1, 1).to(exact)
