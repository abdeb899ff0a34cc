"""How close two sets of pictures are, by their features.

Every function takes features ``[N, D]``, from whatever extractor fits the pictures: the oracle's
``features`` for the embedded worlds, a CLIP's or an Inception network's elsewhere
(`steerbench.metrics.features` takes any, and the Inception weights of a file).

**Fréchet distance** between the Gaussians with the two sets' means and covariances:

    d = |m - m'|^2 + tr(S) + tr(S') - 2 tr((S S')^(1/2))

The last trace is the sum of the singular values of S^(1/2) S'^(1/2), which needs only symmetric
square roots. It shrinks as N grows (the covariances' noise counts as distance): compare at equal
N, and beside the distance between two real sets.

**Kernel distance** (KID): the unbiased squared maximum mean discrepancy under the polynomial
kernel ``(x . y / D + 1)^3``, averaged over subsets. It has no such bias.

**Precision and recall**: each set's manifold is the union of balls around its points that reach
to the k-th neighbour. Precision is the share of generated points inside the real manifold (are
the pictures right?), recall the share of real points inside the generated one (are all there?).

**Density and coverage**: the same with counts instead of unions, harder to mislead by an outlier:
how many real balls a generated point lies in, over k; and the share of real balls that hold a
generated point.

References: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
Equilibrium" (2017, arXiv 1706.08500); Bińkowski et al., "Demystifying MMD GANs" (2018, arXiv
1801.01401); Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
Models" (2019, arXiv 1904.06991); Naeem et al., "Reliable Fidelity and Diversity Metrics for
Generative Models" (2020, arXiv 2002.09797).

>>> real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
>>> round(frechet_distance(real, real + 2), 9)
4.0
>>> precision_recall(real, real + 2, k=1)
Overlap(generated_in_real=0.75, real_in_generated=0.75)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import PredictorError, ShapeError
from steerbench.stats import Covariance

BLOCK = 1024
"""Samples whose distances are held at a time."""


class Overlap(NamedTuple):
    """Two shares that belong together.

    Attributes:
        generated_in_real: Precision (or density): how right the generated pictures are.
        real_in_generated: Recall (or coverage): how much of the real variety they have.
    """

    generated_in_real: float
    real_in_generated: float


def frechet_distance(real: Tensor | Covariance, generated: Tensor | Covariance) -> float:
    """Compute the Fréchet distance between two sets, squared as is usual; 0 where they agree.

    Args:
        real: Features ``[N, D]``, or their running moments
            (`steerbench.stats.Covariance`), which need no memory for the pictures.
        generated: The same of the other set; the order makes no difference.

    Raises:
        ShapeError: Not ``[N, D]`` with one D and at least 2 samples.
        PredictorError: The features contain NaN or infinity.
    """
    a, b = _moments(real), _moments(generated)
    if a.mean.shape != b.mean.shape:
        raise ShapeError(
            f"Got features of lengths {len(a.mean)} and {len(b.mean)}; take both from "
            "one extractor."
        )
    first, second = a.covariance(ddof=0), b.covariance(ddof=0)
    cross = torch.linalg.svdvals(_root(first) @ _root(second)).sum()
    apart = (a.mean - b.mean).square().sum()
    return max(float(apart + first.trace() + second.trace() - 2 * cross), 0.0)


def _moments(given: Tensor | Covariance) -> Covariance:
    if isinstance(given, Covariance):
        return given
    return Covariance().add(_features(given, least=2))


def _root(matrix: Tensor) -> Tensor:
    """Compute the symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def kernel_distance(
    real: Tensor, generated: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> float:
    """Compute the kernel distance between two sets; about 0, sometimes below, where they agree.

    Args:
        real: Features ``[N, D]``.
        generated: Features ``[M, D]``.
        subsets: How many random subsets of both to average over.
        size: Pictures in a subset; at most what there is.
        seed: Of the subsets; the draw is that of NVIDIA's implementation.

    Raises:
        ShapeError: Not two sets of features of one length, with at least 2 samples.
        PredictorError: The features contain NaN or infinity.
    """
    real, generated = _pair(real, generated, least=2)
    size = min(size, len(real), len(generated))
    if subsets < 1 or size < 2:
        raise ShapeError(f"subsets={subsets}, size={size}; give at least 1 subset of 2 pictures.")
    random = np.random.RandomState(seed)
    total = 0.0
    for _ in range(subsets):
        x = generated[random.choice(len(generated), size, replace=False)]
        y = real[random.choice(len(real), size, replace=False)]
        own = _kernel(x, x) + _kernel(y, y)
        between = _kernel(x, y)
        total += float((own.sum() - own.trace()) / (size - 1) - 2 * between.sum() / size)
    return total / subsets / size


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real: Tensor, generated: Tensor, *, k: int = 3) -> Overlap:
    """Compute improved precision and recall, in bounded memory.

    Args:
        real: Features ``[N, D]``.
        generated: Features ``[M, D]``; equal numbers make the two shares comparable.
        k: Which neighbour a ball reaches to.

    Returns:
        ``(precision, recall)``, each in [0, 1].

    Raises:
        ShapeError: Not two sets of features of one length with more than ``k`` samples each.
        PredictorError: The features contain NaN or infinity.
    """
    real, generated = _neighbours(real, generated, k)
    real_reach, generated_reach = _reach(real, k), _reach(generated, k)
    inside = 0
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for part in generated.split(BLOCK):
        inside += int((_squares(part, real) <= real_reach).any(dim=1).sum())
    for block, part in zip(covered.split(BLOCK), real.split(BLOCK)):
        block |= (_squares(part, generated) <= generated_reach).any(dim=1)
    return Overlap(inside / len(generated), float(covered.double().mean()))


