"""Random unit vectors, even on the sphere.

A vector of normal numbers, divided by its length, has no preferred direction::

    n = g / |g|      with      g ~ N(0, I)

Several at right angles are a basis that is even over all of them: the Q of a normal matrix's QR
decomposition, with the signs of R's diagonal put right.

References: Muller, "A Note on a Method for Generating Points Uniformly on N-dimensional Spheres",
Communications of the ACM 2(4) (1959); Mezzadri, "How to Generate Random Matrices from the Classical
Compact Groups", Notices of the AMS 54(5) (2007).

>>> basis = random_unit_vectors(2, 5, orthonormal=True)
>>> torch.allclose(basis @ basis.T, torch.eye(2, dtype=torch.float64))
True
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_unit_vectors(n: int, size: int, *, orthonormal: bool = False, seed: int = 0) -> Tensor:
    """Draw unit vectors in rows, ``[n, size]`` float64.

    Args:
        n: How many. Without ``orthonormal``, more of them begin with the same ones.
        size: The dimensions of the space.
        orthonormal: At right angles to one another; then at most ``size``.
        seed: Of the draw.
    """
    normal = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, size)))
    if not orthonormal:
        return normal / normal.norm(dim=1, keepdim=True)
    basis, triangle = torch.linalg.qr(normal.T)
    return (basis * triangle.diagonal().sign()).T
