"""What an edit does to every attribute: the same pictures are edited and read again.

Changes are measured with a step up and a step down, halved, so that whatever both do alike drops
out, and can be stated in standard deviations of the score between pictures, which makes metres
and probabilities comparable.

>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
>>> read = sb.predictor(lambda x: x.flatten(1)[:, :2], names=["a", "b"])
>>> rescore([sb.Direction("a", "z", [1.0, 0, 0, 0])], G, read, n_samples=16).table.shape
(1, 2)

Reference: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635), section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError, NotFoundError, unknown
from steerbench.metrics.reading import Reader
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.types import Generator, Latent, Predictor, Traversal


@dataclass(frozen=True, eq=False)
class Rescoring:
    """What some edits did to every attribute.

    Attributes:
        directions: Their names, one a row.
        attributes: What was read, one a column.
        changes: ``[directions, N, attributes]``, per step, in the predictor's units.
        spread: ``[attributes]``, the standard deviation of each score between pictures.
    """

    directions: tuple[str, ...]
    attributes: tuple[str, ...]
    changes: Tensor
    spread: Tensor

    @property
    def table(self) -> pd.DataFrame:
        """The matrix of mean changes, in the predictor's units."""
        return self._frame(self.changes.mean(1))

    @property
    def in_spreads(self) -> pd.DataFrame:
        """The matrix of mean changes, in standard deviations of each score."""
        return self._frame(self.changes.mean(1) / self.spread.clamp_min(1e-12))

    def effect(self, direction: str, attribute: str) -> dict[str, float]:
        """Return the mean change of an attribute, with its interval (95%, bootstrap over pictures).

        Raises:
            NotFoundError: There is no such direction or attribute.
        """
        values = self._of(direction, attribute)
        low, high = bootstrap(values[:, None])
        return {"mean": float(values.mean()), "low": float(low), "high": float(high)}

    def leakage(self, direction: str, wanted: str, unwanted: str) -> dict[str, float]:
        """Compute how much of an unwanted change comes with a unit of the wanted one, in spreads.

        0 means that it stays out, 1 that both change alike. The interval (95%) is a bootstrap's of
        the ratio of means.

        Args:
            direction: The edit.
            wanted: What it is to change.
            unwanted: What it is to leave.

        Raises:
            NotFoundError: There is no such direction or attribute.
        """
        pair = torch.stack([self._of(direction, name) for name in (wanted, unwanted)], dim=1)
        spread = self.spread[[self._column(name) for name in (wanted, unwanted)]].double()
        pair = pair.double() / spread.clamp_min(1e-12)
        low, high = bootstrap(pair, _ratio)
        return {"mean": float(_ratio(pair[None])), "low": float(low), "high": float(high)}

    def _of(self, direction: str, attribute: str) -> Tensor:
        if direction not in self.directions:
            raise NotFoundError(unknown("direction", direction, self.directions))
        return self.changes[self.directions.index(direction), :, self._column(attribute)]

    def _column(self, attribute: str) -> int:
        if attribute not in self.attributes:
            raise NotFoundError(unknown("attribute", attribute, self.attributes))
        return self.attributes.index(attribute)

    def _frame(self, values: Tensor) -> pd.DataFrame:
        return pd.DataFrame(
            values.double().numpy(), index=list(self.directions), columns=list(self.attributes)
        )


def _ratio(draws: Tensor) -> Tensor:
    """Return ``[draws]``, the mean of the second column over that of the first."""
    means = draws.mean(1)
    return means[:, 1] / means[:, 0]


def rescore(
    directions: Sequence[Traversal],
    generator: Generator,
    judge: Predictor,
    attributes: Sequence[str] | None = None,
    *,
    n_samples: int = 64,
    seed: int = 0,
    alpha: float = 1.0,
    batch_size: int = 32,
    precision: str = "exact",
    pictures: Codes = Codes.SCORECARD,
) -> Rescoring:
    """Edit the same pictures along each direction, and read every attribute again.

    Args:
        directions: The edits, of one generator. Names should differ.
        generator: Draws the pictures.
        judge: Reads every attribute.
        attributes: Which of its names; None for all.
        n_samples: How many pictures.
        seed: Of the first, counted inside the seeds of ``pictures``.
        alpha: How far up and how far down, in standard deviations of the prior. Changes are per
            such step.
        batch_size: Pictures at a time.
        precision: Of rendering.
        pictures: Which seeds they are drawn from.

    Raises:
        ArgumentError: There are no directions, or two of one name.
        NotFoundError: The predictor reads no such attribute.
        PredictorError: It gave something else than finite scores.
    """
    names = tuple(direction.name for direction in directions)
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            f"The directions are called {list(names)[:12]}; give at least one, and every one its "
            "own name (direction.named)."
        )
    if n_samples < 2:
        raise ArgumentError(f"n_samples={n_samples}; a spread between pictures needs at least two.")
    reader, first = Reader(judge, attributes), pictures + seed

    def read(codes: Latent) -> Tensor:
        parts = (codes[start : start + batch_size] for start in range(0, len(codes), batch_size))
        with torch.no_grad():
            return torch.cat(
                [reader(generator.render(part, precision=precision)) for part in parts]
            )

    changes = []
    for direction in tqdm(directions, "re-scoring", delay=1, leave=False):
        codes = generator.sample(n_samples, seed=first, space=direction.space)
        changes.append((read(codes + alpha * direction) - read(codes - alpha * direction)) / 2)
    spread = read(generator.sample(n_samples, seed=first)).std(0)
    return Rescoring(names, reader.names, torch.stack(changes), spread)
