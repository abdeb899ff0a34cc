"""Prints what the speed tests measured as tables, ready for the documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.timing import processor

Rows = list[tuple[str, ...]]
PICTURES: Rows = []
EDITS: Rows = []
TABLES = {
    ("what", "plain", "`exact`", "`fast`", "`exact` / plain", "`fast` / plain"): PICTURES,
    ("model", "edit", "precision", "all layers", "late layers", "times faster"): EDITS,
}


@pytest.fixture
def row() -> Rows:
    """Append a line of the first table to it."""
    return PICTURES


@pytest.fixture
def edits() -> Rows:
    """Append a line of the second table to it."""
    return EDITS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not any(TABLES.values()):
        return
    terminalreporter.section(f"Two threads of {processor()}")
    for head, rows in TABLES.items():
        for line in (head, ("---",) * len(head), *rows) if rows else ():
            terminalreporter.write_line("| " + " | ".join(line) + " |")
