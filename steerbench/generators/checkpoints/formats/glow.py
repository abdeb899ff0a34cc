"""rosinality/glow-pytorch's ``.pt``: the state dict of a Glow, usually as DataParallel names it.

The file says nothing of itself: steps, levels, widths and the kind of coupling follow from names
and shapes. 1x1 convolutions are kept whole or as the factors of an LU decomposition (the last
level's always are), and are multiplied out here. The size of the pictures it was trained on is in
no shape; it may be told as ``img_size`` (`options`), else the last level is taken for 4x4.

Reference: https://github.com/rosinality/glow-pytorch
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.options import Options, settle
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import Weights, lacking
from steerbench.generators.glow import Glow

TITLE = "rosinality/glow-pytorch"
REQUIRED = (
    "blocks.0.flows.0.actnorm.loc",
    "blocks.0.flows.0.actnorm.scale",
    "blocks.0.flows.0.coupling.net.0.weight",
    "blocks.0.flows.0.coupling.net.4.conv.weight",
    "blocks.0.prior.conv.weight",
)
ROOTS: tuple[tuple[str, ...], ...] = ((), ("model",), ("state_dict",), ("model_state_dict",))
NET = ("net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias")
ONES = ("conv.weight", "conv.bias", "scale")
OPTIONS: Options = {"img_size": 0}
MAX_LEVELS, MAX_SIDE = 10, 4096


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    return {k.removeprefix("module."): v for k, v in contents.tensors(*root).items()}


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    return min((lacking(_tensors(contents, root), REQUIRED) for root in ROOTS), key=len)


def convert(contents: Contents, **options: Any) -> Glow:
    """The generator of a file; ``options`` are some of `OPTIONS`."""
    root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    weights = Weights(_tensors(contents, root), TITLE)
    levels = _count(weights, r"blocks\.(\d+)\.prior\.scale")
    if levels > MAX_LEVELS:
        raise CheckpointError(f"{TITLE} with {levels} levels would draw pictures larger than any.")
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
        "resolution": _side(settle(OPTIONS, contents, options)["img_size"], levels),
    }
    return Glow.build(config, state, name=contents.path.stem)


def _count(weights: Weights, pattern: str) -> int:
    """How many parts of this name there are, if they are counted without gaps."""
    found = weights.numbers(pattern)
    if found != list(range(len(found))) or not found:
        raise CheckpointError(
            f"Of {TITLE} the parts {found[:12]} were found; 0, 1, 2 and so on without gaps were "
            "expected. The file is incomplete."
        )
    return len(found)


def _step(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    begun = weights.tensors.get(f"{source}.actnorm.initialized")
    if begun is not None and not bool(begun.all()):
        raise CheckpointError(
            f"{source} of {TITLE} was kept before its first batch, which sets its scales. Give a "
            "file of a later step."
        )
    state = {f"{target}.weight": _matrix(weights, f"{source}.invconv")}
    for name in ("loc", "scale"):
        state[f"{target}.{name}"] = weights.take(f"{source}.actnorm.{name}", 4)[0]
    for name in NET:
        state[f"{target}.{name}"] = weights.take(f"{source}.coupling.{name}")
    return state | _ones(weights, f"{source}.coupling.net.4", f"{target}.net.4")


def _ones(weights: Weights, source: str, target: str) -> dict[str, Tensor]:
    state = {f"{target}.{name}": weights.take(f"{source}.{name}") for name in ONES}
    state[f"{target}.scale"] = state[f"{target}.scale"].reshape(-1, 1, 1)
    return state


def _matrix(weights: Weights, source: str) -> Tensor:
    """The matrix of a 1x1 convolution, kept whole or as ``P (L + 1) (U + diag)``."""
    if f"{source}.weight" in weights:
        return weights.take(f"{source}.weight", 4)[:, :, 0, 0]
    parts = {name: weights.take(f"{source}.{name}").double() for name in ("w_p", "w_l", "w_u")}
    diagonal = weights.take(f"{source}.s_sign", 1) * weights.take(f"{source}.w_s", 1).exp()
    lower = parts["w_l"].tril(-1) + torch.eye(len(diagonal), dtype=torch.float64)
    upper = parts["w_u"].triu(1) + diagonal.double().diag()
    return (parts["w_p"] @ lower @ upper).float()


def _side(told: Any, levels: int) -> int | None:
    """The side of the pictures, where it was told."""
    if told > MAX_SIDE or told % 2**levels:
        raise CheckpointError(
            f"An img_size of {told} was given; the {levels} levels of this file take a multiple "
            f"of {2**levels}, up to {MAX_SIDE}."
        )
    return told or None
