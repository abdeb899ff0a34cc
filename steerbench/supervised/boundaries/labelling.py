"""A direction from a person's own yes and no: thirty pictures, a boundary, and how far to trust it.

Codes of labelled pictures, centred and scaled by one number for all coordinates, are separated by a
logistic regression with a strong penalty, for there are more coordinates than labels:

    minimise over n, b:   |n|^2 / (2 C) + sum_k log(1 + exp(-y_k (n . w_k + b)))

The direction is n. How good it is, cross-validation says: every label is guessed by a boundary
that did not see it, the folds are drawn several times, and the share of right guesses comes with
Wilson's interval. Where the interval includes the share of the commoner answer, there is *not
enough evidence*: always giving that answer would do as well.

The most informative pictures to label next are those that lie nearest to the boundary (margin
sampling).

References: Lewis, Gale, "A Sequential Algorithm for Training Text Classifiers" (1994, arXiv
cmp-lg/9407020) for asking about the uncertain ones; Wilson, "Probable Inference, the Law of
Succession, and Statistical Inference" (1927); boundaries as directions: Shen, Gu, Tang, Zhou,
"Interpreting the Latent Space of GANs for Semantic Face Editing" (2019, arXiv 1907.10786).

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> bright = G.render(G.sample(12, seed=0)).mean(dim=(1, 2, 3)) > 0
>>> found = LabelledDirection(dict(enumerate(bright.tolist())), name="bright").fit(G)
>>> found.direction_.name, len(found.suggest(3))
('bright', 3)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.stats import wilson
from steerbench.types import Direction, Generator, Latent, Provenance


@dataclass(frozen=True)
class CrossValidation:
    """How well a boundary guesses labels that it did not see.

    Attributes:
        accuracy: The share of right guesses, in [0, 1]; NaN where nothing could be tried.
        low: The lower end of its 95% interval.
        high: The upper end.
        chance: The share of the commoner answer.
        yes: How many pictures have it.
        no: How many don't.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    yes: int
    no: int

    @property
    def enough(self) -> bool:
        """Whether the interval leaves chance out."""
        return self.low > self.chance

    def __str__(self) -> str:
        labels = f"{self.yes} yes, {self.no} no"
        if math.isnan(self.accuracy):
            return f"Not enough evidence yet: {labels}. At least two of each are needed."
        said = (
            f"right {self.accuracy:.0%} of the time on pictures not seen "
            f"({self.low:.0%} to {self.high:.0%}; the commoner answer: {self.chance:.0%}; {labels})"
        )
        return said if self.enough else f"Not enough evidence yet: {said}."


