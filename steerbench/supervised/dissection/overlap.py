"""How much units and concepts overlap: counts of pixels, without enlarging the activations.

A unit's activations a ``[h, w]`` are laid over a picture ``[H, W]`` by bilinear interpolation, and
the pixels where the result exceeds the unit's threshold t are its region. With the region M of unit
u and the pixels C of concept c, over all pictures:

    IoU(u, c) = |M and C| / |M or C|

Enlarging 512 maps of 16x16 to 128x128 for this makes eight million numbers a picture, nearly all
of them needlessly. An interpolated value lies between the four activations around it, so between
four that all exceed t every pixel does, and between four of which none does no pixel does. The
picture is therefore cut along the lines that join the activations' centres, into cells of (H / h) x
(W / w) pixels. What is decided for whole cells is counted by one matrix product a picture, units
by cells times cells by concepts:

    counts [units, concepts] = full [units, cells] @ pixels [cells, concepts]

and only cells through which a unit's outline passes are interpolated, a few in a hundred where
thresholds are high. The counts are those of the enlarged maps: the same comparison of the same
interpolated number decides each pixel (a pixel may fall the other way only where that number equals
t up to its rounding).

``interpolation="nearest"`` lets each activation stand for its own patch of pixels instead, which
needs the matrix product alone and gives exactly the counts of maps enlarged by repetition.

Conventions of netdissect, whose numbers these are: a pixel counts where the value is strictly above
t; outside the outermost centres the border is repeated; a concept may belong to a **category**, and
then a unit's region is counted only in pictures in which some concept of that category occurs:

    IoU(u, c) = |M and C| / (|M in pictures with c's category| + |C| - |M and C|)

The **information quality ratio** of the two regions is their mutual information over their joint
entropy, I(M; C) / H(M, C), in the pictures with the category.

Reference: Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection: Quantifying Interpretability of
Deep Visual Representations" (2017, arXiv 1704.05796).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError, unknown
from steerbench.stats.running import Running

INTERPOLATIONS = ("bilinear", "nearest")


@dataclass(frozen=True, eq=False)
class Layout:
    """How activations lie over a picture.

    Attributes:
        interpolation: ``"bilinear"`` or ``"nearest"``.
        align_corners: What ``grid_sample`` is told about netdissect's grid. True puts every
            activation into the middle of its patch of pixels, as the paper's numbers have it;
            False stretches the grid, as the same code does since torch 1.3.
    """

    interpolation: str = "bilinear"
    align_corners: bool = True

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ArgumentError(unknown("interpolation", self.interpolation, INTERPOLATIONS))

    def enlarge(self, activations: Tensor, size: tuple[int, int]) -> Tensor:
        """Return activations ``[N, U, h, w]`` at the size of the picture, ``[N, U, H, W]``."""
        x = activations
        for dim, large in ((2, size[0]), (3, size[1])):
            axis = self._axis(x.shape[dim], large)
            low, high = (x.index_select(dim, index.to(x.device)) for index in axis.corners)
            part = axis.part.to(x).view(-1, *[1] * (3 - dim))
            x = low + (high - low) * part
        return x

    def _axis(self, small: int, large: int) -> Axis:
        return _axis(small, large, self.interpolation, self.align_corners)


@dataclass(frozen=True, eq=False)
class Axis:
    """One side of a picture of ``large`` pixels under ``small`` activations.

    Cell k lies between activations k - 1 and k; the first and the last are the repeated border.

    Attributes:
        cell: ``[large]``, the cell of each pixel, 0 to small.
        part: ``[large]``, how far each pixel is from the cell's lower activation to its upper one.
        pixels: ``[small + 1, most]``, the pixels of each cell; -1 for none.
        patch: ``[large]``, the activation whose centre is nearest.
    """

    small: int
    cell: Tensor
    part: Tensor
    pixels: Tensor
    patch: Tensor

    @property
    def corners(self) -> tuple[Tensor, Tensor]:
        """The lower and the upper activation of each pixel's cell, ``[large]`` each."""
        return (self.cell - 1).clamp(min=0), self.cell.clamp(max=self.small - 1)


