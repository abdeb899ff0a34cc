"""What units do when they are switched: causes, where an overlap only shows company.

Units U are removed by setting them to 0 everywhere, and inserted by setting them to a high value k
where the concept c would fit (`insertion_sites`). The average causal effect is the change of the
share s_c of pixels on which a segmenter sees the concept:

    removal:    E[s_c(x with U = 0)] - E[s_c(x)]             in pictures that show the concept
    insertion:  E[s_c(x with U = k at places P)] - E[s_c(x)] in pictures that do not

The segmenter that judges is never the one that chose the units: what one network was picked by,
another one has to see. And switching anything changes something, so that every effect stands
beside that of as many **random units** of the same layer, switched in the same pictures and places
to values by the same rule. Intervals (95 %) are of a bootstrap over pictures, all of them pictures
that took no part in the dissection. The row "matched - random" compares the
two picture by picture.

Reference: Bau et al., "GAN Dissection" (2019, arXiv 1811.10597), section 3.2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError, NotFoundError, ShapeError, unknown
from steerbench.generators.base import BaseGenerator
from steerbench.metrics.null import p_value, random_units
from steerbench.runs import RunFile
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.supervised.dissection import Dissection, labels_of
from steerbench.supervised.dissection.insertion_sites import InsertionSites
from steerbench.supervised.dissection.partial_forward import PartialForward, refuse_units
from steerbench.types import Latent, Predictor, UnitEdit

EDITS = ("removal", "insertion")
SHOWN, ABSENT = 0.005, 0.0005
"""The share of pixels from which on a picture shows a concept, and up to which it does not."""


class UnitEffects:
    """The causal effect of the units that match concepts, against random ones.

    Args:
        dissection: A fitted `Dissection`; it chooses units, values and places.
        judge: Another segmenter, which measures; it has to know the concepts by the same names.
        concepts: Which; all that some unit matches by default.
        units: How many units make a set; or, for each concept, the units themselves.
        n_samples: How many pictures to measure each effect on, at most.
        n_fresh_samples: How many fresh pictures to look for them in.
        n_random: How many random sets to compare with.
        strength: The value k of a unit in multiples of its threshold.
        seed: Of the first fresh picture, counted inside the seeds of effects
            (`steerbench.seeds`), beyond those of the dissection.
        batch_size: Pictures at a time.

    Attributes:
        effects_: A table, a row for each concept, edit (``"removal"``, ``"insertion"``) and set
            of units (``"matched"``, ``"random"``, ``"matched - random"``): the ``change`` of the
            concept's share of the pixels in percentage points with the interval ``low`` to
            ``high``, the change as a ``share`` of what could be reached (all of the concept's
            pixels, or all pixels of the places), ``pictures``, and ``p``, the share of sets,
            random and matched, that do as much as the matched one.
        sets_: The units of each concept.
        hosts_: What each concept was inserted into.
    """

    def __init__(
        self,
        dissection: Dissection,
        judge: Predictor,
        concepts: Sequence[str] | None = None,
        units: int | Mapping[str, Sequence[int]] = 16,
        n_samples: int = 100,
        n_fresh_samples: int = 400,
        n_random: int = 9,
        strength: float = 3.0,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        self.dissection = dissection
        self.judge = judge
        self.concepts = concepts
        self.units = units
        self.n_samples = n_samples
        self.n_fresh_samples = n_fresh_samples
        self.n_random = n_random
        self.strength = strength
        self.seed = seed
        self.batch_size = batch_size

    effects_: pd.DataFrame
    sets_: dict[str, tuple[int, ...]]
    hosts_: dict[str, list[str]]

    @property
    def _first_seed(self) -> int:
        return Codes.EFFECTS + self.seed

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        return refuse_units(generator)

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> UnitEffects:
        """Measure the effects; interrupted, it leaves this object as it was.

        Args:
            generator: The one that was dissected.
            state: A file from which to go on and into which to write what was measured; it is
                replaced whole or not at all.
            save_every: Seconds between two writings of the file.

        Raises:
            NotFoundError: A concept is unknown to the judge, or no unit matches it.
            ArgumentError: The dissection is not fitted, or is of another generator; or the file
                belongs to another run.
        """
        names = self._concepts(generator)
        sets = {name: self._set(name) for name in names}
        file = RunFile(
            state, "steerbench unit effects", self._settings(generator, sets), save_every
        )
        measured = file.read()
        if any(f"{name}.hosts" not in measured for name in names):
            codes, labels = self._fresh(generator)
        for name in tqdm(names, desc=f"effects in {self.dissection.layer_}", unit="concept"):
            if f"{name}.hosts" not in measured:
                measured |= self._measure_concept(generator, codes, labels, name, sets[name])
                file.write(measured)
        file.write(measured, now=True)
        rows = [row for name in names for edit in EDITS for row in _rows(measured, name, edit)]
        known = self.dissection.segmenter.names
        hosts = {name: [known[int(i)] for i in measured[f"{name}.hosts"]] for name in names}
        self.__dict__.update(effects_=pd.DataFrame(rows), sets_=sets, hosts_=hosts)
        return self

    def edit(self, concept: str, mask: Tensor | None = None, insert: bool = False) -> UnitEdit:
        """Return the edit that removes a concept, or inserts it under a mask.

        Args:
            concept: Which.
            mask: ``[H, W]`` or ``[N, H, W]`` in [0, 1]; None for everywhere.
            insert: Whether to insert it.
        """
        return unit_edit(self.dissection, self._set(concept), insert, mask, self.strength)

    def _settings(
        self, generator: BaseGenerator, sets: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Any]:
        """Return all that decides the result: what a file must agree with to be gone on from."""
        numbers = ("n_samples", "n_fresh_samples", "n_random", "strength", "seed")
        return {name: getattr(self, name) for name in numbers} | {
            "generator": generator.fingerprint,
            "layer": self.dissection.layer_,
            "judge": getattr(self.judge, "name", type(self.judge).__name__),
            "shown": SHOWN,
            "sets": {name: list(units) for name, units in sets.items()},
            "thresholds": store.fingerprint({"thresholds": self.dissection.thresholds_}),
        }

    # Choosing.

    def _concepts(self, generator: BaseGenerator) -> list[str]:
        dissected = getattr(self.dissection, "provenance_", None)
        if dissected is None or dissected.fingerprint != generator.fingerprint:
            raise ArgumentError(
                "The dissection is not one of this generator "
                f"({generator.name!r}). Call dissection.fit(generator) first."
            )
        used = range(self.dissection.seed, self.dissection.seed + self.dissection.n_samples)
        first = self._first_seed
        if first < used.stop and first + self.n_fresh_samples > used.start:
            raise ArgumentError(
                f"Fresh pictures from seed {first} on took part in the dissection, which used "
                f"seeds {used.start} to {used.stop - 1}. Give another seed."
            )
        matched = self.dissection.units_.query("iou > 0")["concept"].unique()
        names = list(matched) if self.concepts is None else list(self.concepts)
        for name in names:
            if name not in self.judge.names:
                raise NotFoundError(unknown("concept of the judge", name, self.judge.names))
        return names

    def _set(self, concept: str) -> tuple[int, ...]:
        if not isinstance(self.units, int):
            if concept not in self.units:
                raise NotFoundError(unknown("set of units", concept, self.units))
            return tuple(int(unit) for unit in self.units[concept])
        return tuple(self.dissection.best(concept, self.units)["unit"].tolist())

    def _fresh(self, generator: BaseGenerator) -> tuple[Latent, Tensor]:
        """Draw codes that took no part in the dissection, and let the judge see their pictures."""
        codes = generator.sample(self.n_fresh_samples, seed=self._first_seed)
        drawn = [
            generator.render(codes[some]) for some in _chunks(range(len(codes)), self.batch_size)
        ]
        return codes, torch.cat([labels_of(self.judge, images) for images in drawn])

    def _as_chosen(self, labels: Tensor) -> Tensor:
        """Return the judge's labels as the segmenter that chose numbers them; -1 for others."""
        chosen = list(self.dissection.segmenter.names)
        table = [chosen.index(name) if name in chosen else -1 for name in self.judge.names]
        return torch.tensor(table, device=labels.device)[labels]

    def _some(self, chosen: Tensor) -> list[int]:
        return chosen.nonzero()[: self.n_samples, 0].tolist()

    def _sites(self, generator: BaseGenerator, concept: str) -> InsertionSites:
        """Return where the pictures that excite the concept's units show it."""
        top = self.dissection.top_
        seeds = top[top["unit"].isin(self._set(concept))]["seed"].drop_duplicates().tolist()
        codes = Latent.cat([generator.sample(1, seed=int(seed)) for seed in seeds[:96]])
        segmenter = self.dissection.segmenter
        drawn = [
            generator.render(codes[some]) for some in _chunks(range(len(codes)), self.batch_size)
        ]
        labels = torch.cat([labels_of(segmenter, images) for images in drawn])
        return InsertionSites.of(labels, list(segmenter.names).index(concept))

    # Measuring.

    def _measure_concept(
        self,
        generator: BaseGenerator,
        codes: Latent,
        labels: Tensor,
        name: str,
        units: tuple[int, ...],
    ) -> dict[str, Tensor]:
        """Measure removal and insertion of one concept.

        Args:
            generator: Draws the pictures.
            codes: Fresh ones.
            labels: What the judge sees in their pictures, ``[N, H, W]``.
            name: Of the concept.
            units: That match it.

        Returns:
            By concept and edit ``changes`` ``[1 + n_random, N]``, of the matched units first, and
            what could be ``reached``; the numbers of the ``hosts``.
        """
        share = (labels == list(self.judge.names).index(name)).float().mean((1, 2))
        shown = self._some(share >= SHOWN)
        sites = self._sites(generator, name)
        masks, fits = sites.choose(self._as_chosen(labels), seed=self._first_seed)
        lacking = self._some((share <= ABSENT) & fits)
        found = {f"{name}.hosts": torch.tensor(sites.hosts, dtype=torch.int64)}
        for edit, chosen, where in (("removal", shown, None), ("insertion", lacking, masks)):
            if chosen:
                measured = self._measure(generator, codes, name, units, chosen, where)
                found |= {f"{name}.{edit}.{key}": value for key, value in measured.items()}
        return found

    def _measure(
        self,
        generator: BaseGenerator,
        codes: Latent,
        concept: str,
        units: tuple[int, ...],
        chosen: list[int],
        masks: Tensor | None,
    ) -> dict[str, Tensor]:
        """Switch the units of a concept and random ones in the pictures chosen."""
        count = generator.find_layer(self.dissection.layer_).channels
        rivals = random_units(count, units, self.n_random, self._first_seed)
        column = list(self.judge.names).index(concept)
        changes, reach = [], []
        for some in _chunks(chosen, self.batch_size):
            forward = PartialForward(generator, codes[some], self.dissection.layer_)
            places = None if masks is None else masks[some]
            before = self._share(forward.image, column)
            reach.append(before if places is None else places.mean((1, 2)))
            edits = (
                unit_edit(self.dissection, group, places is not None, places, self.strength)
                for group in (units, *rivals)
            )
            after = [self._share(forward.render([edit]), column) for edit in edits]
            changes.append(torch.stack(after) - before)
        return {"changes": torch.cat(changes, dim=1), "reached": torch.cat(reach).mean()}

    def _share(self, images: Tensor, column: int) -> Tensor:
        """Return the share of each picture on which the judge sees a concept, float64."""
        return (labels_of(self.judge, images) == column).double().mean((1, 2))


