"""Progressive GANs of the TensorFlow years: ``karras2018iclr-celebahq-1024x1024.pkl``, ...

The file is described in `common.tensorflow`. genforce's files were made of such ones, variable by
variable, and `common.pggan` says how their weights act; here the settings that theirs lack are in
the file. A label is joined to the code before both are normalised.

Reference: Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation" (2017, arXiv 1710.10196);
https://github.com/tkarras/progressive_growing_of_gans
"""

from __future__ import annotations

from torch import Tensor

from steerbench.generators.checkpoints.common import pggan, tensorflow
from steerbench.generators.checkpoints.common.tensorflow import kernel
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.options import settle
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.pggan import PGGAN


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    network = tensorflow.network(weights.state.module)
    network.expect(use_pixelnorm=True, use_leakyrelu=True, normalize_latents=True)
    own = {
        "label_size": int(network.number("label_size", 0)),
        "fused_scale": "8x8/Conv0_up/weight" in weights,
        "use_wscale": network.settings.get("use_wscale", True),
    }
    level = tensorflow.level_of_detail(weights)
    renamed = Weights(weights.state, weights.what, _rename(weights))
    told = settle(pggan.OPTIONS, {}, own, weights.what)
    return pggan.assemble(renamed, told, level, joint=True)


def _rename(weights: Weights) -> dict[str, Tensor]:
    """Return the variables as genforce names them and lays them out."""
    dense = weights.take("4x4/Dense/weight", 2).unflatten(1, (-1, 4, 4))
    state = {
        "layer0.weight": dense.transpose(0, 1).flip(2, 3),
        "layer0.bias": weights.take("4x4/Dense/bias", 1),
    }
    blocks = check_doubling([4, *weights.numbers(r"(\d+)x\1/Conv1/weight")])
    for place, resolution in enumerate(blocks):
        first = "Conv0_up" if f"{resolution}x{resolution}/Conv0_up/weight" in weights else "Conv0"
        parts = {2 * place: first, 2 * place + 1: "Conv1"} if place else {1: "Conv"}
        sources = {f"layer{n}": f"{resolution}x{resolution}/{part}" for n, part in parts.items()}
        sources[f"output{place}"] = f"ToRGB_lod{len(blocks) - 1 - place}"
        for target, source in sources.items():
            state[f"{target}.weight"] = kernel(weights.take(f"{source}/weight", 4))
            state[f"{target}.bias"] = weights.take(f"{source}/bias", 1)
    return state


FORMAT = Format(
    name="pggan-tensorflow",
    title="a progressive GAN of TensorFlow",
    architecture=PGGAN,
    required=("4x4/Dense/weight", "4x4/Conv/weight", "ToRGB_lod0/weight"),
    convert=convert,
)