class LabelledDirection:
    """The boundary between pictures that have something and pictures that don't.

    Args:
        labels: ``{seed: True or False}``; the pictures are ``G.sample(1, seed=seed)``.
        space: Where the boundary is drawn: ``"w"``, ``"z"``, ...
        name: Of the direction.
        seed: Of the folds and of the first suggestions.

    Attributes:
        direction_: The `Direction`, towards yes.
        directions_: The same in a list, as of any finder.
        evidence_: The `CrossValidation` for it.

    Raises:
        ArgumentError: A seed or a label is none.
    """

    reference = "Lewis, Gale 1994, arXiv cmp-lg/9407020; Shen et al. 2019, arXiv 1907.10786"
    direction_: Direction
    directions_: list[Direction]
    evidence_: CrossValidation

    def __init__(
        self,
        labels: Mapping[int, bool],
        space: str | None = None,
        *,
        name: str = "my direction",
        seed: int = 0,
    ) -> None:
        self.labels, self.space, self.name, self.seed = labels, space, name, seed
        _check(labels)

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return None: a boundary can be drawn between codes of any generator."""
        return None

    def fit(self, generator: Generator) -> LabelledDirection:
        """Draw the boundary.

        Raises:
            ArgumentError: There are not two pictures of each kind at least.
            SpaceError: The generator has no such space.
        """
        answers = np.array([bool(self.labels[each]) for each in self.labels], dtype=bool)
        yes, no = int(answers.sum()), int((~answers).sum())
        if min(yes, no) < 2:
            raise ArgumentError(
                f"{yes} pictures were labelled yes and {no} no. A boundary needs two of each at "
                "least, and thirty labels to be worth much."
            )
        self._space = self.space or generator.natural_space
        codes = self._codes(generator, self.labels)
        self._centre, self._unit = codes.mean(axis=0), float(codes.std()) or 1.0
        scaled = (codes - self._centre) / self._unit
        self._model = _classifier().fit(scaled, answers)
        self.evidence_ = judge(scaled, answers, self.seed)
        self._generator = generator
        self.direction_ = self._direction(generator)
        self.directions_ = [self.direction_]
        return self

    def _direction(self, generator: Generator) -> Direction:
        vector = self._model.coef_[0].reshape(generator.spaces[self._space].shape)
        if not np.linalg.norm(vector) > 0:
            raise ArgumentError(
                "The labelled pictures all have the same code, so nothing tells yes from no. "
                "Label different seeds."
            )
        direction = Direction(self.name, self._space, vector, generator=generator.fingerprint)
        proof = self.evidence_
        provenance = Provenance(
            method="LabelledDirection",
            hyperparameters={"space": self._space, "labels": _words(self.labels)},
            generator=generator.name,
            fingerprint=generator.fingerprint,
            seed=self.seed,
            n_samples=len(self.labels),
            scores={"accuracy": proof.accuracy, "interval": [proof.low, proof.high],
                    "chance": proof.chance, "enough": proof.enough},
            reference=self.reference,
        )  # fmt: skip
        scale = generator.prior_std(self._space, direction.vector)
        return replace(direction, scale=scale, provenance=provenance)

    def margins(self, seeds: Iterable[int]) -> np.ndarray:
        """Return how far each picture lies on the side of yes (above 0) or no, ``[n]``."""
        codes = self._codes(self._generator, list(seeds))
        margins: np.ndarray = self._model.decision_function((codes - self._centre) / self._unit)
        return margins

    def suggest(self, n_seeds: int, candidates: Iterable[int] = range(1024)) -> list[int]:
        """Return the candidate seeds that say most: unlabelled, and nearest to the boundary."""
        seeds = [each for each in candidates if each not in self.labels]
        order = np.argsort(np.abs(self.margins(seeds)), kind="stable")
        return [seeds[i] for i in order[:n_seeds]]

    def _codes(self, generator: Generator, seeds: Iterable[int]) -> np.ndarray:
        samples = [generator.sample(1, seed=int(each)) for each in seeds]
        data: Tensor = generator.to(Latent.cat(samples), self._space).data
        return data.flatten(1).double().cpu().numpy()


def judge(
    codes: np.ndarray, answers: np.ndarray, seed: int = 0, n_folds: int = 5, n_repeats: int = 4
) -> CrossValidation:
    """Guess every label from the others, several times, and count.

    Args:
        codes: ``[n, d]``.
        answers: ``[n]``, true or false.
        seed: Of the folds.
        n_folds: Parts that the pictures are dealt into; fewer where there are fewer of a kind.
        n_repeats: How often they are dealt anew.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    yes, n = int(answers.sum()), len(answers)
    chance = max(yes, n - yes) / n
    folds = min(n_folds, yes, n - yes)
    if folds < 2:
        return CrossValidation(math.nan, 0.0, 1.0, chance, yes, n - yes)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=n_repeats, random_state=seed)
    right = np.zeros(n)
    for known, asked in splits.split(codes, answers):
        guessed = _classifier().fit(codes[known], answers[known]).predict(codes[asked])
        right[asked] += guessed == answers[asked]
    accuracy = float(right.sum() / (n * n_repeats))
    # Repeating the folds steadies the estimate; it makes no new labels, so n counts them once.
    low, high = wilson(round(accuracy * n), n)
    return CrossValidation(accuracy, low, high, chance, yes, n - yes)


def _classifier(c: float = 0.1) -> Any:
    """Make the regression; the smaller c, the nearer to a difference of means."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, max_iter=500)


def _words(labels: Mapping[int, bool]) -> dict[str, list[int]]:
    return {
        "yes": [int(each) for each, has in labels.items() if has],
        "no": [int(each) for each, has in labels.items() if not has],
    }


def _check(labels: Mapping[int, bool]) -> None:
    for each, has in labels.items():
        if not isinstance(each, int | np.integer) or each < 0:
            raise ArgumentError(f"A label was given for {each!r}. Give {{seed: True or False}}.")
        if not isinstance(has, bool | np.bool_):
            raise ArgumentError(
                f"The label of seed {each} is {has!r}. Give True where the picture has it, False "
                "where it hasn't, and leave the seed out where you are not sure."
            )


__all__ = ["CrossValidation", "LabelledDirection", "judge"]
