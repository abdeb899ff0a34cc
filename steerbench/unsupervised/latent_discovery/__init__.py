"""Latent discovery: directions that a network can tell apart by what they do to a picture.

A deformator A holds K directions, and a reconstructor R sees a picture before and after a step
along one of them. Both learn together that R can say which direction k was taken and how far:

    min_{A, R}  E_{z, k, eps}  L_cl(k, k') + lambda |eps - eps'|
    (k', eps') = R( G(z), G(z + eps A e_k) )

Directions that are easily told apart do different things, and each the same thing everywhere. The
generator stays as it is; gradients pass through it to A. A step is measured in standard deviations
of the prior along its direction, so that spaces of any shape are treated alike. It is drawn evenly
from ``[-shift, shift]``, and moved out to half a standard deviation where it is shorter.

The paper's accuracy (RCA) is the share of fresh pairs whose direction is recognised. It grows with
what is learned and falls with K. Its other score, the direction variation, is in
`direction_variation`.

>>> import steerbench as sb
>>> found = LatentDiscovery(n_directions=2, n_steps=2, n_samples=8).fit(sb.load("rooms"))
>>> len(found.directions_), list(found.history_.columns)
(2, ['step', 'loss', 'accuracy', 'error'])

Reference: Voynov, Babenko, "Unsupervised Discovery of Interpretable Directions in the GAN Latent
Space" (2020, arXiv 2002.03754).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, unknown
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator
from steerbench.unsupervised import training_loop
from steerbench.unsupervised.latent_discovery.networks import (
    DEFORMATORS,
    RECONSTRUCTORS,
    Deformator,
    Discovery,
)
from steerbench.unsupervised.shared import check_count, layer_suffix, make_direction, run_file
from steerbench.unsupervised.step_function import StepFunction
from steerbench.unsupervised.training_loop import build_module, draw_source

LEAST_ALPHA = 0.5


class LatentDiscovery:
    """Directions that a reconstructor learns to recognise, by steps of both.

    Args:
        n_directions: K.
        space: Where steps are taken; w where there is one, else z, by default.
        layers: The rows of the layer-wise latent that a step changes.
        deformator: ``"orthonormal"``, ``"projective"`` (unit length) or ``"linear"``.
        reconstructor: ``"lenet"`` or ``"resnet"``.
        n_steps: Of both networks. The paper takes some 100,000 on a graphics card.
        batch_size: Pairs a step.
        max_alpha: The longest step, in standard deviations of the prior.
        regression: lambda, the weight of the error of the length.
        learning_rate: Of the reconstructor (Adam).
        deformator_learning_rate: Of the deformator.
        n_samples: How many fresh pairs measure the accuracy.
        precision: Of pictures while learning, ``"exact"`` or ``"fast"``; which numbers ``"fast"``
            gives depends on the machine.
        seed: Of codes, directions, steps and first weights.

    Attributes:
        directions_: The directions, the best recognised first.
        accuracy_: RCA, the share of fresh pairs whose direction is recognised.
        accuracies_: ``[n_directions]`` float64, the same for each direction.
        error_: The mean error of the length on fresh pairs, in standard deviations.
        history_: A table, one row a step: ``step``, ``loss``, ``accuracy``, ``error``.
        networks_: Deformator and reconstructor.
    """

    reference = (
        'Voynov, Babenko, "Unsupervised Discovery of Interpretable Directions in the GAN Latent '
        'Space", arXiv 2002.03754'
    )
    directions_: list[Direction]
    accuracy_: float
    accuracies_: Tensor
    error_: float
    history_: pd.DataFrame
    networks_: Discovery

    def __init__(
        self,
        n_directions: int = 10,
        space: str | None = None,
        layers: str | int | Iterable[int] | None = "all",
        deformator: str = "orthonormal",
        reconstructor: str = "lenet",
        n_steps: int = 1000,
        batch_size: int = 16,
        max_alpha: float = 3.0,
        regression: float = 0.25,
        learning_rate: float = 1e-3,
        deformator_learning_rate: float = 3e-3,
        n_samples: int = 512,
        precision: str = "exact",
        seed: int = 0,
    ) -> None:
        self.n_directions = n_directions
        self.space = space
        self.layers = layers
        self.deformator = deformator
        self.reconstructor = reconstructor
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.max_alpha = max_alpha
        self.regression = regression
        self.learning_rate = learning_rate
        self.deformator_learning_rate = deformator_learning_rate
        self.n_samples = n_samples
        self.precision = precision
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
    ) -> LatentDiscovery:
        """Find the directions of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any that can be differentiated.
            state: A file from which to go on and into which to write how far the run is.
            save_every: Seconds between two writings of the file.

        Raises:
            SpaceError, LayerError: There is no such space or row.
            ArgumentError: The options make no sense, or the file belongs to another run.
        """
        shifts = StepFunction(generator, self.space, self.layers, precision=self.precision)
        self._check(shifts)
        game = _Game(self, shifts)
        history = training_loop.run(
            game.networks,
            game.optimiser,
            game.step,
            self.n_steps,
            run_file(state, self, generator, save_every),
            names=("loss", "accuracy", "error"),
            title="latent discovery",
        )
        return self._keep(shifts, game, history)

    def _check(self, shifts: StepFunction) -> None:
        check_count(self.n_directions, shifts.size, shifts.space, shifts.generator)
        if self.deformator not in DEFORMATORS:
            raise ArgumentError(unknown("deformator", self.deformator, DEFORMATORS))
        if self.reconstructor not in RECONSTRUCTORS:
            raise ArgumentError(unknown("reconstructor", self.reconstructor, RECONSTRUCTORS))
        least = {"n_steps": 1, "batch_size": 2, "n_samples": 1, "max_alpha": LEAST_ALPHA}
        if any(getattr(self, name) < number for name, number in least.items()):
            given = ", ".join(f"{name}={getattr(self, name)}" for name in least)
            raise ArgumentError(
                f"{given} were given. Take at least one step and one sample, two pairs a step, and "
                f"a longest step of at least {LEAST_ALPHA}."
            )

    def _keep(self, shifts: StepFunction, game: _Game, history: pd.DataFrame) -> LatentDiscovery:
        accuracies, counts, error = game.measure()
        accuracy = float((accuracies * counts).sum() / counts.sum())
        order = accuracies.argsort(descending=True, stable=True)
        with torch.no_grad():
            vectors = game.networks.deformator().double()
        directions = [
            make_direction(
                self,
                "latent discovery",
                shifts.generator,
                shifts.space,
                vectors[index],
                name=f"discovery {place + 1}{layer_suffix(shifts.rows)}",
                layers=shifts.rows,
                scores={
                    "accuracy": float(accuracies[index]),
                    "accuracy of all": accuracy,
                    "rank": place,
                },
            )
            for place, index in enumerate(order.tolist())
        ]
        self.__dict__.update(
            directions_=directions,
            accuracy_=accuracy,
            accuracies_=accuracies[order],
            error_=error,
            history_=history,
            networks_=game.networks,
        )
        return self


class _Game:
    """Both networks on one generator."""

    def __init__(self, finder: LatentDiscovery, shifts: StepFunction) -> None:
        self.finder, self.shifts = finder, shifts
        self.spread = _covariance(shifts)
        with torch.no_grad():
            codes = shifts.sample(finder.batch_size, finder.seed)
            images = shifts(codes, torch.zeros(finder.batch_size, shifts.size))
        self.middle, self.scale = images.mean(), images.std().clamp_min(1e-12)
        channels = images.shape[1]

        def make() -> Discovery:
            deformator = Deformator(
                finder.n_directions, shifts.size, finder.deformator, finder.seed
            )
            network = RECONSTRUCTORS[finder.reconstructor](channels, finder.n_directions)
            return Discovery(deformator, network)

        networks = build_module(finder.seed, make)
        self.networks: Discovery = networks.to(images.device)  # type: ignore[assignment]
        self.optimiser = torch.optim.Adam(
            [
                {
                    "params": self.networks.reconstructor.parameters(),
                    "lr": finder.learning_rate,
                },
                {
                    "params": self.networks.deformator.parameters(),
                    "lr": finder.deformator_learning_rate,
                },
            ]
        )

    def step(self, index: int) -> tuple[float, float, float]:
        """Take one step of both networks; returns its loss, accuracy and error of the length."""
        finder = self.finder
        which, far = self._draw(index)
        scores, lengths = self._recognise(finder.seed + index * finder.batch_size, which, far)
        error = (lengths - far).abs().mean()
        loss = F.cross_entropy(scores, which) + finder.regression * error
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        accuracy = (scores.argmax(1) == which).float().mean()
        return float(loss.detach()), float(accuracy), float(error.detach())

    @torch.no_grad()
    def measure(self) -> tuple[Tensor, Tensor, float]:
        """Measure on fresh pairs each direction's accuracy, of how many, and the mean error."""
        finder, device = self.finder, self.middle.device
        hits, counts = torch.zeros(2, finder.n_directions, dtype=torch.float64)
        errors = 0.0
        self.networks.eval()
        starts = range(0, finder.n_samples, finder.batch_size)
        for start in tqdm(starts, desc="accuracy", unit="batch", delay=1):
            which, far = self._draw(Codes.HELD_BACK + start)
            # Every direction gets its share, whatever was drawn.
            which = (start + torch.arange(finder.batch_size, device=device)) % finder.n_directions
            scores, lengths = self._recognise(Codes.HELD_BACK + (finder.seed + start), which, far)
            hits += _sums(which, (scores.argmax(1) == which), finder.n_directions)
            counts += _sums(which, torch.ones_like(which), finder.n_directions)
            errors += float((lengths - far).abs().mean()) / len(starts)
        return hits / counts.clamp_min(1), counts, errors

    def _draw(self, index: int) -> tuple[Tensor, Tensor]:
        """Return which directions a batch goes along ``[N]``, and how far ``[N]``."""
        finder, source = self.finder, draw_source(self.finder.seed, index)
        which = torch.randint(finder.n_directions, (finder.batch_size,), generator=source)
        far = (2 * torch.rand(finder.batch_size, generator=source) - 1) * finder.max_alpha
        far = torch.where(far < 0, -1.0, 1.0) * far.abs().clamp_min(LEAST_ALPHA)
        return which.to(self.middle.device), far.to(self.middle.device)

    def _recognise(self, seed: int, which: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the reconstructor says of a batch of pairs."""
        directions = self.networks.deformator()
        # A step of one standard deviation of the prior along each direction's unit vector.
        units = directions / directions.detach().norm(dim=1, keepdim=True)
        deviations = ((units @ self.spread.to(units)) * units).sum(1).clamp_min(1e-20).sqrt()
        steps = far[:, None] * (deviations[:, None] * directions)[which]
        codes = self.shifts.sample(len(which), seed)
        with torch.no_grad():
            before = self.shifts(codes, torch.zeros_like(steps))
        after = self.shifts(codes, steps)
        pair = ((images.float() - self.middle) / self.scale for images in (before, after))
        scores, lengths = self.networks.reconstructor(*pair)
        return scores, lengths


def _covariance(shifts: StepFunction) -> Tensor:
    """Return the covariance of the prior ``[size, size]``; diagonal for a layer-wise code."""
    space = shifts.generator.spaces[shifts.space]
    if len(space.shape) == 1 and shifts.size <= 4096:
        covariance = space.covariance
        return torch.eye(shifts.size) if covariance is None else covariance
    std = space.std
    return torch.eye(shifts.size) if std is None else std.flatten().square().diag()


def _sums(which: Tensor, values: Tensor, count: int) -> Tensor:
    """Return the sum of values for each direction, float64 on the CPU."""
    total = torch.zeros(count, dtype=torch.float64)
    return total.index_add(0, which.cpu(), values.double().cpu())


__all__ = ["LatentDiscovery"]
