"""rosinality/glow-pytorch's ``.pt``: the state dict of a Glow, usually as DataParallel names it.

The file says nothing of itself: steps, levels, widths and the kind of coupling follow from names
and shapes. 1x1 convolutions are kept whole or as the factors of an LU decomposition (the last
level's always are), and are multiplied out here. The size of the pictures it was trained on is in
no shape; it may be told as ``img_size`` (`options`), else the last level is taken for 4x4.

Reference: https://github.com/rosinality/glow-pytorch
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.glow import Glow


def convert(weights: Weights, settings: Settings, largest: int = 10) -> Parts:
    """Return settings and weights of the generator.

    Args:
        weights: Under their published names.
        settings: ``img_size``.
        largest: How many levels there may be.
    """
    levels = _count(weights, r"blocks\.(\d+)\.prior\.scale")
    if levels > largest:
        raise CheckpointError(
            f"{weights.what} with {levels} levels would draw pictures larger than any."
        )
    flows = _count(weights, r"blocks\.0\.flows\.(\d+)\.actnorm\.loc")
    state: dict[str, Tensor] = {}
    for level in range(levels):
        for step in range(flows):
            names = f"blocks.{level}.flows.{step}", f"levels.{level}.flows.{step}"
            state |= _step(weights, *names)
        state |= _ones(weights, f"blocks.{level}.prior", f"levels.{level}.prior")
    squeezed = state["levels.0.flows.0.loc"].shape[0]
    leaving = weights.take("blocks.0.flows.0.coupling.net.4.conv.weight", 4).shape[0]
    config = {
        "channels": squeezed // 4,
        "flows": flows,
        "levels": levels,
        "width": state["levels.0.flows.0.net.0.weight"].shape[0],
        "affine": leaving == squeezed,
        "resolution": _side(settings["img_size"], levels),
    }
    return config, state


def _count(weights: Weights, pattern: str) -> int:
    """Return how many parts of this name there are, if they are counted without gaps."""
    found = weights.numbers(pattern)
    if found != list(range(len(found))) or not found:
        raise CheckpointError(
            f"Of {weights.what} the parts {found[:12]} were found; 0, 1, 2 and so on without gaps "
            "were expected. The file is incomplete."
        )
    return len(found)


def _step(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    begun = weights.tensors.get(f"{source}.actnorm.initialized")
    if begun is not None and not bool(begun.all()):
        raise CheckpointError(
            f"{source} of {weights.what} was kept before its first batch, which sets its scales. "
            "Give a file of a later step."
        )
    state = {f"{target}.weight": _matrix(weights, f"{source}.invconv")}
    for name in ("loc", "scale"):
        state[f"{target}.{name}"] = weights.take(f"{source}.actnorm.{name}", 4)[0]
    for name in ("net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"):
        state[f"{target}.{name}"] = weights.take(f"{source}.coupling.{name}")
    return state | _ones(weights, f"{source}.coupling.net.4", f"{target}.net.4")


def _ones(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    names = ("conv.weight", "conv.bias", "scale")
    state = {f"{target}.{name}": weights.take(f"{source}.{name}") for name in names}
    state[f"{target}.scale"] = state[f"{target}.scale"].reshape(-1, 1, 1)
    return state


def _matrix(weights: Weights, source: str) -> Tensor:
    """Return the matrix of a 1x1 convolution, kept whole or as ``P (L + 1) (U + diag)``."""
    if f"{source}.weight" in weights:
        return weights.take(f"{source}.weight", 4)[:, :, 0, 0]
    parts = {name: weights.take(f"{source}.{name}").double() for name in ("w_p", "w_l", "w_u")}
    diagonal = weights.take(f"{source}.s_sign", 1) * weights.take(f"{source}.w_s", 1).exp()
    lower = parts["w_l"].tril(-1) + torch.eye(len(diagonal), dtype=torch.float64)
    upper = parts["w_u"].triu(1) + diagonal.double().diag()
    return (parts["w_p"] @ lower @ upper).float()


def _side(told: int, levels: int, largest: int = 4096) -> int | None:
    """Return the side of the pictures, where it was told."""
    if told > largest or told % 2**levels:
        raise CheckpointError(
            f"An img_size of {told} was given; the {levels} levels of this file take a multiple "
            f"of {2**levels}, up to {largest}."
        )
    return told or None


FORMAT = Format(
    name="glow",
    title="rosinality/glow-pytorch",
    architecture=Glow,
    required=(
        "blocks.0.flows.0.actnorm.loc",
        "blocks.0.flows.0.actnorm.scale",
        "blocks.0.flows.0.coupling.net.0.weight",
        "blocks.0.flows.0.coupling.net.4.conv.weight",
        "blocks.0.prior.conv.weight",
    ),
    convert=convert,
    options={"img_size": 0},
    harmless=(r".*\.actnorm\.initialized", r".*\.invconv\.(u_mask|l_mask|l_eye)"),
)