@lru_cache(maxsize=64)
def _axis(small: int, large: int, interpolation: str, align_corners: bool) -> Axis:
    centres = (torch.arange(large, dtype=torch.float64) + 0.5) * small / large - 0.5
    patch = (centres + 0.5).floor().long().clamp(0, small - 1)
    if interpolation == "nearest":
        centres = patch.double()
    elif not align_corners and small > 1:
        centres = centres * small / (small - 1) - 0.5
    centres = centres.clamp(-0.5, small - 0.5)
    cell = centres.floor().long() + 1
    members = [(cell == k).nonzero()[:, 0] for k in range(small + 1)]
    pixels = torch.full((small + 1, max(map(len, members))), -1)
    for k, member in enumerate(members):
        pixels[k, : len(member)] = member
    return Axis(small, cell, (centres - centres.floor()).float(), pixels, patch)


class UnitOverlap(Running):
    """Counts of pixels that units and concepts have in common, over any number of pictures.

    ``intersection [units, concepts]``, ``regions [units, categories]`` (the units' regions in
    pictures with the category), ``areas [concepts]`` and ``totals [categories]`` (all pixels of
    such pictures) are whole numbers in float64; ``sums [units, concepts]`` adds up the activations
    over each concept's pixels.

    Args:
        concepts: How many labels there are, 0 to concepts - 1.
        ignored: A label that is no concept (netdissect's 0); -1 for none.
    """

    _fields = ("intersection", "regions", "areas", "totals", "sums", "category")
    _settings = ("concepts", "ignored")

    def __init__(self, concepts: int, ignored: int = -1) -> None:
        super().__init__()
        self.concepts, self.ignored = concepts, ignored

    def add(
        self,
        activations: Tensor,
        thresholds: Tensor,
        labels: Tensor,
        layout: Layout | None = None,
        categories: Sequence[int] | None = None,
    ) -> Self:
        """Add pictures; returns self.

        Args:
            activations: ``[N, U, h, w]``.
            thresholds: ``[U]``; a region is where the activation is strictly above.
            labels: ``[N, H, W]``, or ``[N, S, H, W]`` where maps of several kinds lie over each
                other (objects, materials), each label in one of them.
            layout: How the two lie over each other.
            categories: The category of each label, ``[concepts]``; none for no categories.

        Raises:
            ShapeError: The shapes do not fit together.
        """
        maps = labels[:, None] if labels.ndim == 3 else labels
        _check(activations, thresholds, maps)
        layout = layout or Layout()
        category = torch.as_tensor(
            [0] * self.concepts if categories is None else list(categories)
        ).to(maps.device)
        if len(category) != self.concepts:
            raise ShapeError(f"{len(category)} categories for {self.concepts} labels; one each.")
        thresholds = thresholds.to(activations)
        parts = [
            self._picture(activations[i], thresholds, maps[i], layout, category)
            for i in range(len(activations))
        ]
        if not parts:
            return self
        fields = {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}
        return self.merge(self._of(len(parts), **fields, category=category))

    def _picture(
        self, x: Tensor, thresholds: Tensor, maps: Tensor, layout: Layout, category: Tensor
    ) -> dict[str, Tensor]:
        """Return the counts of one picture: activations ``[U, h, w]``, label maps ``[S, H, W]``."""
        counts = torch.stack([_count(x, thresholds, m, self.concepts, layout) for m in maps])
        areas = maps.flatten().bincount(minlength=self.concepts).double()
        seen = torch.zeros(int(category.max()) + 1, dtype=torch.float64, device=maps.device)
        seen[category[areas > 0]] = 1
        intersection = counts.sum(0)
        sums = torch.stack([_sums(x, m, self.concepts, layout) for m in maps]).sum(0)
        if 0 <= self.ignored < self.concepts:
            intersection[:, self.ignored] = 0
        return {
            "intersection": intersection,
            "regions": counts[0].sum(1, keepdim=True) * seen,
            "areas": areas,
            "totals": seen * maps[0].numel(),
            "sums": sums,
        }

    @property
    def intersection(self) -> Tensor:
        """``[units, concepts]``: pixels in both regions."""
        return self._get("intersection")

    @property
    def regions(self) -> Tensor:
        """``[units, categories]``: pixels in a unit's region, in pictures with the category."""
        return self._get("regions")

    @property
    def areas(self) -> Tensor:
        """``[concepts]``: pixels of each concept."""
        return self._get("areas")

    @property
    def totals(self) -> Tensor:
        """``[categories]``: pixels of all pictures with the category."""
        return self._get("totals")

    def iou(self) -> Tensor:
        """Return ``[units, concepts]`` in [0, 1]; 0 where both regions are empty."""
        union = self.regions[:, self._get("category")] + self.areas - self.intersection
        return self.intersection / union.clamp(min=1)

    def quality(self) -> Tensor:
        """Return information quality ratios ``[units, concepts]`` in [0, 1]; 0 for 0 / 0."""
        category = self._get("category")
        total = self.totals[category].clamp(min=1)
        both, unit = self.intersection, self.regions[:, category]
        cells = torch.stack(
            [both, unit - both, self.areas - both, total - unit - self.areas + both]
        )
        p = (cells / total).clamp(min=0).view(2, 2, *both.shape)
        joint = _entropy(p.flatten(0, 1))
        information = _entropy(p.sum(0)) + _entropy(p.sum(1)) - joint
        return torch.nan_to_num(information / joint, nan=0.0).clamp(0, 1)

    def inside(self) -> Tensor:
        """Return the mean activation over each concept's pixels ``[units, concepts]``.

        Each pixel reads the activation of its patch.
        """
        return self._get("sums") / self.areas.clamp(min=1)

    def _join(self, other: Self) -> dict[str, Tensor]:
        if not torch.equal(self._get("category"), other._get("category")):
            raise ShapeError("Counts by different categories cannot be merged; use the same.")
        joined = {name: self._get(name) + other._get(name) for name in self._fields[:-1]}
        return joined | {"category": self._get("category")}


