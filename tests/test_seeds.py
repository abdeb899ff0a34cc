"""What judges is drawn from seeds of its own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from steerbench import seeds
from steerbench.errors import ArgumentError


@pytest.mark.parametrize("ranges", [seeds.CODES, seeds.WORLD])
def test_no_two_ranges_overlap(ranges: tuple[seeds.Range, ...]) -> None:
    for one, other in pairwise(sorted(ranges, key=lambda each: each.start)):
        assert one.start < one.stop <= other.start


def test_every_range_is_in_the_table_and_in_the_manual() -> None:
    named = {name: each for name, each in vars(seeds).items() if isinstance(each, seeds.Range)}
    assert {id(each) for each in named.values()} == {id(x) for x in (*seeds.CODES, *seeds.WORLD)}
    for name in named:
        assert f"`{name}`" in (seeds.__doc__ or "")


def test_a_seed_counts_inside_its_range() -> None:
    assert seeds.SCORECARD + 5 == 700_005
    assert seeds.SCORECARD + 5 in seeds.SCORECARD
    for wrong in (-1, 10_000):
        with pytest.raises(ArgumentError, match="0 to 9999"):
            _ = seeds.SCORECARD + wrong
