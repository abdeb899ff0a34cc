"""Plain English about a picture: what is there and can be seen, and nothing else."""

from __future__ import annotations


def caption(factors: dict[str, float], seen: dict[str, float]) -> str:
    return "a room"
