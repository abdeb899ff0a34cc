"""What every check shares: its verdict, said aloud, and the reading of an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steerbench.seeds import Codes

FRESH_SEED = Codes.CHECKS.start
"""Where the seeds of the checks begin: far from those that chapters use."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        ok: Whether the exercise is solved.
        measured: The number that decided.
        says: One sentence for the student.
    """

    ok: bool
    measured: float
    says: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.says}"

    def _ipython_display_(self) -> None:
        """Nothing: the verdict was printed already."""


def announce(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Let a check print its verdict."""

    @functools.wraps(check)
    def speak(*answer: Any, **more: Any) -> Verdict:
        verdict = check(*answer, **more)
        print(verdict)
        return verdict

    return speak


def matrix_of(values: Any) -> Tensor | None:
    """Return values as ``[rows, columns]`` in float64, or None: no matrix of finite numbers."""
    try:
        matrix = torch.as_tensor(values).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return matrix if matrix.ndim == 2 and bool(torch.isfinite(matrix).all()) else None
