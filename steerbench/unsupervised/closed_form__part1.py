"""Walks that stay where codes are likely: circles on the sphere that a code lies on.

A normal prior of many dimensions puts nearly all codes at one distance from the origin, and a
straight walk leaves it. A *great circle* turns the code z towards a direction v, in the plane of
both, and changes everything else about z as well, in the end: it leads to v itself. A *small
circle* turns only within the plane of v and a direction that does next to nothing, so that all
other coordinates stay. Both keep the length of z exactly::

    great    z(t) = |z| (cos t  z/|z| + sin t  v')    v': v without its part along z, of length 1
    small    z(t) = z, its part in span(v, r) turned by t

An arc has the length that the straight step would have.

Reference: Spingarn, Banner, Michaeli, "GAN 'Steerability' without optimization" (2021,
arXiv 2012.05328).
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench.errors import LatentError, SpaceError
from steerbench.types import Direction, Latent


def great_circle(latent: Latent, direction: Direction, alpha: float) -> Latent:
    """Turn codes towards a direction, along an arc of ``alpha`` of its steps.

    Args:
        latent: Codes in the direction's space, ``[N, size]``.
        direction: Where to.
        alpha: How far, in standard deviations of the prior; a full turn is back.

    Raises:
        SpaceError: The codes are of another space.
        LatentError: A code is zero, or lies along the direction.

    >>> latent = Latent("z", torch.tensor([[3.0, 0.0]]))
    >>> up = Direction("up", "z", [0.0, 1.0])
    >>> great_circle(latent, up, 3 * torch.pi / 2).data.round(decimals=5)
    tensor([[0., 3.]])
    """
    codes, vector = _same_space(latent, direction)
    lengths = codes.norm(dim=1, keepdim=True)
    units = codes / lengths.clamp_min(1e-300)
    across = vector - (units @ vector)[:, None] * units
    size = across.norm(dim=1, keepdim=True)
    if bool((size < 1e-9).any()) or bool((lengths == 0).any()):
        raise LatentError(
            f"A code is zero or lies along {direction.name!r}: no circle leads from it there. Take "
            "other codes."
        )
    angle = alpha * direction.scale / lengths
    turned = lengths * (angle.cos() * units + angle.sin() * across / size)
    return latent.with_data(turned.to(latent.data.dtype))


def small_circle(
    latent: Latent, direction: Direction, reference: Direction, alpha: float
) -> Latent:
    """Turn codes in the plane of a direction and a reference, along an arc of ``alpha`` steps.

    Args:
        latent: Codes in the direction's space, ``[N, size]``.
        direction: Where to.
        reference: What gives way: best a direction that changes little, such as
            ``ClosedForm.weakest_``.
        alpha: How far, in standard deviations of the prior. The farthest that a code can get is
            where all of its part in the plane lies along the direction.

    Raises:
        SpaceError: The codes or the reference are of another space.
        LatentError: Both directions are the same, or a code has no part in their plane.
    """
    codes, vector = _same_space(latent, direction)
    other = _same_space(latent, reference)[1]
    other = other - (other @ vector) * vector
    if float(other.norm()) < 1e-9:
        raise LatentError(f"{direction.name!r} and {reference.name!r} span no plane.")
    plane = torch.stack([vector, other / other.norm()])
    part = codes @ plane.T
    radius = part.norm(dim=1, keepdim=True)
    if bool((radius == 0).any()):
        raise LatentError("A code has no part in the plane of the circle. Take other codes.")
    angle = torch.atan2(part[:, :1], part[:, 1:]) + alpha * direction.scale / radius
    turned = radius * torch.cat([angle.sin(), angle.cos()], dim=1)
    return latent.with_data((codes + (turned - part) @ plane).to(latent.data.dtype))


def _same_space(latent: Latent, direction: Direction) -> tuple[Tensor, Tensor]:
    vector = direction.vector.to(latent.data.device).flatten()
    if latent.space != direction.space or latent.data.shape[1:] != direction.vector.shape:
        raise SpaceError(
            f"Codes of {latent.space!r} were to turn towards {direction.name!r}, a direction of "
            f"{direction.space!r}. Convert them with G.to(codes, {direction.space!r})."
        )
    return latent.data.double(), vector


__all__ = ["great_circle", "small_circle"]
