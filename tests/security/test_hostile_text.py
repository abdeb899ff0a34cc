"""Texts where a list of channels is expected: long, deep, and nearly right."""

from __future__ import annotations

import pytest

from tests.security.guard import Guard

MEGABYTE = 2**20
TEXTS: dict[str, bytes] = {
    "digits without end": b"1" * MEGABYTE,
    "digits and commas": b"1," * (MEGABYTE // 2 - 1),
    "spaces without end": b" " * (MEGABYTE - 2) + b"1",
    "digits far apart": (b"1" + b" " * 5000) * 200,
    "pairs without end": b"1,1\n" * (MEGABYTE // 4 - 1),
    "names without end": b"a:" * (MEGABYTE // 2 - 1),
    "colons and digits": b"1:" * (MEGABYTE // 2 - 1),
    "brackets": b"[" * 500_000 + b"]" * 500_000,
    "braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep pairs": b"[" * 400 + b"[1, 2]" + b"]" * 400,
    "a long number": b"[[1, " + b"9" * 4000 + b"]]",
    "a longer number": b"[[1, " + b"9" * 100_000 + b"]]",
    "a large exponent": b"[[1, 1e999999]]",
    "numbers that are none": b"[[NaN, Infinity]]",
    "a fraction": b"[[1, 2.5]]",
    "a negative layer": b"[[-1, -2]]",
    "triples": b"[[1, 2, 3]]",
    "half of a list": b'{"smiling": [[1, 5]], "bangs": [[0, 2], ',
    "half of an attribute": b'{"smiling": [[1, 5]], "bangs": [[0, 2], [2, 3]',
    "a call": b"__import__('os').system('true'): (1, 2)",
    "a program": b"import os; os.system('true')\n1, 2\n",
    "a script": b"#!/bin/sh\ntrue 1 2\n",
    "letters of other scripts": "\u0661, \u0662".encode(),
    "control": b"1, 2\x00",
    "a mark of order": b"\xef\xbb\xbf1, 2",
    "half a letter": b"\xe2\x98",
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_texts_are_refused_in_good_time(name: str, guard: Guard) -> None:
    assert guard.refuse(TEXTS[name], how="direction").seconds < 1
