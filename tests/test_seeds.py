"""What judges is drawn from seeds of its own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from steerbench.errors import ArgumentError
from steerbench.seeds import Codes, Pictures, Reserved


@pytest.mark.parametrize("ranges", [Codes, Pictures])
def test_no_two_ranges_overlap_and_each_is_explained(ranges: type[Reserved]) -> None:
    for one, other in pairwise(sorted(ranges, key=lambda each: each.start)):
        assert one.start < one.stop <= other.start
    for each in ranges:
        assert f"        {each.name}: " in (ranges.__doc__ or "")


def test_a_seed_counts_inside_its_range() -> None:
    assert Codes.SCORECARD + 5 == 700_005
    assert Codes.SCORECARD + 5 in Codes.SCORECARD
    assert 710_000 not in Codes.SCORECARD
    for wrong in (-1, 10_000):
        with pytest.raises(ArgumentError, match="0 to 9999"):
            _ = Codes.SCORECARD + wrong
