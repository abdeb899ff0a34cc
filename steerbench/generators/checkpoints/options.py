"""What a file does not say of its network, and where else it may be said.

Some settings change the pictures and leave no trace in the weights: whether enlarging was fused
into the convolution, whether the picture ends in a hyperbolic tangent. They can be given when the
file is loaded, under the names that the authors' code uses, or stand in the ``config.json`` of
the training beside it; otherwise they are what the authors' code assumes.

>>> settle({"fused_scale": "auto"}, {}, {"fused_scale": True}, "a toy")
{'fused_scale': True}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from steerbench.errors import CheckpointError, KeywordError, closest

Options = Mapping[str, bool | float | str | tuple[str, ...]]
"""Settings by name, with what authors' code assumes; of several words the first."""


def settle(
    known: Options, config: Mapping[str, Any], given: Mapping[str, Any], title: str
) -> dict[str, bool | float | str]:
    """Return the settings of a network: as given, else as in the configuration, else by default.

    Args:
        known: The settings that a format has, with what its authors' code assumes.
        config: The configuration beside the file.
        given: By the person who loads it.
        title: Of the format, for messages.

    Raises:
        KeywordError: The format has no such setting.
        CheckpointError: A setting has a value that it cannot have.
    """
    for name in given:
        if name not in known:
            raise KeywordError(
                f"The setting {name!r} was given, which {title} does not have. "
                f"{closest(name, known)}"
            )
    beside = _training(config)
    return {
        name: _check(name, given.get(name, beside.get(name, _usual(default))), default)
        for name, default in known.items()
    }


def _training(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the generator in a training's configuration, which nests them."""
    inner: Any = config
    for key in ("modules", "generator", "model"):
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    return inner if isinstance(inner, Mapping) else config


def _usual(default: Any) -> bool | float | str:
    usual: bool | float | str = default[0] if isinstance(default, tuple) else default
    return usual


def _check(
    name: str, value: Any, default: bool | float | str | tuple[str, ...]
) -> bool | float | str:
    """Return the value of a setting, if it is of the kind of its default."""
    if isinstance(default, tuple):
        fits, wanted = value in default, f"one of {', '.join(map(repr, default))}"
    elif isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, str):
        fits, wanted = value == default or isinstance(value, bool), f"True, False or {default!r}"
    elif isinstance(default, int):
        fits, wanted = type(value) is int and value >= 0, "a whole number of at least 0"
    else:
        fits, wanted = type(value) in (int, float) and 0 < value < math.inf, "a number above 0"
    if fits:
        return value
    raise CheckpointError(f"The setting {name} is {str(value)[:40]!r}; it must be {wanted}.")


__all__ = ["Options", "settle"]
