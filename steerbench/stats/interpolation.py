"""The way between two codes of a normal prior.

Nearly all codes of a normal prior in many dimensions lie on a sphere. A straight line would cut
through its middle, where pictures are average; spherical interpolation stays on the great circle
through both, an angle theta apart, and lets the length go evenly from one to the other::

    slerp(a, b; t) = (sin((1 - t) theta) a/|a| + sin(t theta) b/|b|) / sin(theta)
                     * ((1 - t) |a| + t |b|)

References: Shoemake, "Animating Rotation with Quaternion Curves" (1985); in latent spaces: White,
"Sampling Generative Networks" (2016, arXiv 1609.04468).

>>> slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 0.5)
tensor([[1.0607, 1.0607]])
"""

from __future__ import annotations

import torch
from torch import Tensor


def slerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """Return the point at ``t`` of the great circle from one code to another.

    Args:
        a: ``[..., D]``; at ``t=0``.
        b: ``[..., D]``; at ``t=1``. Where both point the same way, or exactly opposite ways, there
            is no one circle and the straight line takes its place.
        t: A number, or ``[..., 1]``.

    Returns:
        ``[..., D]``.
    """
    place = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp_min(1e-12), b / length_b.clamp_min(1e-12)
    angle = torch.acos((unit_a * unit_b).sum(dim=-1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    circle = (torch.sin((1 - place) * angle) * unit_a + torch.sin(place * angle) * unit_b) / sine
    line = torch.lerp(unit_a, unit_b, place)
    return torch.where(sine.abs() < 1e-4, line, circle) * torch.lerp(length_a, length_b, place)
