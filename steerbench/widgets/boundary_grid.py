"""Directions side by side: the same pictures, step by step, with scores under every one.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> grid = BoundaryGrid(G, sb.SeFa(2).fit(G).directions_, alphas=(-1, 0, 1), n_samples=2, tile=64)
>>> grid.cells
(2, 3)
>>> grid.rows = "directions"
>>> grid.titles
['SeFa 1', 'SeFa 2']

In a notebook the last line of a cell shows it. Rows are pictures, moved along one direction; or
rows are directions, perhaps of different methods, on one picture. Columns are strengths, in
standard deviations. A predictor's score of a chosen attribute stands under each cell. Holding the
grid shows how each cell differs from its row's picture at strength 0. "PNG" exports what is seen,
"Film" a film in which all rows move together.

Reference for comparing on the same seeds: Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of
GANs for Semantic Face Editing" (2019, arXiv 1907.10786).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from steerbench.errors import ArgumentError, PredictorError, unknown
from steerbench.films import target_of, write
from steerbench.generators import BaseGenerator
from steerbench.image import from_uint8, resize, save, to_uint8
from steerbench.renderer import lock_of
from steerbench.types import Latent, Predictor, Traversal
from steerbench.widgets.controls import check_traversals
from steerbench.widgets.notice import Notice
from steerbench.widgets.picture import Picture
from steerbench.widgets.save_row import free
from steerbench.widgets.style import button, column, refuse_unknown, row, style_sheet

KEYWORDS = ("alphas", "seed", "n_samples", "rows", "predictor", "attribute", "tile")
ROWS = ("pictures", "directions")
LEFT, TOP, LINE = 92, 20, 16
"""The margins for titles, and the height of a score, in pixels."""
FRAMES, FPS = 48, 24


class BoundaryGrid(ipywidgets.VBox):
    """A grid of edits.

    Args:
        generator: The generator.
        directions: The directions, of this generator, from one method or several.
        alphas: The columns, in standard deviations.
        seed: Of the first picture.
        n_samples: How many pictures there are rows for.
        rows: ``"pictures"`` or ``"directions"``.
        predictor: Its scores stand under the cells.
        attribute: The score that is shown first; the predictor's first one if None.
        tile: The side of a cell, in pixels.

    Attributes:
        scores: The scores in the grid, ``[rows, columns]``, or None.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword, a row kind or an attribute is not known, there is no direction,
            or a number is out of range.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        directions: Sequence[Traversal],
        *,
        alphas: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
        seed: int = 0,
        n_samples: int = 4,
        rows: str = "pictures",
        predictor: Predictor | None = None,
        attribute: str | None = None,
        tile: int = 96,
        **unknown_words: Any,
    ) -> None:
        refuse_unknown("BoundaryGrid", unknown_words, KEYWORDS)
        self.generator, self.predictor = generator, predictor
        self.directions = check_traversals(generator, directions, generator.sample(1, seed=seed))
        self.alphas = _strengths(alphas)
        if not 1 <= n_samples <= 32 or not 24 <= tile <= 512:
            raise ArgumentError(
                f"{n_samples} rows of {tile} pixels were asked for. Give 1 to 32 rows and cells of "
                "24 to 512 pixels."
            )
        if rows not in ROWS:
            raise ArgumentError(unknown("kind of row", rows, ROWS))
        names = [] if predictor is None else list(predictor.names)
        if attribute is not None and attribute not in names:
            raise ArgumentError(unknown("attribute", attribute, names))
        self.n_samples, self._tile, self.notice = n_samples, tile, Notice()
        self.scores: np.ndarray | None = None
        self._kind = ipywidgets.ToggleButtons(options=ROWS, value=rows, description="Rows")
        self._choice = ipywidgets.Dropdown(
            options=[(each.name, i) for i, each in enumerate(self.directions)],
            value=0,
            description="Direction",
        )
        self._attribute = ipywidgets.Dropdown(
            options=names, value=attribute or (names[0] if names else None), description="Score"
        )
        self._attribute.layout.display = None if names else "none"
        self._seed = ipywidgets.BoundedIntText(
            value=seed, min=0, max=2**32 - 64, description="Seed"
        )
        self._path = ipywidgets.Text(value=f"{generator.name}-grid", description="File")
        self._png = button("PNG", "image", "Write the grid to FILE.png")
        self._mp4 = button("Film", "film", "Write FILE.mp4, in which all rows move together")
        self._picture = Picture(LEFT + len(self.alphas) * tile)
        self._picture.add_class("sb-differences")
        controls = column(
            [row(self._kind), row(self._choice, self._seed, self._attribute),
             row(self._path, self._png, self._mp4), self.notice]
        )  # fmt: skip
        super().__init__([style_sheet(), controls, self._picture])
        self.add_class("sb-panel")
        for control in (self._kind, self._choice, self._seed, self._attribute):
            control.observe(lambda _: self._show(), "value")
        self._png.on_click(lambda _: self.export())
        self._mp4.on_click(lambda _: self.film())
        self._show()

    @property
    def rows(self) -> str:
        """``"pictures"`` or ``"directions"``; can be set."""
        return str(self._kind.value)

    @rows.setter
    def rows(self, kind: str) -> None:
        if kind not in ROWS:
            raise ArgumentError(unknown("kind of row", kind, ROWS))
        self._kind.value = kind

    @property
    def titles(self) -> list[str]:
        """What stands at the left of each row."""
        if self.rows == "directions":
            return [each.name for each in self.directions]
        return [f"seed {self._seed.value + i}" for i in range(self.n_samples)]

    @property
    def cells(self) -> tuple[int, int]:
        """How many rows and columns there are."""
        return len(self.titles), len(self.alphas)

    @property
    def picture(self) -> bytes:
        """The file of the grid on the screen."""
        return self._picture.data

    def export(self) -> Path | None:
        """Write the grid as PNG; None, with the reason shown, where that failed."""
        with self.notice.guard():
            stem = free(self._path.value, (".png",))
            path = stem.with_name(stem.name + ".png")
            save(from_uint8(self._sheet[None]), path)
            self.notice.tell(f"Exported {path}.")
            return path
        return None

    def film(self, suffix: str = ".mp4") -> Path | None:
        """Write a film, ``.mp4`` or ``.gif``; None, with the reason shown, where that failed."""
        with self.notice.guard():
            stem = free(self._path.value, (suffix,))
            path = target_of(stem.with_name(stem.name + suffix))
            write(path, self._frames(), FPS)
            self.notice.tell(f"Exported {path}.")
            return path
        return None

    # From directions to cells.

    def _lines(self) -> list[tuple[Latent, Traversal]]:
        """The starting code and the direction of each row."""
        if self.rows == "directions":
            start = self.generator.sample(1, seed=self._seed.value)
            return [(start, each) for each in self.directions]
        direction = self.directions[self._choice.value]
        starts = [
            self.generator.sample(1, seed=self._seed.value + i) for i in range(self.n_samples)
        ]
        return [(start, direction) for start in starts]

    def _render(self, start: Latent, direction: Traversal, alphas: Sequence[float]) -> Tensor:
        with lock_of(self.generator), torch.no_grad():
            moved = [self.generator.render(start, edits=[a * direction]) for a in alphas]
        return torch.cat(moved)

    def _show(self) -> None:
        """Draw the grid and its differences."""
        self.notice.clear()
        self._choice.disabled = self.rows == "directions"
        with self.notice.guard():
            lines = self._lines()
            pictures = [self._render(*line, self.alphas) for line in lines]
            starts = [self._render(*line, [0.0]) for line in lines]
            self.scores = self._read(pictures)
            self._sheet = self._lay(torch.stack([self._fit(each) for each in pictures]))
            differences = [
                (2 * (now - start).abs() - 1).clamp(-1, 1) for now, start in zip(pictures, starts)
            ]
            changes = self._lay(torch.stack([self._fit(each) for each in differences]))
            self._picture.show(from_uint8(self._sheet[None]))
            self._picture.show_original(from_uint8(changes[None]))

    def _fit(self, pictures: Tensor) -> Tensor:
        return resize(pictures.expand(-1, 3, -1, -1), (self._tile, self._tile))

    def _read(self, pictures: list[Tensor]) -> np.ndarray | None:
        if self.predictor is None:
            return None
        place = list(self.predictor.names).index(self._attribute.value)
        read = [self.predictor.predict(each) for each in pictures]
        wanted = (len(self.alphas), len(self.predictor.names))
        for scores in read:
            if tuple(scores.shape) != wanted or not torch.isfinite(scores).all():
                raise PredictorError(
                    f"The predictor gave {list(scores.shape)} scores for {wanted[0]} pictures, or "
                    f"NaN; finite scores of shape {list(wanted)} were expected."
                )
        return torch.stack([scores[:, place] for scores in read]).double().numpy()

    # From cells to a sheet.

    def _lay(self, cells: Tensor) -> np.ndarray:
        """Cells ``[R, K, 3, tile, tile]`` under titles, as RGB ``[H, W, 3]``."""
        tile, line = self._tile, 0 if self.scores is None else LINE
        height, width = TOP + len(cells) * (tile + line), LEFT + cells.shape[1] * tile
        sheet = Image.new("RGB", (width, height), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
        for k, strength in enumerate(self.alphas):
            draw.text((LEFT + k * tile + tile // 2 - 12, 4), f"{strength:+g}", "black", font)
        for r, title in enumerate(self.titles):
            top = TOP + r * (tile + line)
            draw.text((4, top + tile // 2 - 6), _cut(title, draw, font), "black", font)
            for k in range(cells.shape[1]):
                left = LEFT + k * tile
                sheet.paste(Image.fromarray(to_uint8(cells[r, k][None])[0]), (left, top))
                if self.scores is not None:
                    where = (left + 4, top + tile + 2)
                    draw.text(where, f"{self.scores[r, k]:.2f}", "black", font)
        return np.asarray(sheet)

    def _frames(self) -> Iterator[np.ndarray]:
        """From the lowest strength to the highest and back, all rows in one column of cells."""
        low, high = min(self.alphas), max(self.alphas)
        lines, side = self._lines(), self._tile + self._tile % 2
        for step in range(FRAMES):
            alpha = low + (high - low) * (1 - abs(2 * step / FRAMES - 1))
            cells = [resize(self._render(*line, [alpha]), (side, side)) for line in lines]
            frame = to_uint8(torch.cat(cells).expand(-1, 3, -1, -1))
            yield np.concatenate(list(frame), axis=1)


def _strengths(given: Sequence[float]) -> tuple[float, ...]:
    strengths = tuple(float(each) for each in given)
    if not 1 <= len(strengths) <= 25 or not np.isfinite(strengths).all():
        raise ArgumentError(
            f"Strengths {list(given)[:8]} were given. Give 1 to 25 finite numbers, in standard "
            "deviations."
        )
    return strengths


def _cut(text: str, draw: ImageDraw.ImageDraw, font: Any) -> str:
    """A title that fits its margin."""
    while text and draw.textlength(text, font) > LEFT - 8:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text
