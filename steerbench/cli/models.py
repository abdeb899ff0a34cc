"""``steerbench models``: what ``sb.load`` knows by name, in a table for the terminal."""

from __future__ import annotations

from steerbench import assets
from steerbench.errors import NotFoundError, unknown
from steerbench.generators.published.catalogue import catalogue, entries, terms
from steerbench.inspection import rows

MOST_DETAILED = 3
"""Up to so many models, their addresses and licences are said too."""


def listing(word: str = "") -> str:
    """The models whose names contain a word, and the details where they are few.

    Raises:
        NotFoundError: There is none; the closest names are offered.
    """
    embedded = [name for name in assets.names("generators") if word.lower() in name]
    table = catalogue()
    table = table[table.name.str.contains(word.lower(), regex=False)]
    if table.empty and not embedded:
        raise NotFoundError(unknown("model", word, [*assets.names("generators"), *entries()]))
    lines = [f"{name}  comes with steerbench" for name in embedded]
    if not table.empty:
        table = table.assign(
            size=[f"{size:.0f} MB" if size == size else "" for size in table["size"]],
            fetched=[
                "here" if cached else "by hand" if by_hand else "by itself"
                for cached, by_hand in zip(table.cached, table.by_hand)
            ],
        )
        shown = ["name", "architecture", "resolution", "size", "fetched", "licence"]
        lines += rows(table[shown])
    if len(table) <= MOST_DETAILED:
        lines += [line for name in table.name for line in _details(name)]
    return "\n".join(lines)


def _details(name: str) -> list[str]:
    entry = entries()[name]
    address = f"fetched from {entry.origin}" if entry.origin else "to be fetched by hand"
    return [
        "",
        name,
        f"  {address}",
        f"  page {entry.page}",
        f"  {terms(entry)}",
        f"  {entry.path}",
    ]


__all__ = ["listing"]
