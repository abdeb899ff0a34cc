"""A small network that reads every factor of a world from a picture: the oracle.

A plain chain of convolutions halves the picture four times, down to a map of 4x4 places that is
kept as it is (offsets and angles are about *where*, which a mean over places would lose):

    64x64 -> conv 5x5 -> 32 -> 2 convs -> 16 -> 2 convs -> 8 -> 2 convs -> 4
          -> flatten -> features [256] -> readings [one per attribute]

The readings r of the last layer become what `predict` returns, with each attribute's range
[low, high] as the world states it:

    continuous   (low + high) / 2 + r (high - low) / sqrt(12)     in the attribute's own unit
    binary       1 / (1 + exp(-r))                                a probability

(the middle and the standard deviation of a uniform draw, so that r is about standard). Some of
the world's offsets point "towards the lamp", which is to the right or to the left in the picture
as another attribute, the side, says. Such a handed attribute is read as a picture shows it, to
the right, and then turned: r is multiplied by 2 p - 1 with p the probability of the side. To
read the product directly a network would have to learn a parity, which takes it far longer.

The convolutions learn with batch normalisation, which is folded away afterwards
(`steerbench.predictors.layers`).

>>> lamp = Attribute("lamp_on", "binary", 0, 1, "")
>>> yaw = Attribute("yaw", "continuous", -22, 22, "degrees")
>>> oracle = AttributePredictor(AttributeNetwork(2), [lamp, yaw])
>>> oracle.predict(torch.zeros(5, 3, 64, 64)).shape, oracle.units
(torch.Size([5, 2]), ('probability', 'degrees'))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn

from steerbench.errors import NotFoundError, unknown
from steerbench.predictors.base import BasePredictor
from steerbench.predictors.layers import Convolution, fold_normalisation

RESOLUTION = 64
"""Height and width, in pixels, at which the network looks at every picture."""


@dataclass(frozen=True)
class Attribute:
    """What one reading means.

    Attributes:
        name, kind, low, high, unit: Those of the world's `Factor`.
        side: The binary attribute that turns a handed one; empty where there is none. The range
            of a handed attribute lies evenly around 0.
    """

    name: str
    kind: str
    low: float
    high: float
    unit: str
    side: str = ""


def scales(attributes: Sequence[Attribute]) -> tuple[Tensor, Tensor, Tensor]:
    """Return which attributes are binary, and the middle and spread of each (there 0 and 1)."""
    binary = torch.tensor([a.kind == "binary" for a in attributes])
    low = torch.tensor([float(a.low) for a in attributes])
    high = torch.tensor([float(a.high) for a in attributes])
    spread = (high - low) / math.sqrt(12)
    return binary, torch.where(binary, 0.0, (low + high) / 2), torch.where(binary, 1.0, spread)


class AttributeNetwork(nn.Module):
    """Pictures ``[N, 3, 64, 64]`` in [-1, 1] to readings ``[N, outputs]``.

    Args:
        outputs: How many attributes.
        widths: Channels at 32x32, 16x16, 8x8 and 4x4.
        features: Length of the penultimate layer.
        norm: Whether batch normalisation follows each convolution, as it does while learning.
    """

    def __init__(
        self,
        outputs: int,
        widths: Sequence[int] = (32, 64, 96, 128),
        features: int = 256,
        *,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        steps = [Convolution(3, widths[0], 5, 2, norm=norm)]
        for before, after in pairwise(widths):
            steps += [
                Convolution(before, after, stride=2, norm=norm),
                Convolution(after, after, norm=norm),
            ]
        self.trunk = nn.Sequential(*steps)
        places = (RESOLUTION // 2 ** len(widths)) ** 2
        self.dense = nn.Linear(widths[-1] * places, features)
        self.heads = nn.Linear(features, outputs)

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate layer ``[N, features]``, non-negative."""
        return self.describe(self.trunk(images))

    def describe(self, maps: Tensor) -> Tensor:
        """Return features of what the convolutions make of pictures, ``[N, widths[-1], 4, 4]``."""
        return self.dense(maps.flatten(1)).relu()

    def forward(self, images: Tensor) -> Tensor:
        """Return readings ``[N, outputs]``: standardised values, log odds of binary attributes."""
        return self.heads(self.features(images))

    def fold(self) -> AttributeNetwork:
        """Return the same network, float32, its normalisation folded into the convolutions."""
        twin = AttributeNetwork(self.heads.out_features, self.widths, self.dense.out_features)
        twin.load_state_dict(fold_normalisation(self))
        return twin.eval()


