"""HiGAN: the boundary of every attribute at once, and which of them really cause what they say.

A predictor F reads attributes from pictures. For each of them:

    sample -> predict -> keep the confident ends -> linear boundary -> validate -> verify -> rank

A boundary that separates codes well need not *do* anything: what separates may be a companion.
Counterfactual verification moves fresh codes z_k by lambda along the unit normal n, and asks how
much more of the attribute the pictures then have:

    effect = mean over k of max(F(G(z_k + lambda n)) - F(G(z_k)), 0)

Attributes are ranked by it, those that the generator represents most firmly first. (Where scores
have different units, by the effect in standard deviations of the score.) Since max(., 0) makes an
effect out of noise too, ``chance`` stands beside it: what the strongest of some random directions
reaches.

In w+ all rows of a sampled code are copies, so that the boundary is the one of w; there each row
(or each given range of rows) is verified on its own, which says in which layers an attribute
lives: the multiple levels of abstraction.

>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Unflatten(1, (1, 2, 3)), latent_shape=(6,))
>>> first = sb.predictor(lambda x: x[:, 0, 0, 0], names=["first pixel"])
>>> found = LatentBoundaries(first, space="z", n_samples=300).fit(G)
>>> found.table_.loc[0, "attribute"]
'first pixel'
>>> bool(found.directions_[0].vector[0] > 0.9)
True

Reference: Yang, Shen, Zhou, "Semantic Hierarchy Emerges in Deep Generative Representations for
Scene Synthesis" (2020, arXiv 1911.09267).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import __version__
from steerbench.errors import (
    ArgumentError,
    NotFittedError,
    NotFoundError,
    SpaceError,
    closest,
    unknown,
)
from steerbench.metrics.reading import Reader
from steerbench.runs import RunFile
from steerbench.supervised.boundaries.counterfactual import (
    BoundaryCandidate,
    Verification,
)
from steerbench.supervised.boundaries.hyperplane import Boundary
from steerbench.supervised.boundaries.interfacegan import (
    TrainedBoundary,
    count_ends,
    fit_ends,
    split_ends,
)
from steerbench.supervised.boundaries.score_extremes import ScoreExtremes, SeededCodes
from steerbench.types import (
    Direction,
    Generator,
    Predictor,
    Provenance,
    format_layers,
    parse_layers,
)

BLOCK = 1024
"""Scores are sorted in, and the run is saved, after so many samples."""


class LatentBoundaries:
    """Verified boundaries of everything that a predictor reads.

    Args:
        reader: Reads the pictures; a segmenter's scores are the shares of its classes.
        space: Where the boundaries lie: ``"z"``, ``"w"``, ``"s"``, or a layer-wise space such as
            ``"w+"``, in which rows are verified one by one; None for the generator's natural one.
        n_samples: How many pictures are read. Memory does not grow with it.
        seed: Sample i is the generator's of seed ``seed + i``; fresh ones for the verification
            follow. It also draws the split and the random directions.
        attributes: Which of the predictor's names; None for all.
        chosen: How many samples of each end, a number or a share. None takes 2%, but at least five
            times the length of a code, and at most a fifth.
        split_ratio: The share of the chosen that trains; the rest validates.
        layers: Rows that an edit may change, ``"all"`` or ``"0-3"``. In a layer-wise space several
            such ranges, ``["0-1", "2-5"]``, each verified; ``"all"`` then means every row alone.
        n_fresh_samples: How many fresh codes verify.
        alpha: How far they move, in standard deviations of the prior: lambda.
        n_random: How many random directions say what chance reaches.
        c: Of the support vector machine.
        invalid_value: A score that means that there is none, such as -999.
        batch_size: Pictures at a time.
        precision: Of rendering: ``"exact"``, or ``"fast"``.

    Attributes:
        directions_: Directions named after the attributes, ranked by their effect.
        table_: The same order, one row a candidate: ``attribute``, ``layers``, ``rank``,
            ``effect`` with ``effect_low`` and ``effect_high`` (95%, bootstrap), ``chance``,
            ``verified`` (whether the whole interval lies above chance), ``accuracy`` of the
            held-out ends with ``accuracy_low`` and ``accuracy_high`` (95%, Wilson),
            ``train_accuracy``, ``samples``, ``held_out``, ``correlation`` of the distance to the
            boundary with the score on fresh codes, ``low`` and ``high`` (the scores at which the
            ends stop) and ``note``, the reason where an attribute has no boundary.
        rescored_: The mean change of every attribute (columns) by every candidate (rows).
        boundaries_: Attribute to `Boundary`, with its bias.
    """

    reference = 'Yang, Shen, Zhou, "Semantic Hierarchy Emerges", arXiv 1911.09267'
    directions_: list[Direction]
    table_: pd.DataFrame
    rescored_: pd.DataFrame
    boundaries_: dict[str, Boundary]

    def __init__(
        self,
        reader: Predictor,
        space: str | None = None,
        n_samples: int = 2000,
        seed: int = 0,
        attributes: Sequence[str] | None = None,
        chosen: float | None = None,
        split_ratio: float = 0.7,
        layers: Any = "all",
        n_fresh_samples: int = 100,
        alpha: float = 2.0,
        n_random: int = 4,
        c: float = 1.0,
        invalid_value: float | None = None,
        batch_size: int = 32,
        precision: str = "exact",
    ) -> None:
        self.reader = reader
        self.space = space
        self.n_samples = n_samples
        self.seed = seed
        self.attributes = attributes
        self.chosen = chosen
        self.split_ratio = split_ratio
        self.layers = layers
        self.n_fresh_samples = n_fresh_samples
        self.alpha = alpha
        self.n_random = n_random
        self.c = c
        self.invalid_value = invalid_value
        self.batch_size = batch_size
        self.precision = precision

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return None: boundaries lie between codes of any generator."""
        return None

    def fit(
        self,
        generator: Generator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> LatentBoundaries:
        """Find the boundaries of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any.
            state: A file from which to go on and into which to write how far the sampling is; it
                is replaced whole or not at all.
            save_every: Seconds between two writings of the file.

        Raises:
            NotFoundError: The predictor reads no such attribute.
            SpaceError: The generator has no such space.
            PredictorError: The predictor gave NaN, or scores of another shape.
            ArgumentError: No attribute has two sides, the options make no sense, or the file
                belongs to another run.
        """
        least = {"n_samples": 4, "n_fresh_samples": 2, "batch_size": 1, "n_random": 0}
        if any(getattr(self, name) < number for name, number in least.items()):
            given = ", ".join(f"{name}={getattr(self, name)}" for name in least)
            raise ArgumentError(
                f"{given}; give at least 4 samples, 2 fresh ones to verify with, a batch of 1, and "
                "no negative number of random directions."
            )
        reader, base = Reader(self.reader, self.attributes), self._base(generator)
        ranges = self._ranges(generator, base)
        settings = self._settings(generator, reader)
        file = RunFile(state, "steerbench boundary run", settings, save_every)
        ends = self._sample_ends(generator, base, reader, file)
        found, notes = self._candidates(generator, base, reader, ends, ranges)
        verification = Verification(generator, base, reader, self)
        changes = [verification.changes(candidate.direction) for candidate in found]
        chance = verification.chance({candidate.rows for candidate in found})
        return self._finish(found, notes, verification, changes, chance)

    # The steps.

    def _base(self, generator: Generator) -> str:
        """Return the space in which codes are told apart: w for w+."""
        space = self.space or generator.natural_space
        if space not in generator.spaces:
            raise SpaceError(
                f"{generator.name!r} has no space {space!r}. {closest(space, generator.spaces)}"
            )
        parent = space.removesuffix("+")
        return parent if parent in generator.spaces else space

    def _ranges(self, generator: Generator, base: str) -> list[tuple[int, ...] | None]:
        layered = generator.spaces.get(base + "+")
        if layered is None:
            if self.layers not in (None, "all"):
                raise SpaceError(
                    f"layers={self.layers!r} were asked for, but space {base!r} of "
                    f"{generator.name!r} has no layer-wise form. Leave layers at 'all'."
                )
            return [None]
        rows = layered.shape[0]
        if self.space in (None, base):
            return [parse_layers(self.layers, rows)]
        if self.layers in (None, "all"):
            return [(row,) for row in range(rows)]
        several = [self.layers] if isinstance(self.layers, (str, int)) else list(self.layers)
        return [parse_layers(part, rows) for part in several]

    def _ends_size(self, generator: Generator, base: str) -> int:
        """Return how many samples of each end are kept."""
        if self.chosen is not None:
            return count_ends(self.chosen, self.n_samples)
        size = int(np.prod(generator.spaces[base].shape))
        return max(1, min(max(self.n_samples // 50, 5 * size), self.n_samples // 5))

    def _settings(self, generator: Generator, reader: Reader) -> dict[str, Any]:
        """Return what the seeds at the ends depend on."""
        return {
            "generator": generator.fingerprint,
            "predictor": str(getattr(self.reader, "name", type(self.reader).__name__)),
            "attributes": list(reader.names),
            "n_samples": self.n_samples,
            "seed": self.seed,
            "kept": self._ends_size(generator, self._base(generator)),
            "invalid_value": self.invalid_value,
            "precision": self.precision,
        }

    def _sample_ends(
        self, generator: Generator, base: str, reader: Reader, file: RunFile
    ) -> ScoreExtremes:
        ends = ScoreExtremes(self._ends_size(generator, base), self.seed, self.invalid_value)
        if known := file.read():
            ends.load_state_dict(known)
        bar = tqdm(total=self.n_samples, initial=ends.count, desc="pictures", delay=1, leave=False)
        with bar, torch.no_grad():
            while ends.count < self.n_samples:
                block = min(BLOCK, self.n_samples - ends.count)
                scores = []
                for start in range(0, block, self.batch_size):
                    seed, count = (
                        self.seed + ends.count + start,
                        min(self.batch_size, block - start),
                    )
                    latent = generator.sample(count, seed=seed)
                    scores.append(reader(generator.render(latent, precision=self.precision)))
                    bar.update(count)
                ends.add(torch.cat(scores))
                file.write(ends.state_dict)
        file.write(ends.state_dict, now=True)
        return ends

    def _candidates(
        self,
        generator: Generator,
        base: str,
        reader: Reader,
        ends: ScoreExtremes,
        ranges: Sequence[tuple[int, ...] | None],
    ) -> tuple[list[BoundaryCandidate], dict[str, str]]:
        """Return boundaries of every attribute that has two sides, and why the others have none."""
        codes = SeededCodes(generator, base, range(self.seed, self.seed + self.n_samples))
        found: list[BoundaryCandidate] = []
        notes: dict[str, str] = {}
        for column, name in enumerate(tqdm(reader.names, "boundaries", delay=1, leave=False)):
            valid = int(ends.valid[column])
            count = min(self._ends_size(generator, base), valid // 2)
            high, high_scores, low, low_scores = ends.of(column, count)
            if not count or high_scores[0] == low_scores[0]:
                notes[name] = f"{valid} samples, all with the same score" if valid else "no score"
                continue
            # One stream a column, so that leaving attributes out changes none of the others.
            split = split_ends(high, low, self.split_ratio, self.seed)
            trained = fit_ends(codes, split, self.c)
            borders = float(low_scores[-1]), float(high_scores[-1])
            direction = self._direction(generator, base, name, trained)
            found += [
                BoundaryCandidate(name, column, rows, trained, borders, _limit(direction, rows))
                for rows in ranges
            ]
        if not found:
            raise ArgumentError(
                f"None of {list(notes)[:12]} has two sides: {next(iter(notes.values()))}. A "
                "boundary needs samples with and samples without the attribute."
            )
        return found, notes

    def _direction(
        self, generator: Generator, base: str, name: str, trained: TrainedBoundary
    ) -> Direction:
        shape = generator.spaces[base].shape
        vector = trained.boundary.normal.reshape(shape)
        provenance = Provenance(
            method="LatentBoundaries",
            hyperparameters={
                key: getattr(self, key)
                for key in ("n_samples", "chosen", "split_ratio", "c", "alpha")
            }
            | {"space": self.space or base, "n_fresh_samples": self.n_fresh_samples},
            generator=generator.name,
            fingerprint=generator.fingerprint,
            seed=self.seed,
            n_samples=self.n_samples,
            scores={"bias": trained.boundary.bias},
            reference=self.reference,
            version=__version__,
        )
        return Direction(
            name=name,
            space=base,
            vector=vector,
            scale=generator.prior_std(base, vector),
            generator=generator.fingerprint,
            provenance=provenance,
        )

    def _finish(
        self,
        found: Sequence[BoundaryCandidate],
        notes: dict[str, str],
        verification: Verification,
        changes: Sequence[Tensor],
        chance: dict[tuple[int, ...] | None, Tensor],
    ) -> LatentBoundaries:
        rows = [
            verification.row(candidate, change, chance.get(candidate.rows))
            for candidate, change in zip(found, changes)
        ]
        order = sorted(range(len(rows)), key=lambda i: -rows[i].pop("strength"))
        for rank, i in enumerate(order):
            rows[i]["rank"] = rank + 1
        empty = [{"attribute": name, "note": note} for name, note in notes.items()]
        table = pd.DataFrame([rows[i] for i in order] + empty)
        names = [found[i].direction.name for i in order]
        means = [changes[i].mean(0).numpy() for i in order]
        directions = [_attach_scores(found[i].direction, rows[i]) for i in order]
        self.rescored_ = pd.DataFrame(means, index=names, columns=verification.reader.names)
        self.boundaries_ = {candidate.attribute: candidate.trained.boundary for candidate in found}
        self.directions_, self.table_ = directions, table
        return self

    # What was found.

    def direction(self, name: str) -> Direction:
        """Return a direction by its name.

        Raises:
            NotFoundError: There is none; the closest names are offered.
            ArgumentError: Nothing has been fitted yet.
        """
        if not hasattr(self, "directions_"):
            raise NotFittedError("No boundaries have been found yet; call fit(generator) first.")
        for direction in self.directions_:
            if direction.name == name:
                return direction
        names = [direction.name for direction in self.directions_]
        raise NotFoundError(unknown("direction", name, names))


def _limit(direction: Direction, rows: tuple[int, ...] | None) -> Direction:
    if rows is None:
        return direction
    return direction.limited(rows).named(f"{direction.name} (layers {format_layers(rows)})")


def _attach_scores(direction: Direction, row: dict[str, Any]) -> Direction:
    """Return the direction with what was measured of it."""
    keys = ("rank", "effect", "effect_low", "effect_high", "chance", "verified", "accuracy")
    measured = {key: row[key] for key in keys if row[key] == row[key]}
    scores = {**direction.provenance.scores, **measured}
    return replace(direction, provenance=replace(direction.provenance, scores=scores))
