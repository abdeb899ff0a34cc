"""The boundary between good pictures and spoiled ones, and two ways of telling them apart.

InterFaceGAN separates the codes of spoiled faces from those of good ones like any attribute, and
moves bad samples across. What is spoiled must be scored by somebody. People's labels are best;
where there are none, two predictors stand in:

- `realness`: the logit of the generator's own discriminator, where its file holds one;
- `NeighbourRealism`: minus the logarithm of the distance, in some features, to the k-th nearest of
  reference pictures. A picture in a region where there are no real ones is far from all of them.

Both are predictors: ``sb.LatentBoundaries(realness(G)).fit(G)`` gives the boundary, its direction
moves toward good, and the verification says by how much. Whether pictures really get better must be
measured in *other* features than those that were optimised.

References: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635), section 4.2 (artifacts
correction); Kynkäänniemi et al., "Improved Precision and Recall Metric" (2019, arXiv 1904.06991)
for distances to neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.base import BasePredictor


def realness(generator: BaseGenerator) -> BasePredictor:
    """Return the discriminator's logit of a picture, as a predictor with the one name ``realness``.

    Raises:
        CapabilityError: The generator was loaded without its discriminator.
    """
    with torch.no_grad():
        generator.discriminator(generator.render(generator.sample(1)))
    name = f"discriminator of {generator.name}"
    return BasePredictor(generator.discriminator, ["realness"], units="logit", name=name)


class NeighbourRealism(BasePredictor):
    """How close a picture is to reference pictures, as a predictor with the one name ``closeness``.

    Args:
        features: Pictures ``[N, C, H, W]`` to features ``[N, D]``.
        reference: Real pictures; more are better, hundreds at least.
        k: Which neighbour the distance is measured to.

    Raises:
        ArgumentError: There are not more than k reference pictures.
    """

    def __init__(self, features: Callable[[Tensor], Tensor], reference: Tensor, k: int = 5) -> None:
        if not 1 <= k < len(reference):
            raise ArgumentError(
                f"k={k} with {len(reference)} reference pictures; give k from 1 on, and more "
                "pictures than that."
            )
        with torch.no_grad():
            known = torch.cat([features(part) for part in reference.split(64)]).float()

        def score(images: Tensor) -> Tensor:
            distances = torch.cdist(features(images).float(), known)
            return -distances.kthvalue(k, dim=1).values.clamp_min(1e-12).log()[:, None]

        super().__init__(score, ["closeness"], units="-log distance", name="closeness")
