"""One known trap of the libraries around us, and its cure.

open_clip, timm and torchmetrics.image import torchvision. A torchvision that was built for CUDA
does not import beside a torch that was built for the CPU: it describes the operators ``nms`` and
``qnms``, which only its own compiled part would define, and fails with ``operator
torchvision::nms does not exist``. Saying what the two look like is enough for everything that
does not call them.

Call `ensure_torchvision` before the first import of one of these libraries:

>>> ensure_torchvision().__name__
'torchvision'

A torchvision that works is left untouched. After the cure its compiled part is still missing:
``torchvision.io.read_image`` and ``ops.nms`` fail, so pictures are read with ``sb.image.read``.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[Any] = []
"""Kept alive: the operators go when the library object goes."""


def ensure_torchvision() -> ModuleType:
    """Import torchvision, curing the mismatch of a CUDA build beside a CPU torch.

    Returns:
        The module.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: It fails to import for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    _forget_torchvision()
    _describe_operators()
    return importlib.import_module("torchvision")


def _forget_torchvision() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _describe_operators() -> None:
    if _libraries:
        return
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    _libraries.append(library)
