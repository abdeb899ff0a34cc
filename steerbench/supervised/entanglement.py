"""How much one attribute comes along when another is edited, and four ways of asking.

Two attributes can go together in the **data** (lamps are lit at night), in what is **generated**
(correlation of scores), in the **geometry** of the latent space (cosines of boundaries), and in
what an **edit does**: the re-scoring matrix, whose entry (i, j) is the change of attribute j when
the pictures are edited along direction i. Only the last one is what a user meets.

Changes are measured with a step up and a step down, halved, so that whatever both do alike drops
out, and stated in standard deviations of the score between pictures, which makes metres and
probabilities comparable. The judge should be another predictor than the one that found the
directions: what one network was fooled by, the other need not be.

>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
>>> read = sb.predictor(lambda x: x.flatten(1)[:, :2], names=["a", "b"])
>>> moves = [sb.Direction("a", "z", [1.0, 0.3, 0, 0]), sb.Direction("b", "z", [0.0, 1, 0, 0])]
>>> rescore(moves, G, read, n=16).in_spreads.round(2).shape
(2, 2)
>>> cosines(moves).loc["a", "b"].round(3)
np.float64(0.287)

References: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635), sections 4.3 and 4.4;
Yang, Shen, Zhou, "Semantic Hierarchy Emerges in Deep Generative Representations for Scene
Synthesis" (2020, arXiv 1911.09267).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import NotFoundError, SteerbenchError, unknown
from steerbench.stats import bootstrap
from steerbench.supervised.reading import Reader
from steerbench.types import Direction, Generator, Latent, Predictor, parse_layers

FRESH = 700_000
"""The seed of the first picture that is edited: far from those that find directions."""


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
        """The mean change of an attribute, with its interval (95%, bootstrap over pictures).

        Raises:
            NotFoundError: There is no such direction or attribute.
        """
        values = self._of(direction, attribute)
        low, high = bootstrap(values[:, None])
        return {"mean": float(values.mean()), "low": float(low), "high": float(high)}

    def leakage(self, direction: str, wanted: str, unwanted: str) -> dict[str, float]:
        """How much of an unwanted change comes with a unit of the wanted one, both in spreads.

        0 means that it stays out, 1 that both change alike. The interval (95%) draws pictures, and
        takes the ratio of the means of each draw.

        Raises:
            NotFoundError: There is no such direction or attribute.
        """
        pair = torch.stack([self._of(direction, name) for name in (wanted, unwanted)], dim=1)
        spread = self.spread[[self._column(name) for name in (wanted, unwanted)]].double()
        pair = pair.double() / spread.clamp_min(1e-12)
        random = np.random.RandomState(0)
        shares = np.full(len(pair), 1 / len(pair))
        weights = torch.from_numpy(random.multinomial(len(pair), shares, size=1000) / len(pair))
        means = weights @ pair
        ends = (means[:, 1] / means[:, 0]).quantile(torch.tensor([0.025, 0.975]).double())
        mean = pair.mean(0)
        return {"mean": float(mean[1] / mean[0]), "low": float(ends[0]), "high": float(ends[1])}

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


def rescore(
    directions: Sequence[Direction],
    generator: Generator,
    predictor: Predictor,
    attributes: Sequence[str] | None = None,
    *,
    n: int = 64,
    seed: int = FRESH,
    step: float = 1.0,
    batch: int = 32,
    precision: str = "exact",
) -> Rescoring:
    """Edit the same pictures along each direction, and read every attribute again.

    Args:
        directions: The edits, of one generator. Names should differ.
        generator: Draws the pictures.
        predictor: The judge.
        attributes: Which of its names; None for all.
        n: How many pictures.
        seed: Of the first.
        step: How far up and how far down, in standard deviations of the prior. Changes are per
            such step.
        batch: Pictures at a time.
        precision: Of rendering.

    Raises:
        SteerbenchError: There are no directions, or two of one name.
        NotFoundError: The predictor reads no such attribute.
        PredictorError: It gave something else than finite scores.
    """
    names = tuple(direction.name for direction in directions)
    if not names or len(set(names)) < len(names):
        raise SteerbenchError(
            f"The directions are called {list(names)[:12]}; give at least one, and every one its "
            "own name (direction.named)."
        )
    if n < 2:
        raise SteerbenchError(f"n={n}; a spread between pictures needs at least two.")
    reader = Reader(predictor, attributes)

    def read(codes: Latent) -> Tensor:
        parts = (codes[start : start + batch] for start in range(0, len(codes), batch))
        with torch.no_grad():
            return torch.cat(
                [reader(generator.render(part, precision=precision)) for part in parts]
            )

    changes = []
    for direction in tqdm(directions, "re-scoring", delay=1, leave=False):
        codes = generator.sample(n, seed=seed, space=direction.space)
        changes.append((read(codes + step * direction) - read(codes - step * direction)) / 2)
    spread = read(generator.sample(n, seed=seed)).std(0)
    return Rescoring(names, reader.names, torch.stack(changes), spread)


def free(
    direction: Direction,
    on: Sequence[Direction],
    found: Rescoring,
    generator: Generator,
) -> Direction:
    """The direction minus as much of others as undoes what it was measured to do to them.

    Projection (:meth:`Direction.condition`) makes normals orthogonal, which is all that can be done
    without looking, and takes out too much or too little where the picture answers otherwise. With
    the re-scoring matrix M at hand, steps beta of the conditions are taken back, such that to first
    order no condition changes::

        sum over j of beta_j M[j, i] = M[direction, i]   for every condition i

    Args:
        direction: What to free.
        on: The conditions, named after the attributes that they stand for.
        found: Of :func:`rescore`, with all these directions in it, in small steps (0.5): a score
            that saturates understates what a long step of a condition does. Judge the result with
            another predictor and on other pictures.
        generator: Says how far one step of the result goes.

    Raises:
        SteerbenchError: The conditions' own edits do not tell their attributes apart.
        NotFoundError: The matrix lacks one of them.
    """
    names = [other.name for other in on]
    # NotFoundError with the closest names, before pandas would say KeyError.
    for name in (direction.name, *names):
        for attribute in names:
            found._of(name, attribute)
    matrix = found.table.loc[names, names].to_numpy().T
    if np.linalg.cond(matrix) > 1e6:
        raise SteerbenchError(
            f"Edits along {names} do not tell these attributes apart, so there is nothing to take "
            "back. Condition by projection: direction.condition(on=[...])."
        )
    steps = np.linalg.solve(matrix, found.table.loc[direction.name, names].to_numpy())
    vector = direction.scale * direction.vector
    for step, other in zip(steps, on):
        direction.cosine(other)  # raises where the spaces differ
        vector = vector - float(step) * other.scale * other.vector
    unit = vector / vector.norm()
    name = f"{direction.name} free of {' and '.join(names)}"
    scale = generator.prior_std(direction.space, unit)
    return replace(direction, vector=unit, scale=scale, name=name)


def layer_effects(
    directions: Sequence[Direction],
    generator: Generator,
    predictor: Predictor,
    ranges: Mapping[str, Any],
    **options: Any,
) -> pd.DataFrame:
    """How much of its attribute each direction brings when only some layers change.

    Args:
        directions: Named after the attributes that they stand for, in a space with layers.
        generator: Draws the pictures.
        predictor: The judge.
        ranges: Name to layers: ``{"coarse": "0-1", "all": "all"}``.
        options: Of :func:`rescore`.

    Returns:
        Mean changes in standard deviations of the score: attributes by ranges.
    """
    table = {}
    for label, layers in ranges.items():
        limited = [_limited(direction, generator, layers) for direction in directions]
        found = rescore(limited, generator, predictor, **options).in_spreads
        table[label] = [found.loc[d.name, d.name] for d in directions]
    return pd.DataFrame(table, index=[direction.name for direction in directions])


def _limited(direction: Direction, generator: Generator, layers: Any) -> Direction:
    layered = generator.spaces.get(direction.space.removesuffix("+") + "+")
    if layered is None:
        raise SteerbenchError(
            f"Space {direction.space!r} of {generator.name!r} has no layer-wise form, so an edit "
            "cannot be limited to layers. Use directions of w."
        )
    return direction.limited(parse_layers(layers, layered.shape[0]))


def cosines(directions: Sequence[Direction]) -> pd.DataFrame:
    """The cosine of every two directions of one space."""
    names = [direction.name for direction in directions]
    return pd.DataFrame(
        [[one.cosine(other) for other in directions] for one in directions], names, names
    )


def correlations(values: Mapping[str, Tensor] | pd.DataFrame) -> pd.DataFrame:
    """The correlation of every two columns, of factors or of scores; 0 where one is constant."""
    frame = (
        values
        if isinstance(values, pd.DataFrame)
        else pd.DataFrame({name: column.numpy() for name, column in values.items()})
    )
    return frame.corr().fillna(0.0)


def scores(
    generator: Generator,
    predictor: Predictor,
    attributes: Sequence[str] | None = None,
    *,
    n: int = 512,
    seed: int = FRESH,
    batch: int = 32,
    precision: str = "exact",
) -> pd.DataFrame:
    """The scores of sampled pictures, one row a picture."""
    reader = Reader(predictor, attributes)
    parts = []
    with torch.no_grad():
        for start in tqdm(range(0, n, batch), "reading", delay=1, leave=False):
            codes = generator.sample(min(batch, n - start), seed=seed + start)
            parts.append(reader(generator.render(codes, precision=precision)))
    return pd.DataFrame(torch.cat(parts).numpy(), columns=list(reader.names))