def inside_manifold(real: Tensor, points: Tensor, *, k: int = 3, keep: float = 1.0) -> Tensor:
    """Tell which points lie in the manifold of others: those that precision counts.

    Balls of outliers are large, and hold whatever goes wrong. The authors' realism score leaves the
    larger half of the balls out (``keep=0.5``).

    Args:
        real: Features ``[N, D]`` whose balls make the manifold.
        points: Features ``[M, D]``.
        k: Which neighbour a ball reaches to.
        keep: The part of the balls, the smallest ones, that make the manifold.

    Returns:
        ``[M]`` bool.

    Raises:
        ShapeError, PredictorError: As `precision_recall`; one point is enough.
    """
    real, points = _features(real, k + 1), _features(points, 1)
    if real.shape[1] != points.shape[1]:
        raise ShapeError(f"Got features of lengths {real.shape[1]} and {points.shape[1]}.")
    centre = real.mean(0)
    real, points = real - centre, points - centre
    reach = _reach(real, k)
    small = reach <= reach.quantile(keep)
    real, reach = real[small], reach[small]
    return torch.cat([(_squares(part, real) <= reach).any(1) for part in points.split(BLOCK)])


def density_coverage(real: Tensor, generated: Tensor, *, k: int = 5) -> Overlap:
    """Compute density (about 1 where the sets agree, unbounded above) and coverage in [0, 1].

    Args:
        real: Features ``[N, D]``.
        generated: Features ``[M, D]``.
        k: Which neighbour a ball reaches to.

    Raises:
        ShapeError, PredictorError: As `precision_recall`.
    """
    real, generated = _neighbours(real, generated, k)
    reach = _reach(real, k)
    balls = 0
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for part in generated.split(BLOCK):
        inside = _squares(part, real) <= reach
        balls += int(inside.sum())
        covered |= inside.any(dim=0)
    return Overlap(balls / (k * len(generated)), float(covered.double().mean()))


def _reach(points: Tensor, k: int) -> Tensor:
    """Return ``[N]`` squared distance from each point to its k-th neighbour."""
    nearest = [
        # k + 1, because each point is its own nearest.
        _squares(part, points).topk(k + 1, dim=1, largest=False).values[:, -1]
        for part in points.split(BLOCK)
    ]
    return torch.cat(nearest)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances ``[len(a), len(b)]``; the product form needs float64."""
    products = torch.addmm(b.square().sum(1)[None], a, b.T, alpha=-2)
    return products.add_(a.square().sum(1)[:, None]).clamp_(min=0)


def _neighbours(real: Tensor, generated: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if not isinstance(k, int) or k < 1:
        raise ShapeError(f"k={k!r}; give a whole number of neighbours from 1 on.")
    real, generated = _pair(real, generated, least=k + 1)
    centre = real.mean(0)
    return real - centre, generated - centre


def _pair(real: Tensor, generated: Tensor, least: int) -> tuple[Tensor, Tensor]:
    real, generated = _features(real, least), _features(generated, least)
    if real.shape[1] != generated.shape[1]:
        raise ShapeError(
            f"Got features of lengths {real.shape[1]} and {generated.shape[1]}; take both from "
            "one extractor."
        )
    return real, generated


def _features(given: Tensor, least: int) -> Tensor:
    """Check features, and return them in float64 (float32 where the device has none)."""
    features = torch.as_tensor(given).detach()
    if features.ndim != 2 or len(features) < least or not features.shape[1]:
        raise ShapeError(
            f"Got features {list(features.shape)}; expected [N, D] with N at least {least}."
        )
    features = features if features.device.type == "mps" else features.double()
    if not bool(torch.isfinite(features).all()):
        raise PredictorError(
            "The features contain NaN or infinity; look for a diverged generator or an overflow "
            "in the extractor."
        )
    return features
