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
>>> sb.rescore(moves, G, read, n_samples=16).in_spreads.round(2).shape
(2, 2)
>>> cosines(moves).loc["a", "b"].round(3)
np.float64(0.287)

References: Shen, Yang, Tang, Zhou, "InterFaceGAN" (2020, arXiv 2005.09635), sections 4.3 and 4.4;
Yang, Shen, Zhou, "Semantic Hierarchy Emerges in Deep Generative Representations for Scene
Synthesis" (2020, arXiv 1911.09267).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError
from steerbench.metrics.reading import Reader
from steerbench.metrics.rescoring import Rescoring, rescore
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator, Predictor, parse_layers

__all__ = [
    "correlations",
    "cosines",
    "free",
    "layer_effects",
    "scores",
]


def free(
    direction: Direction,
    on: Sequence[Direction],
    found: Rescoring,
    generator: Generator,
) -> Direction:
    """Return the direction minus as much of others as undoes what it was measured to do to them.

    Projection (`Direction.condition`) makes normals orthogonal, which is all that can be done
    without looking, and takes out too much or too little where the picture answers otherwise. With
    the re-scoring matrix M at hand, steps beta of the conditions are taken back, such that to first
    order no condition changes:

        sum over j of beta_j M[j, i] = M[direction, i]   for every condition i

    Args:
        direction: What to free.
        on: The conditions, named after the attributes that they stand for.
        found: Of `rescore`, with all these directions in it, in small steps (0.5): a score
            that saturates understates what a long step of a condition does. Judge the result with
            another predictor and on other pictures.
        generator: Says how far one step of the result goes.

    Raises:
        ArgumentError: The conditions' own edits do not tell their attributes apart.
        NotFoundError: The matrix lacks one of them.
    """
    names = [other.name for other in on]
    # NotFoundError with the closest names, before pandas would say KeyError.
    for name in (direction.name, *names):
        for attribute in names:
            found._of(name, attribute)
    matrix = found.table.loc[names, names].to_numpy().T
    if np.linalg.cond(matrix) > 1e6:
        raise ArgumentError(
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
    judge: Predictor,
    ranges: Mapping[str, Any],
    **options: Any,
) -> pd.DataFrame:
    """Return how much of its attribute each direction brings when only some layers change.

    Args:
        directions: Named after the attributes that they stand for, in a space with layers.
        generator: Draws the pictures.
        judge: The judge.
        ranges: Name to layers: ``{"coarse": "0-1", "all": "all"}``.
        options: Of `rescore`.

    Returns:
        Mean changes in standard deviations of the score: attributes by ranges.
    """
    table = {}
    for label, layers in ranges.items():
        limited = [_limit(direction, generator, layers) for direction in directions]
        found = rescore(limited, generator, judge, **options).in_spreads
        table[label] = [found.loc[d.name, d.name] for d in directions]
    return pd.DataFrame(table, index=[direction.name for direction in directions])


def _limit(direction: Direction, generator: Generator, layers: Any) -> Direction:
    layered = generator.spaces.get(direction.space.removesuffix("+") + "+")
    if layered is None:
        raise ArgumentError(
            f"Space {direction.space!r} of {generator.name!r} has no layer-wise form, so an edit "
            "cannot be limited to layers. Use directions of w."
        )
    return direction.limited(parse_layers(layers, layered.shape[0]))


def cosines(directions: Sequence[Direction]) -> pd.DataFrame:
    """Return the cosine of every two directions of one space."""
    names = [direction.name for direction in directions]
    return pd.DataFrame(
        [[one.cosine(other) for other in directions] for one in directions], names, names
    )


def correlations(values: Mapping[str, Tensor] | pd.DataFrame) -> pd.DataFrame:
    """Correlate every two columns, of factors or of scores; 0 where one is constant."""
    frame = (
        values
        if isinstance(values, pd.DataFrame)
        else pd.DataFrame({name: column.numpy() for name, column in values.items()})
    )
    return frame.corr().fillna(0.0)


def scores(
    generator: Generator,
    judge: Predictor,
    attributes: Sequence[str] | None = None,
    *,
    n_samples: int = 512,
    seed: int = 0,
    batch_size: int = 32,
    precision: str = "exact",
    pictures: Codes = Codes.SCORECARD,
) -> pd.DataFrame:
    """Return the scores of sampled pictures, one row a picture.

    Args:
        generator: Draws the pictures.
        judge: Reads them.
        attributes: Which of its names; None for all.
        n_samples: How many pictures.
        seed: Of the first, counted inside the seeds of ``pictures``.
        batch_size: Pictures at a time.
        precision: Of rendering.
        pictures: Which seeds they are drawn from.
    """
    reader = Reader(judge, attributes)
    parts = []
    with torch.no_grad():
        for start in tqdm(range(0, n_samples, batch_size), "reading", delay=1, leave=False):
            codes = generator.sample(
                min(batch_size, n_samples - start), seed=pictures + seed + start
            )
            parts.append(reader(generator.render(codes, precision=precision)))
    return pd.DataFrame(torch.cat(parts).numpy(), columns=list(reader.names))
