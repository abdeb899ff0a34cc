"""Words to click while typing a prompt: the ones that the model knows.

>>> known = ("a", "bedroom", "bed", "blue", "plant", "with")
>>> completions("a b", known), completions("a bedroom with plnat", known)
(['bed', 'blue', 'bedroom'], ['plant'])
>>> replace_word("a bedroom with plnat", "plant")
'a bedroom with plant '
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

import ipywidgets

COUNT = 6
"""Suggestions at a time."""
_LAST = re.compile(r"[^\W\d_]*$")


def completions(text: str, known: Sequence[str], count: int = COUNT) -> list[str]:
    """Known words that begin as the last word of a text, or else look like it."""
    last = _LAST.search(text.lower())
    part = last[0] if last else ""
    if not part or (part in known and not any(w != part and w.startswith(part) for w in known)):
        return []
    begun = sorted((w for w in known if w.startswith(part) and w != part), key=len)[:count]
    return begun or difflib.get_close_matches(part, known, n=count, cutoff=0.5)


def replace_word(text: str, word: str) -> str:
    """A text with another last word, and a space to go on after."""
    return _LAST.sub("", text) + word + " "


class WordRow(ipywidgets.HBox):
    """A row of buttons with suggestions; whole prompts where nothing was typed yet.

    Args:
        known: The vocabulary; empty where any word is known, and nothing is suggested then.
        examples: Whole prompts.
        choose: Called with the text that a click makes.
    """

    def __init__(
        self, known: Sequence[str], examples: Sequence[str], choose: Callable[[str], None]
    ) -> None:
        self.known, self.examples, self._choose = tuple(known), tuple(examples), choose
        self._text, self.offered = "", list[str]()
        self._buttons = [
            ipywidgets.Button(tooltip="Take this", layout={"width": "auto"}) for _ in range(COUNT)
        ]
        for each in self._buttons:
            each.on_click(self._on_click)
        super().__init__(self._buttons)
        self.add_class("sb-row")
        self.add_class("sb-words")
        self.follow("")

    def follow(self, text: str) -> None:
        """Offer what fits a text that is being typed."""
        self._text = text
        if not text.strip():
            self.offered = list(self.examples[:COUNT])
        else:
            self.offered = completions(text, self.known)
        for number, each in enumerate(self._buttons):
            shown = number < len(self.offered)
            each.layout.display = None if shown else "none"
            each.description = self.offered[number] if shown else ""

    def _on_click(self, clicked: ipywidgets.Button) -> None:
        chosen = clicked.description
        if chosen:
            self._choose(replace_word(self._text, chosen) if self._text.strip() else chosen)
