"""Statements about rooms: true ones, the same for the same choice, with every opposite's words."""

from __future__ import annotations

import random

import pytest

import steerbench as sb
from steerbench.worlds.rooms.captions import caption
from steerbench.worlds.rooms.statements import OPPOSITES, statement

CLASSES = sb.world("rooms").class_names


@pytest.fixture(scope="module")
def scenes():
    rooms = sb.world("rooms").sample(24, seed=40, resolution=64)
    return [
        (
            {name: float(values[i]) for name, values in rooms.factors.items()},
            {name: float((mask == k).float().mean()) for k, name in enumerate(CLASSES)},
        )
        for i, mask in enumerate(rooms.masks)
    ]


def said_of(scenes, count=40):
    for number, (factors, shares) in enumerate(scenes):
        choose = random.Random(number)
        for _ in range(count):
            yield factors, shares, statement(factors, shares, choose)


def test_what_is_said_is_true(scenes) -> None:
    for factors, shares, text in said_of(scenes):
        words = f" {text} ".replace("lamp on the", "")
        if " at night " in words or "after dark" in words:
            assert factors["night"] == 1, text
        if " by day " in words:
            assert factors["night"] == 0, text
        if "lamp on " in words or "lit lamp" in words.replace("unlit", ""):
            assert factors["lamp_on"] == 1, text
        if "lamp off" in words or "unlit" in words:
            assert factors["lamp_on"] == 0, text
        for thing in ("plant", "rug", "lamp"):
            if f"without a {thing}" in text or f"no a {thing}" in text:
                assert shares[thing] < 0.004, text
        if "wooden floor" in text:
            assert factors["wood"] == 1, text
        for room in ("bedroom", "living room", "dining room"):
            if room in text.replace(f"not a {room}", ""):
                assert factors[room.replace(" ", "_")] == 1, text


def test_all_kinds_of_statements_occur(scenes) -> None:
    texts = [text for _, _, text in said_of(scenes)]
    joined = " | ".join(texts)
    for part in ("without", "at night", "lamp off", "that is on", "walls", "not a", "and"):
        assert part in joined
    assert len(set(texts)) > 300
    assert all(text and text == text.strip() and "  " not in text for text in texts)


def test_the_same_choice_says_the_same(scenes) -> None:
    factors, shares = scenes[0]
    first, second = (statement(factors, shares, random.Random(5)) for _ in range(2))
    assert first == second


def test_another_number_words_a_caption_anew(scenes) -> None:
    factors, shares = scenes[1]
    texts = {caption(factors | {"wording": k / 7}, shares) for k in range(12)}
    assert len(texts) > 4


def test_every_binary_factor_but_one_has_opposites() -> None:
    assert set(sb.world("rooms").binary_names) - set(OPPOSITES) == {"window_side"}
    assert all(a != b for a, b in OPPOSITES.values())
