"""StyleGAN as its equations say it, on weights under genforce's names: slow, plain, in float64.

It shares nothing with `steerbench.generators.stylegan1`, so that formats of any size and with
any option can be held to it.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def make_state(
    widths: tuple[int, ...] = (8, 6, 5),
    *,
    z_dim: int = 6,
    w_dim: int = 7,
    width: int = 9,
    layers: int = 3,
    label: int = 0,
    channels: int = 3,
) -> State:
    """Random weights; ``widths`` are those of 4, 8, 16, ... pixels."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    state: State = {"truncation.w_avg": draw(w_dim), "synthesis.lod": torch.zeros(())}
    sizes = [z_dim * (2 if label else 1), *[width] * (layers - 1), w_dim]
    if label:
        state["mapping.label_weight"] = draw(label, z_dim)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        state[f"mapping.dense{i}.weight"] = 100 * draw(outputs, inputs)
        state[f"mapping.dense{i}.bias"] = 20 * draw(outputs)
    for number in range(2 * len(widths)):
        place, name = number // 2, f"synthesis.layer{number}"
        outputs, size = widths[place], 4 * 2**place
        inputs = widths[place - 1] if number % 2 == 0 else outputs
        if number == 0:
            state[f"{name}.const"] = draw(1, outputs, 4, 4)
        else:
            state[f"{name}.weight"] = draw(outputs, inputs, 3, 3)
        if number and number % 2 == 0:
            blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
            state[f"{name}.blur.kernel"] = blur.expand(outputs, 1, 3, 3).clone()
        state[f"{name}.bias"] = 0.3 * draw(outputs)
        state[f"{name}.apply_noise.weight"] = 0.3 * draw(outputs)
        state[f"{name}.apply_noise.noise"] = draw(1, 1, size, size)
        state[f"{name}.style.weight"] = draw(2 * outputs, w_dim)
        state[f"{name}.style.bias"] = 0.3 * draw(2 * outputs)
        if number % 2:
            state[f"synthesis.output{place}.weight"] = draw(channels, outputs, 1, 1)
            state[f"synthesis.output{place}.bias"] = 0.3 * draw(channels)
    return state


def mapped(state: State, z: Tensor, label: Tensor | None = None) -> Tensor:
    """z ``[N, z_dim]`` (and weights of classes) to w."""
    x = z.double()
    if label is not None:
        x = torch.cat([x, label.double() @ state["mapping.label_weight"].double()], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in itertools.count():
        if f"mapping.dense{i}.weight" not in state:
            return x
        weight = state[f"mapping.dense{i}.weight"].double()
        x = x @ weight.T * math.sqrt(2 / weight.shape[1]) * 0.01
        x = F.leaky_relu(x + 0.01 * state[f"mapping.dense{i}.bias"].double(), 0.2)
    return x


def painted(
    state: State,
    w: Tensor,
    *,
    fused_from: float = 128,
    eps: float = 1e-8,
    noise: bool = True,
    level: float = 0.0,
    tanh: bool = False,
) -> Tensor:
    """w ``[N, w_dim]`` to a picture; layers of at least ``fused_from`` pixels are fused."""
    blocks = sum(name.endswith(".const") or ".output" in name for name in state) // 2
    x, image = torch.empty(len(w), 0).double(), torch.empty(0)
    for place in range(blocks):
        size, lacking = 4 * 2**place, blocks - 1 - place
        if level >= lacking + 1:
            continue
        for number in (2 * place, 2 * place + 1):
            fused = number % 2 == 0 and size >= fused_from
            x = layer(state, f"synthesis.layer{number}", x, w.double(), fused, eps, noise)
        weight = state[f"synthesis.output{place}.weight"].double()
        bias = state[f"synthesis.output{place}.bias"].double()
        rgb = F.conv2d(x, weight / math.sqrt(weight.shape[1]), bias)
        share = min(1.0, lacking + 1 - level)
        image = rgb if share == 1 else share * rgb + (1 - share) * doubled(image)
    while image.shape[-1] < 4 * 2 ** (blocks - 1):
        image = doubled(image)
    return torch.tanh(image) if tanh else image


def layer(
    state: State, name: str, x: Tensor, w: Tensor, fused: bool, eps: float, noise: bool
) -> Tensor:
    """One layer, styled."""
    own = {k.removeprefix(f"{name}."): v.double() for k, v in state.items() if k.startswith(name)}
    if "const" in own:
        x = own["const"].repeat(len(w), 1, 1, 1)
    else:
        weight = own["weight"] * math.sqrt(2 / own["weight"][0].numel())
        enlarges = "blur.kernel" in own
        if fused:
            x = scattered(x, weight)
        else:
            x = F.conv2d(doubled(x) if enlarges else x, weight, padding=1)
        if enlarges:
            x = F.conv2d(x, own["blur.kernel"], padding=1, groups=x.shape[1])
    if noise:
        x = x + own["apply_noise.weight"][:, None, None] * own["apply_noise.noise"]
    x = F.leaky_relu(x + own["bias"][:, None, None], 0.2)
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + eps).sqrt()
    style = w @ own["style.weight"].T / math.sqrt(w.shape[1]) + own["style.bias"]
    scale, shift = style.chunk(2, dim=1)
    return x * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


def doubled(x: Tensor) -> Tensor:
    """Every pixel twice in both directions."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def scattered(x: Tensor, weight: Tensor) -> Tensor:
    """Every pixel throws the kernel on the canvas four times, a pixel apart; the rim is cut."""
    n, _, h, w = x.shape
    canvas = x.new_zeros(n, weight.shape[0], 2 * h + 2, 2 * w + 2)
    for i, j, k, m in itertools.product(range(2), range(2), range(3), range(3)):
        thrown = torch.einsum("nchw,oc->nohw", x, weight[:, :, k, m])
        rows, columns = i + k, j + m
        canvas[:, :, rows : rows + 2 * h : 2, columns : columns + 2 * w : 2] += thrown
    return canvas[:, :, 1:-1, 1:-1]
