"""Which directions are any good: one row for each, measured on a common footing.

For every direction the same pictures are edited up and down, and everything is read again.

**Effect** on an attribute: the change of its score for one step (alpha = 1 is one standard
deviation of the prior), up minus down, halved, over the spread of that score between pictures:

    e_a = mean over pictures of (F_a(+1) - F_a(-1)) / 2 / std(F_a)

with bootstrap intervals over pictures. A probability whose spread is below 0.05 is held to 0.05, so
that what hardly ever occurs does not win by rounding.

**Share** of the total effect that goes to the attribute moved most, *m*. Shares are of squares,
as of an energy, so that many attributes that stir by chance do not add up to much:

    share = |e_m|^p / sum over a of |e_a|^p        p = 2, or 1 on request

**Leakage** is the next attribute's effect over the first one's; `rest` is the share of all others.

**Monotonicity**: Spearman's correlation of the score of *m* with alpha, averaged over pictures; 1
where every step of the usable range raises (or lowers) it in every picture.

**Usable range**: up to which alpha at least half as many pictures as without an edit lie inside
the manifold of unedited pictures: balls to the third neighbour, the smaller half of them, as in the
realism score of Kynkäänniemi et al. Pictures that all become the same typical one stay inside.
Without features but with a discriminator: until its mean logit fell by two standard deviations.

**Layout**: the mean distance of features to the unedited picture, in units of the distance between
two different pictures; the share of pixels that changed by a tenth of their range.

**Chance**: the same for random directions of the same space and layers, at equal change of pixels
and on the same pictures (`.null_model`). ``p_effect`` and ``p_share``
are the shares of random directions whose largest effect, or share, is as large.

>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
>>> read = sb.predictor(lambda x: x.flatten(1)[:, :2], names=["a", "b"])
>>> first = sb.Direction("first", "z", [1.0, 0.2, 0, 0])
>>> card = scorecard([first], G, read, n_samples=16, n_null=9)
>>> card.table.loc["first", "attribute"], len(card)
('a', 1)

References: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
Models" (2019, arXiv 1904.06991); Westfall and Young, "Resampling-Based Multiple Testing" (1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError
from steerbench.metrics.null import random_directions_like
from steerbench.metrics.reading import Reader
from steerbench.metrics.rescoring import Rescoring
from steerbench.metrics.scorecard.card import Scorecard, tabulate
from steerbench.metrics.scorecard.null_model import NullEffects, levels_of, null_effects
from steerbench.metrics.scorecard.observation import Observation, Observer
from steerbench.metrics.scorecard.trial import (
    DirectionTrial,
    in_distribution,
    try_direction,
    typical_distance,
)
from steerbench.seeds import Codes
from steerbench.types import Direction, Generator, Predictor, Traversal, Walk

__all__ = ["Scorecard", "scorecard"]


def scorecard(
    directions: Sequence[Traversal],
    generator: Generator,
    judge: Predictor,
    n_samples: int = 64,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    alpha: float = 1.0,
    *,
    alphas: Sequence[float] = (1.0, 2.0, 3.0, 6.0),
    n_null: int = 99,
    n_null_samples: int = 8,
    power: float = 2.0,
    kind: str = "prior",
    batch_size: int = 32,
    precision: str = "exact",
) -> Scorecard:
    """Measure directions, one row each.

    Args:
        directions: Directions and walks of one generator, in any of its spaces, limited to layers
            or not. A name that occurs twice gets a number.
        generator: Draws the pictures.
        judge: Reads the attributes; of a segmenter, the share of the picture of each class.
        n_samples: How many pictures.
        seed: Of the first, counted inside the seeds of scorecards (`steerbench.seeds`).
        attributes: Which of the judge's names; None for all.
        alpha: How far up and how far down, in standard deviations of the prior. Effects are for
            such a step.
        alphas: The steps at which scores and the usable range are looked at, both ways.
        n_null: How many random directions for each space and layers; 0 for none. No p-value can be
            below ``1 / (n_null + 1)``.
        n_null_samples: On how many of the pictures those steps and the random directions are
            looked at.
        power: Of effects in their share: 2, or 1 for plain magnitudes.
        kind: Of random directions, one of `steerbench.metrics.null.KINDS`.
        batch_size: Pictures at a time.
        precision: Of rendering, ``"exact"`` or ``"fast"``.

    Raises:
        ArgumentError: There is no direction, or a number is out of range.
        SpaceError: A direction does not fit the generator.
        NotFoundError: The predictor reads no such attribute.
        PredictorError: It gave something else than finite scores.
    """
    numbers = {"n_samples": n_samples, "alpha": alpha, "n_null": n_null}
    checks = {**numbers, "n_null_samples": n_null_samples, "power": power}
    named = _check(directions, generator, seed, **checks)
    steps, first = _steps(alphas), Codes.SCORECARD + seed
    n_null_samples = min(n_null_samples, n_samples)
    reader = Reader(judge, attributes)
    observe = Observer(generator, reader, batch_size=batch_size, precision=precision)
    settings: dict[str, Any] = {**numbers, "n_null_samples": n_null_samples, "seed": seed}
    settings |= {"power": power, "kind": kind, "generator": generator.name, "sees": observe.sees}
    groups = _groups(named) if n_null else []
    total = len(named) + n_null * len(groups)
    with tqdm(total=total, desc="scorecard", delay=1, leave=False) as bar:
        before = observe(generator.sample(n_samples, seed=first))
        left = in_distribution(observe, generator, before, Codes.MANIFOLD + seed)
        trials: list[DirectionTrial] = []
        for direction in named:
            codes = generator.sample(n_samples, seed=first, space=direction.space)
            trial = try_direction(
                direction, observe, codes, before, left,
                step=alpha, alphas=steps, n_images=n_null_samples,
            )  # fmt: skip
            trials.append(trial)
            bar.update()
        spread = _spread(before.scores, reader.units)
        nulls: list[NullEffects | None] = [None] * len(named)
        for group in groups:
            members, changes = [named[i] for i in group], [trials[i] for i in group]
            null = _null(members, changes, observe, before, spread, settings, bar)
            nulls = [null if i in group else each for i, each in enumerate(nulls)]
    names = tuple(direction.name for direction in named)
    changed = torch.stack([trial.changes for trial in trials])
    settings |= {"judge": observe.judge, "pictures": observe.pictures, "seconds": observe.seconds}
    settings["predictor"] = getattr(judge, "name", type(judge).__name__)
    rescoring = Rescoring(names, reader.names, changed, spread.float())
    typical = typical_distance(before.features)
    return tabulate(named, rescoring, trials, nulls, typical, settings)


def _null(
    members: list[Traversal],
    trials: list[DirectionTrial],
    observe: Observer,
    before: Observation,
    spread: Tensor,
    settings: Mapping[str, Any],
    bar: tqdm,
) -> NullEffects:
    """Measure random directions for those that share a space and layers, near their changes."""
    n, seed = settings["n_null_samples"], settings["seed"]
    levels, middle = levels_of([each.change_of(n) for each in trials]), members[len(members) // 2]
    scale = middle.scale if isinstance(middle, Direction) else None
    options = {"kind": settings["kind"], "scale": scale, "seed": Codes.NULL + seed}
    randoms = random_directions_like(middle, observe.generator, settings["n_null"], **options)
    codes = observe.generator.sample(n, seed=Codes.SCORECARD + seed, space=middle.space)
    return null_effects(randoms, observe, codes, before[:n], spread, levels, settings["alpha"], bar)


def _spread(scores: Tensor, units: Sequence[str], least: float = 0.05) -> Tensor:
    """Return ``[attributes]`` float64; infinite where a score never changes: it has no effect.

    A probability is held to the least spread, so that what hardly ever occurs is not blown up.
    """
    spread = scores.double().std(0)
    probability = torch.tensor([unit == "probability" for unit in units])
    spread = torch.where(probability, spread.clamp_min(least), spread)
    return torch.where(spread > 1e-9 * scores.double().abs().amax(0), spread, torch.inf)


def _groups(directions: Sequence[Traversal]) -> list[list[int]]:
    """Group the places of directions that share a space, layers and shape: they share a null."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, each in enumerate(directions):
        rows: tuple[int, ...] = ()
        if isinstance(each, Direction) and each.space.endswith("+") and each.vector.ndim > 1:
            rows = tuple(each.vector.flatten(1).abs().amax(1).nonzero().flatten().tolist())
        groups.setdefault((each.space, each.layers, rows), []).append(i)
    return list(groups.values())


