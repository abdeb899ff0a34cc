"""eigengan-pytorch's ``.pt``: ``{step, args, g, d, g_ema}`` with an argparse Namespace.

``g_ema``, the average, is the generator to use. All its convolutions but the last are transposed.
Sizes and the number of coordinates follow from the shapes.

Reference: https://github.com/bryandlee/eigengan-pytorch
"""

from __future__ import annotations

from torch import Tensor

from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.eigengan import EigenGAN

PARTS = {
    "projection.U": "basis",
    "projection.L": "length",
    "projection.mu": "origin",
    "subspace_conv1.0.weight": "add0.weight",
    "subspace_conv1.0.bias": "add0.bias",
    "subspace_conv2.0.weight": "add1.weight",
    "subspace_conv2.0.bias": "add1.bias",
    "feature_conv1.1.weight": "conv0.weight",
    "feature_conv1.1.bias": "conv0.bias",
    "feature_conv2.1.weight": "conv1.weight",
    "feature_conv2.1.bias": "conv1.bias",
}
"""Their names of the parts of a block, and ours."""


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    numbers = weights.numbers(r"blocks\.(\d+)\.projection\.U")
    check_doubling([4 * 2**place for place in numbers])
    state: dict[str, Tensor] = {name: weights.take(name) for name in ("fc.weight", "fc.bias")}
    for number in numbers:
        for theirs, ours in PARTS.items():
            state[f"blocks.{number}.{ours}"] = weights.take(f"blocks.{number}.{theirs}")
    for kind in ("weight", "bias"):
        state[f"torgb.{kind}"] = weights.take(f"to_rgb.0.1.{kind}")
    widths = [weights.take("blocks.0.subspace_conv1.0.weight", 4).shape[0]]
    widths += [weights.take(f"blocks.{n}.feature_conv1.1.weight", 4).shape[1] for n in numbers]
    config = {
        "noise": weights.take("fc.weight", 2).shape[1],
        "basis": weights.take("blocks.0.projection.U", 2).shape[0],
        "widths": widths,
        "channels": state["torgb.weight"].shape[0],
        "kernel": state["torgb.weight"].shape[-1],
    }
    return config, state


FORMAT = Format(
    name="eigengan",
    title="eigengan-pytorch",
    architecture=EigenGAN,
    required=("fc.weight", "blocks.0.projection.U", "blocks.0.subspace_conv1.0.weight"),
    convert=convert,
)
