"""StyleGAN in genforce's ``.pth``, and in the files of HiGAN and InterFaceGAN before it.

genforce's and SeFa's files hold ``generator_smooth`` (the average, the one to use) and
``generator``, or are a training snapshot with both under ``models``. HiGAN's and InterFaceGAN's are
one state dict, with ``layer1.conv.weight`` and ``layer1.epilogue.style_mod.dense.fc.weight`` for
``layer1.weight`` and ``layer1.style.weight``. Gains are applied at run time there: sqrt(2) over the
root of the inputs, 1 for styles and pictures, all of it times 0.01 in the mapping, whose rectifiers
have no gain of their own. A label is joined to z before both are normalised.

Where enlarging is fused into a transposed convolution the kernel acts turned by 180 degrees.
HiGAN's and InterFaceGAN's names show where; genforce's do not, so that ``fused_scale`` may have to
be said when loading (``"auto"``, the usual, is from 128 pixels on), like ``final_tanh``. A level
of detail between two whole ones is blended by genforce and rounded up by the others. Truncation
takes a number of layers in this code, and none are meant where it is not said; here that number is
``truncation_cutoff``, without which all layers are.

Reference: Shen, Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (2021, arXiv
2007.06600), https://github.com/genforce/sefa; Yang, Shen, Zhou, "Semantic Hierarchy Emerges in Deep
Generative Representations" (2020, arXiv 1911.09267), https://github.com/genforce/higan
"""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.options import Options, settle
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import (
    Weights,
    doubling,
    lacking,
    odd_blur,
    with_mean,
)
from steerbench.generators.stylegan1 import StyleGAN1

TITLE = "StyleGAN of genforce, HiGAN or InterFaceGAN"
REQUIRED = (
    "mapping.dense0.weight",
    "synthesis.layer0.const",
    "synthesis.layer0.style.weight",
    "synthesis.layer0.apply_noise.weight",
    "synthesis.layer1.weight",
    "synthesis.output0.weight",
)
ROOTS: tuple[tuple[str, ...], ...] = (
    ("generator_smooth",),
    ("models", "generator_smooth"),
    ("generator",),
    ("models", "generator"),
    (),
)
OPTIONS: Options = {
    "fused_scale": "auto",
    "final_tanh": False,
    "mapping_lr_mul": 0.01,
    "use_wscale": True,
}
OLD_NAMES = (
    (r"(mapping\.dense\d+)\.(fc|linear)\.weight", r"\1.weight"),
    (r"(mapping\.dense\d+)\.wscale\.bias", r"\1.bias"),
    (r"(synthesis\.layer\d+)\.weight", r"\1.fused"),
    (r"(synthesis\.(layer|output)\d+)\.conv\.weight", r"\1.weight"),
    (r"(synthesis\.layer\d+)\.epilogue\.style_mod\.dense\.(fc|linear)\.weight", r"\1.style.weight"),
    (r"(synthesis\.layer\d+)\.epilogue\.style_mod\.dense\.wscale\.bias", r"\1.style.bias"),
    (r"(synthesis\.layer\d+)\.epilogue\.(.+)", r"\1.\2"),
    (r"synthesis\.layer0\.first_layer", "synthesis.layer0.const"),
)


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    """The state dict under genforce's names; old fused kernels are kept apart as ``fused``."""
    tensors = contents.tensors(*root)
    return {_new_name(name): t for name, t in tensors.items()} if _is_old(tensors) else tensors


def _is_old(tensors: dict[str, Tensor]) -> bool:
    return "synthesis.layer1.conv.weight" in tensors


