"""Pictures in a row, to be played or leafed through: the steps of a training, of a search.

Everything is drawn before; moving through the pages costs nothing and works as fast as the slider
moves. While the picture is held down the first page is shown, to compare.

>>> import torch
>>> book = Flipbook(torch.zeros(3, 3, 64, 64), captions=["start", "middle", "end"])
>>> book.page = 2
>>> book.caption
'end'
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError
from steerbench.image.pixels import batch_of
from steerbench.widgets.picture import Picture
from steerbench.widgets.style import row, style_sheet


class Flipbook(ipywidgets.VBox):
    """A picture, a button that plays the pages, and a slider through them.

    Args:
        pages: Pictures ``[N, C, H, W]`` in [-1, 1], or a list of pictures of one size.
        captions: A line under each page.
        size: The width on the screen, in pixels.
        interval: Milliseconds that a page stays while playing.

    Raises:
        ShapeError: These are no pictures, or there are more or fewer captions than pages.
    """

    def __init__(
        self,
        pages: Tensor | Sequence[Tensor],
        captions: Sequence[object] | None = None,
        *,
        size: int = 384,
        interval: int = 150,
    ) -> None:
        self.pages = batch_of(pages).detach().cpu()
        last = len(self.pages) - 1
        if captions is not None and (isinstance(captions, str) or len(captions) != last + 1):
            raise ShapeError(f"Got {len(captions)} captions for {last + 1} pages; give one each.")
        self.captions = [str(text) for text in captions or [""] * (last + 1)]
        self._picture, self._line = Picture(size), ipywidgets.HTML()
        self._slider = ipywidgets.IntSlider(0, 0, last, readout=False, layout={"flex": "1"})
        self._play = ipywidgets.Play(value=0, min=0, max=last, interval=interval, repeat=False)
        ipywidgets.jslink((self._play, "value"), (self._slider, "value"))
        controls = row(self._play, self._slider)
        controls.layout = {"width": f"{size}px", "margin": "8px 0 0"}
        super().__init__([style_sheet(), self._picture, controls, self._line])
        self.add_class("sb-panel")
        self._picture.show_original(self.pages[0])
        self._slider.observe(self._turn, "value")
        self._turn()

    @property
    def page(self) -> int:
        """The page that is shown, from 0."""
        return self._slider.value

    @page.setter
    def page(self, index: int) -> None:
        if not 0 <= index < len(self.pages):
            raise ArgumentError(f"There is no page {index}; there are 0 to {len(self.pages) - 1}.")
        self._slider.value = index

    @property
    def caption(self) -> str:
        """The line under the page that is shown."""
        return self.captions[self.page]

    def _turn(self, _: object = None) -> None:
        self._picture.show(self.pages[self.page])
        self._line.value = html.escape(self.caption)


__all__ = ["Flipbook"]
