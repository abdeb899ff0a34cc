"""Names for directions from a CLIP: the phrase that fits best to what changes along one.

The pictures on both sides of a direction have CLIP features f(+) and f(-), and each phrase of a
list is a text with features t. The name is the phrase to which the mean change points the most,
compared with what all phrases have in common:

    argmax over phrases of  N(mean of f(+) - f(-)) . N(t - mean of t)

It only names what was measured to be more than chance: where the scorecard's evidence passes no
attribute, the answer is None, as it is where the best phrase fits hardly better than the others.
Give it to `steerbench.metrics.naming.suggest_names` as ``namer``.

>>> import steerbench as sb
>>> G, clip = sb.load("rooms"), sb.clip("rooms-clip")
>>> phrases = ["a room at night", "a room by day", "a room with a rug"]
>>> namer = WordsNamer(G, clip, phrases, n_samples=8)
>>> namer.fits(sb.SeFa(1).fit(G).directions_[0]).index.size
3

Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(2021, arXiv 2103.00020); naming units so: Oikarinen, Weng, "CLIP-Dissect" (2022, arXiv 2204.10965).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
import torch.nn.functional as F

from steerbench.errors import ArgumentError
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.types import Direction


class WordsNamer:
    """Names directions with the phrases of a list.

    Args:
        generator: Where the directions live.
        clip: Compares pictures and phrases.
        phrases: What there is to say; at least two.
        alpha: How far to go to either side.
        n_samples: How many pictures.
        seed: Of the first picture.
        least: By how much, in cosines, the best phrase must fit.

    Raises:
        ArgumentError: There are fewer than two phrases.
        PredictorError: A phrase is empty, or none of its words is known.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        clip: Clip,
        phrases: Sequence[str],
        *,
        alpha: float = 2.0,
        n_samples: int = 24,
        seed: int = 0,
        least: float = 0.2,
    ) -> None:
        self.generator, self.clip, self.phrases = generator, clip, tuple(dict.fromkeys(phrases))
        self.alpha, self.n_samples, self.seed, self.least = alpha, n_samples, seed, least
        if len(self.phrases) < 2:
            raise ArgumentError(
                f"{len(self.phrases)} phrases were given; a name needs at least two to choose from."
            )
        texts = clip.encode_text(list(self.phrases)).double()
        self._axes = F.normalize(texts - texts.mean(0), dim=1)

    def __call__(self, direction: Direction, evidence: pd.DataFrame) -> str | None:
        """Return the best phrase, or None: a `steerbench.metrics.naming.Namer`."""
        if not bool(evidence["named"].any()):
            return None
        fits = self.fits(direction)
        return str(fits.index[0]) if fits.iloc[0] >= self.least else None

    def fits(self, direction: Direction) -> pd.Series:
        """Compute cosines of the change along a direction with every phrase, the best first."""
        codes = self.generator.sample(self.n_samples, seed=self.seed)
        with torch.no_grad():
            down, up = (
                self.clip.encode_image(self.generator.render(codes, edits=[a * direction]))
                for a in (-self.alpha, self.alpha)
            )
        change = F.normalize((up - down).double().mean(0), dim=0)
        cosines = self._axes @ change.to(self._axes.device)
        return pd.Series(cosines.tolist(), index=self.phrases).sort_values(ascending=False)
