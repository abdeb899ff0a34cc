"""The progressive GAN of facebookresearch/pytorch_GAN_zoo: ``{config, netG, netD, avgG}``.

``avgG`` is the average, the one to use. The bias lies inside the run-time gain, which is sqrt(2)
over the root of the inputs, for pictures too. The blending with the resolution below is not in
the state dict but in the pickled settings, as ``alpha``.

Reference: https://github.com/facebookresearch/pytorch_GAN_zoo
"""

from __future__ import annotations

import math

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import Weights, doubling, lacking
from steerbench.generators.pggan import PGGAN

TITLE = "the progressive GAN of pytorch_GAN_zoo"
REQUIRED = (
    "formatLayer.module.weight",
    "groupScale0.0.module.weight",
    "toRGBLayers.0.module.weight",
)
ROOTS: tuple[tuple[str, ...], ...] = (("avgG",), ("netG",), ())


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    return {k.removeprefix("module."): v for k, v in contents.tensors(*root).items()}


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(_tensors(contents, root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents, root: tuple[str, ...] | None = None) -> PGGAN:
    """The generator of a file; ``root`` are the keys that lead to it, avgG's by default."""
    if root is None:
        root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    weights = Weights(_tensors(contents, root), TITLE)
    for option in ("equalizedlR", "perChannelNormalization"):
        if contents.get("config", option) is False:
            raise CheckpointError(
                f"The network was trained with {option} off, which is not read. Use sb.wrap."
            )
    state = _layer(weights, "formatLayer", "b4.dense") | _layer(weights, "groupScale0.0", "b4.conv")
    blocks = doubling([4 * 2**i for i in weights.numbers(r"toRGBLayers\.(\d+)\.module\.weight")])
    for place, resolution in enumerate(blocks):
        state |= _layer(weights, f"toRGBLayers.{place}", f"b{resolution}.torgb")
        for number in range(2 if place else 0):
            source = f"scaleLayers.{place - 1}.{number}"
            state |= _layer(weights, source, f"b{resolution}.conv{number}")
    alpha = contents.get("config", "alpha")
    config = {
        "z_dim": state["b4.dense.weight"].shape[1],
        "widths": {str(r): state[f"b{r}.torgb.weight"].shape[1] for r in blocks},
        "channels": state["b4.torgb.weight"].shape[0],
        "level": float(alpha) if isinstance(alpha, int | float) and 0 <= alpha <= 1 else 0.0,
    }
    return PGGAN.build(config, state, name=contents.path.stem)


def _layer(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    weight = weights.take(f"{source}.module.weight")
    gain = math.sqrt(2 / weight[0].numel())
    bias = weights.take(f"{source}.module.bias", 1)
    return {f"{target}.weight": weight * gain, f"{target}.bias": bias * gain}
