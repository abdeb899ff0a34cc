"""Which channels of StyleSpace say a text: the arithmetic of StyleCLIP's global directions.

For a channel c, every picture is drawn with c five standard deviations below and above its own
value. How CLIP's features f change is the channel's own direction:

    D_c = N(mean over pictures of N(N f(+) - N f(-))),     N v = v / |v|

A channel's relevance to a text direction d is ``R_c = D_c . d``; where it is smaller than beta the
channel stays, and the rest is divided by the largest and taken in standard deviations of s:

    step_c = sigma_c R_c / max |R|   where |R_c| >= beta, else 0

beta trades strength for disentanglement: the larger, the fewer channels move.

>>> D = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
>>> text = torch.tensor([0.0, 0.5], dtype=torch.float64)
>>> step, moved = channel_step(D @ text, torch.ones(3), beta=0.1)
>>> step.tolist(), moved
([0.0, 1.0, 0.8], 2)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ArgumentError


def channel_features(features: Tensor) -> Tensor:
    """Return D of channels: ``[C, N, 2, F]`` features below and above, to ``[C, F]``."""
    unit = F.normalize(features, dim=-1)
    return F.normalize(F.normalize(unit[:, :, 1] - unit[:, :, 0], dim=-1).mean(1), dim=-1)


def channel_step(relevance: Tensor, std: Tensor, beta: float) -> tuple[Tensor, int]:
    """Return the step in s for alpha = 1, ``[C]``, and how many channels move.

    Args:
        relevance: R of every channel ``[C]``; 0 where a channel is not to move.
        std: The standard deviation sigma of every channel ``[C]``.
        beta: The least relevance of a channel that moves.

    Raises:
        ArgumentError: No channel reaches beta.
    """
    if beta < 0:
        raise ArgumentError(f"beta={beta}; give a number from 0 on.")
    size = relevance.abs()
    moved = (size >= beta) & (size > 0)
    if not bool(moved.any()):
        raise ArgumentError(
            f"No channel has a relevance of beta={beta:g} or more; the largest is "
            f"{float(size.max()):.3g}. Give a smaller beta, or texts that differ more."
        )
    step = torch.where(moved, relevance, 0.0) / size.max() * std.to(relevance)
    return step, int(moved.sum())


def rank_agreement(a: Tensor, b: Tensor) -> float:
    """Compute Spearman's rank correlation of two relevances ``[C]`` of the same channels."""
    from scipy.stats import spearmanr

    return float(spearmanr(a.cpu().numpy(), b.cpu().numpy()).statistic)
