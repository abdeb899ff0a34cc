"""How much of anything a foreign file may have; all of it far above what checkpoints need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of the safe readers.

    Attributes:
        allowance: Bytes that any file may cost besides a share of its length.
        files: Files within files: NVIDIA's hold their storages as such.
        parts: How deep networks within networks, lists and prefixes are looked for.
        prefixes: In one dictionary of tensors that say generator or average.
        tensors: In all dictionaries of a file, however often it refers to one.
        key: The largest whole number that may be the key of a dictionary.
        members: Of an archive.
        chunk: Bytes of a member to read at a time.
        pickle: Bytes of the pickle in an archive of torch.
        line: Bytes of a line in a pickle.
        nesting: Values within values.
        values: How many values a walk through a file may meet.
        dimensions: Of a tensor or an array.
        empty_side: Of a tensor without elements.
        array_side: Of an array.
        array_header: Bytes of an array's header.
        unpacked: What an archive may unpack to besides three times its length; zeros shrink a lot.
        config: Bytes of the ``config.json`` beside a file.
    """

    allowance: int = 16 * 2**20
    files: int = 2
    parts: int = 4
    prefixes: int = 16
    tensors: int = 1_000_000
    key: int = 2**53
    members: int = 20_000
    chunk: int = 2**20
    pickle: int = 64 * 2**20
    line: int = 2**16
    nesting: int = 64
    values: int = 4_000_000
    dimensions: int = 16
    empty_side: int = 2**16
    array_side: int = 2**40
    array_header: int = 2**14
    unpacked: int = 2**20
    config: int = 2**20


LIMITS = Limits()

__all__ = ["LIMITS", "Limits"]
