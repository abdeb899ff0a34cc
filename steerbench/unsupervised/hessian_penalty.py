"""Hessian Penalty: how much the inputs of a function interfere with one another.

Where each number of a code z does its own part of the work, the Hessian H of the generator has no
entries off its diagonal. Their squares are summed without any second derivative: for random signs
v (each number of v is 1 or -1 with equal chance),

    Var_v[ v^T H v ] = 2 sum_{i != j} H_ij^2
    v^T H v ~ ( G(z + eps v) - 2 G(z) + G(z - eps v) ) / eps^2

so that the unbiased variance over k draws of v costs 2k + 1 evaluations, and its gradient reaches
whatever made G. G gives many numbers (pixels, activations of several layers); their penalties are
reduced by their largest one.

As a regulariser it shapes a generator while that learns. On a frozen generator it shapes the
directions instead (`HessianPenalty`): of orthonormal a_i, those are looked for along which
one can walk without disturbing the others,

    min_A  E_z  penalty of  w -> G(z + sum_i w_i a_i)   at w = 0

A direction that does nothing disturbs nothing, so that they are sought among those that matter:
A turns in the span of the strongest singular vectors of the Jacobian, and begins with these. (The
paper turns a basis of the whole space, and has a person sort out what does nothing.)

Reference: Peebles, Peebles, Zhu, Efros, Torralba, "The Hessian Penalty: A Weak Prior for
Unsupervised Disentanglement" (2020, arXiv 2008.10599).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, overload

import pandas as pd
import torch
from torch import Tensor, nn

from steerbench.errors import ArgumentError, ShapeError, unknown
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator, Latent
from steerbench.unsupervised import training_loop
from steerbench.unsupervised.jacobian import Jacobian, products
from steerbench.unsupervised.shared import (
    check_count,
    fix_signs,
    layer_suffix,
    make_direction,
    run_file,
)
from steerbench.unsupervised.step_function import StepFunction
from steerbench.unsupervised.training_loop import draw_source

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
    """Return an unbiased estimate of the Hessian Penalty of a function at some codes.

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
        ArgumentError: Fewer than two vectors, a step that is not positive, or an unknown
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
        raise ArgumentError(f"The step was given as {epsilon}. Give a positive one, such as 0.1.")
    signs = random_signs(z, k, generator) if vectors is None else _fitting(vectors, z)
    middle = _as_list(function(z) if value is None else value)
    seconds = [_second_derivatives(function, z, middle, v, epsilon) for v in signs]
    penalties = [reduce(torch.stack(of_output).var(dim=0)) for of_output in zip(*seconds)]
    return penalties if separately else torch.stack(penalties).sum()