def _check(activations: Tensor, thresholds: Tensor, maps: Tensor) -> None:
    if activations.ndim != 4 or maps.ndim != 4 or len(activations) != len(maps):
        raise ShapeError(
            f"Got activations {list(activations.shape)} and labels {list(maps.shape)}; expected "
            "[N, U, h, w] and [N, H, W] (or [N, S, H, W]) of the same N pictures."
        )
    if thresholds.shape != activations.shape[1:2]:
        raise ShapeError(
            f"Got thresholds {list(thresholds.shape)} for {activations.shape[1]} units; one each."
        )


def _count(
    x: Tensor, thresholds: Tensor, labels: Tensor, k: int, layout: Layout, dense: float = 2.0
) -> Tensor:
    """Return pixels ``[U, K]`` of each label in each unit's region, float64."""
    size = (labels.shape[0], labels.shape[1])
    if layout.interpolation == "nearest":
        above = (x > thresholds[:, None, None]).flatten(1)
        return (above.to(x.dtype) @ _patches(x, labels, k, layout)).double()
    # Enlarged by less, most cells hold a pixel or two, and enlarging outright is quicker.
    if min(size[0] / x.shape[1], size[1] / x.shape[2]) < dense:
        above = layout.enlarge(x[None], size)[0] > thresholds[:, None, None]
        chosen = torch.zeros(labels.numel(), k, dtype=x.dtype, device=x.device)
        chosen.scatter_(1, labels.reshape(-1, 1), 1)
        return (above.flatten(1).to(x.dtype) @ chosen).double()
    rows, columns = layout._axis(x.shape[1], size[0]), layout._axis(x.shape[2], size[1])
    x = torch.nn.functional.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    above = x > thresholds[:, None, None]
    left, right = above[:, :, :-1], above[:, :, 1:]
    some, every = left | right, left & right
    some, every = some[:, :-1] | some[:, 1:], every[:, :-1] & every[:, 1:]
    inside = _cell_labels(labels, k, rows, columns)
    pixels = _histograms(inside.flatten(2), k).flatten(0, 1)[:, :k].to(x.dtype)
    whole = (every.flatten(1).to(x.dtype) @ pixels).double()
    return whole + _outlines(x, thresholds, (some & ~every).nonzero(), inside, k, rows, columns)


