"""Singular vectors of the Jacobian: the steps that change a picture the most.

Near a code z the generator is linear, G(z + s) ~ G(z) + J s, and the unit step that moves the
picture the furthest is the leading right singular vector of J,

    J v_i = sigma_i u_i        J^T J v_i = sigma_i^2 v_i

J itself has as many rows as the picture has numbers. Power iteration needs only its products with
a few vectors, forwards by forward-mode differentiation (J v) and backwards by an ordinary gradient
(J^T u). Here a block of vectors is multiplied at a time, and all earlier blocks are kept: the best
vectors in the span of all of them (block Krylov iteration) are right long before power iteration
would be, and exact when the span is the whole space. Where that would take about as many products
as the space has dimensions, J is simply made, column by column.

Of one code this gives local directions; what holds everywhere is the mean of J^T J over codes of
the prior, whose eigenvectors are the default here:

    mean_z[ J_z^T J_z ] v_i = lambda_i v_i

>>> import steerbench as sb
>>> found = Jacobian(n_directions=2, n_samples=1).fit(sb.load("rooms"))
>>> bool(found.singular_values_[0] > found.singular_values_[1])
True

Reference: Ramesh, Choi, LeCun, "A Spectral Regularizer for Unsupervised Disentanglement" (2018,
arXiv 1812.01161); the iteration: Musco, Musco, "Randomized Block Krylov Methods for Stronger and
Faster Approximate Singular Value Decomposition" (2015, arXiv 1504.05477).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError, SteerbenchError, unknown
from steerbench.runs import RunFile
from steerbench.stats import random_unit_vectors
from steerbench.types import Direction, Generator, Latent
from steerbench.unsupervised.shared import (
    check_count,
    fix_signs,
    layer_suffix,
    make_direction,
    run_file,
)
from steerbench.unsupervised.step_function import StepFunction

METHODS = ("auto", "iterate", "full")


class Jacobian:
    """Directions that change the picture, or a layer's activations, the most.

    Args:
        n_directions: How many to keep, the strongest first.
        space: Where steps are taken; w where there is one, else z, by default.
        layers: The rows of the layer-wise latent that a step changes.
        output: A layer whose activations are to change; the picture by default.
        n_samples: Over how many codes to average; 1 gives what is right at one code.
        oversampling: How many vectors a block has beyond ``n_directions``.
        tolerance: When to stop: ``|A v - lambda v|`` of every kept vector, in parts of the largest
            eigenvalue of A, the mean of J^T J.
        n_steps: At most so many blocks.
        method: ``"iterate"``, ``"full"`` (J, column by column), or ``"auto"``, the cheaper one.
        batch_size: Products with J at a time.
        seed: Of the codes, and of the first block.

    Attributes:
        directions_: The directions found.
        singular_values_: ``[n_directions]`` float64, falling: how far the picture moves (the root
            of the mean square over codes, of the picture as one vector) for a step of length one.
        error_: The largest ``|A v - lambda v|``, as for ``tolerance``; 0 where J was made.
    """

    reference = (
        'Ramesh, Choi, LeCun, "A Spectral Regularizer for Unsupervised Disentanglement", '
        "arXiv 1812.01161"
    )
    directions_: list[Direction]
    singular_values_: Tensor
    error_: float

    def __init__(
        self,
        n_directions: int = 10,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        output: str | None = None,
        n_samples: int = 16,
        oversampling: int = 4,
        tolerance: float = 1e-3,
        n_steps: int = 20,
        method: str = "auto",
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        self.n_directions = n_directions
        self.space = space
        self.layers = layers
        self.output = output
        self.n_samples = n_samples
        self.oversampling = oversampling
        self.tolerance = tolerance
        self.n_steps = n_steps
        self.method = method
        self.batch_size = batch_size
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
        codes: Latent | None = None,
    ) -> Jacobian:
        """Find the directions of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any that can be differentiated.
            state: A file from which to go on and into which to write how far the run is.
            save_every: Seconds between two writings of the file.
            codes: Where to look, instead of ``n_samples`` codes of the prior.

        Raises:
            SpaceError, LayerError: There is no such space, row or layer.
            ArgumentError: The options make no sense, or the file belongs to another run.
        """
        shifts = StepFunction(generator, self.space, self.layers, self.output)
        check_count(self.n_directions, shifts.size, shifts.space, generator)
        if self.method not in METHODS:
            raise ArgumentError(unknown("method", self.method, METHODS))
        if self.n_samples < 1 or self.batch_size < 1 or self.n_steps < 1:
            raise ArgumentError(
                f"n_samples={self.n_samples}, batch_size={self.batch_size}, n_steps={self.n_steps} "
                "were given; all of them must be at least 1."
            )
        if codes is None:
            codes = shifts.sample(self.n_samples, self.seed)
        else:
            codes = generator.to(codes, shifts.space).detach()
        at = store.fingerprint({"codes": codes.data})
        file = run_file(state, self, generator, save_every, codes=at)
        search = _Search(self, shifts, codes, file)
        values, vectors, error = search.full() if self._makes_it(shifts) else search.iterate()
        return self._keep(shifts, values, vectors, error)

    def _makes_it(self, shifts: StepFunction, n_blocks: int = 3, backward: float = 1.5) -> bool:
        """Say whether J itself is cheaper: some blocks usually suffice, J^T costs more than J."""
        block = self.n_directions + self.oversampling
        expected = n_blocks * block * (1 + backward)
        return self.method == "full" or (self.method == "auto" and shifts.size <= expected)

    def _keep(
        self, shifts: StepFunction, values: Tensor, vectors: Tensor, error: float
    ) -> Jacobian:
        sigma = values.clamp_min(0).sqrt()
        directions = [
            make_direction(
                self,
                "Jacobian",
                shifts.generator,
                shifts.space,
                vector,
                name=f"Jacobian {index + 1}{layer_suffix(shifts.rows)}",
                layers=shifts.rows,
                scores={"singular value": float(sigma[index]), "rank": index},
            )
            for index, vector in enumerate(fix_signs(vectors))
        ]
        self.directions_, self.singular_values_, self.error_ = directions, sigma, error
        return self


class _Search:
    """Eigenvectors of A, the mean of J^T J over codes, from products with J and J^T."""

    def __init__(
        self, finder: Jacobian, shifts: StepFunction, codes: Latent, file: RunFile
    ) -> None:
        self.finder, self.shifts, self.codes, self.file = finder, shifts, codes, file
        self.state = file.read()

    def full(self) -> tuple[Tensor, Tensor, float]:
        """Return eigenvalues and eigenvectors (rows) of A, from all columns of every J."""
        size = self.shifts.size
        total = self.state.get("total", torch.zeros(size, size, dtype=torch.float64))
        done = int(self.state.get("done", torch.zeros(())))
        for index in tqdm(range(done, len(self.codes)), desc="Jacobians", unit="code", delay=1):
            images = self._ahead(index, torch.eye(size)).double()
            total = total + (images @ images.T).cpu() / len(self.codes)
            state = {"total": total, "done": torch.tensor(index + 1)}
            self.file.write(state, now=index + 1 == len(self.codes))
        values, vectors = torch.linalg.eigh(total)
        kept = self.finder.n_directions
        return values.flip(0)[:kept], vectors.flip(1).T[:kept], 0.0

    def iterate(self) -> tuple[Tensor, Tensor, float]:
        """Compute the same by block Krylov iteration."""
        finder, size = self.finder, self.shifts.size
        width = min(finder.n_directions + finder.oversampling, size)
        block = random_unit_vectors(width, size, orthonormal=True, seed=finder.seed)
        basis = self.state.get("basis", block[:0])
        images = self.state.get("images", block[:0])
        block = self.state.get("block", block)
        with tqdm(desc="Jacobian", unit="block", initial=len(basis) // width, delay=1) as progress:
            while True:
                if len(basis):
                    values, vectors, error = _best(basis, images, finder.n_directions)
                    ended = len(basis) >= width * finder.n_steps or not len(block)
                    if ended or error <= finder.tolerance:
                        state = {"basis": basis, "images": images, "block": block}
                        self.file.write(state, now=True)
                        return values, vectors, error
                image = self._times(block, basis, images)
                self.state = {}
                basis, images = torch.cat([basis, block]), torch.cat([images, image])
                block = _rest(image, basis)[: size - len(basis)]
                progress.update()

    def _times(self, block: Tensor, basis: Tensor, images: Tensor) -> Tensor:
        """Return A times the vectors in rows, one code after the other."""
        total = self.state.get("total", torch.zeros_like(block))
        for index in range(int(self.state.get("done", torch.zeros(()))), len(self.codes)):
            for rows in torch.arange(len(block)).split(self.finder.batch_size):
                back = self._back(index, self._ahead(index, block[rows]))
                total[rows] += back.double().cpu() / len(self.codes)
            state = {"basis": basis, "images": images, "block": block, "total": total}
            self.file.write(state | {"done": torch.tensor(index + 1)})
        return total

    def _ahead(self, index: int, vectors: Tensor) -> Tensor:
        """Return J times vectors in rows, ``[k, numbers of the picture]``."""
        parts = [
            products(self._function(index), part.to(self.codes.data)).flatten(1)
            for part in vectors.split(self.finder.batch_size)
        ]
        return torch.cat(parts)

    def _back(self, index: int, images: Tensor) -> Tensor:
        """Return J^T times pictures in rows, ``[k, size]``."""
        steps = self.codes.data.new_zeros(len(images), self.shifts.size, requires_grad=True)
        with torch.enable_grad():
            pictures = self._function(index)(steps).flatten(1)
            (gradient,) = torch.autograd.grad((pictures * images.to(pictures)).sum(), steps)
        return gradient

    def _function(self, index: int) -> Callable[[Tensor], Tensor]:
        code = self.codes[index]

        def displace(steps: Tensor) -> Tensor:
            return self.shifts(Latent.cat([code] * len(steps)), steps)

        return displace


def products(function: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor:
    """Return J v for every row v, with J the Jacobian of ``function`` at zero.

    By forward-mode differentiation; a function that has none is differentiated twice backwards:
    J^T u is linear in u, and its own transposed Jacobian is J.

    Args:
        function: Takes ``[k, size]`` and gives ``[k, ...]``, one row independent of the others.
        vectors: ``[k, size]``.

    >>> products(lambda s: s**2 + 3 * s, torch.tensor([[1.0, 2.0]]))
    tensor([[3., 6.]])
    """
    zeros = torch.zeros_like(vectors)
    try:
        with torch.no_grad():
            tangents: Tensor = torch.func.jvp(function, (zeros,), (vectors,))[1]
        return tangents.detach()
    except SteerbenchError:
        raise
    except (NotImplementedError, RuntimeError):
        return _twice_backwards(function, zeros, vectors)


def _twice_backwards(
    function: Callable[[Tensor], Tensor], zeros: Tensor, vectors: Tensor
) -> Tensor:
    with torch.enable_grad():
        steps = zeros.clone().requires_grad_()
        outputs = function(steps)
        weights = torch.zeros_like(outputs, requires_grad=True)
        (back,) = torch.autograd.grad((outputs * weights).sum(), steps, create_graph=True)
        (ahead,) = torch.autograd.grad((back * vectors).sum(), weights)
    return ahead


def _best(basis: Tensor, images: Tensor, kept: int) -> tuple[Tensor, Tensor, float]:
    """Return the best eigenvectors of A in the span of an orthonormal basis with its images."""
    inner = images @ basis.T
    values, mixing = torch.linalg.eigh((inner + inner.T) / 2)
    values, mixing = values.flip(0)[:kept], mixing.flip(1)[:, :kept]
    vectors = mixing.T @ basis
    left = (mixing.T @ images - values[:, None] * vectors).norm(dim=1)
    return values, vectors, float(left.max() / values[0].clamp_min(1e-300))


def _rest(vectors: Tensor, basis: Tensor) -> Tensor:
    """Return an orthonormal basis of what vectors add to another basis."""
    for _ in range(2):  # once more for what rounding left
        vectors = vectors - (vectors @ basis.T) @ basis
        _, sizes, right = torch.linalg.svd(vectors, full_matrices=False)
        vectors = right[sizes > 1e-12 * sizes[0].clamp_min(1e-300)]
    return vectors
