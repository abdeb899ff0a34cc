"""Who draws from which seeds: one table, so that what judges was never seen by what it judges.

A picture of a generator, or of a world, is fixed by its seed, a whole number from 0 to 2**32 - 1.
Whoever draws pictures for a purpose of its own draws them from a range of its own. An argument
``seed`` then starts at 0 and counts inside that range: ``sb.scorecard(..., seed=3)`` edits the
pictures from ``Codes.SCORECARD + 3`` on.

A verification of boundaries (HiGAN) has no range: it draws the seeds that follow those that its
boundaries were found on. Proposals of the canvas are drawn a million seeds after its own.

>>> Codes.SCORECARD + 3
700003
>>> 700_500 in Codes.SCORECARD, 700_500 in Codes.JUDGING
(True, False)
"""

from __future__ import annotations

from enum import Enum

from steerbench.errors import ArgumentError


class Reserved(Enum):
    """Ranges of seeds, each reserved for one purpose: the first seed, and the one after the last.

    Attributes:
        start: The first seed of a range.
        stop: The one after its last.
    """

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __add__(self, seed: int) -> int:
        """Return the seed that is so far from the first one.

        Raises:
            ArgumentError: It lies outside the range.
        """
        if not 0 <= seed < self.stop - self.start:
            raise ArgumentError(
                f"seed={seed}; it counts inside the seeds that are reserved for "
                f"{self.name.lower()} (see steerbench.seeds), so give a whole number from 0 to "
                f"{self.stop - self.start - 1}."
            )
        return self.start + seed

    def __contains__(self, seed: int) -> bool:
        return self.start <= seed < self.stop


class Codes(Reserved):
    """Seeds of a generator's codes.

    Attributes:
        FREE: What anybody looks at or learns from: finders and dissections count from 0, and so
            do chapters and the buttons that draw at random.
        EFFECTS: Pictures in which units are switched.
        SEARCH: Pictures that guide the search for sets of units.
        ARTEFACTS: Pictures from which artefacts are taken.
        LAYOUT: Pictures on which the ranges of a reader's scores are measured.
        INVERSION: Own pictures that a study or a chapter inverts, and codes that say where a
            watermark is.
        ENCODER: Own pictures on which an encoder is judged.
        SCORECARD: Pictures that are rescored: by a scorecard, or along single directions.
        CALIBRATION: The leaderboard's, for steps of equal change.
        CHOOSING: The leaderboard's, for the best direction of each factor.
        JUDGING: The leaderboard's, for whether it is one.
        MANIFOLD: A scorecard's unedited pictures, for the usable range.
        NULL: A scorecard's random directions.
        CHECKS: Pictures on which exercises are judged.
        DISTILLATION: Codes that a copy of a generator learns from.
        RESTORATION: Own pictures that a study restores.
        MAPPER: Codes that a mapper for a prompt learns from.
        HELD_BACK: Codes that measure a long run, 2**30 after those that it learned from.
    """

    FREE = 0, 100_000
    EFFECTS = 100_000, 200_000
    SEARCH = 200_000, 300_000
    ARTEFACTS = 300_000, 400_000
    LAYOUT = 400_000, 500_000
    INVERSION = 500_000, 600_000
    ENCODER = 600_000, 700_000
    SCORECARD = 700_000, 710_000
    CALIBRATION = 710_000, 720_000
    CHOOSING = 720_000, 730_000
    JUDGING = 730_000, 740_000
    MANIFOLD = 740_000, 780_000
    NULL = 780_000, 900_000
    CHECKS = 900_000, 1_000_000
    DISTILLATION = 1_000_000, 2_000_000
    RESTORATION = 2_000_000, 3_000_000
    MAPPER = 3_000_000, 2**30
    HELD_BACK = 2**30, 2**32


class Pictures(Reserved):
    """Seeds of a world's pictures.

    Attributes:
        FREE: What anybody looks at; checks draw from 900,000 on.
        TRAINING: What models learn from.
        HELD_OUT: What cards and studies judge by.
    """

    FREE = 0, 1_000_000
    TRAINING = 1_000_000, 900_000_000
    HELD_OUT = 900_000_000, 2**32