def _outlines(
    x: Tensor, thresholds: Tensor, mixed: Tensor, inside: Tensor, k: int, rows: Axis, columns: Axis
) -> Tensor:
    """Count in cells ``[M, 3]`` (unit, row, column) that an outline passes, ``[U, K]``."""
    unit, row, column = mixed.unbind(1)
    down = _parts(rows).to(x)[row][:, :, None]
    across = _parts(columns).to(x)[column]
    a, b = (x[unit, row + i, column][:, None] for i in (0, 1))
    c, d = (x[unit, row + i, column + 1][:, None] for i in (0, 1))
    upper, lower = torch.lerp(a, c, across)[:, None], torch.lerp(b, d, across)[:, None]
    above = torch.lerp(upper, lower, down) > thresholds[unit][:, None, None]
    keys = inside[row, column] + unit[:, None, None] * (k + 1)
    counts = keys[above].bincount(minlength=len(thresholds) * (k + 1))
    return counts.view(-1, k + 1)[:, :k].double()


def _parts(axis: Axis) -> Tensor:
    """Return ``[cells, most]``: how far the pixels of each cell are on their way across it."""
    return axis.part[axis.pixels.clamp(min=0)]


def _cell_labels(labels: Tensor, k: int, rows: Axis, columns: Axis) -> Tensor:
    """Return the labels of each cell's pixels ``[rows, columns, most, most]``; k for none."""
    down, across = rows.pixels.to(labels.device), columns.pixels.to(labels.device)
    found = labels[down.clamp(min=0)[:, None, :, None], across.clamp(min=0)[None, :, None, :]]
    absent = (down < 0)[:, None, :, None] | (across < 0)[None, :, None, :]
    return found.masked_fill(absent, k)


def _histograms(labels: Tensor, k: int) -> Tensor:
    """Count each of the labels 0 to k along the last dimension, ``[..., k + 1]``."""
    flat = labels.reshape(-1, labels.shape[-1])
    keys = flat + (k + 1) * torch.arange(len(flat), device=flat.device)[:, None]
    counts = keys.flatten().bincount(minlength=len(flat) * (k + 1))
    return counts.view(*labels.shape[:-1], k + 1)


def _patches(x: Tensor, labels: Tensor, k: int, layout: Layout) -> Tensor:
    """Return how many pixels of each label lie in the patch of each activation, ``[h * w, K]``."""
    rows, columns = (
        layout._axis(x.shape[1 + i], labels.shape[i]).patch.to(labels.device) for i in (0, 1)
    )
    keys = (rows[:, None] * x.shape[2] + columns[None]) * k + labels
    return keys.flatten().bincount(minlength=x.shape[1] * x.shape[2] * k).view(-1, k).to(x.dtype)


def _sums(x: Tensor, labels: Tensor, k: int, layout: Layout) -> Tensor:
    """Return the activations added up over each label's pixels, ``[U, K]``, float64."""
    return (x.flatten(1) @ _patches(x, labels, k, layout)).double()


def _entropy(p: Tensor) -> Tensor:
    """Return the entropy over the first dimension, in nats."""
    return -torch.special.xlogy(p, p).sum(0)
