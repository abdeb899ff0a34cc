"""A CLIP whose meaning is known: its features are how red, green and blue a picture is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steerbench.predictors.clip import Clip
from steerbench.predictors.tokenizer import Words

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}


class Colours(nn.Module):
    """Mean colours of pictures, and the sum of the colours that a text names."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        words = sorted(COLOURS)
        table = torch.zeros(len(words) + 3, 3)
        for number, word in enumerate(words, start=2):
            table[number] = torch.tensor(COLOURS[word], dtype=torch.float)
        self.register_buffer("table", table)

    def encode_image(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def encode_text(self, numbers: Tensor) -> Tensor:
        return self.table[numbers].sum(1)


def colour_clip() -> Clip:
    words = Words(list(COLOURS), context_length=6)
    return Clip(
        Colours(),
        words,
        resolution=16,
        normalise=(0.0, 1.0),
        words=words.words,
        encode=words.encode,
        context_length=6,
        name="colours",
    )


def redness(images: Tensor) -> Tensor:
    """How red pictures are, ``[N]`` in [0, 1]: the feature that the planted CLIP calls red."""
    colours = (images.clamp(-1, 1).mean((2, 3)) + 1) / 2
    return colours[:, 0] / colours.norm(dim=1)
