"""GAN Dissection: which unit draws the lamp?

A unit u of a layer is a map of activations; a concept c is a set of pixels that a segmenter finds
in the finished picture. The unit matches the concept as far as its region, the places where its
activation exceeds its own threshold t_u, overlaps the concept's pixels:

    IoU(u, c) = |{r_u > t_u} and S_c| / |{r_u > t_u} or S_c|

counted over ``n_samples`` pictures, with the activations laid over the picture by interpolation
(`unit_overlap`). t_u is the ``quantile`` of all the unit's activations, at any place of any
picture, so that every unit's region has the same size. That a unit matches a concept says that the
two occur together; whether it draws it is a question for `unit_effects`.

The pictures are walked through twice, first for the thresholds and the pictures that excite each
unit the most, then for the counts. Neither pass keeps pictures or activations, so memory does not
grow with ``n_samples``. Thresholds are exact up to ``capacity`` places (pictures times height
times width); beyond, they come from a sketch, and ``rank_error_`` bounds how far their quantile may
be off (usually it is a hundredth of that).

>>> import steerbench as sb
>>> names = ["dark", "bright"]
>>> brightness = sb.predictor(lambda x: (x.mean(1) > 0).long(), names)
>>> found = Dissection(brightness, layer="b8.conv1", n_samples=8).fit(sb.load("rooms"))
>>> len(found.units_), list(found.units_.columns[:4])
(256, ['unit', 'concept', 'iou', 'threshold'])

A long run goes on where it stopped, in another process too, when it is given a file:

    dissection.fit(G, state="dissection.safetensors")

and its pictures can be shared out: every worker surveys some seeds, then counts them:

    parts = dissection.split(4)
    surveys = [dissection.survey(G, part) for part in parts]              # anywhere, in any order
    thresholds = dissection.thresholds(surveys)
    counts = [dissection.count(G, thresholds, part) for part in parts]
    dissection.join(G, surveys, counts)

Reference: Bau, Zhu, Strobelt, Zhou, Tenenbaum, Freeman, Torralba, "GAN Dissection: Visualizing and
Understanding Generative Adversarial Networks" (2019, arXiv 1811.10597).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import __version__, store
from steerbench.errors import (
    ArgumentError,
    NotFittedError,
    NotFoundError,
    PredictorError,
    closest,
    unknown,
)
from steerbench.generators.base import BaseGenerator
from steerbench.runs import RunFile
from steerbench.supervised.dissection.overlap import Layout, UnitOverlap
from steerbench.supervised.dissection.partial_forward import PartialForward, layer_of, refuse_units
from steerbench.supervised.dissection.statistics import ActivationStatistics
from steerbench.types import Latent, Predictor, Provenance


class Dissection:
    """The overlap of every unit of a layer with every concept of a segmenter.

    Args:
        segmenter: Gives label maps ``[N, H, W]``, indices into its ``names``: the concepts.
        layer: The layer whose units are compared; None for a middle one.
        n_samples: How many pictures.
        quantile: Which share of a unit's activations lies below its threshold.
        seed: Picture i is the generator's sample of seed ``seed + i``.
        batch_size: Pictures at a time.
        top: How many of the most exciting pictures to remember for each unit.
        capacity: Up to how many places thresholds are exact; memory grows with it.
        interpolation: ``"bilinear"``, or ``"nearest"`` (each activation stands for its patch of
            pixels, which is quicker still).
        align_corners: As in `Layout`.
        categories: Concept to category: a unit's region is then counted only in pictures with some
            concept of the category. None counts it everywhere.
        ignore: A concept that is none (netdissect's "-").

    Attributes:
        units_: A table, one row for each unit and concept: ``unit``, ``concept``, ``iou``,
            ``threshold``, ``iqr`` (information quality ratio), ``inside`` (the mean activation over
            the concept's pixels) and ``pixels`` (which the region and the concept share).
        top_: A table of the pictures that excite each unit the most: ``unit``, ``rank``, ``seed``,
            ``value`` (the largest activation in the picture).
        thresholds_: ``[units]`` float64.
        rank_error_: The most by which the quantile of a threshold may be off; 0 while exact.
        overlap_: The counts, a `UnitOverlap`.
        layer_: The name of the layer.
        provenance_: What was done, to which generator.
    """

    reference = 'Bau et al., "GAN Dissection", arXiv 1811.10597'
    units_: pd.DataFrame
    top_: pd.DataFrame
    thresholds_: Tensor
    rank_error_: float
    overlap_: UnitOverlap
    layer_: str
    provenance_: Provenance

    def __init__(
        self,
        segmenter: Predictor,
        layer: str | None = None,
        n_samples: int = 1000,
        quantile: float = 0.99,
        seed: int = 0,
        batch_size: int = 16,
        top: int = 16,
        capacity: int = 8192,
        interpolation: str = "bilinear",
        align_corners: bool = True,
        categories: Mapping[str, str] | None = None,
        ignore: str | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.layer = layer
        self.n_samples = n_samples
        self.quantile = quantile
        self.seed = seed
        self.batch_size = batch_size
        self.top = top
        self.capacity = capacity
        self.interpolation = interpolation
        self.align_corners = align_corners
        self.categories = categories
        self.ignore = ignore

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        return refuse_units(generator)

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> Dissection:
        """Dissect a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any with layers that have height and width.
            state: A file from which to go on and into which to write how far the run is, so that
                it can be taken up again; it is replaced whole or not at all.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: No layer of the generator has units with places.
            LayerError: There is no such layer, or its units have one place only.
            PredictorError: The segmenter gave something else than label maps.
            ArgumentError: The options make no sense, or the file belongs to another run.
        """
        layer = layer_of(generator, self.layer).name
        self._category()
        whole = self.split(1)[0]
        survey, counts = self._new_survey(whole.start), self._new_counts()
        file = RunFile(state, "steerbench dissection run", self._settings(generator), save_every)
        if known := file.read():
            survey.load_state_dict(known)
            counts = UnitOverlap.from_state(store.under(known, "counts."))

        def tensors() -> dict[str, Tensor]:
            return survey.state_dict() | {f"counts.{k}": v for k, v in counts.state_dict().items()}

        for batch in self._batches(generator, whole[survey.count :], f"thresholds of {layer}"):
            survey.add(generator.capture(batch, [layer])[layer], batch)
            file.write(tensors)
        thresholds = survey.quantile.quantile(self.quantile)
        for batch in self._batches(generator, whole[counts.count :], f"overlap of {layer}"):
            self._add(counts, PartialForward(generator, batch, layer), thresholds)
            file.write(tensors)
        file.write(tensors, now=True)
        return self._finish(generator, survey, counts)

    def split(self, parts: int) -> list[range]:
        """Return the seeds of the run in consecutive parts, of equal size but for one."""
        if not 0 < self.quantile < 1 or self.n_samples < 1 or not 1 <= parts <= self.n_samples:
            raise ArgumentError(
                f"quantile={self.quantile}, n_samples={self.n_samples} in {parts} parts; give a "
                "quantile between 0 and 1 and at least one picture to each part."
            )
        ends = [self.seed + self.n_samples * i // parts for i in range(parts + 1)]
        return [range(a, b) for a, b in pairwise(ends)]

    def survey(self, generator: BaseGenerator, seeds: range) -> ActivationStatistics:
        """Learn from some seeds, in a first pass: quantiles and top pictures."""
        layer = layer_of(generator, self.layer).name
        survey = self._new_survey(seeds.start)
        for batch in self._batches(generator, seeds, f"thresholds of {layer}"):
            survey.add(generator.capture(batch, [layer])[layer], batch)
        return survey

    def thresholds(self, surveys: Sequence[ActivationStatistics]) -> Tensor:
        """Return the thresholds ``[units]`` from the surveys of all parts, in any order."""
        return ActivationStatistics.join_parts(surveys).quantile.quantile(self.quantile)

    def count(self, generator: BaseGenerator, thresholds: Tensor, seeds: range) -> UnitOverlap:
        """Count in the pictures of some seeds, which is the second pass.

        Args:
            generator: The one that was surveyed.
            thresholds: ``[units]``, of `thresholds`.
            seeds: A part of `split`.
        """
        layer = layer_of(generator, self.layer).name
        counts = self._new_counts()
        for batch in self._batches(generator, seeds, f"overlap of {layer}"):
            self._add(counts, PartialForward(generator, batch, layer), thresholds)
        return counts

    def join(
        self,
        generator: BaseGenerator,
        surveys: Sequence[ActivationStatistics],
        counts: Sequence[UnitOverlap],
    ) -> Dissection:
        """Take over what several workers found, as `fit` would have found it.

        Args:
            generator: The one that was dissected.
            surveys: Of all parts, in any order.
            counts: Likewise.

        Raises:
            ArgumentError: A part is missing, or there twice.
        """
        survey, total = ActivationStatistics.join_parts(surveys), self._new_counts()
        for part in counts:
            total.merge(part)
        if survey.count != self.n_samples or total.count != self.n_samples:
            raise ArgumentError(
                f"The parts hold {survey.count} surveyed and {total.count} counted pictures, the "
                f"run has {self.n_samples}. Give every part of split(), once."
            )
        return self._finish(generator, survey, total)

    # What was found.

    def best(self, concept: str, n_units: int = 10) -> pd.DataFrame:
        """Return the ``n_units`` units that match a concept best, of those that touch it at all.

        Raises:
            NotFoundError: There is no such concept, or no unit's region touches it.
        """
        concepts = self.segmenter.names
        if concept not in concepts:
            raise NotFoundError(unknown("concept", concept, concepts))
        rows = self._table_of_units.query("concept == @concept and iou > 0")
        if len(rows):
            return rows.sort_values("iou", ascending=False, kind="stable").head(n_units)
        pixels = int(self.overlap_.areas[list(concepts).index(concept)])
        raise NotFoundError(
            f"No unit of {self.layer_!r} matches {concept!r}: it covers {pixels} pixels of "
            f"{self.n_samples} pictures. Take more samples, another layer, or another concept."
        )

    @property
    def labels_(self) -> pd.DataFrame:
        """One row for each unit: the concept that it matches best, and how well."""
        best = self._table_of_units.groupby("unit")["iou"].idxmax()
        return self.units_.loc[best].reset_index(drop=True)

    @property
    def _table_of_units(self) -> pd.DataFrame:
        if not hasattr(self, "units_"):
            raise NotFittedError("Nothing has been dissected yet; call fit(generator) first.")
        return self.units_

    # The work.

    def _batches(self, generator: BaseGenerator, seeds: range, title: str) -> Iterator[Latent]:
        with tqdm(total=len(seeds), desc=title, unit="picture", delay=1) as progress:
            for first in range(0, len(seeds), self.batch_size):
                some = seeds[first : first + self.batch_size]
                yield generator.sample(len(some), seed=some.start)
                progress.update(len(some))

    def _add(self, counts: UnitOverlap, forward: PartialForward, thresholds: Tensor) -> None:
        labels = labels_of(self.segmenter, forward.image)
        layout = Layout(self.interpolation, self.align_corners)
        counts.add(forward.activation, thresholds, labels, layout, self._category())

    def _new_survey(self, first: int) -> ActivationStatistics:
        return ActivationStatistics(first, self.capacity, self.top)

    def _new_counts(self) -> UnitOverlap:
        names = list(self.segmenter.names)
        return UnitOverlap(len(names), -1 if self.ignore is None else names.index(self.ignore))

    def _category(self) -> list[int] | None:
        """Return the category of each concept by number; concepts without one share a last one."""
        names = list(self.segmenter.names)
        for concept in [*(self.categories or ()), *([self.ignore] if self.ignore else [])]:
            if concept not in names:
                raise NotFoundError(unknown("concept", concept, names))
        if self.categories is None:
            return None
        kinds = sorted(set(self.categories.values()))
        given = [self.categories.get(name) for name in names]
        return [len(kinds) if kind is None else kinds.index(kind) for kind in given]

    def _settings(self, generator: BaseGenerator) -> dict[str, Any]:
        """Return all that decides a run: what a file must agree with to be gone on from."""
        chosen = {k: v for k, v in vars(self).items() if not k.endswith("_") and k != "batch_size"}
        categories = None if self.categories is None else dict(sorted(self.categories.items()))
        return chosen | {
            "layer": layer_of(generator, self.layer).name,
            "segmenter": getattr(self.segmenter, "name", type(self.segmenter).__name__),
            "concepts": list(self.segmenter.names),
            "categories": categories,
            "generator": generator.fingerprint,
        }

    def _finish(
        self, generator: BaseGenerator, survey: ActivationStatistics, counts: UnitOverlap
    ) -> Dissection:
        thresholds = survey.quantile.quantile(self.quantile).cpu()
        settings = self._settings(generator)
        found = {
            "thresholds_": thresholds,
            "rank_error_": survey.quantile.error_bound,
            "overlap_": counts,
            "layer_": settings["layer"],
            "units_": _table(counts, thresholds, self.segmenter.names),
            "top_": survey.table(),
            "provenance_": Provenance(
                method="GAN Dissection",
                hyperparameters={k: v for k, v in settings.items() if k != "generator"},
                generator=generator.name,
                fingerprint=generator.fingerprint,
                reference=self.reference,
                version=__version__,
            ),
        }
        # In one step: an interrupt finds the old results or the new ones.
        self.__dict__.update(found)
        return self


def labels_of(segmenter: Predictor, images: Tensor) -> Tensor:
    """Read a segmenter's label maps ``[N, H, W]`` of pictures, and check them.

    Raises:
        PredictorError: It gave something else.
    """
    labels = segmenter.predict(images)
    names, name = segmenter.names, getattr(segmenter, "name", type(segmenter).__name__)
    expected = f"expected integer labels [{len(images)}, H, W] from 0 to {len(names) - 1}"
    if not isinstance(labels, Tensor) or labels.ndim != 3 or len(labels) != len(images):
        given = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise PredictorError(
            f"{name} gave {given} for {len(images)} pictures; {expected}. Take a segmenter, such "
            "as sb.bundle(G).segmenter where one is known, not scores of whole pictures."
        )
    if labels.is_floating_point() or labels.is_complex():
        raise PredictorError(f"{name} gave numbers of type {labels.dtype}; {expected}.")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise PredictorError(
            f"{name} gave labels from {int(labels.min())} to {int(labels.max())}; {expected}. "
            f"{closest('', names)}"
        )
    return labels.long()


def _table(counts: UnitOverlap, thresholds: Tensor, names: Sequence[str]) -> pd.DataFrame:
    units, concepts = counts.intersection.shape
    columns = {
        "unit": torch.arange(units).repeat_interleave(concepts).numpy(),
        "concept": list(names) * units,
        "iou": counts.iou().cpu().flatten().numpy(),
        "threshold": thresholds.repeat_interleave(concepts).numpy(),
        "iqr": counts.quality().cpu().flatten().numpy(),
        "inside": counts.inside().cpu().flatten().numpy(),
        "pixels": counts.intersection.cpu().long().flatten().numpy(),
    }
    return pd.DataFrame(columns)
