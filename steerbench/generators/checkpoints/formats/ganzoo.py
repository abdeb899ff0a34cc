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
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.safe.records import entry
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.pggan import PGGAN


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    beside = weights.state.beside
    for option in ("equalizedlR", "perChannelNormalization"):
        if entry(beside, "config", option) is False:
            raise CheckpointError(
                f"The network was trained with {option} off, which is not read. Use sb.wrap."
            )
    state = _layer(weights, "formatLayer", "b4.dense") | _layer(weights, "groupScale0.0", "b4.conv")
    numbers = weights.numbers(r"toRGBLayers\.(\d+)\.module\.weight")
    blocks = check_doubling([4 * 2**i for i in numbers])
    for place, resolution in enumerate(blocks):
        state |= _layer(weights, f"toRGBLayers.{place}", f"b{resolution}.torgb")
        for number in range(2 if place else 0):
            source = f"scaleLayers.{place - 1}.{number}"
            state |= _layer(weights, source, f"b{resolution}.conv{number}")
    alpha = entry(beside, "config", "alpha")
    config = {
        "z_dim": state["b4.dense.weight"].shape[1],
        "widths": {str(r): state[f"b{r}.torgb.weight"].shape[1] for r in blocks},
        "channels": state["b4.torgb.weight"].shape[0],
        "level": float(alpha) if isinstance(alpha, int | float) and 0 <= alpha <= 1 else 0.0,
    }
    return config, state


def _layer(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    weight = weights.take(f"{source}.module.weight")
    gain = math.sqrt(2 / weight[0].numel())
    bias = weights.take(f"{source}.module.bias", 1)
    return {f"{target}.weight": weight * gain, f"{target}.bias": bias * gain}


FORMAT = Format(
    name="ganzoo-pgan",
    title="the progressive GAN of pytorch_GAN_zoo",
    architecture=PGGAN,
    required=(
        "formatLayer.module.weight",
        "groupScale0.0.module.weight",
        "toRGBLayers.0.module.weight",
    ),
    convert=convert,
)
