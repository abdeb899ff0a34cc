"""Texts of a small vocabulary as numbers: the tokenizer of the embedded CLIPs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

_WORD = re.compile(r"[^\W\d_]+|\d+")


class Words:
    """A vocabulary of whole words, as a tokenizer: text to numbers.

    Padding is 0 and the start 1, the words follow in their order, the end is the highest number
    (where open_clip looks for it). Case and punctuation make no difference; words that are not in
    the vocabulary are left out.

    Args:
        words: The vocabulary, in any order; kept sorted.
        context_length: How many numbers a text becomes, start and end included.

    >>> Words(["lamp", "a"], 6)(["A lamp!", "a dragon"])
    tensor([[1, 2, 3, 4, 0, 0],
            [1, 2, 4, 0, 0, 0]])
    """

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.words, self.context_length = tuple(sorted(set(words))), context_length
        self._numbers = {word: number for number, word in enumerate(self.words, start=2)}
        self.end = len(self.words) + 2
        self.vocab_size = self.end + 1

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the words that it knows, without start and end, however many."""
        known = (self._numbers.get(word) for word in split(text))
        return [number for number in known if number is not None]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return texts as ``[N, context_length]`` int64; what does not fit is cut off."""
        rows = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(rows, texts):
            numbers = [1, *self.encode(text)[: self.context_length - 2], self.end]
            row[: len(numbers)] = torch.tensor(numbers)
        return rows


def split(text: str) -> list[str]:
    """Return the words of a text, in small letters.

    >>> split("A sea-green sofa, please")
    ['a', 'sea', 'green', 'sofa', 'please']
    """
    return _WORD.findall(text.lower())
