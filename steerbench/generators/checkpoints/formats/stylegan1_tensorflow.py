"""StyleGAN of the TensorFlow years: ``karras2019stylegan-ffhq-1024x1024.pkl``, ...

The file is described in `common.tensorflow`. genforce's files were made of such ones, variable by
variable, and `common.stylegan1` says how their weights act; here the settings that theirs
lack are in the file. Truncation with psi 0.7 in the first 8 layers is what the original code does
unasked; here it is asked for, ``G.to(z, "w+", truncation=0.7, truncation_cutoff=8)``.

Reference: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2018, arXiv 1812.04948); https://github.com/NVlabs/stylegan
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common import stylegan1, tensorflow
from steerbench.generators.checkpoints.common.tensorflow import Network, kernel
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.options import settle
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.stylegan1 import StyleGAN1


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    network = tensorflow.network(weights.state.module)
    network.expect(
        nonlinearity="lrelu",
        mapping_nonlinearity="lrelu",
        normalize_latents=True,
        use_styles=True,
        use_pixel_norm=False,
        use_instance_norm=True,
    )
    own = {
        "fused_scale": network.settings.get("fused_scale", "auto"),
        "mapping_lr_mul": network.number("mapping_lrmul", 0.01),
        "use_wscale": network.settings.get("use_wscale", True),
    }
    level = tensorflow.level_of_detail(weights)
    renamed = Weights(weights.state, weights.what, _mapping(weights) | _synthesis(weights, network))
    return stylegan1.assemble(renamed, settle(stylegan1.OPTIONS, {}, own, weights.what), level)


def _mapping(weights: Weights) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for number in weights.numbers(r"mapping/Dense(\d+)/weight"):
        weight = weights.take(f"mapping/Dense{number}/weight", 2)
        state[f"mapping.dense{number}.weight"] = weight.T
        state[f"mapping.dense{number}.bias"] = weights.take(f"mapping/Dense{number}/bias", 1)
    if "mapping/LabelConcat/weight" in weights:
        state["mapping.label_weight"] = weights.take("mapping/LabelConcat/weight", 2)
    if "dlatent_avg" in weights:
        state["truncation.w_avg"] = weights.take("dlatent_avg", 1)
    return state


def _synthesis(weights: Weights, network: Network) -> dict[str, Tensor]:
    blocks = check_doubling([4, *weights.numbers(r"synthesis/(\d+)x\1/Conv1/weight")])
    taps = network.settings.get("blur_filter", [1, 2, 1])
    blur = tensorflow.low_pass(taps) if taps else torch.ones(1, 1)
    state: dict[str, Tensor] = {}
    for place, resolution in enumerate(blocks):
        parts = ("Conv0_up", "Conv1") if place else ("Const", "Conv")
        for number, part in enumerate(parts, start=2 * place):
            source = f"synthesis/{resolution}x{resolution}/{part}"
            state |= _layer(weights, source, number, resolution)
            if part == "Conv0_up":
                state[f"synthesis.layer{number}.blur.kernel"] = blur[None, None]
        paints = f"synthesis/ToRGB_lod{len(blocks) - 1 - place}"
        if f"{paints}/weight" not in weights:
            raise CheckpointError(
                f"The network paints no picture of {resolution} pixels: it was made with the "
                "structure 'fixed', which is not read. Use sb.wrap."
            )
        state[f"synthesis.output{place}.weight"] = kernel(weights.take(f"{paints}/weight", 4))
        state[f"synthesis.output{place}.bias"] = weights.take(f"{paints}/bias", 1)
    return state


def _layer(weights: Weights, source: str, number: int, resolution: int) -> dict[str, Tensor]:
    target = f"synthesis.layer{number}"
    bias = weights.take(f"{source}/bias", 1)
    noise, strength = f"synthesis/noise{number}", f"{source}/Noise/weight"
    silent = noise not in weights or strength not in weights
    if number == 0:
        own = {f"{target}.const": weights.take(f"{source}/const", 4)}
    else:
        own = {f"{target}.weight": kernel(weights.take(f"{source}/weight", 4))}
    still = torch.zeros(1, 1, resolution, resolution)
    return own | {
        f"{target}.bias": bias,
        f"{target}.apply_noise.weight": torch.zeros_like(bias)
        if silent
        else weights.take(strength, 1),
        f"{target}.apply_noise.noise": still if silent else weights.take(noise, 4),
        f"{target}.style.weight": weights.take(f"{source}/StyleMod/weight", 2).T,
        f"{target}.style.bias": weights.take(f"{source}/StyleMod/bias", 1),
    }


FORMAT = Format(
    name="stylegan1-tensorflow",
    title="StyleGAN of TensorFlow",
    architecture=StyleGAN1,
    required=(
        "mapping/Dense0/weight",
        "synthesis/4x4/Const/const",
        "synthesis/4x4/Const/StyleMod/weight",
        "synthesis/4x4/Conv/weight",
        "synthesis/ToRGB_lod0/weight",
    ),
    convert=convert,
    harmless=(r"synthesis/noise\d+",),
)
