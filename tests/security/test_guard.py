"""The guard notices harm: what the other tests of this folder rest on.

The files here are opened carelessly, by Python's own pickle, and do what they say.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.forging import Call
from tests.security.guard import Guard


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (Call("os.system", "true"), r"os\.system"),
        (Call("builtins.eval", "1 + 1"), "compile"),
        (Call("builtins.exec", "x = 1"), "compile"),
        (Call("builtins.__import__", "this"), "import"),
        (Call("builtins.open", "/dev/null", "w"), "open"),
        (Call("socket.socket"), "socket"),
        (Call("builtins.bytearray", 200 * 2**20), "MemoryError"),
        (Call("builtins.int", "no number"), "ValueError"),
    ],
)
def test_harm_is_noticed(call: Call, says: str, guard: Guard) -> None:
    with pytest.raises(AssertionError, match=says):
        guard.open(call.pickled(2), how="carelessly")


@pytest.mark.usefixtures("guard")
def test_death_and_hanging_are_noticed(tmp_path: Path) -> None:
    impatient = Guard(tmp_path, patience=3)
    try:
        with pytest.raises(AssertionError, match="killed"):
            impatient.open(Call("os._exit", 3).pickled(2), how="carelessly")
        with pytest.raises(AssertionError, match="hung"):
            impatient.open(Call("time.sleep", 600).pickled(2), how="carelessly")
    finally:
        impatient.close()


def test_a_file_that_may_be_refused_or_not_is_held_to_its_word(guard: Guard) -> None:
    with pytest.raises(AssertionError, match="taken for contents"):
        guard.refuse(b"\x80\x02N.", how="read")
    with pytest.raises(AssertionError):
        guard.refuse(b"nothing", "a reason that is not given")
