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
from typing import Any

from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.options import Options, settle
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import Weights, doubling, lacking
from steerbench.generators.pggan import PGGAN

TITLE = "a progressive GAN of genforce"
OPTIONS: Options = {
    "label_size": 0,
    "fused_scale": "auto",
    "final_tanh": False,
    "use_wscale": True,
}
REQUIRED = ("lod", "layer0.weight", "layer0.bias", "layer1.weight", "output0.weight")
ROOTS: tuple[tuple[str, ...], ...] = (
    ("generator_smooth",),
    ("models", "generator_smooth"),
    ("generator",),
    ("models", "generator"),
    (),
)


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    """The state dict under genforce's names; old fused kernels are kept apart as ``fused``."""
    tensors: dict[str, Tensor] = {}
    old = _is_old(contents, root)
    for name, tensor in contents.tensors(*root).items():
        plain = name.replace(".conv.weight", ".weight").replace(".wscale.bias", ".bias")
        fused = old and plain == name and name.endswith(".weight")
        tensors[plain.replace(".weight", ".fused") if fused else plain] = tensor
    return tensors


def _is_old(contents: Contents, root: tuple[str, ...]) -> bool:
    return "layer0.conv.weight" in contents.tensors(*root)


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(_tensors(contents, root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents, **options: Any) -> PGGAN:
    """The generator of a file; ``options`` are some of `OPTIONS`."""
    root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    told = settle(OPTIONS, contents, options)
    weights = Weights(_tensors(contents, root), TITLE)
    level = float(weights.scalar("lod"))
    level = math.ceil(level) if _is_old(contents, root) else level
    return assemble(weights, told, level, contents.path.stem)


def assemble(
    weights: Weights, told: Options, level: float, name: str, joint: bool = False
) -> PGGAN:
    """The generator of weights under genforce's names, at a level of detail."""
    first = weights.take("layer0.weight", 4)
    kernel = (first * _gain(first, told)).flip(2, 3)
    state = {
        "b4.dense.weight": kernel.permute(0, 2, 3, 1).flatten(0, 2),
        "b4.dense.bias": weights.take("layer0.bias", 1).repeat_interleave(16),
    }
    blocks = doubling([4 * 2**i for i in weights.numbers(r"output(\d+)\.weight")])
    widths = {r: weights.take(f"output{i}.weight", 4).shape[1] for i, r in enumerate(blocks)}
    fused = _is_fused(weights, list(widths.values()), told)
    for place, resolution in enumerate(blocks):
        parts = {"conv": 1} if place == 0 else {"conv0": 2 * place, "conv1": 2 * place + 1}
        for part, number in parts.items():
            kernel = _kernel(weights, f"layer{number}", fused and part == "conv0")
            state[f"b{resolution}.{part}.weight"] = kernel * _gain(kernel, told)
            state[f"b{resolution}.{part}.bias"] = weights.take(f"layer{number}.bias", 1)
        picture = weights.take(f"output{place}.weight", 4)
        state[f"b{resolution}.torgb.weight"] = picture * _gain(picture, told, 1.0)
        state[f"b{resolution}.torgb.bias"] = weights.take(f"output{place}.bias", 1)
    config = {
        "z_dim": first.shape[1] - _label_size(first.shape[1], told),
        "widths": {str(resolution): width for resolution, width in widths.items()},
        "channels": state["b4.torgb.weight"].shape[0],
        "level": min(max(level, 0.0), len(blocks) - 1.0),
        "c_dim": _label_size(first.shape[1], told),
        "joint": joint,
        "tanh": bool(told["final_tanh"]),
    }
    return PGGAN.build(config, state, name=name)


def _label_size(inputs: int, told: Options) -> int:
    size = int(told["label_size"])
    if size >= inputs:
        raise CheckpointError(
            f"A label of {size} numbers was spoken of, but code and label together have {inputs}."
        )
    return size


def _gain(weight: Tensor, told: Options, gain: float = math.sqrt(2.0)) -> float:
    return gain / math.sqrt(weight[0].numel()) if told["use_wscale"] else 1.0


def _is_fused(weights: Weights, widths: list[int], told: Options) -> bool:
    """Whether genforce's kernels that enlarge are stored for scattering, inputs first."""
    if told["fused_scale"] != "auto":
        return bool(told["fused_scale"])
    for place in range(1, len(widths)):
        name = f"layer{2 * place}.weight"
        if widths[place] != widths[place - 1] and name in weights:
            return weights.take(name, 4).shape[0] == widths[place - 1]
    return False


def _kernel(weights: Weights, name: str, fused: bool) -> Tensor:
    """A kernel ``[out, in, 3, 3]``; scattering turns what it scatters."""
    if f"{name}.fused" in weights:
        return weights.take(f"{name}.fused", 4).permute(3, 2, 0, 1).flip(2, 3)
    weight = weights.take(f"{name}.weight", 4)
    return weight.transpose(0, 1).flip(2, 3) if fused else weight
