"""The two networks of latent discovery: what proposes steps, and what tells them apart.

A deformator turns "direction k, so far" into a step in the latent space, a reconstructor sees two
pictures and says which direction was taken and how far. Both are those of the paper in kind; the
reconstructors are smaller, for pictures of 32 pixels and a processor without a graphics card.

Reference: Voynov, Babenko, "Unsupervised Discovery of Interpretable Directions in the GAN Latent
Space" (2020, arXiv 2002.03754); LeNet: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning
Applied to Document Recognition" (1998); ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for
Image Recognition" (2015, arXiv 1512.03385).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.stats import random_unit_vectors

SIDE = 32
"""The reconstructor looks at pictures of this size."""


class Deformator(nn.Module):
    """K directions of a space as the rows of a matrix that is learned.

    Args:
        n_directions: K.
        size: Of a code.
        kind: ``"linear"`` (a direction's length is learned too), ``"projective"`` (of unit length)
            or ``"orthonormal"`` (at right angles too: the rows of an orthonormal basis of what the
            weights span).
        seed: Of the first weights, which are orthonormal.
    """

    def __init__(self, n_directions: int, size: int, kind: str, seed: int) -> None:
        super().__init__()
        self.kind = kind
        start = random_unit_vectors(n_directions, size, orthonormal=True, seed=seed)
        self.weight = nn.Parameter(start.float())

    def forward(self) -> Tensor:
        """The directions in rows, ``[K, size]``."""
        if self.kind == "linear":
            return self.weight
        if self.kind == "projective":
            return F.normalize(self.weight, dim=1)
        basis, triangle = torch.linalg.qr(self.weight.T)
        return (basis * triangle.diagonal().sign()).T


DEFORMATORS = ("orthonormal", "projective", "linear")


class LeNet(nn.Module):
    """Two pictures to K scores of directions and a length; three convolutions."""

    def __init__(self, channels: int, n_directions: int, width: int = 32) -> None:
        super().__init__()
        widths = (2 * channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(4 * width * (SIDE // 8) ** 2, 8 * width), nn.ReLU())
        self.which = nn.Linear(8 * width, n_directions)
        self.how_far = nn.Linear(8 * width, 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, C, H, W]`` twice to ``[N, K]`` and ``[N]``."""
        # The change beside the picture spans the same as two pictures, and is learned sooner.
        pair = torch.cat([before, after - before], dim=1)
        pair = F.interpolate(pair, size=(SIDE, SIDE), mode="area")
        hidden = self.hidden(self.features(pair))
        return self.which(hidden), self.how_far(hidden)[:, 0]


class Residual(nn.Module):
    """Two convolutions beside a shortcut; halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.shortcut(x))


class ResNet(LeNet):
    """The same with residual blocks in the place of convolutions."""

    def __init__(self, channels: int, n_directions: int, width: int = 32) -> None:
        super().__init__(channels, n_directions, width)
        widths = (2 * channels, width, 2 * width, 4 * width)
        blocks = [Residual(inputs, outputs) for inputs, outputs in pairwise(widths)]
        self.features = nn.Sequential(*blocks, nn.Flatten())


RECONSTRUCTORS: dict[str, type[LeNet]] = {"lenet": LeNet, "resnet": ResNet}


class Discovery(nn.Module):
    """Both networks, as one module to learn and to keep."""

    def __init__(self, deformator: Deformator, reconstructor: LeNet) -> None:
        super().__init__()
        self.deformator, self.reconstructor = deformator, reconstructor
