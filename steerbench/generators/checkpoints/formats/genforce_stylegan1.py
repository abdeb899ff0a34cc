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

from torch import Tensor

from steerbench.generators.checkpoints.common import stylegan1
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.state_dicts import Tensors
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.stylegan1 import StyleGAN1


def rename(
    tensors: Tensors,
    patterns: tuple[tuple[str, str], ...] = (
        (r"(mapping\.dense\d+)\.(fc|linear)\.weight", r"\1.weight"),
        (r"(mapping\.dense\d+)\.wscale\.bias", r"\1.bias"),
        (r"(synthesis\.layer\d+)\.weight", r"\1.fused"),
        (r"(synthesis\.(layer|output)\d+)\.conv\.weight", r"\1.weight"),
        (r"(synthesis\.layer\d+)\.epilogue\.style_mod\.dense\.\w+\.weight", r"\1.style.weight"),
        (r"(synthesis\.layer\d+)\.epilogue\.style_mod\.dense\.wscale\.bias", r"\1.style.bias"),
        (r"(synthesis\.layer\d+)\.epilogue\.(.+)", r"\1.\2"),
        (r"synthesis\.layer0\.first_layer", "synthesis.layer0.const"),
    ),
) -> Tensors:
    """Return the tensors under genforce's names; old fused kernels are kept apart as ``fused``."""
    if not _is_old(tensors):
        return tensors
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        fitting = ((old, new) for old, new in patterns if re.fullmatch(old, name))
        old, new = next(fitting, (re.escape(name), name))
        renamed[re.sub(old, new, name)] = tensor
    return renamed


def _is_old(tensors: Tensors) -> bool:
    return "synthesis.layer1.conv.weight" in tensors


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    level = float(weights.scalar("synthesis.lod")) if "synthesis.lod" in weights else 0.0
    level = math.ceil(level) if _is_old(weights.state.tensors) else level
    return stylegan1.assemble(weights, settings, level)


FORMAT = Format(
    name="genforce-stylegan1",
    title="StyleGAN of genforce, HiGAN or InterFaceGAN",
    architecture=StyleGAN1,
    required=(
        "mapping.dense0.weight",
        "synthesis.layer0.const",
        "synthesis.layer0.style.weight",
        "synthesis.layer0.apply_noise.weight",
        "synthesis.layer1.weight",
        "synthesis.output0.weight",
    ),
    convert=convert,
    options=stylegan1.OPTIONS,
    rename=rename,
)