def _steps(alphas: Sequence[float]) -> tuple[float, ...]:
    steps = tuple(sorted({float(alpha) for alpha in alphas}))
    if not all(0 < alpha < 1e6 for alpha in steps):
        raise ArgumentError(
            f"alphas={list(alphas)[:8]}; give numbers above 0, each is tried up and down."
        )
    return steps


def _check(
    directions: Sequence[Traversal], generator: Generator, seed: int, **numbers: float
) -> list[Traversal]:
    """Return the directions under different names, each tried on the generator."""
    given = list(directions)
    wrong = next((each for each in given if not isinstance(each, Direction | Walk)), None)
    if not given or wrong is not None:
        what = "none" if wrong is None else f"a {type(wrong).__name__}"
        raise ArgumentError(
            f"A scorecard needs a list of Directions, {what} was given. Pass the directions_ of a "
            "fitted finder, for instance sb.SeFa(8).fit(G).directions_."
        )
    least = {"n_samples": 2, "alpha": 1e-6, "n_null": 0, "n_null_samples": 2, "power": 0.5}
    for name, value in numbers.items():
        if not least[name] <= value < 1e9:
            raise ArgumentError(f"{name}={value}; give a number from {least[name]:g} on.")
    taken: dict[str, int] = {}
    named: list[Traversal] = []
    for each in given:
        taken[each.name] = count = taken.get(each.name, 0) + 1
        named.append(each if count == 1 else each.named(f"{each.name} ({count})"))
        _ = generator.sample(1, seed=seed, space=each.space) + 0.0 * each
    return named
