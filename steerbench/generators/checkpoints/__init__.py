"""Other people's checkpoints: read safely, recognised by content, turned into Generators.

A file goes one way: its bytes become plain values (`read`, nothing in it is executed), these
every dictionary of tensors in it (`state_dicts`, however they were wrapped), of which the first
that a format knows is brought into one of our architectures. A format is one file and one line of
``formats.FORMATS`` (see `Format`). File names are never looked at.

>>> for name in sorted(FORMATS):
...     print(name)
biggan-ajbrock
biggan-hf
dcgan
eigengan
ganzoo-pgan
genforce-pggan
genforce-stylegan1
genforce-stylegan2
glow
huangzh13-stylegan1
pggan-tensorflow
rosinality-stylegan2
stylegan1-tensorflow
stylegan2-ada-pytorch
stylegan2-tensorflow
stylegan3
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch

from steerbench.errors import CheckpointError
from steerbench.generators.base import BaseGenerator
from steerbench.generators.checkpoints.contents import Contents, read
from steerbench.generators.checkpoints.format import Format, Parts
from steerbench.generators.checkpoints.formats import FORMATS
from steerbench.generators.checkpoints.options import settle
from steerbench.generators.checkpoints.reporting import report
from steerbench.generators.checkpoints.state_dicts import StateDict, state_dicts


def load(path: str | os.PathLike[str], **settings: Any) -> BaseGenerator:
    """Return the generator in a file of any known format; nothing in the file is executed.

    Args:
        path: Of the file.
        settings: What the file does not say of its network; see `options`.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is broken, unsafe, or of no known format; then it says what is in it.
    """
    return convert(read(path), **settings)


def recognise(states: Iterable[StateDict]) -> tuple[Format, StateDict] | None:
    """Return the first dictionary of tensors that a format knows, with the format, or none."""
    pairs = ((form, state) for state in states for form in FORMATS.values())
    return next(((form, state) for form, state in pairs if not form.lacks(state)), None)


def convert(contents: Contents, **settings: Any) -> BaseGenerator:
    """Return the generator in what was read from a file.

    Raises:
        CheckpointError: It is of no known format, does not hold together, or holds weights that
            no layer takes.
        KeywordError: The format has no such setting.
    """
    states = state_dicts(contents.value, contents.config)
    known = recognise(states)
    if known is None:
        raise CheckpointError(report(contents, states, FORMATS))
    form, state = known
    told = settle(form.options, contents.config, settings, form.title)
    try:
        generator = assemble(form, state, told, contents.path.stem)
    except CheckpointError as error:
        raise CheckpointError(f"{str(contents.path)!r} is refused. {error}") from error
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{str(contents.path)!r} looks like {form.title}, but its parts do not fit "
            f"together: {type(error).__name__}: {str(error)[:600]}. It is of another network, or "
            "incomplete. Use sb.wrap, or get the file again from where it came from."
        ) from error
    generator.format = form.name
    return generator


def assemble(form: Format, state: StateDict, told: dict[str, Any], name: str) -> BaseGenerator:
    """Return the generator of a dictionary of tensors, as a format understands it.

    Args:
        form: The format.
        state: The dictionary.
        told: All settings of the format.
        name: Of the generator.

    Raises:
        CheckpointError: Weights are missing, left over or no numbers.
    """
    weights = form.weights(state)
    parts = form.convert(weights, told)
    _check_complete(form, weights.leftover(form.harmless))
    _check_finite(parts)
    return _build(form, parts, name)


def _check_complete(form: Format, left: list[str]) -> None:
    if left:
        names = ", ".join(left[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
        raise CheckpointError(
            f"It looks like {form.title}, but no layer of that network takes {names}. It is a "
            "variant, and without these weights its pictures would be others. Build the module "
            "with its authors' code, load the weights, and use sb.wrap."
        )


def _check_finite(parts: Parts) -> None:
    for name, tensor in parts[1].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"It holds NaN or infinity in {name}. Its training failed, or the file was "
                "damaged; fetch it again."
            )


def _build(form: Format, parts: Parts, name: str) -> BaseGenerator:
    """Return the generator, its mean code measured where the file has none."""
    config, tensors = parts
    kind = form.architecture
    if "w_dim" not in config or "mapping.w_avg" in tensors:
        return kind.build(config, tensors, name=name)
    tensors["mapping.w_avg"] = torch.zeros(config["w_dim"])
    draft = kind.build(config, tensors, name=name)
    drawn = [draft.to(draft.sample(256, seed=256 * i), "w").data.mean(dim=0) for i in range(16)]
    tensors["mapping.w_avg"] = torch.stack(drawn).mean(dim=0)
    return kind.build(config, tensors, name=name)


__all__ = [
    "FORMATS",
    "Contents",
    "StateDict",
    "assemble",
    "convert",
    "load",
    "read",
    "recognise",
    "report",
    "state_dicts",
]
