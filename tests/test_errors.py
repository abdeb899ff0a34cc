"""Every error raised on purpose is ours, and the built-in that Python people expect."""

from __future__ import annotations

import builtins
import pickle

import pytest

import steerbench as sb
from steerbench import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.SteerbenchError)
]
BUILT_IN = (ValueError, LookupError, OSError, TypeError, NotImplementedError)


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not errors.SteerbenchError])
def test_a_kind_is_a_built_in_too_and_keeps_its_message(kind: type[Exception]) -> None:
    assert kind.__module__ == "steerbench.errors"
    assert issubclass(kind, BUILT_IN)
    error = kind("Got 3; give 4.")
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == "Got 3; give 4."


def test_what_python_people_catch() -> None:
    with pytest.raises(FileNotFoundError):
        sb.load("nope")
    with pytest.raises(LookupError):
        sb.world("nope")
    with pytest.raises(TypeError):
        sb.widgets.LatentSliders(sb.load("rooms"), [], colour=1)
    with pytest.raises(NotImplementedError):
        sb.load("rooms-dcgan").encode(None)
    with pytest.raises(ValueError, match="noise"):
        sb.load("rooms").render(sb.load("rooms").sample(1), noise="loud")
    assert not [kind for kind in KINDS if kind.__name__ in vars(builtins)]
