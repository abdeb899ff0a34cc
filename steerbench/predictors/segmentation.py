"""A small network that says of every pixel what it shows: the segmenter.

A chain of convolutions halves the picture four times, so that the coarsest places see the whole
room; then the way back up, where each step is doubled in size, joined with the maps of the same
size from the way down (which still know where the edges are) and convolved:

    64 -------------------------- join -> 64 -> scores [classes, 64, 64]
      \\-> 32 ------------- join -> 32 -/
            \\-> 16 ... 8 ... 4 -/

The scores s of the last layer are logits: the probability of class k at a pixel is
``exp(s_k) / sum_j exp(s_j)`` over the classes, and its label the class of the largest. Maps are
enlarged or reduced to the size of the pictures as logits, so that labels, probabilities and areas
speak of the pixels of the picture that was handed in.

Reference: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation" (2015, arXiv 1505.04597).

>>> segmenter = SegmentationPredictor(SegmentationNetwork(2, (4, 8)), ["wall", "floor"])
>>> pictures = torch.zeros(5, 3, 32, 48)
>>> segmenter.predict(pictures).shape, segmenter.probabilities(pictures).shape
(torch.Size([5, 32, 48]), torch.Size([5, 2, 32, 48]))
>>> segmenter.areas(pictures).sum(1)
tensor([1., 1., 1., 1., 1.])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import PredictorError
from steerbench.image.pixels import batch_of
from steerbench.predictors.base import BasePredictor, resize_maps
from steerbench.predictors.layers import Convolution, fold_normalisation

RESOLUTION = 64
"""Height and width, in pixels, at which the network looks at every picture."""


class SegmentationNetwork(nn.Module):
    """Pictures ``[N, 3, H, W]`` in [-1, 1] to logits ``[N, classes, H, W]``.

    Args:
        classes: How many.
        widths: Channels at full size, at half of it, and so on; height and width have to be
            divisible by 2 for each step after the first.
        norm: Whether batch normalisation follows each convolution, as it does while learning.
    """

    def __init__(
        self, classes: int, widths: Sequence[int] = (16, 32, 64, 96, 128), *, norm: bool = False
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.enter = Convolution(3, widths[0], norm=norm)
        self.down = nn.ModuleList(
            nn.Sequential(
                Convolution(fine, coarse, stride=2, norm=norm),
                Convolution(coarse, coarse, norm=norm),
            )
            for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(
            Convolution(fine + coarse, fine, norm=norm) for fine, coarse in pairwise(widths)
        )
        self.heads = nn.Conv2d(widths[0], classes, 1)

    def features(self, images: Tensor) -> Tensor:
        """Return what the last layer reads, ``[N, widths[0], H, W]``, non-negative."""
        maps = [self.enter(images)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in reversed(self.up):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0), maps.pop()], dim=1))
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, classes, H, W]``."""
        return self.heads(self.features(images))

    def fold(self) -> SegmentationNetwork:
        """Return the same network, float32, its normalisation folded into the convolutions."""
        twin = SegmentationNetwork(self.heads.out_channels, self.widths)
        twin.load_state_dict(fold_normalisation(self))
        return twin.eval()


class SegmentationPredictor(BasePredictor):
    """A `SegmentationNetwork` as a predictor of label maps.

    ``predict`` gives ``[N, H, W]`` int64 at the size of the pictures, an index into ``names``;
    ``areas`` gives the share of the pixels that each class has.

    Args:
        network: It is put in evaluation mode and its weights are frozen.
        names: What its classes are called, in order.
        name: What to call it in messages.

    Raises:
        PredictorError: There is not one name for each class.
    """

    architecture = "segmentation"

    def __init__(
        self, network: SegmentationNetwork, names: Sequence[str], *, name: str = "segmenter"
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(self.network, names, resolution=RESOLUTION, channels=3, name=name)
        if len(self.names) != network.heads.out_channels:
            raise PredictorError(
                f"Got {len(self.names)} names for a network of {network.heads.out_channels} "
                "classes; give each class its name."
            )

    def logits(self, images: Tensor) -> Tensor:
        """Return scores of every class at every pixel, before the softmax.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], any size, grey or RGB.

        Returns:
            ``[N, len(names), H, W]`` float32; gradients flow where the pictures require them.

        Raises:
            ShapeError: These are no pictures.
            PredictorError: The pictures contain NaN.
        """
        size = batch_of(images).shape[2:]
        return self.run(images, lambda part: resize_maps(self.network(part), size))

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the same as `logits`, but probabilities, which sum to 1 over the classes.

        Their mean over the pixels is a smooth kin of `areas` that has a gradient.
        """
        return self.logits(images).softmax(1)

    def only(self, names: Sequence[str]) -> Self:
        """Refuse: every pixel gets one of all the classes.

        Raises:
            PredictorError: Always, with what to do instead.
        """
        raise PredictorError(
            f"{self.name} gives every pixel one of its {len(self.names)} classes and cannot leave "
            f"some out, got names={list(names)!r}. Leave names out and choose columns of "
            "areas(images)."
        )

    def config(self) -> dict[str, Any]:
        """Return what `build` needs beside the tensors."""
        return {"names": list(self.names), "widths": list(self.network.widths)}

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return dict(self.network.state_dict())

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str) -> Self:
        """Return build a predictor: the inverse of `config` and `tensors`."""
        network = SegmentationNetwork(len(config["names"]), config["widths"])
        network.load_state_dict(tensors)
        return cls(network, config["names"], name=name)