def _new_name(name: str) -> str:
    for pattern, new in OLD_NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, new, name)
    return name


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(_tensors(contents, root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents, root: tuple[str, ...] | None = None, **options: Any) -> StyleGAN1:
    """The generator of a file.

    Args:
        contents: Of the file.
        root: The keys that lead to the generator; the average by default.
        options: Some of `OPTIONS`.
    """
    if root is None:
        root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    told = settle(OPTIONS, contents, options)
    weights = Weights(_tensors(contents, root), TITLE)
    level = float(weights.scalar("synthesis.lod")) if "synthesis.lod" in weights else 0.0
    level = math.ceil(level) if _is_old(contents.tensors(*root)) else level
    return assemble(weights, told, level, contents.path.stem)


def assemble(weights: Weights, told: Options, level: float, name: str) -> StyleGAN1:
    """The generator of weights under genforce's names, at a level of detail."""
    config, state = _mapping(weights, told)
    blocks = doubling([4 * 2**i for i in weights.numbers(r"synthesis\.output(\d+)\.weight")])
    widths: dict[str, int] = {}
    for place, resolution in enumerate(blocks):
        parts = ("conv0", "conv1") if place else ("const", "conv")
        for number, part in enumerate(parts, start=2 * place):
            state |= _layer(weights, number, f"b{resolution}.{part}", told)
        picture = weights.take(f"synthesis.output{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, 1.0, told)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"synthesis.output{place}.bias", 1)
        widths[str(resolution)] = picture.shape[1]
    config |= {
        "widths": widths,
        "channels": state["b4.torgb.weight"].shape[0],
        "level": min(max(level, 0.0), len(blocks) - 1.0),
        "taps": state["b8.conv0.blur"].shape[-1] if len(blocks) > 1 else 3,
        "tanh": bool(told["final_tanh"]),
    }
    return with_mean(StyleGAN1, config, state, name)


def _gain(weight: Tensor, gain: float, told: Options) -> float:
    return gain / math.sqrt(weight[0].numel()) if told["use_wscale"] else 1.0


def _mapping(weights: Weights, told: Options) -> tuple[dict[str, Any], dict[str, Tensor]]:
    numbers = weights.numbers(r"mapping\.dense(\d+)\.weight")
    state: dict[str, Tensor] = {}
    for number in numbers:
        weight = weights.take(f"mapping.dense{number}.weight", 2)
        bias = weights.take(f"mapping.dense{number}.bias", 1)
        gain = _gain(weight, math.sqrt(2.0), told) * float(told["mapping_lr_mul"])
        state |= dense(f"mapping.fc{number}", weight * gain, bias * float(told["mapping_lr_mul"]))
    first = weights.take("mapping.dense0.weight", 2)
    config: dict[str, Any] = {
        "z_dim": first.shape[1],
        "w_dim": weights.take("synthesis.layer0.style.weight", 2).shape[1],
        "mapping_layers": len(numbers),
        "mapping_width": first.shape[0],
    }
    if config["w_dim"] != (given := state[f"mapping.fc{max(numbers)}.bias"].shape[0]):
        raise CheckpointError(
            f"The mapping network gives {given} numbers where layers read {config['w_dim']}: it "
            "was made with repeat_w off, which is not read. Use sb.wrap."
        )
    if "mapping.label_weight" in weights:
        label = weights.take("mapping.label_weight", 2)
        config |= {"c_dim": label.shape[0], "embed_dim": label.shape[1]}
        config["z_dim"] -= label.shape[1]
        state |= embedding(label)
    if "truncation.w_avg" in weights:
        state["mapping.w_avg"] = weights.take("truncation.w_avg").reshape(-1)
    return config, state


def dense(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """A mapping layer, given as it acts, as `MappingNetwork` keeps it.

    That one divides weights by 100 and the root of the inputs, and multiplies what its rectifiers
    give by sqrt(2).
    """
    scale = 0.01 * math.sqrt(2.0)
    root = math.sqrt(weight.shape[1])
    return {f"{name}.weight": weight * (root / scale), f"{name}.bias": bias / scale}


def embedding(label: Tensor) -> dict[str, Tensor]:
    """An embedded code a class, ``[classes, dim]``, as `MappingNetwork` keeps it."""
    return {
        "mapping.embed.weight": label.T * math.sqrt(label.shape[0]),
        "mapping.embed.bias": label.new_zeros(label.shape[1]),
    }


def _layer(weights: Weights, number: int, target: str, told: Options) -> dict[str, Tensor]:
    source = f"synthesis.layer{number}"
    style = weights.take(f"{source}.style.weight", 2)
    noise = weights.take(f"{source}.apply_noise.noise", 4)
    state = {
        f"{target}.bias": weights.take(f"{source}.bias", 1),
        f"{target}.noise_strength": weights.take(f"{source}.apply_noise.weight", 1),
        f"{target}.noise_const": noise[0, 0],
        f"{target}.affine.weight": style * _gain(style, 1.0, told),
        f"{target}.affine.bias": weights.take(f"{source}.style.bias", 1),
    }
    if number == 0:
        return state | {f"{target}.const": weights.take(f"{source}.const", 4)[0]}
    enlarges = number % 2 == 0
    kernel = _kernel(weights, source, noise.shape[-1] if enlarges else 0, told)
    state[f"{target}.weight"] = kernel * _gain(kernel, math.sqrt(2.0), told)
    if enlarges:
        blur = f"{source}.blur.kernel"
        taken = weights.take(blur, 4) if blur in weights else kernel.new_ones(1, 1)
        state[f"{target}.blur"] = odd_blur(taken)
    return state


def _kernel(weights: Weights, source: str, enlarged: int, told: Options) -> Tensor:
    """A kernel ``[out, in, 3, 3]`` as it acts on repeated pixels, ``enlarged`` to a resolution.

    Scattering, as fused layers do, turns what it scatters.
    """
    if f"{source}.fused" in weights:
        return weights.take(f"{source}.fused", 4).permute(3, 2, 0, 1).flip(2, 3)
    weight = weights.take(f"{source}.weight", 4)
    fused = enlarged >= 128 if told["fused_scale"] == "auto" else bool(told["fused_scale"])
    return weight.flip(2, 3) if fused and enlarged else weight
