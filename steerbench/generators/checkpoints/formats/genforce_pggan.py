"""Progressive GANs of genforce (SeFa, HiGAN) and of InterFaceGAN: ``layer0``, ``layer1``, ...

Files hold ``generator_smooth`` (the average, the one to use) and ``generator``, or one state dict
alone. Gains are applied at run time there: sqrt(2) over the root of the inputs, 1 for pictures.
The first layer is a convolution over a padded pixel, so that its kernel acts turned by 180
degrees. InterFaceGAN's and HiGAN's files write ``layer1.conv.weight`` and ``layer1.wscale.bias``,
and where enlarging is fused into a transposed convolution ``layer2.weight``, as TensorFlow lays it
out; a level of detail between two whole ones is blended by genforce and rounded up by them.

In genforce's files a fused kernel has its channels the other way round, which shows where a layer
has more of them on one side. How much of the first layer's input is a label does not show at all:
``label_size`` has to be said when loading, like ``final_tanh``.

Reference: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635);
https://github.com/genforce/interfacegan, https://github.com/genforce/sefa
"""

from __future__ import annotations

import math

from torch import Tensor

from steerbench.generators.checkpoints.common import pggan
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.state_dicts import Tensors
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.pggan import PGGAN


def rename(tensors: Tensors) -> Tensors:
    """Return the tensors under genforce's names; old fused kernels are kept apart as ``fused``."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.replace(".conv.weight", ".weight").replace(".wscale.bias", ".bias")
        fused = _is_old(tensors) and plain == name and name.endswith(".weight")
        renamed[plain.replace(".weight", ".fused") if fused else plain] = tensor
    return renamed


def _is_old(tensors: Tensors) -> bool:
    return "layer0.conv.weight" in tensors


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    level = float(weights.scalar("lod"))
    level = math.ceil(level) if _is_old(weights.state.tensors) else level
    return pggan.assemble(weights, settings, level)


FORMAT = Format(
    name="genforce-pggan",
    title="a progressive GAN of genforce",
    architecture=PGGAN,
    required=("lod", "layer0.weight", "layer0.bias", "layer1.weight", "output0.weight"),
    convert=convert,
    options=pggan.OPTIONS,
    rename=rename,
)