class AttributePredictor(BasePredictor):
    """An `AttributeNetwork` as a predictor, in the attributes' own units.

    Args:
        network: Its last layer has one output for each reading; it is put in evaluation mode and
            its weights are frozen.
        readings: What the outputs mean, in order.
        names: Which of them to tell, in which order; None for all.
        name: What to call it in messages.

    Raises:
        NotFoundError: There is no reading of such a name.
    """

    architecture = "attributes"

    def __init__(
        self,
        network: AttributeNetwork,
        readings: Sequence[Attribute],
        *,
        names: Sequence[str] | None = None,
        name: str = "attributes",
    ) -> None:
        self.network, self.readings = network.eval().requires_grad_(False), tuple(readings)
        self._chosen = [self._row(n) for n in names or [r.name for r in readings]]
        self.attributes = tuple(readings[row] for row in self._chosen)
        super().__init__(
            self.network,
            [attribute.name for attribute in self.attributes],
            units=["probability" if a.kind == "binary" else a.unit for a in self.attributes],
            resolution=RESOLUTION,
            channels=3,
            name=name,
        )
        self._handed = {row: self._row(r.side) for row, r in enumerate(readings) if r.side}
        self._binary, self._middle, self._spread = scales(self.attributes)

    def _row(self, name: str) -> int:
        names = [reading.name for reading in self.readings]
        if name not in names:
            raise NotFoundError(unknown("attribute", name, names))
        return names.index(name)

    @property
    def binary_names(self) -> tuple[str, ...]:
        """The attributes that are present or absent."""
        return tuple(a.name for a in self.attributes if a.kind == "binary")

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """The attributes that have a unit and a range."""
        return tuple(a.name for a in self.attributes if a.kind != "binary")

    def predict(self, images: Tensor) -> Tensor:
        """Read pictures.

        Args:
            images: ``[N, C, H, W]`` in [-1, 1], any size, grey or RGB.

        Returns:
            ``[N, len(names)]`` float32: probabilities of binary attributes, the others in their
            own units. Values are not held to the world's ranges: an edit may leave them.

        Raises:
            ShapeError: These are no pictures.
            PredictorError: The pictures contain NaN.
        """
        return self.read(self.features(images))

    def logits(self, images: Tensor) -> Tensor:
        """Return the same as `predict`, but binary attributes as log odds, which never saturate."""
        return self._logits(self.features(images))

    def read(self, features: Tensor) -> Tensor:
        """Return what `predict` gives, from `features` computed before."""
        scores = self._logits(features)
        return torch.where(self._binary.to(scores.device), scores.sigmoid(), scores)

    def _logits(self, features: Tensor) -> Tensor:
        device = features.device
        readings = self.network.heads(features.to(self.device)).to(device)
        if self._handed:
            handed, sides = list(self._handed), list(self._handed.values())
            turn = torch.ones_like(readings)
            turn[:, handed] = (readings[:, sides] / 2).tanh()  # 2 p - 1
            readings = readings * turn
        chosen = readings[:, self._chosen]
        return self._middle.to(device) + self._spread.to(device) * chosen

    def features(self, images: Tensor) -> Tensor:
        """Return where pictures lie as the network sees them.

        Distances between these vectors tell what the eye notices in a room (what stands where,
        in which light and colour) and pass over single pixels, which makes them fit to compare
        distributions of pictures (`steerbench.metrics.distribution`) and to say how much
        an edit changed a picture.

        Returns:
            ``[N, 256]`` float32, non-negative.
        """
        return self.run(images, self.network.features)

    def only(self, names: Sequence[str]) -> Self:
        """Return a predictor of some of the attributes, in the order given, with the same network.

        Raises:
            NotFoundError: It does not read one of them.
        """
        return type(self)(self.network, self.readings, names=names, name=self.name)

    def config(self) -> dict[str, Any]:
        """Return what `build` needs beside the tensors."""
        return {
            "readings": [asdict(reading) for reading in self.readings],
            "names": list(self.names),
            "widths": list(self.network.widths),
            "features": self.network.dense.out_features,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return dict(self.network.state_dict())

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str) -> Self:
        """Return build a predictor: the inverse of `config` and `tensors`."""
        readings = [Attribute(**item) for item in config["readings"]]
        network = AttributeNetwork(len(readings), config["widths"], config["features"])
        network.load_state_dict(tensors)
        return cls(network, readings, names=config["names"], name=name)