def random_signs(z: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
    """Return ``[k, *z.shape]`` of 1 and -1 with equal chance (a Rademacher distribution).

    Args:
        z: The codes whose shape they have.
        k: How many vectors.
        generator: The source of the signs; torch's own by default.

    Raises:
        ArgumentError: Fewer than two vectors were asked for; one has no variance.
    """
    if k < 2:
        raise ArgumentError(f"{k} random vectors were asked for. A variance takes two or more.")
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
    """Return ``v^T H v`` of every output, by a central difference."""
    step = epsilon * vector
    ahead, behind = _as_list(function(z + step)), _as_list(function(z - step))
    return [(a - 2 * m + b) / epsilon**2 for a, m, b in zip(ahead, middle, behind)]


def _as_list(outputs: Outputs) -> list[Tensor]:
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
        raise ArgumentError(unknown("reduction", reduction, REDUCTIONS))
    return REDUCTIONS[reduction]


class HessianPenalty:
    """Orthonormal directions that interfere little with one another, of a generator as it is.

    Args:
        n_directions: How many to keep, those that change the picture most.
        space: Where steps are taken; w where there is one, else z, by default.
        layers: The rows of the layer-wise latent that a step changes.
        output: A layer whose activations are looked at; the picture by default.
        n_learned: How many directions are learned together, at least ``n_directions``; as many as
            the space has where it has fewer.
        n_steps: Of the optimiser (Adam).
        batch_size: Codes a step.
        k: Random vectors a step, at least two.
        epsilon: The step of the finite differences, in standard deviations of the prior.
        reduction: Over the numbers of a picture, ``"max"`` or ``"mean"``.
        learning_rate: Of the rotation.
        n_samples: How many codes give the singular vectors, and how many fresh ones measure.
        seed: Of codes and vectors.

    Attributes:
        directions_: The directions, the strongest first.
        effects_: ``[n_directions]`` float64: how far the picture moves for a step of length one,
            as in `Jacobian`.
        penalty_before_: Of the singular vectors, on fresh codes.
        penalty_: Of the directions learned, on the same codes with the same random vectors.
        history_: A table, one row a step: ``step`` and ``penalty``.
    """

    reference = (
        'Peebles et al., "The Hessian Penalty: A Weak Prior for Unsupervised Disentanglement", '
        "arXiv 2008.10599"
    )
    directions_: list[Direction]
    effects_: Tensor
    penalty_before_: float
    penalty_: float
    history_: pd.DataFrame

    def __init__(
        self,
        n_directions: int = 10,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        output: str | None = None,
        n_learned: int = 20,
        n_steps: int = 200,
        batch_size: int = 4,
        k: int = 2,
        epsilon: float = 0.1,
        reduction: str = "max",
        learning_rate: float = 0.01,
        n_samples: int = 8,
        seed: int = 0,
    ) -> None:
        self.n_directions = n_directions
        self.space = space
        self.layers = layers
        self.output = output
        self.n_learned = n_learned
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.k = k
        self.epsilon = epsilon
        self.reduction = reduction
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.seed = seed

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return None: it differentiates any generator."""
        return None

    def fit(
        self,
        generator: Generator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> HessianPenalty:
        """Find the directions of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any that can be differentiated.
            state: A file from which to go on and into which to write how far the run is.
            save_every: Seconds between two writings of the file.

        Raises:
            SpaceError, LayerError: There is no such space, row or layer.
            ArgumentError: The options make no sense, or the file belongs to another run.
        """
        shifts = StepFunction(generator, self.space, self.layers, self.output)
        check_count(self.n_directions, shifts.size, shifts.space, generator)
        if self.n_steps < 1 or self.batch_size < 1 or self.n_samples < 1:
            raise ArgumentError(
                f"n_steps={self.n_steps}, batch_size={self.batch_size} and n_samples="
                f"{self.n_samples} were given; all of them must be at least 1."
            )
        file = run_file(state, self, generator, save_every)
        start = file.read().get("module.start")
        turned = _Rotation(self._start(shifts) if start is None else start)
        optimiser = torch.optim.Adam(turned.parameters(), lr=self.learning_rate)

        def step(index: int) -> list[float]:
            codes = shifts.sample(self.batch_size, self.seed + index * self.batch_size)
            penalty = self._penalty(shifts, codes, turned(), index)
            optimiser.zero_grad(set_to_none=True)
            penalty.backward()
            optimiser.step()
            return [float(penalty.detach())]

        names, title = ["penalty"], "Hessian Penalty"
        history = training_loop.run(
            turned, optimiser, step, self.n_steps, file, names=names, title=title
        )
        return self._keep(shifts, turned, history)

    def _start(self, shifts: StepFunction) -> Tensor:
        """Return the strongest singular vectors in rows, ``[n_learned, size]``."""
        count = min(max(self.n_learned, self.n_directions), shifts.size)
        basis = Jacobian(
            count, self.space, self.layers, self.output, self.n_samples, seed=self.seed
        ).fit(shifts.generator)
        return torch.stack([direction.vector.flatten() for direction in basis.directions_])

    def _penalty(self, shifts: StepFunction, codes: Latent, basis: Tensor, index: int) -> Tensor:
        std = shifts.generator.spaces[shifts.space].std
        scale = 1.0 if std is None else float(std.square().mean().sqrt())

        def displace(weights: Tensor) -> Tensor:
            return shifts(codes, scale * weights @ basis)

        return hessian_penalty(
            displace,
            codes.data.new_zeros(len(codes), len(basis), dtype=basis.dtype),
            k=self.k,
            epsilon=self.epsilon,
            reduction=self.reduction,
            generator=draw_source(self.seed, index),
        )

    @torch.no_grad()
    def _keep(
        self, shifts: StepFunction, turned: _Rotation, history: pd.DataFrame
    ) -> HessianPenalty:
        codes = shifts.sample(self.n_samples, Codes.HELD_BACK + self.seed)
        basis = turned()
        before, after = (
            float(self._penalty(shifts, codes, rows, Codes.HELD_BACK.start))
            for rows in (turned.get_buffer("start"), basis)
        )
        effects = _measure_effects(shifts, codes, basis)
        strongest = effects.argsort(descending=True, stable=True)[: self.n_directions].cpu()
        directions = [
            make_direction(
                self,
                "Hessian Penalty",
                shifts.generator,
                shifts.space,
                vector,
                name=f"Hessian Penalty {rank + 1}{layer_suffix(shifts.rows)}",
                layers=shifts.rows,
                scores={"effect": float(effects[strongest[rank]]), "rank": rank},
            )
            for rank, vector in enumerate(fix_signs(basis.cpu()[strongest]))
        ]
        self.__dict__.update(
            directions_=directions,
            effects_=effects[strongest],
            penalty_before_=before,
            penalty_=after,
            history_=history,
        )
        return self


class _Rotation(nn.Module):
    """An orthonormal basis that can turn within its span: exp(S) times the start, S skew."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start.double())
        self.generators = nn.Parameter(torch.zeros(len(start), len(start), dtype=torch.float64))

    def forward(self) -> Tensor:
        """The basis in rows, ``[n, size]`` float64."""
        skew = self.generators.triu(1)
        return torch.linalg.matrix_exp(skew - skew.T) @ self.get_buffer("start")


def _measure_effects(shifts: StepFunction, codes: Latent, basis: Tensor) -> Tensor:
    """Measure how far pictures move for a step of one along each vector, ``[n]`` float64."""
    total = torch.zeros(len(basis), dtype=torch.float64)
    for index in range(len(codes)):
        code = codes[index]

        def displace(steps: Tensor, code: Latent = code) -> Tensor:
            return shifts(Latent.cat([code] * len(steps)), steps)

        pictures = products(displace, basis.to(codes.data)).flatten(1).double()
        total += pictures.square().sum(1).cpu() / len(codes)
    return total.sqrt()
