"""Published formats, one a file, and one line each in `FORMATS`."""

from __future__ import annotations

from steerbench.generators.checkpoints.format import Format
from steerbench.generators.checkpoints.formats import (
    biggan_ajbrock,
    biggan_hf,
    dcgan,
    eigengan,
    ganzoo,
    genforce_pggan,
    genforce_stylegan1,
    genforce_stylegan2,
    glow,
    huangzh13,
    pggan_tensorflow,
    rosinality,
    stylegan1_tensorflow,
    stylegan2_ada,
    stylegan2_tensorflow,
    stylegan3,
)

_MODULES = (
    stylegan2_ada,
    stylegan3,
    stylegan2_tensorflow,
    stylegan1_tensorflow,
    pggan_tensorflow,
    rosinality,
    genforce_stylegan2,
    genforce_stylegan1,
    huangzh13,
    genforce_pggan,
    ganzoo,
    eigengan,
    glow,
    biggan_hf,
    biggan_ajbrock,
    dcgan,
)

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
"""What can be loaded besides our own files, by name; tried in this order."""

__all__ = ["FORMATS"]
