"""Which of a generator's spaces tells its attributes apart: every space metric in one table.

The same pictures are pictures once and read by a predictor; then each space is asked how well its
numbers stand for what was read (`steerbench.metrics.disentanglement`), how well hyperplanes part
it (`steerbench.metrics.separability`) and how evenly pictures change along its paths
(`steerbench.metrics.path_length`).

Attributes are taken as present or absent. For DCI and separability only those pictures count for
an attribute that the predictor is surest of, half of those that have it and half of those that
lack it: a picture nobody can decide says more about the predictor than about the space. (The
authors of both keep the surest pictures too.)

**Intervals.** The n pictures fall into sets that share none; each set gives every figure once,
and the interval is Student's (95%) over the sets.

**Chance.** Each figure stands beside the same one with the pictures' readings shuffled: that is
what a space of this length gets for knowing nothing. It is not 0. Numbers that were chosen by
chance among a thousand are hardly ever chosen twice, and so look disentangled.

**Boosting in long codes.** Each split of a tree looks at no more than 128 numbers, pictures at
random, which is all of them in z and w, but a part of StyleSpace; ``candidates=None`` looks at
all, as the published figures did, and takes an hour.

``pn`` is P on its principal axes with unit variance, P_N of the paper; p and w themselves differ
by a bend of each axis, which trees and thresholds do not notice.

References: Wu, Lischinski, Shechtman, "StyleSpace Analysis" (2021, arXiv 2011.12799), section 4.1;
Zhu, Abdal, Qin, Femiani, Wonka, "Improved StyleGAN Embedding" (2020, arXiv 2012.09036).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from steerbench.errors import (
    ArgumentError,
    NotFoundError,
    SpaceError,
    closest,
    unknown,
)
from steerbench.metrics.disentanglement import dci_scores, mig, sap
from steerbench.metrics.importance import predict_factor
from steerbench.metrics.path_length import path_length
from steerbench.metrics.separability import separability, surest
from steerbench.metrics.space_sets import PictureSet, coordinates, read_sets, shuffle_readings
from steerbench.types import Generator, Predictor

KEEP = 0.5
"""The share of the pictures that count for an attribute, the surest ones."""


def _dci(pictures: PictureSet, estimator: str = "boosting", suffix: str = "") -> dict[str, float]:
    """Predict each attribute from the pictures that are sure of it, half of them unseen."""
    columns = []
    for margin in pictures.margins.T:
        kept = surest(margin, KEEP)
        mixed = kept[np.random.RandomState(pictures.seed).permutation(len(kept))]
        # Those that have it come first, so that every second one gives two halves alike.
        some = mixed[(margin[mixed] <= 0).long().argsort(stable=True)]
        x, y = pictures.codes[some].double().numpy(), (margin[some] > 0).long().numpy()
        columns.append(
            predict_factor(
                x[::2],
                y[::2],
                x[1::2],
                y[1::2],
                estimator=estimator,
                seed=pictures.seed,
                candidates=pictures.candidates,
            )
        )
    scores = dci_scores(np.stack([column.importance for column in columns], axis=1))
    return {
        f"disentanglement{suffix}": scores.disentanglement,
        f"completeness{suffix}": scores.completeness,
        f"informativeness{suffix}": fmean(column.test for column in columns),
    }


def _dci_lasso(pictures: PictureSet) -> dict[str, float]:
    return _dci(pictures, "lasso", " (lasso)")


def _mig(pictures: PictureSet) -> dict[str, float]:
    return {"mig": mig(pictures.codes, pictures.margins > 0)}


def _sap(pictures: PictureSet) -> dict[str, float]:
    return {"sap": sap(pictures.codes, pictures.margins > 0, seed=pictures.seed)}


def _separability(pictures: PictureSet) -> dict[str, float]:
    found = separability(pictures.codes, pictures.margins, keep=KEEP, seed=pictures.seed)
    return {"separability": found.value, "bits": fmean(found.bits)}


def _path_length(pictures: PictureSet) -> dict[str, float]:
    if pictures.features is None or pictures.space not in pictures.generator.spaces:
        return {}
    found = path_length(
        pictures.generator,
        pictures.features,
        space=pictures.space,
        n_samples=pictures.paths,
        seed=pictures.seed,
    )
    return {"path_length": found.value}


METRICS: dict[str, Callable[[PictureSet], dict[str, float]]] = {
    "dci": _dci,
    "dci_lasso": _dci_lasso,
    "mig": _mig,
    "sap": _sap,
    "separability": _separability,
    "path_length": _path_length,
}


def space_metrics(
    generator: Generator,
    judge: Predictor,
    spaces: Sequence[str] | None = None,
    *,
    n_samples: int = 4000,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    repeats: int = 4,
    candidates: int | None = 128,
    paths: int = 200,
    null: bool = True,
    after_space: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Measure a generator's spaces against a predictor.

    Args:
        generator: Any; with one space it gives one group of rows.
        judge: Reads attributes. Scores stated as probabilities are parted at 0.5, or by its
            ``logits`` where it has them, others at their median. Its ``features`` measure paths.
        spaces: Names of spaces, and ``pn``; without, those of z, w, s, p and pn that there are.
        n_samples: How many pictures, in all sets.
        seed: Of the first picture.
        attributes: Which of the judge's names; without, its binary ones, or all.
        metrics: Some of ``dci`` (boosted trees), ``dci_lasso``, ``mig``, ``sap``,
            ``separability`` and ``path_length``; without, all of them.
        repeats: Into how many sets the pictures fall; at least 2.
        candidates: How many numbers a split of a tree looks at; none for all.
        paths: Pairs of codes in a set, for path lengths.
        null: Measure with shuffled readings too.
        after_space: Is given the table so far whenever a space is done.

    Returns:
        One row for each space and figure: ``space``, ``size`` (numbers in a code), ``metric``,
        ``value``, ``low``, ``high``, and ``null``, ``null_low``, ``null_high`` where they were
        measured; ``attrs["attributes"]`` lists what was read.

    Raises:
        SpaceError: The generator has no such space.
        NotFoundError: There is no such attribute or metric.
        ArgumentError: There are too few pictures for so many sets.
        PredictorError: No attribute varies enough.

    >>> import torch
    >>> import steerbench as sb
    >>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 2)), latent_shape=(4,))
    >>> read = sb.predictor(lambda x: x.flatten(1)[:, :2], names=["a", "b"])
    >>> space_metrics(G, read, n_samples=400, metrics=["mig"], null=False)["metric"].tolist()
    ['mig']
    """
    chosen = _choose_metrics(metrics)
    names = _spaces(generator, spaces)
    if repeats < 2 or n_samples // repeats < 50:
        raise ArgumentError(
            f"{n_samples} pictures in {repeats} sets were asked for; give at least 2 sets of 50 "
            "pictures."
        )
    each = n_samples // repeats
    latent, margins, read = read_sets(generator, judge, each, repeats, seed, attributes)
    features = getattr(judge, "features", None)
    parts: list[pd.DataFrame] = []
    for space in names:
        codes = coordinates(generator, latent, space)
        sets = [
            PictureSet(
                generator,
                codes[start : start + each],
                margins[start : start + each],
                space,
                seed + start,
                features,
                candidates,
                paths,
            )
            for start in range(0, each * repeats, each)
        ]
        for name in tqdm(chosen, desc=space, leave=False):
            found = _measure(METRICS[name], sets, null and name != "path_length")
            parts.append(found.assign(space=space, size=codes.shape[1]))
        if after_space is not None:
            after_space(_join(parts, read))
    return _join(parts, read)


