"""What every adversarial training needs, whatever its networks and losses.

Players learn with Adam. A player that a regulariser teaches in a step of its own every k-th time
takes k + 1 steps where it would take k; with c = k / (k + 1) its rate is c times as large and its
moments are those of c times as many steps (beta^c), so that it learns as fast as without.

A critic's slope is held small where the pictures are,

    R(x) = E |grad_x D(x)|^2,

and what is kept of a generator is the average of its weights, which moves towards them by
1 - 2^(-n / h) when n pictures were seen, h being its half-life.

Processes that train together (`steerbench.training.parallel`) average their gradients, and so take
the step that one process takes with all their pictures.

References: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?"
(2018, arXiv 1801.04406) for R; Karras et al. 2020 (arXiv 1912.04958) for taking it lazily; Karras
et al. 2018 (arXiv 1710.10196) for the average of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from steerbench.errors import ArgumentError


def widths(resolution: int, base: int, most: int) -> dict[int, int]:
    """Return the channels at each resolution from 4 up: `base` divided by it, `most` at most.

    >>> widths(32, base=1024, most=128)
    {4: 128, 8: 128, 16: 64, 32: 32}

    Raises:
        ArgumentError: The resolution is no power of two from 8 up.
    """
    sizes = [2**k for k in range(2, resolution.bit_length())]
    if not sizes or sizes[-1] != resolution:
        raise ArgumentError(
            f"A resolution of {resolution} was asked for. Use a power of two from 8 up."
        )
    return {size: min(most, base // size) for size in sizes}


def rank_and_size() -> tuple[int, int]:
    """Return this process' rank, and how many processes train together."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def adam(
    groups: list[dict[str, Any]], *, learning_rate: float, betas: tuple[float, float], every: int
) -> torch.optim.Adam:
    """Make an Adam whose rates make up for a regulariser's steps.

    Args:
        groups: Of parameters, each with its factor `scale` on the learning rate.
        learning_rate: Of a group of scale 1 without a regulariser.
        betas: Of the moments, without a regulariser.
        every: After how many steps the regulariser takes one; 0 for never.
    """
    share = every / (every + 1) if every else 1.0
    for group in groups:
        group["lr"] = learning_rate * share * group.pop("scale", 1.0)
    first, second = betas
    return torch.optim.Adam(groups, betas=(first**share, second**share), foreach=True)


def average(tensor: Tensor) -> Tensor:
    """Average a tensor over the processes, in place."""
    ranks = rank_and_size()[1]
    if ranks > 1:
        distributed.all_reduce(tensor.div_(ranks))
    return tensor


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Average the gradients of parameters over the processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if rank_and_size()[1] == 1 or not gradients:
        return
    flat = average(torch.cat([g.reshape(-1) for g in gradients]))
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


def slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the mean squared length of a critic's gradient at pictures, with its own gradient.

    >>> float(slope(lambda images: 3 * images.flatten(1).sum(1), torch.zeros(5, 1, 2, 2)))
    36.0
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


@torch.no_grad()
def follow(mean: nn.Module, network: nn.Module, seen: float, half_life: float) -> None:
    """Move an average of weights by `seen` pictures; buffers are copied."""
    weight = 1 - 0.5 ** (seen / half_life)
    torch._foreach_lerp_(list(mean.parameters()), list(network.parameters()), weight)
    for mine, theirs in zip(mean.buffers(), network.buffers()):
        mine.copy_(theirs)


def codes_of_seeds(n: int, z_dim: int, first: int = 0) -> Tensor:
    """Return the codes z `[n, z_dim]` of the seeds `first .. first + n - 1`."""
    z = [np.random.RandomState(first + i).randn(1, z_dim) for i in range(n)]
    return torch.from_numpy(np.concatenate(z)).float()
