"""Hessian Penalty: how much the inputs of a function interfere with one another.

Where each number of a code z does its own part of the work, the Hessian H of the generator has no
entries off its diagonal. Their squares are summed without any second derivative: for random signs
v (each number of v is 1 or -1 with equal chance),

    Var_v[ v^T H v ] = 2 sum_{i != j} H_ij^2
    v^T H v ~ ( G(z + eps v) - 2 G(z) + G(z - eps v) ) / eps^2

so that the unbiased variance over k draws of v costs 2k + 1 evaluations, and its gradient reaches
whatever made G. G gives many numbers (pixels, activations of several layers); their penalties are
reduced by their largest one.

Reference: Peebles, Peebles, Zhu, Efros, Torralba, "The Hessian Penalty: A Weak Prior for
Unsupervised Disentanglement" (2020, arXiv 2008.10599).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from steerbench.errors import ShapeError, SteerbenchError, unknown

REFERENCE = (
    'Peebles et al., "The Hessian Penalty: A Weak Prior for Unsupervised Disentanglement", '
    "arXiv 2008.10599"
)

Outputs = Tensor | Sequence[Tensor]
Reduction = str | Callable[[Tensor], Tensor]

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"max": torch.max, "mean": torch.mean}


@overload
def hessian_penalty(
    function: Callable[[Tensor], Outputs],
    z: Tensor,
    *,
    k: int = ...,
    epsilon: float = ...,
    reduction: Reduction = ...,
    vectors: Tensor | None = ...,
    value: Outputs | None = ...,
    generator: torch.Generator | None = ...,
    separately: Literal[False] = ...,
) -> Tensor: ...
@overload
def hessian_penalty(
    function: Callable[[Tensor], Outputs],
    z: Tensor,
    *,
    k: int = ...,
    epsilon: float = ...,
    reduction: Reduction = ...,
    vectors: Tensor | None = ...,
    value: Outputs | None = ...,
    generator: torch.Generator | None = ...,
    separately: Literal[True],
) -> list[Tensor]: ...
def hessian_penalty(
    function: Callable[[Tensor], Outputs],
    z: Tensor,
    *,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Reduction = "max",
    vectors: Tensor | None = None,
    value: Outputs | None = None,
    generator: torch.Generator | None = None,
    separately: bool = False,
) -> Tensor | list[Tensor]:
    """An unbiased estimate of the Hessian Penalty of a function at some codes.

    It is differentiable, through all 2k + 1 evaluations.

    Args:
        function: Takes ``[N, ...]`` and gives a tensor ``[N, ...]`` or several of them, such as
            activations of many layers. It must give the same for the same codes: fixed noise, and
            batch statistics switched off or harmless.
        z: The codes, ``[N, ...]`` floating point.
        k: How many random vectors, at least two.
        epsilon: The step of the finite differences. In float32 steps under 0.01 drown in rounding.
        reduction: ``"max"`` (the paper's), ``"mean"``, or a function of ``[N, ...]`` to a scalar.
        vectors: Signs to use instead of random ones, ``[k, *z.shape]``; ``k`` is then left out of
            account.
        value: ``function(z)``, if it is already known.
        generator: The source of the random signs; torch's own by default.
        separately: Give one penalty an output instead of their sum.

    Returns:
        A scalar: the sum over outputs; or a list of one scalar each.

    Raises:
        SteerbenchError: Fewer than two vectors, a step that is not positive, or an unknown
            reduction.
        ShapeError: The vectors do not fit the codes.

    A product of two numbers has one pair of entries off the diagonal, both 1: the penalty is
    2 (1 + 1) = 4. Two draws of signs differ in what matters half of the time, and give 8 or 0; a
    sum of squares gives 0 for all draws.

    >>> codes = torch.zeros(1, 2, dtype=torch.float64)
    >>> signs = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]], dtype=torch.float64)
    >>> hessian_penalty(lambda z: z[:, :1] * z[:, 1:], codes, vectors=signs).round(decimals=6)
    tensor(8., dtype=torch.float64)
    >>> hessian_penalty(lambda z: z**2, codes, vectors=signs).round(decimals=6)
    tensor(0., dtype=torch.float64)
    """
    reduce = _reduction(reduction)
    if not epsilon > 0:
        raise SteerbenchError(f"The step was given as {epsilon}. Give a positive one, such as 0.1.")
    signs = random_signs(z, k, generator) if vectors is None else _fitting(vectors, z)
    middle = _listed(function(z) if value is None else value)
    seconds = [_second_derivatives(function, z, middle, v, epsilon) for v in signs]
    penalties = [reduce(torch.stack(of_output).var(dim=0)) for of_output in zip(*seconds)]
    return penalties if separately else torch.stack(penalties).sum()


def random_signs(z: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
    """``[k, *z.shape]`` of 1 and -1 with equal chance (a Rademacher distribution).

    Raises:
        SteerbenchError: Fewer than two vectors were asked for; one has no variance.
    """
    if k < 2:
        raise SteerbenchError(f"{k} random vectors were asked for. A variance takes two or more.")
    device = z.device if generator is None else generator.device
    draw = torch.randint(2, (k, *z.shape), generator=generator, device=device)
    return draw.to(z) * 2 - 1


def _second_derivatives(
    function: Callable[[Tensor], Outputs],
    z: Tensor,
    middle: list[Tensor],
    vector: Tensor,
    epsilon: float,
) -> list[Tensor]:
    """``v^T H v`` of every output, by a central difference."""
    step = epsilon * vector
    ahead, behind = _listed(function(z + step)), _listed(function(z - step))
    return [(a - 2 * m + b) / epsilon**2 for a, m, b in zip(ahead, middle, behind)]


def _listed(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _fitting(vectors: Tensor, z: Tensor) -> Tensor:
    if vectors.ndim != z.ndim + 1 or vectors.shape[1:] != z.shape or len(vectors) < 2:
        raise ShapeError(
            f"Vectors of shape {list(vectors.shape)} were given for codes of shape "
            f"{list(z.shape)}. Give [k, {', '.join(map(str, z.shape))}] with k of 2 or more."
        )
    return vectors.to(z)


def _reduction(reduction: Reduction) -> Callable[[Tensor], Tensor]:
    if callable(reduction):
        return reduction
    if reduction not in REDUCTIONS:
        raise SteerbenchError(unknown("reduction", reduction, REDUCTIONS))
    return REDUCTIONS[reduction]