def _rows(measured: Mapping[str, Tensor], concept: str, edit: str) -> list[dict[str, Any]]:
    """Return the rows of one concept and edit; none where no picture could be edited."""
    change = measured.get(f"{concept}.{edit}.changes")
    if change is None:
        return []
    reached = float(measured[f"{concept}.{edit}.reached"])
    means = change.mean(1).abs()
    p = float(p_value(means[0], means[1:]))
    kinds = {
        "matched": change[0],
        "random": change[1:].mean(0),
        "matched - random": change[0] - change[1:].mean(0),
    }
    labels = {"concept": concept, "edit": edit}
    return [
        labels | _row(kind, values, reached) | {"p": p if kind == "matched" else np.nan}
        for kind, values in kinds.items()
    ]


def _row(kind: str, values: Tensor, reached: float) -> dict[str, Any]:
    low, high = map(float, bootstrap(values))
    mean = float(values.mean())
    return {
        "units": kind,
        "change": 100 * mean,
        "low": 100 * low,
        "high": 100 * high,
        "share": mean / reached if reached else np.nan,
        "pictures": len(values),
    }


def unit_edit(
    dissection: Dissection,
    units: Sequence[int],
    insert: bool = False,
    mask: Tensor | None = None,
    strength: float = 3.0,
) -> UnitEdit:
    """Switch units off, or set them to ``strength`` times their thresholds where a mask says so.

    Args:
        dissection: A fitted one; it knows the layer and the thresholds.
        units: Which.
        insert: Whether to insert what they draw; otherwise it is removed.
        mask: ``[H, W]`` or ``[N, H, W]`` in [0, 1]; none for everywhere.
        strength: Of an insertion.

    Raises:
        ShapeError: The mask lies outside the picture: it has no place, or values beyond [0, 1].
    """
    if mask is not None:
        _check_mask(mask)
    if not insert:
        return UnitEdit(dissection.layer_, tuple(units), "set", 0.0, mask)
    values = strength * dissection.thresholds_[list(units)]
    return UnitEdit(dissection.layer_, tuple(units), "set", tuple(values.tolist()), mask)


def _check_mask(mask: Tensor) -> None:
    if mask.ndim not in (2, 3) or not mask.numel():
        raise ShapeError(f"The mask has the shape {list(mask.shape)}. Give [H, W] or [N, H, W].")
    low, high = float(mask.min()), float(mask.max())
    if not 0 <= low <= high <= 1:
        raise ShapeError(f"The mask goes from {low:g} to {high:g}; expected numbers in [0, 1].")
    if high == 0:
        raise ShapeError("The mask is 0 everywhere: it lies outside the picture. Cover some of it.")


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(items), size):
        yield list(items[first : first + size])