def _measure(
    metric: Callable[[PictureSet], dict[str, float]], sets: Sequence[PictureSet], null: bool
) -> pd.DataFrame:
    found = _table([metric(pictures) for pictures in sets])
    if null:
        chance = _table([metric(shuffle_readings(pictures)) for pictures in sets])
        found = found.join(chance.add_prefix("null_"))
    return found.reset_index()


def _join(parts: Sequence[pd.DataFrame], read: Sequence[str]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True).rename(columns={"null_value": "null"})
    order = ["space", "size", "metric", "value", "low", "high", "null", "null_low", "null_high"]
    table = table[[column for column in order if column in table]]
    table.attrs["attributes"] = list(read)
    return table


def _spaces(generator: Generator, spaces: Sequence[str] | None) -> list[str]:
    known = [*generator.spaces, *(["pn"] if "p" in generator.spaces else [])]
    wanted = [spaces] if isinstance(spaces, str) else spaces
    if wanted is None:
        # The layer-wise spaces only repeat w and p.
        return [name for name in known if name in ("z", "w", "s", "p", "pn")] or known[:1]
    for name in wanted:
        if name not in known:
            raise SpaceError(
                f"{generator.name!r} has no space {name!r} to measure. {closest(name, known)}"
            )
    return list(wanted)


def _choose_metrics(metrics: Sequence[str] | None) -> list[str]:
    wanted = [metrics] if isinstance(metrics, str) else [*(metrics or METRICS)]
    for name in wanted:
        if name not in METRICS:
            raise NotFoundError(unknown("metric", name, METRICS))
    return wanted


def _table(found: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Compute mean and Student's interval (95%) of each figure, over the sets."""
    from scipy.stats import t

    half = t.ppf(0.975, len(found) - 1) / np.sqrt(len(found))
    rows = {}
    for metric in found[0]:
        values = [one[metric] for one in found]
        mean, off = fmean(values), half * stdev(values)
        rows[metric] = {"value": mean, "low": mean - off, "high": mean + off}
    columns = ["value", "low", "high"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.astype(float).rename_axis("metric")
