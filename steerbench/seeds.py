"""Who draws from which seeds: one table, so that what judges was never seen by what it judges.

A picture of a generator, or of a world, is fixed by its seed, a whole number from 0 to 2**32 - 1.
Whoever draws pictures for a purpose of its own draws them from a range of its own. An argument
``seed`` then starts at 0 and counts inside that range::

    sb.scorecard(directions, G, predictor, seed=3)      # pictures from seeds.SCORECARD + 3 on

Codes of a generator:

======================  =====================  =====================================================
range                   seeds                  what is drawn there
======================  =====================  =====================================================
`FREE`                  0 to 99,999            what anybody looks at or learns from: finders and
                                               dissections count from 0, and so do chapters and the
                                               buttons that draw at random
`EFFECTS`               from 100,000           pictures in which units are switched
`SEARCH`                from 200,000           pictures that guide the search for sets of units
`ARTEFACTS`             from 300,000           pictures from which artefacts are taken
`INVERSION`             from 500,000           own pictures that a study or chapter inverts, and
                                               codes that say where a watermark is
`ENCODER`               from 600,000           own pictures on which an encoder is judged
`SCORECARD`             from 700,000           pictures that a scorecard edits, or that are rescored
`CALIBRATION`           from 710,000           the leaderboard: steps of equal change
`CHOOSING`              from 720,000           the leaderboard: the best direction for each factor
`JUDGING`               from 730,000           the leaderboard: whether it is one
`MANIFOLD`              from 740,000           a scorecard's unedited pictures, for the usable range
`NULL`                  from 780,000           a scorecard's random directions
`CHECKS`                from 900,000           pictures on which exercises are judged
`DISTILLATION`          from 1,000,000         codes that a copy of a generator learns from
`RESTORATION`           from 2,000,000         own pictures that a study restores
`MAPPER`                from 3,000,000         codes that a mapper for a prompt learns from
`HELD_BACK`             from 2**30             codes that measure a long run: 2**30 after those that
                                               it learned from
======================  =====================  =====================================================

Pictures of a world:

======================  =====================  =====================================================
range                   seeds                  what is drawn there
======================  =====================  =====================================================
`WORLD_FREE`            0 to 999,999           what anybody looks at; checks draw from 900,000 on
`WORLD_TRAINING`        from 1,000,000         what models learn from
`WORLD_HELD_OUT`        from 900,000,000       what cards and studies judge by
======================  =====================  =====================================================

A verification of boundaries (HiGAN) has no range: it draws the seeds that follow those that its
boundaries were found on.

>>> SCORECARD + 3
700003
>>> 700_500 in SCORECARD, 700_500 in JUDGING
(True, False)
"""

from __future__ import annotations

from dataclasses import dataclass

from steerbench.errors import ArgumentError


@dataclass(frozen=True)
class Range:
    """Seeds that are reserved for one purpose.

    Attributes:
        name: As the table calls it.
        start: The first seed.
        stop: The one after the last.
    """

    name: str
    start: int
    stop: int

    def __add__(self, seed: int) -> int:
        """Return the seed that is so far from the first one.

        Raises:
            ArgumentError: It lies outside the range.
        """
        if not 0 <= seed < self.stop - self.start:
            raise ArgumentError(
                f"seed={seed}; it counts inside the seeds reserved for {self.name} (see "
                f"steerbench.seeds), so give a whole number from 0 to {self.stop - self.start - 1}."
            )
        return self.start + seed

    def __contains__(self, seed: int) -> bool:
        return self.start <= seed < self.stop


FREE = Range("everybody", 0, 100_000)
EFFECTS = Range("effects of units", 100_000, 200_000)
SEARCH = Range("the search for units", 200_000, 300_000)
ARTEFACTS = Range("artefacts", 300_000, 400_000)
INVERSION = Range("inversion", 500_000, 600_000)
ENCODER = Range("encoders", 600_000, 700_000)
SCORECARD = Range("scorecards", 700_000, 710_000)
CALIBRATION = Range("calibration", 710_000, 720_000)
CHOOSING = Range("choosing", 720_000, 730_000)
JUDGING = Range("judging", 730_000, 740_000)
MANIFOLD = Range("manifolds", 740_000, 780_000)
NULL = Range("random directions", 780_000, 900_000)
CHECKS = Range("checks", 900_000, 1_000_000)
DISTILLATION = Range("distillation", 1_000_000, 2_000_000)
RESTORATION = Range("restoration", 2_000_000, 3_000_000)
MAPPER = Range("mappers", 3_000_000, 2**30)
HELD_BACK = Range("measuring long runs", 2**30, 2**32)

WORLD_FREE = Range("everybody", 0, 1_000_000)
WORLD_TRAINING = Range("training", 1_000_000, 900_000_000)
WORLD_HELD_OUT = Range("held-out pictures", 900_000_000, 2**32)

CODES = (
    FREE, EFFECTS, SEARCH, ARTEFACTS, INVERSION, ENCODER, SCORECARD, CALIBRATION, CHOOSING, JUDGING,
    MANIFOLD, NULL, CHECKS, DISTILLATION, RESTORATION, MAPPER, HELD_BACK,
)  # fmt: skip
WORLD = (WORLD_FREE, WORLD_TRAINING, WORLD_HELD_OUT)
