"""A published checkpoint as a file of ours: smaller, quicker to open, and checked before it counts.

The new file holds the generator (and its discriminator, where there is one) as safetensors, and
says what it was made from. It appears under its name only after it was read back and found to
have the same fingerprint and the same pictures: directions and recipes of the original fit it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerbench.errors import CheckpointError, FileError
from steerbench.generators import load, save
from steerbench.generators.base import BaseGenerator


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        path: The new file.
        format: Of the file that it was made from.
        architecture: Of the generator.
        bytes: The length of the new file.
        difference: The largest difference between pixels of the two generators.
    """

    path: Path
    format: str
    architecture: str
    bytes: int
    difference: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.architecture} from {self.format}, {self.bytes / 1e6:.1f} MB. "
            f"Read back, it draws the same pictures (largest difference {self.difference:.1g})."
        )


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    force: bool = False,
    **settings: Any,
) -> Conversion:
    """Write what `steerbench.load` makes of a file or a name as a file of ours.

    Args:
        source: The path of a checkpoint of any known format, or the name of a model.
        target: The new file, ``NAME.safetensors``.
        force: Replace a file that is there.
        settings: What the checkpoint does not say of its network; see `steerbench.load`.

    Raises:
        FileError: ``target`` is there already, has another ending, or cannot be written.
        CheckpointError: The source is broken or unknown, or the new file does not give the same
            pictures. What was there before remains.
        CapabilityError: This kind of generator cannot be written.
    """
    target = Path(target).expanduser()
    if target.suffix != ".safetensors":
        raise FileError(
            f"The new file was to be called {target.name!r}; its name must end in .safetensors. "
            f"Give {str(target.with_suffix('.safetensors'))!r}."
        )
    if target.exists() and not force:
        raise FileError(
            f"{str(target)!r} is there already. Give another name, or replace it with --force "
            "(force=True)."
        )
    generator = load(source, **settings)
    draft = target.with_name(f".{secrets.token_hex(8)}.safetensors")
    try:
        save(generator, draft, made_from={"format": generator.format, "name": generator.name})
        difference = _compare(generator, load(draft))
        length = draft.stat().st_size
        os.replace(draft, target)
    except OSError as error:
        raise FileError(f"Cannot write {str(target)!r}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return Conversion(target, generator.format, generator.architecture, length, difference)


def _compare(one: BaseGenerator, other: BaseGenerator, n: int = 2, same: float = 1e-5) -> float:
    """Return how far the pictures of two generators are apart, if they are the same.

    Args:
        one: The generator.
        other: The generator, read back.
        n: How many pictures to compare.
        same: How far a pixel of [-1, 1] may be off; the same machine gives 0.
    """
    latent = one.sample(n, seed=0)
    again = other.sample(n, seed=0)
    difference = float((one.render(latent) - other.render(again)).abs().max())
    if one.fingerprint != other.fingerprint or not difference <= same:
        raise CheckpointError(
            f"Nothing was written: {one.name!r}, read back, has the fingerprint "
            f"{other.fingerprint} instead of {one.fingerprint}, and its pictures are off by up to "
            f"{difference:.2g}. Please report this with the name of the format, {one.format!r}."
        )
    return difference


__all__ = ["Conversion", "convert"]
