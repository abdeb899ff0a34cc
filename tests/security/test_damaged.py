"""Whole files of every kind, cut at each percent and with bytes flipped.

What is left is refused, or it is a right model after all: a flipped bit in a weight is a weight.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steerbench.generators.checkpoints import FORMATS, read, recognise, state_dicts
from tests.security.guard import Guard
from tests.security.makers import MAKERS, made

pytestmark = pytest.mark.timeout(600)
SharedPath = Callable[[str], Path]

FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4)
PIECES = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))


def quietly(count: int) -> settings:
    """So many examples, however long one takes on a busy machine."""
    kinds = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=kinds)


def flipped(whole: bytes, flips: list[tuple[float, int]]) -> bytes:
    data = bytearray(whole)
    for place, mask in flips:
        data[int(place * (len(data) - 1))] ^= mask
    return bytes(data)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_whole_file_is_right_and_takes_little(kind: str, guard: Guard) -> None:
    maker = MAKERS[kind]
    answer = guard.open(made(kind), maker.how, maker.name)
    assert answer.outcome == maker.gives, answer.said


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_file_cut_anywhere_is_refused(kind: str, guard: Guard) -> None:
    maker, whole = MAKERS[kind], made(kind)
    for percent in range(100):
        guard.refuse(whole[: len(whole) * percent // 100], "", maker.how, maker.name)
    guard.refuse(whole[:-1], "", maker.how, maker.name)


@pytest.mark.parametrize("kind", sorted(MAKERS))
@given(flips=FLIPS)
@quietly(40)
def test_flipped_bytes_are_survived(
    kind: str, flips: list[tuple[float, int]], guard: Guard
) -> None:
    guard.open(flipped(made(kind), flips), MAKERS[kind].how)


@pytest.mark.parametrize("kind", sorted(MAKERS))
@given(flips=FLIPS)
@quietly(40)
def test_flipped_bytes_of_the_beginning_are_survived(
    kind: str, flips: list[tuple[float, int]], guard: Guard
) -> None:
    whole = made(kind)
    guard.open(flipped(whole[:300], flips) + whole[300:], MAKERS[kind].how)


@pytest.mark.parametrize("kind", sorted(MAKERS))
@given(flips=FLIPS)
@quietly(20)
def test_flipped_bytes_of_the_end_are_survived(
    kind: str, flips: list[tuple[float, int]], guard: Guard
) -> None:
    whole = made(kind)
    guard.open(whole[:-300] + flipped(whole[-300:], flips), MAKERS[kind].how)


@pytest.mark.parametrize("kind", sorted(MAKERS))
@given(piece=PIECES)
@quietly(20)
def test_pieces_out_of_place_are_survived(
    kind: str, piece: tuple[float, float, float], guard: Guard
) -> None:
    whole = made(kind)
    first, last, place = sorted(int(part * len(whole)) for part in piece)
    for data in (
        whole[:first] + whole[last:],
        whole[:first] + whole[first:last] * 2 + whole[last:],
        whole[:first] + whole[last:place] + whole[first:last] + whole[place:],
        whole[:first] + bytes(last - first) + whole[last:],
    ):
        guard.open(data, MAKERS[kind].how)


@given(data=st.binary(max_size=400))
@quietly(100)
def test_bytes_are_no_file(data: bytes, guard: Guard) -> None:
    for how in ("load", "direction"):
        guard.open(data, how)


@given(data=st.binary(max_size=200))
@quietly(100)
def test_any_instructions_are_survived(data: bytes, guard: Guard) -> None:
    guard.open(b"\x80\x02" + data + b".")
    guard.open(b"\x80\x04}\x8c\x01x" + data + b"s.")


# Recorded checkpoints: the authors' own formats, where the folder of recorded data is there.


def recorded(find: SharedPath) -> list[Path]:
    folders = sorted(find("fixtures").iterdir())
    meta = [json.loads((folder / "meta.json").read_text()) for folder in folders]
    return [
        folder / each["checkpoint"] for folder, each in zip(folders, meta) if each["checkpoint"]
    ]


def format_of(path: Path) -> str | None:
    known = recognise(state_dicts(read(path).value))
    return None if known is None else known[0].name


def test_every_format_is_among_the_files(shared_path: SharedPath, tmp_path: Path) -> None:
    found = set()
    for kind in MAKERS:
        (tmp_path / "file").write_bytes(made(kind))
        if MAKERS[kind].gives == "model" and kind != "safetensors: ours":
            found.add(format_of(tmp_path / "file"))
    found |= {format_of(path) for path in recorded(shared_path)}
    assert found - {None} == set(FORMATS)  # some recorded files hold encoders and flows


def test_recorded_files_take_less_than_three_times_their_size(
    shared_path: SharedPath, guard: Guard
) -> None:
    paths = recorded(shared_path)
    assert len(paths) > 10
    for path in paths:
        guard.open(path.read_bytes())


def test_recorded_files_cut_anywhere_are_refused(shared_path: SharedPath, guard: Guard) -> None:
    for path in recorded(shared_path):
        whole = path.read_bytes()
        for percent in range(0, 100, 5):
            guard.refuse(whole[: len(whole) * percent // 100])
        guard.refuse(whole[:-1])


@given(flips=FLIPS)
@quietly(5)
def test_recorded_files_with_flipped_bytes_are_survived(
    flips: list[tuple[float, int]], shared_path: SharedPath, guard: Guard
) -> None:
    for path in recorded(shared_path):
        whole = path.read_bytes()
        guard.open(flipped(whole, flips))
        guard.open(flipped(whole[:2000], flips) + whole[2000:])
