"""The card of an embedded model: what it is, how it was made, and what was measured.

>>> print(card({"title": "toy", "facts": {"seed": 0}, "tables": {"Scores": [{"r2": 0.5}]}}))
# toy
<BLANKLINE>
- **seed**: 0
<BLANKLINE>
## Scores
<BLANKLINE>
| r2 |
|---|
| 0.5 |
<BLANKLINE>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def card(document: Mapping[str, Any]) -> str:
    """Render a card as Markdown.

    Args:
        document: ``title``; and where there is any: ``summary`` (a paragraph), ``facts`` (a
            mapping), ``tables`` (heading to rows, each row a mapping from column to value),
            ``notes`` (paragraphs).
    """
    parts = [f"# {document['title']}"]
    if document.get("summary"):
        parts.append(document["summary"])
    if document.get("facts"):
        parts.append("\n".join(f"- **{k}**: {v}" for k, v in document["facts"].items()))
    for heading, rows in document.get("tables", {}).items():
        parts += [f"## {heading}", _table(rows)]
    parts += document.get("notes", [])
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(rows[0])
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    text = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(columns), *text[1:]])
