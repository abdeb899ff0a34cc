"""Progressive GANs of genforce (SeFa, HiGAN) and of InterFaceGAN: ``layer0``, ``layer1``, ...

Files hold ``generator_smooth`` (the average, the one to use) and ``generator``, or one state dict
alone. Gains are applied at run time there: sqrt(2) over the root of the inputs, 1 for pictures.
The first layer is a convolution over a padded pixel, so that its kernel acts turned by 180
degrees. InterFaceGAN's files write ``layer1.conv.weight`` and ``layer1.wscale.bias``, and where
enlarging is fused into a transposed convolution ``layer2.weight``, as TensorFlow lays it out.

Reference: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635);
https://github.com/genforce/interfacegan, https://github.com/genforce/sefa
"""

from __future__ import annotations

import math

from torch import Tensor

from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import Weights, doubling, lacking
from steerbench.generators.pggan import PGGAN

TITLE = "a progressive GAN of genforce"
REQUIRED = ("lod", "layer0.weight", "layer0.bias", "layer1.weight", "output0.weight")
ROOTS: tuple[tuple[str, ...], ...] = (
    ("generator_smooth",),
    ("models", "generator_smooth"),
    ("generator",),
    ("models", "generator"),
    (),
)


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    """The state dict under genforce's names; fused kernels are kept apart as ``fused``."""
    tensors: dict[str, Tensor] = {}
    old = "layer0.conv.weight" in contents.tensors(*root)
    for name, tensor in contents.tensors(*root).items():
        plain = name.replace(".conv.weight", ".weight").replace(".wscale.bias", ".bias")
        fused = old and plain == name and name.endswith(".weight")
        tensors[plain.replace(".weight", ".fused") if fused else plain] = tensor
    return tensors


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(_tensors(contents, root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents) -> PGGAN:
    """The generator of a file."""
    root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    weights = Weights(_tensors(contents, root), TITLE)
    first = weights.take("layer0.weight", 4)
    kernel = (first * _gain(first)).flip(2, 3)
    state = {
        "b4.dense.weight": kernel.permute(0, 2, 3, 1).flatten(0, 2),
        "b4.dense.bias": weights.take("layer0.bias", 1).repeat_interleave(16),
    }
    blocks = doubling([4 * 2**i for i in weights.numbers(r"output(\d+)\.weight")])
    for place, resolution in enumerate(blocks):
        parts = {"conv": 1} if place == 0 else {"conv0": 2 * place, "conv1": 2 * place + 1}
        for part, number in parts.items():
            state[f"b{resolution}.{part}.weight"] = _kernel(weights, f"layer{number}")
            state[f"b{resolution}.{part}.bias"] = weights.take(f"layer{number}.bias", 1)
        picture = weights.take(f"output{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, 1.0)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"output{place}.bias", 1)
    config = {
        "z_dim": first.shape[1],
        "widths": {str(r): state[f"b{r}.torgb.weight"].shape[1] for r in blocks},
        "channels": state["b4.torgb.weight"].shape[0],
        "level": min(max(float(weights.scalar("lod")), 0.0), len(blocks) - 1.0),
    }
    return PGGAN.build(config, state, name=contents.path.stem)


def _gain(weight: Tensor, gain: float = math.sqrt(2.0)) -> float:
    return gain / math.sqrt(weight[0].numel())


def _kernel(weights: Weights, name: str) -> Tensor:
    if f"{name}.fused" not in weights:
        weight = weights.take(f"{name}.weight", 4)
    else:
        # A transposed convolution scatters what a convolution of the turned kernel gathers.
        weight = weights.take(f"{name}.fused", 4).permute(3, 2, 0, 1).flip(2, 3)
    return weight * _gain(weight)
