"""rosinality/stylegan2-pytorch's ``.pt``: a state dict under ``g_ema``, and perhaps the mean code.

Training files hold ``g``, ``d``, ``g_ema``, optimisers and an argparse Namespace; converted ones
hold ``g_ema`` and ``latent_avg``; some people keep the state dict alone. Weights lie as NVIDIA's
do. Convolutions multiply by their gain before they demodulate, which shifts the epsilon; blur
kernels are stored four times as strong. The row of a ToRGB is the one of the next convolution, as
everywhere. A mean code may
be repeated once a row of w+, as e4e and pSp keep it; where there is none it is measured.

Reference: https://github.com/rosinality/stylegan2-pytorch
"""

from __future__ import annotations

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common.layers import draw_noise, equalised_gain, four_taps
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.stylegan2 import StyleGAN2
from steerbench.generators.stylegan2.layers import resampling_filter


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    width = _code_width(weights)
    state = _mapping(weights)
    state["synthesis.b4.const"] = weights.take("input.input", 4)[0]
    blocks = check_doubling([4 * 2**i for i in (0, *weights.numbers(r"to_rgbs\.(\d+)\.bias", 1))])
    widths: dict[str, int] = {}
    for index, resolution in enumerate(blocks):
        block = f"synthesis.b{resolution}"
        if index:
            up = _layer(weights, f"convs.{2 * index - 2}", f"{block}.conv0", 2 * index - 1)
            blur = weights.take(f"convs.{2 * index - 2}.conv.blur.kernel", 2)
            state |= up | {f"{block}.conv0.resample_filter": four_taps(blur)}
        source = f"convs.{2 * index - 1}" if index else "conv1"
        state |= _layer(weights, source, f"{block}.conv1", 2 * index)
        state |= _to_rgb(weights, f"to_rgbs.{index - 1}" if index else "to_rgb1", f"{block}.torgb")
        widths[str(resolution)] = state[f"{block}.conv1.weight"].shape[0]
    mean = weights.beside("latent_avg")
    if mean is not None:
        state["mapping.w_avg"] = _mean_code(mean, width)
    config = {
        "z_dim": width,
        "w_dim": width,
        "c_dim": 0,
        "mapping_layers": len(weights.numbers(r"style\.(\d+)\.weight")),
        "mapping_width": state["mapping.fc0.weight"].shape[0],
        "widths": widths,
        "channels": state["synthesis.b4.torgb.weight"].shape[0],
    }
    return config, state


def _code_width(weights: Weights) -> int:
    """Return the length of a code, which is that of z and of w in this code."""
    first = weights.take("style.1.weight", 2).shape[1]
    width = weights.take("conv1.conv.modulation.weight", 2).shape[1]
    if first != width:
        raise CheckpointError(
            f"Its mapping, style.1.weight, reads {first} numbers where its layers read codes of "
            f"{width}: it was made for a code joined to something else, perhaps a class, which "
            "names of this kind do not say. Build the module with its authors' code and use "
            "sb.wrap."
        )
    return width


def _mean_code(mean: Tensor, width: int) -> Tensor:
    """Return the mean code ``[width]``, kept once or once a row of w+."""
    if mean.numel() == 0 or mean.numel() % width:
        raise CheckpointError(
            f"Its latent_avg has the shape {list(mean.shape)}; codes of this file have {width} "
            "numbers."
        )
    rows = mean.reshape(-1, width)
    return rows[0] if (rows == rows[0]).all() else rows.mean(dim=0)


def _mapping(weights: Weights) -> dict[str, Tensor]:
    return {
        f"mapping.fc{index}.{kind}": weights.take(f"style.{number}.{kind}")
        for index, number in enumerate(weights.numbers(r"style\.(\d+)\.weight"))
        for kind in ("weight", "bias")
    }


def _layer(weights: Weights, source: str, target: str, index: int) -> dict[str, Tensor]:
    weight = weights.take(f"{source}.conv.weight", 5)[0]
    return {
        f"{target}.weight": weight * equalised_gain(weight),
        f"{target}.bias": weights.take(f"{source}.activate.bias").reshape(-1),
        f"{target}.noise_strength": weights.scalar(f"{source}.noise.weight"),
        f"{target}.noise_const": _noise(weights, index),
        f"{target}.affine.weight": weights.take(f"{source}.conv.modulation.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.conv.modulation.bias", 1),
        f"{target}.resample_filter": resampling_filter(),
    }


def _noise(weights: Weights, index: int) -> Tensor:
    """Return fixed noise of a layer; drawn from the layer's number where an old file has none."""
    if f"noises.noise_{index}" in weights:
        return weights.take(f"noises.noise_{index}", 4)[0, 0]
    return draw_noise(index, 4 * 2 ** ((index + 1) // 2))


def _to_rgb(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    return {
        f"{target}.weight": weights.take(f"{source}.conv.weight", 5)[0],
        f"{target}.bias": weights.take(f"{source}.bias").reshape(-1),
        f"{target}.affine.weight": weights.take(f"{source}.conv.modulation.weight", 2),
        f"{target}.affine.bias": weights.take(f"{source}.conv.modulation.bias", 1),
    }


FORMAT = Format(
    name="rosinality-stylegan2",
    title="rosinality/stylegan2-pytorch",
    architecture=StyleGAN2,
    required=(
        "style.1.weight",
        "input.input",
        "conv1.conv.weight",
        "conv1.conv.modulation.weight",
        "to_rgb1.conv.weight",
    ),
    convert=convert,
    harmless=(r"(convs|to_rgbs)\.\d+\.(conv\.blur|upsample)\.kernel", r"noises\.noise_\d+"),
)
