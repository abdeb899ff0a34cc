"""The GAN of dungeon rooms: its architecture, written out, and its exact segmentation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TILES = ("floor", "wall", "monster", "door", "treasure", "water")
"""What the tile numbers of the training levels show, judged from where they stand in them."""
ROWS, COLUMNS = 11, 16
"""The size of a room, at the upper left of the 32x32 the network draws."""


class DungeonGAN(nn.Module):
    """``[N, 10, 1, 1]`` normal to tile scores ``[N, 6, 32, 32]``; the arg-max is the room."""

    def __init__(self) -> None:
        super().__init__()
        parts: dict[str, nn.Module] = {
            "initial:10-256:convt": nn.ConvTranspose2d(10, 256, 4, bias=False),
            "initial:256:batchnorm": nn.BatchNorm2d(256),
            "initial:256:relu": nn.ReLU(),
        }
        for before, after in ((256, 128), (128, 64)):
            parts[f"pyramid:{before}-{after}:convt"] = nn.ConvTranspose2d(
                before, after, 4, 2, 1, bias=False
            )
            parts[f"pyramid:{after}:batchnorm"] = nn.BatchNorm2d(after)
            parts[f"pyramid:{after}:relu"] = nn.ReLU()
        parts["final:64-6:convt"] = nn.ConvTranspose2d(64, 6, 4, 2, 1, bias=False)
        self.main = nn.Sequential()
        for name, part in parts.items():
            self.main.add_module(name, part)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.main(z))


def dungeon_gan(folder: Path) -> DungeonGAN:
    module = DungeonGAN()
    (path,) = folder.glob("*.pth")
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return folded(module.eval())


def folded(module: DungeonGAN) -> DungeonGAN:
    """The same network without normalisation, so that a unit set to 0 is off after the ReLU."""
    parts = list(module.main.named_children())
    for (name, conv), (norm, statistics) in pairwise(parts):
        if isinstance(conv, nn.ConvTranspose2d) and isinstance(statistics, nn.BatchNorm2d):
            module.main[[part for part, _ in parts].index(name)] = fuse_conv_bn_eval(
                conv, statistics, transpose=True
            )
            module.main[[part for part, _ in parts].index(norm)] = nn.Identity()
    return module


class Tiles:
    """The segmenter of a picture whose channels are tile classes: the largest channel."""

    names, name = TILES, "tiles"

    def predict(self, images: Tensor) -> Tensor:
        return images.argmax(1)

    def probabilities(self, images: Tensor) -> Tensor:
        return (4 * images).softmax(1)
