"""Where a concept would fit into a picture that lacks it.

A window set into the floor says little about what units can do: the generator refuses it, as it
should. Places are therefore taken from pictures that have the concept (donors), and a picture is
given one of them only where it fits: the donor's mask has to cover mostly what the concept's
surroundings usually are, its **hosts**: the labels that make up a good part of a ring of some
pixels around all masks. Pictures turn out to be hosted by walls, beds by walls and floors.

>>> labels = torch.zeros(1, 8, 8, dtype=torch.int64)
>>> labels[0, 3:5, 3:5] = 1
>>> sites = InsertionSites.of(labels, concept=1)
>>> sites.hosts
(0,)
>>> masks, fits = sites.choose(torch.zeros(2, 8, 8, dtype=torch.int64))
>>> masks.sum((1, 2)), fits
(tensor([4., 4.]), tensor([True, True]))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class InsertionSites:
    """Masks of a concept ``[D, H, W]`` (0 and 1), and the labels that usually surround them."""

    masks: Tensor
    hosts: tuple[int, ...]

    @classmethod
    def of(
        cls,
        labels: Tensor,
        concept: int,
        least: float = 0.003,
        *,
        ring: int = 2,
        host_share: float = 0.15,
    ) -> Self:
        """Learn from label maps ``[N, H, W]`` of pictures, some of which show the concept.

        Args:
            labels: Of the donors.
            concept: The label wanted.
            least: Which share of the pixels makes a picture a donor.
            ring: How far around a mask its surroundings reach, in 64ths of the picture.
            host_share: Which share of the ring makes a label a host.

        Raises:
            ArgumentError: No picture shows the concept.
        """
        masks = labels == concept
        masks = masks[masks.float().mean((1, 2)) >= least]
        if not len(masks):
            raise ArgumentError(
                f"None of {len(labels)} pictures shows the concept on {least:.1%} of its pixels, "
                "so nobody knows where it belongs. Take more pictures or another concept."
            )
        shown = labels[(labels == concept).float().mean((1, 2)) >= least]
        reach = 2 * max(1, ring * labels.shape[-1] // 64) + 1
        dilated = F.max_pool2d(masks.float()[:, None], reach, 1, reach // 2)[:, 0] > 0
        around = shown[dilated & ~masks].bincount()
        hosts = (
            (around >= host_share * around.sum()).nonzero()[:, 0].tolist() if len(around) else []
        )
        return cls(masks.float(), tuple(hosts))

    def choose(
        self, labels: Tensor, seed: int = 0, tries: int = 32, share: float = 0.8
    ) -> tuple[Tensor, Tensor]:
        """Choose a place for each picture, out of some drawn at random: the one that fits best.

        Args:
            labels: ``[N, H, W]`` of the pictures.
            seed: Of the draw.
            tries: How many donors are held against each picture.
            share: How much of a mask has to lie on its hosts.

        Returns:
            Masks ``[N, H, W]``, and whether each of them fits, ``[N]``.
        """
        random = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(self.masks), (len(labels), tries), generator=random)
        masks = self.masks[drawn.to(self.masks.device)]
        hosting = torch.isin(labels, torch.tensor(self.hosts, device=labels.device))
        on_hosts = (masks * hosting.float()[:, None]).sum((2, 3))
        fit, best = (on_hosts / masks.sum((2, 3))).max(dim=1)
        return masks[torch.arange(len(labels)), best], fit >= share
